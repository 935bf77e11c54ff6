import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import type { Options } from 'k6/options'
import { type Iteration, iterationNow, runIteration } from './context.ts'
import { resolveModules } from './hooks.ts'
import type { FromThread, ThreadData, ToThread } from './messages.ts'
import { takeSamples } from './samples.ts'
import { type Schedule, scheduleOf } from './schedule.ts'

/**
 * One thread with virtual users: loads the scenario, runs every n-th iteration at the moment it is due, and sends what was measured. An iteration
 * that finds all virtual users busy is dropped and counted: waiting for one would be a closed loop.
 */
const { script, thread, threads, environment } = workerData as ThreadData
const port = parentPort
if (!port) throw new Error('this file is a worker thread of main.ts')
const send = (message: FromThread) => port.postMessage(message)

const SEND_EVERY_MS = 250
const LOGGED_MAX = 200

type Scenario = (data: unknown) => unknown

Object.assign(globalThis, {
  __ENV: environment,
  open: (file: string) => readFileSync(resolve(dirname(script), file), 'utf8'),
})
Object.defineProperty(globalThis, '__VU', { get: () => iterationNow()?.vu ?? 0 })
Object.defineProperty(globalThis, '__ITER', { get: () => iterationNow()?.iterationOfVu ?? 0 })
resolveModules()
const { CookieJar } = await import('./modules/cookies.ts')
const { sample } = await import('./samples.ts')

/** Not caught: an error while the scenario is loaded ends the thread, and main.ts tells of it. */
const scenario = (await import(pathToFileURL(script).href)) as Record<string, Scenario | Options | undefined>

let logged = 0
function log(level: 'error' | 'warning', error: unknown): void {
  logged++
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  if (logged <= LOGGED_MAX) send({ kind: 'log', level, text })
}

const stops: (() => void)[] = []

/** Runs this thread's share of one scenario; returns when its last iteration has ended. */
async function runShare(
  name: string,
  schedule: Schedule,
  run: Scenario,
  data: unknown,
  startAt: number,
): Promise<void> {
  const origin = startAt - performance.timeOrigin + schedule.startMs
  const vus = Math.max(1, Math.floor((schedule.vusMax + threads - 1 - thread) / threads))
  const free = Array.from({ length: vus }, (_, at) => ({
    vu: 1 + thread + at * threads,
    runs: 0,
    jar: new CookieJar(),
  })).toReversed()
  const running = new Set<Promise<void>>()
  const tags = { scenario: name }
  let stopped = false

  function launch(index: number, dueAt: number): void {
    const user = free.pop()
    if (!user) return sample('dropped_iterations', name, tags, 1)
    const iteration: Iteration = {
      scenario: name,
      indexInTest: index,
      vu: user.vu,
      iterationOfVu: user.runs++,
      jar: user.jar,
      dueAt,
    }
    const since = performance.now()
    const ended = runIteration(iteration, async () => {
      const result = run(data)
      iteration.dueAt = undefined // what is asked for after a wait was not due at the start
      await result
    })
      .catch((error: unknown) => log('error', error))
      .then(() => {
        sample('iterations', name, tags, 1)
        sample('iteration_duration', name, tags, performance.now() - since)
        free.push(user)
        running.delete(ended)
      })
    running.add(ended)
  }

  await new Promise<void>(done => {
    let index = thread
    let timer: NodeJS.Timeout | undefined
    const tick = () => {
      const now = performance.now()
      for (; index < schedule.count && !stopped; index += threads) {
        const dueAt = origin + schedule.dueMs(index)
        if (dueAt > now) {
          timer = setTimeout(tick, dueAt - now)
          return
        }
        launch(index, dueAt)
      }
      done()
    }
    stops.push(() => {
      stopped = true
      clearTimeout(timer)
      done()
    })
    tick()
  })
  const graceful = wait(schedule.gracefulStopMs, undefined, { ref: false })
  await Promise.race([graceful, endOf(running)])
  if (running.size > 0) log('warning', `${running.size} iterations of '${name}' had not ended after their grace`)
}

async function endOf(running: ReadonlySet<Promise<void>>): Promise<void> {
  while (running.size > 0) await Promise.all(running)
}

async function start(options: Options, data: unknown, startAt: number): Promise<void> {
  await Promise.all(
    Object.entries(options.scenarios ?? {}).map(([name, each]) => {
      const run = scenario[each.exec ?? 'default']
      if (typeof run !== 'function') throw new Error(`the scenario exports no function '${each.exec ?? 'default'}'`)
      return runShare(name, scheduleOf(name, each), run, data, startAt)
    }),
  )
}

async function call(name: string, data: unknown): Promise<unknown> {
  const work = scenario[name]
  return typeof work === 'function' ? work(data) : undefined
}

function sendSamples(): void {
  const { declared, groups } = takeSamples()
  if (declared.length > 0 || groups.length > 0) send({ kind: 'samples', declared, groups })
}

async function answer(work: () => Promise<unknown>): Promise<void> {
  const done: FromThread = await work().then(
    value => ({ kind: 'done', value }) as const,
    (error: unknown) =>
      ({ kind: 'done', error: error instanceof Error ? (error.stack ?? error.message) : String(error) }) as const,
  )
  sendSamples()
  send(done)
}

port.on('message', (message: ToThread) => {
  if (message.kind === 'stop') for (const stop of stops) stop()
  else if (message.kind === 'start') void answer(() => start(message.options, message.data, message.startAt))
  else if (message.kind === 'setup') void answer(() => call('setup', undefined))
  else if (message.kind === 'teardown') void answer(() => call('teardown', message.data))
  else void answer(() => call('handleSummary', message.data))
})

const options = (scenario['options'] ?? {}) as Options
if (options.discardResponseBodies === true) (await import('./modules/http.ts')).discardBodies()
sendSamples() // metrics are declared while the scenario is loaded
setInterval(sendSamples, SEND_EVERY_MS).unref()
const functions = Object.entries(scenario).filter(([, value]) => typeof value === 'function')
send({ kind: 'ready', options, exports: functions.map(([name]) => name) })
