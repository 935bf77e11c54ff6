import { createServer } from 'node:http'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import type { Worker } from 'node:worker_threads'
import { PROJECT } from '../support/servers.ts'

/**
 * An instance as src/main.ts makes it, that can be hurt. By its environment:
 *   FAILPOINT=step        kill itself at a step of a cart's write or of an order (FAILPOINT_AT=n: the n-th time), or
 *   FAILPOINT_SIGNAL=…    with another signal than KILL
 *   CLOCK_SHIFT_MS=n      have a clock that is wrong by so much
 *   PLANT=name            have one of the mistakes of plants.ts
 * and while it runs, by POST to CONTROL_PORT with one of the bodies of `Hurt`. The product has no such switches: they are wired from here.
 */
export interface Hurt {
  /** Kill itself with `signal` the next time that it passes this step. */
  readonly step?: string
  readonly signal?: NodeJS.Signals
  readonly busyMs?: number
  readonly clockShiftMs?: number
  /** Ends the pricing threads, whatever they are at. */
  readonly endThreads?: boolean
  /** Closes connections that have been idle for so long. */
  readonly keepAliveMs?: number
}

export interface HurtReply {
  /** Pricing threads that there were. */
  readonly threads: number
}

let shiftMs = Number(process.env['CLOCK_SHIFT_MS'] ?? 0)
const Real = Date
globalThis.Date = class extends Real {
  constructor(...given: [] | [string | number]) {
    if (given.length === 0) super(Real.now() + shiftMs)
    else super(given[0])
  }
  static override now(): number {
    return Real.now() + shiftMs
  }
} as DateConstructor

// Piscina takes its threads from this module: seen here, they can be ended.
const workerThreads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker }
const threads = new Set<Worker>()
workerThreads.Worker = class extends workerThreads.Worker {
  constructor(...given: ConstructorParameters<typeof Worker>) {
    super(...given)
    threads.add(this)
    this.once('exit', () => threads.delete(this))
  }
}
syncBuiltinESMExports()

const { createApp } = await import('../../src/app.ts')
const { loadConfig } = await import('../../src/config/config.ts')
const { createLog } = await import('../../src/telemetry/log.ts')
const { plantOf } = await import('./plants.ts')

const environment: Record<string, string | undefined> = { ...process.env }
const { config, secrets } = loadConfig(PROJECT, environment)
const { servers } = secrets
if (!servers) throw new Error('no servers')
process.on('unhandledRejection', error => {
  console.error(error)
  process.exit(1)
})

let armed = { step: process.env['FAILPOINT'], signal: process.env['FAILPOINT_SIGNAL'] ?? 'SIGKILL' }
let left = Number(process.env['FAILPOINT_AT'] ?? 1)
const onFailpoint = (step: string): void => {
  if (step !== armed.step || --left > 0) return
  armed = { ...armed, step: undefined }
  process.kill(process.pid, armed.signal)
}
const app = await createApp(config, servers, createLog(config.logLevel), {
  onFailpoint,
  wrap: plantOf(process.env['PLANT']),
})
await app.listen()

const controlPort = Number(process.env['CONTROL_PORT'] ?? 0)
if (controlPort > 0) {
  createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    request.on('end', () => {
      response.end(JSON.stringify({ threads: threads.size } satisfies HurtReply))
      hurt(JSON.parse(text) as Hurt)
    })
  }).listen(controlPort, '127.0.0.1')
}

function hurt({ step, signal = 'SIGKILL', busyMs = 0, clockShiftMs, endThreads, keepAliveMs }: Hurt): void {
  if (step !== undefined) {
    armed = { step, signal }
    left = 1
  }
  if (clockShiftMs !== undefined) shiftMs = clockShiftMs
  if (keepAliveMs !== undefined) app.server.keepAliveTimeout = keepAliveMs
  if (endThreads) for (const thread of threads) void thread.terminate()
  for (const until = performance.now() + busyMs; performance.now() < until; );
}

process.send?.('ready')
let isLeaving = false
async function leave(): Promise<void> {
  if (isLeaving) return
  isLeaving = true
  await app.drain.run(app.listeners)
  await app.close()
  process.exit(0)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void leave())
