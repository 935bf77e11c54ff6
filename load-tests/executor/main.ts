import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Options } from 'k6/options'
import { createMetrics, type Metrics, type ThresholdResult } from './aggregates.ts'
import type { Samples } from './messages.ts'
import { milliseconds, scheduleOf } from './schedule.ts'
import { startThreads, type Threads } from './threads.ts'

/**
 * Runs a k6 scenario without k6: `node load-tests/executor/main.ts run FILE`. Options and exit statuses are those of `k6 run` that
 * runner/generator.ts uses, so that either program can be started. What is not supported fails by name.
 */
const HELP = `Usage: node load-tests/executor/main.ts run FILE [options]

Runs a load scenario, written for k6, in Node.js: arrival-rate executors, thresholds, setup, teardown, handleSummary.

  -e, --env NAME=VALUE      for __ENV; the environment is there too
      --threads N           threads with virtual users (default: half of the cores, at least 2)
      --out json=-          every second's values as JSON lines on standard output
      --summary-export FILE thresholds and totals as JSON
      --quiet               no summary
      --help, version`

/** As k6's. */
const EXIT = { held: 0, crossed: 99, wrongOptions: 104, stopped: 105, threw: 107 } as const
const START_MS = 300
const CHECK_EVERY_MS = 2_000
const SETUP_MS_MAX = 60_000
const TRENDS = ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)']

interface Wish {
  readonly script: string
  readonly threads: number
  readonly streams: boolean
  readonly summaryFile: string | undefined
  readonly quiet: boolean
}

async function run(wish: Wish): Promise<number> {
  let metrics: Metrics | undefined
  /** Samples that arrive before the options of the scenario are known. */
  const early: Samples[] = []
  const threads = await startThreads(wish.script, wish.threads, message => {
    if (message.kind === 'log') logLine(message.level, message.text)
    else if (metrics) addSamples(metrics, message, wish)
    else early.push(message)
  })
  try {
    const { options } = threads
    checkOptions(options)
    metrics = createMetrics(options.thresholds ?? {}, text => milliseconds(text, 0))
    for (const samples of early) addSamples(metrics, samples, wish)
    return await runLoad(threads, metrics, wish)
  } finally {
    await threads.close()
  }
}

function addSamples(metrics: Metrics, { declared, groups }: Samples, { streams }: Wish): void {
  for (const [name, kind] of declared) metrics.declare(name, kind)
  for (const { metric, tags, values, second } of groups) {
    metrics.add(metric, tags, values)
    if (streams) console.log(JSON.stringify({ metric, type: 'Points', data: { second, tags, values } }))
  }
}

