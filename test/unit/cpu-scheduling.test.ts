import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/** SCHED_OTHER and SCHED_BATCH: sched(7). */
const [OTHER, BATCH] = [0, 3]

/** A process of its own asks for it, and then starts a thread. */
const SCRIPT = `
  import { readdirSync } from 'node:fs'
  import { Worker } from 'node:worker_threads'
  import { policyOf, scheduleAsBatch } from '${join(PROJECT, 'src/ops/cpu-scheduling.ts')}'
  const result = await scheduleAsBatch().catch(error => error.message)
  const thread = new Worker('setInterval(() => undefined, 1000)', { eval: true })
  await new Promise(resolve => thread.once('online', resolve))
  const policies = readdirSync('/proc/self/task').map(task => policyOf(task))
  console.log(JSON.stringify({ result, policies: [...new Set(policies)] }))
  process.exit()`

async function asked(before: readonly string[] = [], environment: NodeJS.ProcessEnv = process.env) {
  const [program, ...args] = [...before, process.execPath, '--input-type=module', '--eval', SCRIPT]
  const { stdout } = await promisify(execFile)(program, args, { env: environment })
  return JSON.parse(stdout) as { result: boolean | string; policies: number[] }
}

describe('the scheduling of the CPU', () => {
  before(function () {
    if (process.platform !== 'linux') this.skip()
  })

  it('is that of batch work, for every thread', async () => {
    expect(await asked()).to.deep.equal({ result: true, policies: [BATCH] })
  })

  // Not SCHED_IDLE, which would get no time on a machine that is busy.
  it('is left alone where one was set', async () => {
    expect(await asked(['chrt', '--batch', '0'])).to.deep.equal({ result: false, policies: [BATCH] })
  })

  it('stays as it was where there is no chrt, which is said', async () => {
    const { result, policies } = await asked([], { ...process.env, PATH: '/nowhere' })
    expect(result).to.include('chrt')
    expect(policies).to.deep.equal([OTHER])
  })
})
