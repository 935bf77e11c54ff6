import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { type Args, type Command, CommandError } from '../../src/cli/command.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { step } from '../../src/cli/terminal.ts'
import { loadConfig } from '../../src/config/config.ts'
import { isListening } from '../../src/lib/port-probe.ts'
import { PROJECT, whenInterrupted } from '../../test/support/servers.ts'
import { findWrk, fixedRate, generatorPids, MeasurementError } from '../compare/generators.ts'
import { createLab, type Lab, type StackName, type Unit } from '../compare/lab.ts'
import { cpuOfEnded, measure } from '../compare/meter.ts'
import { capacityPage, type Capacity, capacityText, type Level, type Measured, type Point } from './capacity-report.ts'
import { measureRunning } from './capacity-running.ts'
import { climb } from './climb.ts'
import { findGenerator, type Generator } from './generator.ts'
import { machineOf } from './machine.ts'
import { mean } from '../compare/statistics.ts'
import { writeReport } from './page.ts'
import { findProcesses } from './sampler.ts'
import { type Costs, type Footprint, type Operation, OPERATIONS, type PartName, PARTS, planOf } from './plan.ts'
import { type Cost, fit, isFound } from './usl.ts'
import { ms, shown } from './verdict.ts'

/** What this machine carries, how that grows with instances, and what a crowd of shoppers needs. On servers of its own, which end with it. */
const STEP_SECONDS = 4
const COST_SECONDS = 5
const WARM_SECONDS = 3
const IDLE_MS = 3_000
/** The first step, as a share of what a closed loop gets out of it. */
const FIRST_SHARE = 0.08
/**
 * Costs are compared twice, at this share of the lowest rate that was carried: with the same work for each instance, however many there are,
 * which says what they cost each other; and with the same work in all, which says what it costs to divide it.
 */
const COST_SHARE = 0.8
/** The generator is given users for answers that take so many times as long as the service level allows. */
const PATIENCE = 2
const SCENARIO_OF: Readonly<Record<Operation, Unit['scenario']>> = { view: 'view-10', change: 'add-10', login: 'login' }

const command: Command = {
  name: 'capacity',
  call: 'npm run capacity --',
  summary: 'Finds what this machine carries, how it grows with instances, and what a number of shoppers needs',
  details:
    'Starts a cluster of its own on free ports, with 2,000 carts of 10 lines, and steps the rate of cart views up (open model) until the\n' +
    'service level breaks: for one instance, two, and so on. Ends within 8 minutes with four of them; writes a report.',
  options: {
    instances: { type: 'string', value: 'N', doc: 'the most of them (default 4, or the number of cores up to 16)' },
    p99: { type: 'string', value: 'MS', doc: 'service level: 99th percentile (default 200)' },
    'errors-per-1000': { type: 'string', value: 'N', doc: 'service level: failures of 1,000 requests (default 1)' },
    shoppers: { type: 'string', value: 'N', doc: 'plan: how many at the same time (default 50000)' },
    'view-every': {
      type: 'string',
      value: 'S',
      doc: 'plan: seconds between two looks of a shopper at the cart (default 5)',
    },
    'change-every': { type: 'string', value: 'S', doc: 'plan: seconds between two changes (default 60)' },
    'login-every': { type: 'string', value: 'S', doc: 'plan: seconds between two logins (default 1800)' },
    busy: { type: 'string', value: 'PERCENT', doc: 'plan: how much of what a core can do is planned for (default 60)' },
    running: { type: 'boolean', doc: 'measure the cluster of this folder that runs, as it is: cart views only' },
    url: { type: 'string', value: 'URL', doc: 'measure the shop at this address; only one that is yours to load' },
    out: { type: 'string', value: 'DIR', doc: 'where the report goes (default .cartload/load)' },
  },
  run: args =>
    run(args).catch((error: unknown) => {
      if (error instanceof MeasurementError) throw new CommandError(`nothing could be measured: ${error.message}`)
      throw error
    }),
}

