import { mean } from '../compare/statistics.ts'
import { fullLoad, type Means, meansAt, worst } from './moments.ts'
import type { Counted, Result } from './result.ts'

/** What a run says, in ten lines, the bottleneck named from what was read. Pure. */
export interface Verdict {
  readonly passed: boolean
  readonly lines: readonly string[]
  readonly bottleneck: Bottleneck
}

export interface Bottleneck {
  /** Nearest to its limit first. */
  readonly limits: readonly Limit[]
  readonly text: string
}

/** How near something is to the most that it can do: 1 is there. */
export interface Limit {
  readonly what: string
  /** Those who wait, wait for something: a queue is named after what is busy. */
  readonly isQueue: boolean
  readonly share: number
  readonly text: string
}

/** From here on a thing is taken for the one that holds up the others. */
const AT_LIMIT = 0.9
const STOLEN_SHOWN = 0.02
/** What a run that is there to break is held against, as in lib/profiles.ts. */
const P99_MS = Number(process.env['P99_MS'] ?? 500)
const ERRORS_MAX = 0.001

export function verdictOf(result: Result): Verdict {
  const { totals, thresholds, routes, scenario, profile, counters } = result
  const broken = thresholds.filter(({ held }) => !held)
  const held = profile === 'breakpoint' ? heldUpTo(result) > 0 : broken.length === 0
  const passed = result.problem === undefined && held && totals.requests > 0
  const reasons = result.problem ?? broken.map(({ metric, rule }) => `${metric} ${rule}`).join('; ')
  const bottleneck = bottleneckOf(result)
  const slowest = [...routes].sort((a, b) => b.p99 - a.p99)[0]
  const rate = totals.requests / Math.max(1, totals.seconds)
  const means = meansAt(result, fullLoad(result))
  const own = Object.entries(counters).map(([name, count]) => `${name} ${count}`)
  return {
    passed,
    bottleneck,
    lines: [
      `${headOf(result, passed, broken.length > 0)}: ${scenario}, ${profile}, ${totals.seconds} s${reasons === '' ? '' : `: ${reasons}`}`,
      `Load         ${shown(totals.requests)} requests, ${shown(rate)}/s on average, ${shown(highest(result))}/s at most; ${shown(totals.iterations)} iterations, ${shown(totals.dropped)} dropped`,
      `Times        median ${ms(totals.p50)}, p95 ${ms(totals.p95)}, p99 ${ms(totals.p99)}, longest ${ms(totals.max)}${totals.serviceP50 === undefined ? '' : `, from when they were due; median of the service time ${ms(totals.serviceP50)}`}`,
      `Slowest      ${slowest ? `${slowest.name}: p99 ${ms(slowest.p99)} of ${shown(slowest.requests)}` : 'nothing was asked'}`,
      `Failures     ${totals.failed === 0 ? 'none' : `${shown(totals.failed)} requests: ${most(result.failures)}`}`,
      `Contents     ${shown(totals.checks)} checks, ${totals.failedChecks === 0 ? 'all held' : `${shown(totals.failedChecks)} failed: ${most(result.failedChecks)}`}${own.length > 0 ? `; ${own.join(', ')}` : ''}`,
      `CPU          ${cpuText(means, result.machine.cores)}`,
      `A request    ${perRequest(means)}`,
      profile === 'soak' ? growthText(result) : cachesText(means),
      `Bottleneck   ${bottleneck.text}`,
    ],
  }
}

/** A run that goes up until something breaks is there to say when that was. */
function headOf(result: Result, passed: boolean, isBroken: boolean): string {
  if (!passed) return 'FAILED'
  if (result.profile !== 'breakpoint') return 'PASSED'
  return isBroken ? `BROKE, held up to ${shown(heldUpTo(result))}/s` : `NEVER BROKE, up to ${shown(highest(result))}/s`
}

/** The highest rate before the first of some seconds in which the times or the errors were over what is allowed; 0 when it was so from the start. */
function heldUpTo({ load }: Result): number {
  const of = (name: string, index: number) => load.values[name]?.[index] ?? 0
  const isOver = (index: number) =>
    ['failed', 'dropped', 'failed checks'].some(name => of(name, index) > ERRORS_MAX * of('requests', index)) ||
    of('p99', index) > P99_MS
  const first = load.at.findIndex((_, index) => isOver(index) && isOver(index + 1))
  const rates = (load.values['requests'] ?? []).slice(0, first === -1 ? undefined : first)
  return Math.max(0, ...rates.map(rate => rate ?? 0))
}

const cachesText = (means: Means): string =>
  `Caches       carts ${percent(means['carts from the cache'])} from Redis, product pages ${percent(means['pages from the cache'])}; ${shown(means['cart changes'] ?? 0)} changes/s, ${shown(means['changes in a transaction'] ?? 0)} in a transaction`

/** Of the last quarter against the one before: at first everything grows. */
function growthText({ samples }: Result): string {
  const quarter = (values: readonly (number | null)[], n: number) => {
    const known = values.slice(Math.floor((values.length * (n - 1)) / 4), Math.floor((values.length * n) / 4))
    return mean(known.flatMap(value => value ?? []))
  }
  const all = Object.entries(samples.values).filter(
    ([name]) => name.startsWith('memory ') && !/generator|report/.test(name),
  )
  const texts = all.flatMap(([name, values]) => {
    const [third, last] = [quarter(values, 3), quarter(values, 4)]
    if (!Number.isFinite(third) || !Number.isFinite(last)) return []
    return [
      `${name.slice(7)} ${shown(Math.round(last))} MB (${last >= third ? '+' : ''}${((last / third - 1) * 100).toFixed(1)} %)`,
    ]
  })
  return `Growth       ${texts.length === 0 ? 'not read' : `memory, last quarter against the third: ${texts.join(', ')}`}`
}

