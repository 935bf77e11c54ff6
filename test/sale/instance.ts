import { PROJECT } from '../support/servers.ts'

/**
 * An instance that can be told by its environment to
 *   FAILPOINT=step        kill itself at a step of an order (FAILPOINT_AT=n: the n-th time), or
 *   FAILPOINT_SIGNAL=…    with another signal than KILL
 *   CLOCK_SHIFT_MS=n      have a clock that is wrong by so much
 *   NAIVE=1               keep stock in the naive way
 * The product has no such switches: they are wired from here.
 */
const shift = Number(process.env['CLOCK_SHIFT_MS'] ?? 0)
if (shift !== 0) {
  const Real = Date
  globalThis.Date = class extends Real {
    constructor(...given: [] | [string | number]) {
      if (given.length === 0) super(Real.now() + shift)
      else super(given[0])
    }
    static override now(): number {
      return Real.now() + shift
    }
  } as DateConstructor
}

const { createApp } = await import('../../src/app.ts')
const { loadConfig } = await import('../../src/config/config.ts')
const { createLog } = await import('../../src/telemetry/log.ts')
const { databasesOf } = await import('./accounts.ts')
const { createNaiveStock } = await import('./naive.ts')

const environment: Record<string, string | undefined> = { ...process.env }
const { config, secrets } = loadConfig(PROJECT, environment)
const { servers } = secrets
if (!servers) throw new Error('no servers')

let left = Number(process.env['FAILPOINT_AT'] ?? 1)
const onStep = (step: string): void => {
  if (step !== process.env['FAILPOINT'] || --left !== 0) return
  process.kill(process.pid, process.env['FAILPOINT_SIGNAL'] ?? 'SIGKILL')
}
const naive =
  process.env['NAIVE'] === '1' ? createNaiveStock((await databasesOf({ addresses: servers })).router) : undefined
const app = await createApp(config, servers, createLog(config.logLevel), { onStep, ...(naive ? { stock: naive } : {}) })
await app.listen()