async function run(args: Args): Promise<void> {
  const { config, secrets } = loadConfig(PROJECT)
  const cores = availableParallelism()
  const level: Level = {
    p99Ms: args.number('p99', 200, 1, 60_000),
    errors: args.number('errors-per-1000', 1, 0, 1000) / 1000,
  }
  const own = `http://127.0.0.1:${config.port}`
  if (args.flag('running') || args.text('url') !== undefined) {
    const url = args.text('url') ?? own
    const pids = url === own ? (await findProcesses(config)).map(({ pid }) => pid) : []
    const out = args.text('out') ?? join(config.dataDir, 'load')
    return measureRunning({ url, password: secrets.seedPassword, level, generator: findGenerator(), pids, out })
  }
  const crowd = {
    shoppers: args.number('shoppers', 50_000, 1, 1e9),
    viewEveryS: args.number('view-every', 5, 1, 1e6),
    changeEveryS: args.number('change-every', 60, 1, 1e6),
    loginEveryS: args.number('login-every', 1800, 1, 1e6),
    busyMax: args.number('busy', 60, 1, 100) / 100,
  }
  const counts = countsTo(args.number('instances', Math.min(16, Math.max(4, cores)), 1, 64))
  if (await isListening(config.port))
    console.log(
      `! something runs on port ${config.port}; for figures that hold, stop it first (npm stop), or measure it as it is (--running)`,
    )
  const since = performance.now()
  const generator = findGenerator()
  await step('find wrk', async say => {
    await findWrk(config.dataDir, say)
  })
  const lab = createLab(() => undefined)
  whenInterrupted(lab.close)
  try {
    const footprint = await step('start the servers and fill 2,000 carts', async () => {
      await lab.get(stackOf(1))
      return footprintOf(lab)
    })
    const points: Point[] = []
    const closed: { n: number; rate: number }[] = []
    for (const n of counts) closed.push({ n, rate: await climbWith(lab, generator, n, level, points) })
    const carried = counts.map(n => ({ n, rate: carriedBy(points, n) }))
    if (carried.some(({ rate }) => rate === 0))
      throw new CommandError(
        `even the first step broke the service level (p99 ${level.p99Ms} ms): this machine is busy with something else`,
      )
    const [rateEach, rateInAll] = [
      COST_SHARE * Math.min(...carried.map(({ n, rate }) => rate / n)),
      COST_SHARE * Math.min(...carried.map(({ rate }) => rate)),
    ]
    for (const n of counts) await measureIdle(lab, viewsBy(n)) // now that all of them are there
    const each = await costsByCount(lab, generator, counts, level, n => n * rateEach)
    const inAll = await costsByCount(lab, generator, counts, level, () => rateInAll)
    const costs = await step('measure what a view, a change and a login cost', () => costsOf(lab))
    const scaling = {
      each: fit(each),
      inAll: fit(inAll),
      byThroughput: fit(carried.map(({ n, rate }) => ({ n, cost: n / rate }))),
    }
    const result: Capacity = {
      startedAt: new Date().toISOString(),
      command: `npm run capacity -- ${process.argv.slice(2).join(' ')}`.trim(),
      machine: await machineOf(generator),
      seconds: Math.round((performance.now() - since) / 1000),
      level,
      points,
      carried,
      closed,
      each: { rate: rateEach, costs: each },
      inAll: { rate: rateInAll, costs: inAll },
      costs,
      footprint,
      scaling,
      crowd,
      plan: planOf(crowd, costs, footprint, isFound(scaling.each) ? scaling.each : scaling.inAll),
    }
    write(result, args.text('out') ?? join(config.dataDir, 'load'))
  } finally {
    await lab.close()
  }
}

/** One to four each, then doubled. */
function countsTo(most: number): number[] {
  const counts: number[] = []
  for (let n = 1; n <= most; n = n < 4 ? n + 1 : n * 2) counts.push(n)
  return counts
}

const stackOf = (n: number): StackName => `cartload-${n}`
const viewsBy = (n: number): Unit => ({ stack: stackOf(n), scenario: 'view-10' })
const holds = (point: Measured, level: Level) =>
  point.dropped === 0 && point.failed <= level.errors && point.p99Ms <= level.p99Ms

/** @returns what a closed loop (wrk) gets out of it: a rate without a service level */
async function climbWith(lab: Lab, generator: Generator, n: number, level: Level, points: Point[]): Promise<number> {
  const unit = viewsBy(n)
  await step(`start ${n} ${n === 1 ? 'instance' : 'instances'}`, () => lab.prepare(unit, WARM_SECONDS))
  await measureIdle(lab, unit)
  const closed = await lab.window(unit, 2)
  await climb(closed.rate * FIRST_SHARE, async rate => {
    const measured = await stepAt(lab, generator, unit, rate, level)
    const point = { n, ...measured, holds: holds(measured, level) }
    points.push(point)
    show(point)
    return point.holds
  })
  return closed.rate
}

const carriedBy = (points: readonly Point[], n: number): number =>
  Math.max(0, ...points.filter(point => point.n === n && point.holds).map(({ rate }) => rate))

const idle = new Map<string, number>()
const idleOf = ({ stack }: Unit): number => idle.get(stack) ?? 0

/** Cores that a stack uses without requests, with what the others do on the same servers: no part of what a view costs. */
async function measureIdle(lab: Lab, unit: Unit): Promise<void> {
  const { sum, seconds } = await lab.rest(unit, IDLE_MS)
  idle.set(unit.stack, sum / seconds)
}

