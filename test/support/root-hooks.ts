import { relative, sep } from 'node:path'
import { checkedAnswers } from './answers.ts'
import { PROJECT, startServers, testServers } from './servers.ts'
import { isStarved } from './stopwatch.ts'

/** Servers once per run; a run fails on an unhandled rejection, and on anything left open (mocha does not force an exit). */
export async function mochaGlobalSetup(): Promise<void> {
  await startServers()
}

export async function mochaGlobalTeardown(): Promise<void> {
  await testServers().stop()
  // Whatever is still open after a while would keep the process alive for ever: name it and fail.
  const timer = setTimeout(() => {
    console.error('left open after the tests:', process.getActiveResourcesInfo())
    process.exit(1)
  }, 5000)
  timer.unref()
}

const rejections: unknown[] = []
process.on('unhandledRejection', error => rejections.push(error))

/** Seconds by suite (a folder of test/), with what its hooks took. */
const times = new Map<string, number>()
let last = performance.now()

function count(file: string | undefined): void {
  const now = performance.now()
  const suite = file === undefined ? 'other' : (relative(PROJECT, file).split(sep)[1] ?? 'other')
  times.set(suite, (times.get(suite) ?? 0) + (now - last) / 1000)
  last = now
}

const counts = { passed: 0, failed: 0, skipped: 0 }
/** Tests that failed while the machine was starved, and were run again: what they hold against a clock says nothing then. */
const repeated: string[] = []
/** Suites that prove a protocol hold nothing against a clock: a failure there is one. */
const NEVER_REPEATED = /^test\/model\//
const TRIES_WHEN_STARVED = 3

process.on('exit', () => {
  console.log(`time: ${[...times].map(([suite, seconds]) => `${suite} ${Math.round(seconds)} s`).join(', ')}`)
  const answers = [...checkedAnswers.values()].reduce((sum, some) => sum + some, 0)
  if (answers > 0)
    console.log(`answers that are as the OpenAPI document says: ${answers}, of ${checkedAnswers.size} kinds`)
  for (const title of repeated) console.log(`repeated because the machine was starved: ${title}`)
  console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
})

export const mochaHooks = {
  beforeEach(this: Mocha.Context): void {
    const mayRepeat = isStarved() && !NEVER_REPEATED.test(relative(PROJECT, this.currentTest?.file ?? ''))
    this.currentTest?.retries(mayRepeat ? TRIES_WHEN_STARVED - 1 : 0)
  },
  afterEach(this: Mocha.Context): void {
    const test = this.currentTest
    count(test?.file)
    if (test && willRunAgain(test)) repeated.push(test.fullTitle())
    else counts[test?.isPending() ? 'skipped' : test?.state === 'passed' ? 'passed' : 'failed']++
    const [first] = rejections.splice(0)
    if (first !== undefined) throw new Error('unhandled rejection', { cause: first })
  },
}

/** Mocha counts its attempts, and does not show that. */
const willRunAgain = (test: Mocha.Test): boolean => {
  const { _currentRetry: attempt = 0, _retries: retries = 0 } = test as unknown as {
    _currentRetry?: number
    _retries?: number
  }
  return test.state !== 'passed' && !test.isPending() && attempt < retries
}