export function bottleneckOf(result: Pick<Result, 'load' | 'samples' | 'machine'>): Bottleneck {
  const moments = fullLoad(result)
  const limits = limitsOf(meansAt(result, worst(result, moments)), result.machine.cores)
  if (limits.length === 0) {
    const isRead = result.samples.at.length > 0
    return { limits, text: `unknown: nothing was read ${isRead ? 'in the slowest moments' : 'of this shop'}` }
  }
  const reached = limits.filter(({ share }) => share >= AT_LIMIT).sort((a, b) => Number(a.isQueue) - Number(b.isQueue))
  if (reached.length === 0)
    return { limits, text: `nothing was at its limit, even in the slowest moments; nearest to it: ${limits[0]?.text}` }
  const texts = reached.slice(0, 3).map(({ text }) => text)
  return { limits, text: `in the slowest moments ${texts.join('; also ')}` }
}

/** Queues are at their limit when one waits all the time. */
function limitsOf(means: Means, cores: number): Limit[] {
  const limits: Limit[] = []
  const add = (what: string, share: number | undefined, text: string, isQueue = false) => {
    if (share !== undefined) limits.push({ what, share: Math.min(1, share), text, isQueue })
  }
  const [busy, stolen] = [means['machine busy'], means['machine stolen'] ?? 0]
  add(
    'the CPU of this machine',
    busy === undefined ? undefined : busy + stolen,
    `the CPU of this machine, ${percent(busy)} busy${stolen > STOLEN_SHOWN ? ` and ${percent(stolen)} taken by other machines on this host` : ''}: ${eaters(means, cores)}`,
  )
  for (const [name, value] of Object.entries(means)) {
    if (value === undefined) continue
    if (name.startsWith('thread '))
      add(
        name.slice(7),
        value,
        `${name.startsWith('thread redis') ? `${name.slice(7)}, which has one thread` : `the event loop of ${name.slice(7)}`}, ${percent(value)} busy`,
      )
    if (name.startsWith('waiting for '))
      add(name, value, `${value.toFixed(1)} waiting at a time for ${queueOf(name.slice(12))}`, true)
  }
  return limits.sort((a, b) => b.share - a.share || Number(a.isQueue) - Number(b.isQueue))
}

const queueOf = (pool: string): string =>
  ({
    passwords: 'their turn to have a password checked',
    pricing: 'a thread that calculates prices',
  })[pool] ?? (pool.startsWith('rows ') ? `locked rows of ${pool.slice(5)}` : `a connection to ${pool}`)

/** Who uses the CPU, the greatest first. */
function eaters(means: Means, cores: number): string {
  return partsOf(means)
    .filter(([, used]) => used / cores >= 0.05)
    .map(([name, used]) => `${name} ${percent(used / cores)}`)
    .join(', ')
}

/** Instances and shards as one each. */
function partsOf(means: Means): [string, number][] {
  const parts = new Map<string, number>()
  for (const [name, used] of Object.entries(means)) {
    if (!name.startsWith('cpu ') || used === undefined) continue
    const component = name.slice(4)
    const kind = component.startsWith('instance')
      ? 'instances'
      : component.startsWith('shard')
        ? 'databases'
        : component.startsWith('redis')
          ? 'Redis'
          : component
    parts.set(kind, (parts.get(kind) ?? 0) + used)
  }
  return [...parts].sort((a, b) => b[1] - a[1])
}

function cpuText(means: Means, cores: number): string {
  if (means['machine busy'] === undefined) return 'not read'
  const stolen = means['machine stolen'] ?? 0
  return `${percent(means['machine busy'])} of ${cores} cores: ${eaters(means, cores)}${stolen > STOLEN_SHOWN ? `; ${percent(stolen)} taken by other machines on this host` : ''}`
}

/** Without the generator. */
function perRequest(means: Means): string {
  const rate = means['requests']
  const parts = partsOf(means).filter(([name]) => ['instances', 'nginx', 'Redis', 'databases'].includes(name))
  if (!rate || parts.length === 0) return 'not read'
  const us = (cpu: number) => `${shown((cpu / rate) * 1e6)} µs`
  return `${us(parts.reduce((sum, [, cpu]) => sum + cpu, 0))} of CPU: ${parts.map(([name, cpu]) => `${name} ${us(cpu)}`).join(', ')}`
}

const highest = ({ load }: Result): number => Math.max(0, ...(load.values['requests'] ?? []).map(rate => rate ?? 0))
const most = (counts: readonly Counted[]): string =>
  counts
    .slice(0, 3)
    .map(({ name, count }) => `${name} (${shown(count)})`)
    .join(', ')

export const percent = (share: number | undefined): string =>
  share === undefined ? '–' : `${(share * 100).toFixed(share >= 0.995 || share < 0.1 ? 1 : 0)} %`
export const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${shown(value)} ms`)
/** Three figures, thousands apart. */
export const shown = (value: number): string =>
  value >= 100 || Number.isInteger(value)
    ? Math.round(value).toLocaleString('en-US')
    : value.toPrecision(value >= 10 ? 3 : 2)