async function stepAt(
  lab: Lab,
  generator: Generator,
  unit: Unit,
  rate: number,
  level: Level,
  seconds = STEP_SECONDS,
): Promise<Measured> {
  const { stack } = await lab.get(unit.stack)
  const requests = await lab.requestsOf(unit)
  const virtualUsers = Math.ceil(Math.max(20, (rate * level.p99Ms * PATIENCE) / 1000))
  const before = cpuOfEnded()
  const { result, used } = await measure(stack.pids(), generatorPids, () =>
    fixedRate(generator, stack.url, requests, { rate, seconds, virtualUsers }),
  )
  return {
    rate,
    p50Ms: result.medianMs,
    p95Ms: result.p95Ms,
    p99Ms: result.p99Ms,
    failed: 1 - result.good,
    dropped: result.dropped,
    cpuUs: ((used.sum - idleOf(unit) * used.seconds) / (rate * seconds - result.dropped)) * 1e6,
    service: used.sum / used.seconds,
    generator: (cpuOfEnded() - before) / used.seconds,
  }
}

function show({ n, rate, p50Ms, p99Ms, failed, dropped, cpuUs, holds: isGood }: Point): void {
  const errors = failed > 0 ? `, ${(failed * 100).toFixed(2)} % failed` : ''
  const lost = dropped > 0 ? `, ${dropped} could not be sent in time` : ''
  console.log(
    `  ${isGood ? '✓' : '✗'} ${n} with ${shown(rate)}/s: median ${ms(p50Ms)}, p99 ${ms(p99Ms)}, ${shown(cpuUs)} µs${errors}${lost}`,
  )
}

/** There and back, so that what drifts on the machine meets all alike. */
async function costsByCount(
  lab: Lab,
  generator: Generator,
  counts: readonly number[],
  level: Level,
  rateOf: (n: number) => number,
): Promise<Cost[]> {
  const found: Cost[] = []
  for (const n of [...counts, ...counts.toReversed()]) {
    const { cpuUs } = await stepAt(lab, generator, viewsBy(n), rateOf(n), level, COST_SECONDS)
    console.log(`  ${n} with ${shown(rateOf(n))}/s: ${shown(cpuUs)} µs a view`)
    found.push({ n, cost: cpuUs })
  }
  return found
}

/** Of each operation on two instances, in a closed loop: busy, as in the minute that the plan is for. */
async function costsOf(lab: Lab): Promise<Costs> {
  const costs: Partial<Record<Operation, Record<PartName, number>>> = {}
  for (const operation of OPERATIONS) {
    const unit: Unit = { stack: stackOf(2), scenario: SCENARIO_OF[operation] }
    await lab.prepare(unit, WARM_SECONDS)
    const { requests, used } = await lab.loaded(unit, COST_SECONDS)
    const parts = Object.fromEntries(PARTS.map(part => [part, 0])) as Record<PartName, number>
    for (const [pid, seconds] of used.byPid) parts[partOf(pid)] += (seconds / requests) * 1e6
    costs[operation] = parts
  }
  return costs as Costs
}

function partOf(pid: number): PartName {
  const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
  try {
    const name = of('comm')
    if (name.startsWith('nginx')) return 'nginx'
    if (/^(mariadb|mysql)/.test(name)) return 'databases'
    if (/^(redis|valkey)/.test(name)) return of('cmdline').includes('/sessions/') ? 'redis-sessions' : 'redis-cache'
  } catch {
    // it has ended meanwhile
  }
  return 'instances'
}

async function footprintOf(lab: Lab): Promise<Footprint> {
  const { cookies, servers } = await lab.get(stackOf(1))
  const cache = new Redis(servers.cacheAdmin)
  const sessions = new Redis(servers.sessions)
  try {
    const used = Number(/^used_memory:(\d+)/m.exec(await sessions.info('memory'))?.[1])
    const start = Number(/^used_memory_startup:(\d+)/m.exec(await sessions.info('memory'))?.[1])
    const users = cookies.slice(0, 100).map(cookie => /^sid=(\d+)\./.exec(cookie)?.[1] ?? '')
    const sizes = await Promise.all(
      users.map(async user => {
        const keys = await cache.keys(`{u:${user}}:*`)
        const all = await Promise.all(keys.map(key => cache.memory('USAGE', key)))
        return all.reduce<number>((sum, size) => sum + (size ?? 0), 0)
      }),
    )
    const known = sizes.filter(size => size > 0)
    return {
      bytesPerCart: mean(known),
      bytesPerSession: (used - start) / cookies.length,
    }
  } finally {
    cache.disconnect()
    sessions.disconnect()
  }
}

function write(result: Capacity, dir: string): void {
  console.log(`\n${capacityText(result)}`)
  mkdirSync(dir, { recursive: true })
  writeReport(dir, result.startedAt, 'capacity', result, capacityPage(result))
}

process.exit(await runCommand(command, process.argv.slice(2)))
