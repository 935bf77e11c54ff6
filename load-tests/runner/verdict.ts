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
  readonly share: number
  readonly text: string
}

/** From here on a thing is taken for the one that holds up the others. */
const AT_LIMIT = 0.9
export function verdictOf(result: Result): Verdict {
  const { totals, thresholds, routes, scenario, profile, counters } = result
  const broken = thresholds.filter(({ held }) => !held)
  const passed = result.problem === undefined && broken.length === 0 && totals.requests > 0
  const why = result.problem ?? broken.map(({ metric, rule }) => `${metric} ${rule}`).join('; ')
  const bottleneck = bottleneckOf(result)
  const slowest = [...routes].sort((a, b) => b.p99 - a.p99)[0]
  const rate = totals.requests / Math.max(1, totals.seconds)
  const mean = meansAt(result, fullLoad(result))
  const own = Object.entries(counters).map(([name, count]) => `${name} ${count}`)
  return {
    passed,
    bottleneck,
    lines: [
      `${passed ? 'PASSED' : 'FAILED'}: ${scenario}, ${profile}, ${totals.seconds} s${why === '' ? '' : `: ${why}`}`,
      `Load         ${shown(totals.requests)} requests, ${shown(rate)}/s on average, ${shown(highest(result))}/s at most; ${shown(totals.iterations)} iterations, ${shown(totals.dropped)} dropped`,
      `Times        median ${ms(totals.p50)}, p95 ${ms(totals.p95)}, p99 ${ms(totals.p99)}, longest ${ms(totals.max)}`,
      `Slowest      ${slowest ? `${slowest.name}: p99 ${ms(slowest.p99)} of ${shown(slowest.requests)}` : 'nothing was asked'}`,
      `Failures     ${totals.failed === 0 ? 'none' : `${shown(totals.failed)} requests: ${most(result.failures)}`}`,
      `Contents     ${shown(totals.checks)} checks, ${totals.failedChecks === 0 ? 'all held' : `${shown(totals.failedChecks)} failed: ${most(result.failedChecks)}`}${own.length > 0 ? `; ${own.join(', ')}` : ''}`,
      `CPU          ${cpuText(mean, result.machine.cores)}`,
      `A request    ${perRequest(mean)}`,
      `Caches       carts ${percent(mean['carts from the cache'])} from Redis, product pages ${percent(mean['pages from the cache'])}; ${shown(mean['cart changes'] ?? 0)} changes/s, ${shown(mean['changes in a transaction'] ?? 0)} in a transaction`,
      `Bottleneck   ${bottleneck.text}`,
    ],
  }
}

export function bottleneckOf(result: Pick<Result, 'load' | 'samples' | 'machine'>): Bottleneck {
  const moments = fullLoad(result)
  const limits = limitsOf(meansAt(result, worst(result, moments)), result.machine.cores)
  if (limits.length === 0) return { limits, text: 'unknown: nothing was read of this shop' }
  const reached = limits.filter(({ share }) => share >= AT_LIMIT)
  if (reached.length === 0)
    return { limits, text: `nothing was at its limit, even in the slowest moments; nearest to it: ${limits[0]?.text}` }
  const texts = reached.slice(0, 3).map(({ text }) => text)
  return { limits, text: `in the slowest moments ${texts.join('; also ')}` }
}

/** Queues are at their limit when one waits all the time. */
function limitsOf(mean: Means, cores: number): Limit[] {
  const limits: Limit[] = []
  const add = (what: string, share: number | undefined, text: string) => {
    if (share !== undefined) limits.push({ what, share, text })
  }
  const busy = mean['machine busy']
  add(
    'the CPU of this machine',
    busy === undefined ? undefined : busy + (mean['machine stolen'] ?? 0),
    `the CPU of this machine, ${percent(busy)} busy: ${eaters(mean, cores)}`,
  )
  for (const [name, value] of Object.entries(mean)) {
    if (value === undefined) continue
    if (name.startsWith('thread '))
      add(
        name.slice(7),
        value,
        `${name.startsWith('thread redis') ? `${name.slice(7)}, which has one thread` : `the event loop of ${name.slice(7)}`}, ${percent(value)} busy`,
      )
    if (name.startsWith('waiting for '))
      add(name, value, `${value.toFixed(1)} waiting at a time for ${queueOf(name.slice(12))}`)
  }
  return limits.sort((a, b) => b.share - a.share)
}

const queueOf = (pool: string): string =>
  ({
    passwords: 'their turn to have a password checked',
    pricing: 'a thread that calculates prices',
  })[pool] ?? (pool.startsWith('rows ') ? `locked rows of ${pool.slice(5)}` : `a connection to ${pool}`)

/** Who uses the CPU, the greatest first. */
function eaters(mean: Means, cores: number): string {
  return partsOf(mean)
    .filter(([, used]) => used / cores >= 0.05)
    .map(([name, used]) => `${name} ${percent(used / cores)}`)
    .join(', ')
}

/** Instances and shards as one each. */
function partsOf(mean: Means): [string, number][] {
  const parts = new Map<string, number>()
  for (const [name, used] of Object.entries(mean)) {
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

function cpuText(mean: Means, cores: number): string {
  if (mean['machine busy'] === undefined) return 'not read'
  const stolen = mean['machine stolen'] ?? 0
  return `${percent(mean['machine busy'])} of ${cores} cores: ${eaters(mean, cores)}${stolen > 0.02 ? `; ${percent(stolen)} taken by other machines on this host` : ''}`
}

/** Without the generator. */
function perRequest(mean: Means): string {
  const rate = mean['requests']
  const parts = partsOf(mean).filter(([name]) => ['instances', 'nginx', 'Redis', 'databases'].includes(name))
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
