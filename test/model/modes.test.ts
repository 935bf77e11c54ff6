import { expect } from 'chai'
import { CATALOGUE_GUARDS, catalogueModel } from './catalogue.ts'
import { MODE_GUARDS, cacheModeModel } from './cache-mode.ts'
import { explore, type Result } from './checker.ts'
import { LOGIN_GUARDS, loginDirectoryModel } from './login-directory.ts'

/** A model has no breach as it is, and one without any of its guards. */
function itHolds<Guard extends string>(
  guards: Readonly<Record<Guard, string>>,
  run: (off?: readonly Guard[]) => Result,
) {
  it('has no breach', () => {
    const { states, isComplete, breach } = run()
    console.log(`      ${states} states`)
    expect(breach).to.equal(undefined)
    expect(isComplete).to.equal(true)
  })

  for (const guard of Object.keys(guards) as Guard[]) {
    it(`needs that ${guards[guard]}`, () => {
      expect(run([guard]).breach?.trace.length).to.be.above(2)
    })
  }
}

describe('the model of the cache mode', function () {
  this.timeout(300_000)
  itHolds(MODE_GUARDS, off => explore(cacheModeModel({ writes: 1, reads: 2, cuts: 2 }, off)))
})

describe('the model of the login directory', () => {
  itHolds(LOGIN_GUARDS, off => explore(loginDirectoryModel({ registrations: 3, kills: 1 }, off)))
})

describe('the model of changes of the catalogue', function () {
  this.timeout(300_000)
  itHolds(CATALOGUE_GUARDS, off =>
    explore(catalogueModel({ writers: ['product', 'other'], instances: 2, kills: 1 }, off)),
  )
})
