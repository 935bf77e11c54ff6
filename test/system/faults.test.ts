import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/** The fault runner, small: `npm run faults` is the whole of it (docs/reliability.md). */
async function faults(...args: string[]): Promise<{ code: number; output: string }> {
  const command = [join(PROJECT, 'test/faults/run.ts'), ...args]
  try {
    const { stdout } = await promisify(execFile)(process.execPath, command, { maxBuffer: 1e7 })
    return { code: 0, output: stdout }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: `${stdout}\n${stderr}` }
  }
}

describe('the shop under faults', function () {
  this.timeout(900_000)

  it('loses, doubles and shows nothing old; and a mistake planted in it is seen', async () => {
    const rows = ['--rows', 'A1,A2,C1,C4,D1', '--rounds', '1', '--per-round', '5', '--reads', '5000', '--seed', '11']
    const planted = ['--plants', 'sound-slow-cache,delete-after-commit']
    const { code, output } = await faults('--parts', 'rounds,planted', ...rows, ...planted)
    expect(output).to.match(
      /reads=\d{4,} lost=0 duplicated=0 stale=0 unexplained=0 oversold=0 undersold=0 resurrected=0/,
    )
    expect(output).to.match(/planted bugs caught: 1 of 1; controls as they must be: 1 of 1/)
    expect(code, output).to.equal(0)
  })

  it('ends sessions for good, also while their Redis fails over', async () => {
    const { code, output } = await faults('--parts', 'failover')
    expect(output).to.match(/C7: resurrected 0 of \d{3,}/)
    expect(output).to.match(/C8: resurrected 0 of \d{3,}/)
    expect(code, output).to.equal(0)
  })

  it('has a schedule for each seed, and says what it does not know', async () => {
    const first = await faults('--schedule', '--seed', '3', '--rounds', '2')
    expect(first.output.split('\n').filter(Boolean)).to.have.length(18)
    expect((await faults('--schedule', '--seed', '3', '--rounds', '2')).output).to.equal(first.output)
    const wrong = await faults('--rows', 'A1,Z9')
    expect(wrong.code).to.equal(2)
    expect(wrong.output).to.match(/--rows: there is no Z9; there are A1/)
  })
})
