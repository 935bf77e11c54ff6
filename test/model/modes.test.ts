import { expect } from 'chai'
import { type ModeGuard, MODE_GUARDS, cacheModeModel } from './cache-mode.ts'
import { explore } from './checker.ts'
import { type LoginGuard, LOGIN_GUARDS, loginDirectoryModel } from './login-directory.ts'

describe('the model of the cache mode', function () {
  this.timeout(120_000)
  const bounds = { writes: 1, reads: 2, cuts: 2 }

  it('has no breach', () => {
    const { states, isComplete, breach } = explore(cacheModeModel(bounds))
    console.log(`      ${states} states`)
    expect(breach).to.equal(undefined)
    expect(isComplete).to.equal(true)
  })

  for (const guard of Object.keys(MODE_GUARDS) as ModeGuard[]) {
    it(`needs that ${MODE_GUARDS[guard]}`, () => {
      expect(explore(cacheModeModel(bounds, [guard])).breach?.trace.length).to.be.above(2)
    })
  }
})

describe('the model of the login directory', () => {
  const bounds = { registrations: 3, kills: 1 }

  it('has no breach', () => {
    const { states, isComplete, breach } = explore(loginDirectoryModel(bounds))
    console.log(`      ${states} states`)
    expect(breach).to.equal(undefined)
    expect(isComplete).to.equal(true)
  })

  for (const guard of Object.keys(LOGIN_GUARDS) as LoginGuard[]) {
    it(`needs that ${LOGIN_GUARDS[guard]}`, () => {
      expect(explore(loginDirectoryModel(bounds, [guard])).breach?.trace.length).to.be.above(2)
    })
  }
})
