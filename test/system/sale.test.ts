import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/** The programs of test/sale, small: docs/orders.md tells how to run them at full size. */
async function run(file: string, ...args: string[]): Promise<{ code: number; last: string; output: string }> {
  const command = [join(PROJECT, 'test/sale', file), ...args]
  const done = (output: string, code: number) => ({ code, output, last: output.trim().split('\n').at(-1) ?? '' })
  try {
    return done((await promisify(execFile)(process.execPath, command, { maxBuffer: 1e7 })).stdout, 0)
  } catch (error) {
    const failed = error as { code: number; stdout: string; stderr: string }
    return done(`${failed.stderr}\n${failed.stdout}`, failed.code)
  }
}

describe('a flash sale', function () {
  this.timeout(900_000)

  it('through nginx, while instances, the cache and a database are killed: all is sold, once, and every buyer has an answer', async () => {
    const { code, last, output } = await run('run.ts', '--buyers', '900', '--units', '90', '--kill', '--seed', '7')
    expect(output).to.match(/killed cartload/)
    expect(last).to.equal('sold=90 oversold=0 undersold=0 lost=0 duplicated=0')
    expect(code).to.equal(0)
  })

  it('of a shop that reads, checks and writes is found overselling (the control)', async () => {
    const { code, last } = await run('run.ts', '--naive', '--buyers', '300', '--units', '30')
    expect(Number(/oversold=(\d+)/.exec(last)?.[1])).to.be.above(0)
    expect(code).to.equal(1)
  })
})

describe('an order whose process dies or is stopped at any step', function () {
  this.timeout(900_000)

  it('is made once or not at all, and what it held is settled within 5 s', async () => {
    const { code, last, output } = await run('failpoints.ts', '--times', '1', '--at-once', '8')
    expect(last, output).to.match(/^sold=\d+ oversold=0 undersold=0 lost=0 duplicated=0$/)
    expect(code, output).to.equal(0)
  })

  it('would be seen to go wrong with naive stock (the control)', async () => {
    const { code, output } = await run(
      'failpoints.ts',
      '--times',
      '1',
      '--only',
      'killed at held-all, retried',
      '--naive',
    )
    expect(output).to.match(/stock is/)
    expect(code).to.equal(1)
  })
})