async function runLoad(threads: Threads, metrics: Metrics, wish: Wish): Promise<number> {
  const { options } = threads
  metrics.check(0) // a threshold that cannot be parsed fails the run before the load
  const data = await within(
    milliseconds(options.setupTimeout, SETUP_MS_MAX),
    'setup',
    threads.ask(0, { kind: 'setup' }),
  )
  const startAt = performance.timeOrigin + performance.now() + START_MS
  const seconds = () => Math.max(0, (performance.timeOrigin + performance.now() - startAt) / 1000)
  let [isStopped, isAborted] = [false, false]
  const onSignal = () => {
    if (isStopped) process.exit(EXIT.stopped)
    isStopped = true
    threads.stop()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
  const watch = setInterval(() => {
    const elapsed = seconds()
    const broken = metrics.check(elapsed).filter(one => !one.held && one.abortOnFail && elapsed * 1000 > one.delayMs)
    if (broken.length === 0 || isAborted) return
    isAborted = true
    threads.stop()
  }, CHECK_EVERY_MS)
  const message = { kind: 'start', data, startAt, options } as const
  await Promise.all(Array.from({ length: threads.count }, (_, at) => threads.ask(at, message))).finally(() =>
    clearInterval(watch),
  )
  const elapsed = seconds()
  const teardownMs = milliseconds(options.teardownTimeout, SETUP_MS_MAX)
  await within(teardownMs, 'teardown', threads.ask(0, { kind: 'teardown', data }))
  const results = metrics.check(elapsed)
  const summary = summaryOf(metrics, options, results, elapsed)
  if (wish.summaryFile !== undefined) writeFileSync(wish.summaryFile, JSON.stringify(exportOf(summary)))
  await show(threads, summary, wish)
  const broken = results.filter(({ held }) => !held).map(({ metric }) => `'${metric}'`)
  if (broken.length > 0) logLine('error', `thresholds on metrics ${[...new Set(broken)].join(', ')} have been crossed`)
  if (isStopped) return EXIT.stopped
  return broken.length > 0 ? EXIT.crossed : EXIT.held
}

/** @throws Error for options that would be ignored */
function checkOptions(options: Options): void {
  if (!options.scenarios)
    throw new OptionsError('the scenario has no options.scenarios: only scenarios with an arrival rate run here')
  try {
    for (const [name, scenario] of Object.entries(options.scenarios)) scheduleOf(name, scenario)
  } catch (error) {
    throw new OptionsError((error as Error).message)
  }
}

class OptionsError extends Error {}

interface Summary {
  readonly metrics: Readonly<Record<string, SummaryMetric>>
  readonly state: { readonly testRunDurationMs: number }
}

interface SummaryMetric {
  readonly type: string
  readonly values: Readonly<Record<string, number>>
  readonly thresholds?: Readonly<Record<string, { readonly ok: boolean }>>
}

function summaryOf(metrics: Metrics, options: Options, results: readonly ThresholdResult[], seconds: number): Summary {
  const trends = options.summaryTrendStats ?? TRENDS
  const all = Object.entries(metrics.summary(trends, seconds)).map(([name, metric]): [string, SummaryMetric] => {
    const own = results.filter(result => result.metric === name)
    if (own.length === 0) return [name, metric]
    return [name, { ...metric, thresholds: Object.fromEntries(own.map(({ rule, held }) => [rule, { ok: held }])) }]
  })
  return { metrics: Object.fromEntries(all), state: { testRunDurationMs: seconds * 1000 } }
}

/** In this file true says that a threshold was crossed, as in k6's. */
const exportOf = ({ metrics }: Summary) => ({
  metrics: Object.fromEntries(
    Object.entries(metrics).map(([name, { values, thresholds = {} }]) => [
      name,
      { ...values, thresholds: Object.fromEntries(Object.entries(thresholds).map(([rule, { ok }]) => [rule, !ok])) },
    ]),
  ),
})

async function show(threads: Threads, summary: Summary, { quiet }: Wish): Promise<void> {
  if (threads.exports.includes('handleSummary')) {
    const written = (await threads.ask(0, { kind: 'summary', data: summary })) as Record<string, string>
    for (const [file, text] of Object.entries(written)) {
      if (file === 'stdout') process.stdout.write(text)
      else if (file === 'stderr') process.stderr.write(text)
      else writeFileSync(file, text)
    }
  } else if (!quiet) {
    for (const [name, { values, thresholds = {} }] of Object.entries(summary.metrics)) {
      const rules = Object.entries(thresholds).map(([rule, { ok }]) => `${ok ? '✓' : '✗'} ${rule}`)
      const numbers = Object.entries(values).map(([key, value]) => `${key}=${Math.round(value * 1000) / 1000}`)
      console.log([name.padEnd(50), ...numbers, ...rules].join('  '))
    }
  }
}

async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}() took longer than ${ms} ms`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** As k6 logs. */
function logLine(level: string, text: string): void {
  console.error(`time=${new Date().toISOString()} level=${level} msg=${JSON.stringify(text)}`)
}

function wishOf(argv: readonly string[]): Wish {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      env: { type: 'string', short: 'e', multiple: true },
      threads: { type: 'string' },
      out: { type: 'string' },
      'summary-export': { type: 'string' },
      'system-tags': { type: 'string' }, // k6 attaches fewer with it; here there are only those that are read
      'no-color': { type: 'boolean' },
      quiet: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  const [command, script, ...more] = positionals
  if (values.help || command !== 'run' || script === undefined || more.length > 0) throw new UsageError(HELP)
  for (const pair of values.env ?? []) process.env[pair.slice(0, pair.indexOf('='))] = pair.slice(pair.indexOf('=') + 1)
  if (values.out !== undefined && values.out !== 'json=-')
    throw new UsageError(`--out takes json=-, not '${values.out}'`)
  const threads = Number(values.threads ?? Math.max(2, Math.floor(availableParallelism() / 2)))
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > 64)
    throw new UsageError('--threads takes a number from 1 to 64')
  return {
    script: resolve(script),
    threads,
    streams: values.out !== undefined,
    summaryFile: values['summary-export'],
    quiet: values.quiet === true,
  }
}

class UsageError extends Error {}

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === 'version') {
    const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
    console.log(`cartload executor ${(JSON.parse(text) as { version: string }).version}`)
    return 0
  }
  try {
    return await run(wishOf(argv))
  } catch (error) {
    if (error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
      console.error((error as Error).message)
      return 2
    }
    logLine('error', error instanceof Error ? (error.stack ?? error.message) : String(error))
    return error instanceof OptionsError ? EXIT.wrongOptions : EXIT.threw
  }
}

process.exitCode = await main(process.argv.slice(2))
