import { mean } from '../compare/statistics.ts'
import { randomFrom } from '../compare/pricing/cases.ts'
import { fullLoad, momentOf, samplesWithin } from './moments.ts'
import type { Result } from './result.ts'

/**
 * Two runs beside each other: what got better or worse beyond the noise. The noise of a figure is what it did within each run: its seconds are
 * drawn again and again, in blocks because neighbours resemble each other, and the interval of the ratio comes of that. Pure.
 */
export interface Change {
  readonly what: string
  readonly unit: string
  readonly before: number
  readonly after: number
  /** after / before, and its 95 % interval. */
  readonly ratio: Ratio
  readonly verdict: 'better' | 'worse' | 'the same' | 'unclear'
}

interface Ratio {
  readonly middle: number
  readonly low: number
  readonly high: number
}

interface Figure {
  readonly what: string
  readonly unit: string
  readonly isMoreBetter?: boolean
  readonly of: (run: Result) => readonly number[]
}

/** A change of less than this says nothing, however sure it is. */
const LEAST = 0.03
/** An interval that is wider than this does not say that nothing changed. */
const WIDE = 0.2
const BLOCK = 5
/** Of fewer seconds nothing can be said for sure. */
const SECONDS_MIN = 6 * BLOCK
const RESAMPLES = 2_000
/** Rates that differ by less are the same load. */
const RATE_STEP = 1.02

const FIGURES: readonly Figure[] = [
  { what: 'requests', unit: '/s', isMoreBetter: true, of: run => ofLoad(run, 'requests') },
  { what: 'median time', unit: 'ms', of: run => ofLoad(run, 'p50') },
  { what: 'p95 time', unit: 'ms', of: run => ofLoad(run, 'p95') },
  { what: 'p99 time', unit: 'ms', of: run => ofLoad(run, 'p99') },
  { what: 'CPU of a request', unit: 'µs', of: run => cpuPerRequest(run, ['instance', 'nginx', 'redis', 'shard']) },
  { what: '  instances', unit: 'µs', of: run => cpuPerRequest(run, ['instance']) },
  { what: '  nginx', unit: 'µs', of: run => cpuPerRequest(run, ['nginx']) },
  { what: '  Redis', unit: 'µs', of: run => cpuPerRequest(run, ['redis']) },
  { what: '  databases', unit: 'µs', of: run => cpuPerRequest(run, ['shard']) },
  { what: 'event-loop delay', unit: 'ms', of: run => highest(run, 'loop delay ') },
  { what: 'memory of an instance', unit: 'MB', of: run => highest(run, 'memory instance') },
]

export function changesOf(before: Result, after: Result): Change[] {
  return FIGURES.flatMap(({ what, unit, isMoreBetter = false, of }) => {
    const [a, b] = [of(before), of(after)]
    if (a.length < BLOCK || b.length < BLOCK || mean(a) === 0 || mean(b) === 0) return []
    const ratio = ratioOf(a, b)
    const verdict = Math.min(a.length, b.length) < SECONDS_MIN ? 'unclear' : judge(ratio, isMoreBetter)
    return [{ what, unit, before: mean(a), after: mean(b), ratio, verdict }]
  })
}

/** Counts of what must not happen: more of them, for as many requests, than chance makes of as many is worse. */
export function errorsOf(
  before: Result,
  after: Result,
): readonly (readonly [string, number, number, Change['verdict']])[] {
  const kinds = ['failed', 'dropped', 'failedChecks'] as const
  return kinds.map(kind => {
    const [a, b] = [before.totals[kind], after.totals[kind]]
    const scale = after.totals.requests / Math.max(1, before.totals.requests)
    const expected = a * scale
    const isChance = Math.abs(b - expected) <= 2 * Math.sqrt(b + expected * scale)
    return [
      NAMES[kind],
      a,
      b,
      a === 0 && b === 0 ? 'the same' : isChance ? 'unclear' : b > expected ? 'worse' : 'better',
    ] as const
  })
}

const NAMES = { failed: 'requests that failed', dropped: 'iterations dropped', failedChecks: 'checks that failed' }

/** Why they should not be compared, where they should not. */
export function differencesOf(before: Result, after: Result): string[] {
  const of = (name: string, pick: (run: Result) => string | number | undefined): string[] => {
    const [a, b] = [pick(before), pick(after)]
    return a === b ? [] : [`${name}: ${a ?? 'unknown'}, then ${b ?? 'unknown'}`]
  }
  const rate = (run: Result) => mean(ofLoad(run, 'iterations'))
  const byRate = Math.max(rate(before), rate(after)) / Math.min(rate(before), rate(after))
  return [
    ...of('scenario', ({ scenario }) => scenario),
    ...of('profile', ({ profile }) => profile),
    ...of('cores', ({ machine }) => machine.cores),
    ...of('CPU', ({ machine }) => machine.cpu),
    ...of('instances', ({ cluster }) => cluster?.instances),
    ...of('shards', ({ cluster }) => cluster?.shards),
    ...(fullLoad(before).length === fullLoad(after).length
      ? []
      : [`seconds at full load: ${fullLoad(before).length}, then ${fullLoad(after).length}`]),
    ...(byRate > RATE_STEP ? [`iterations a second: ${rate(before).toFixed(0)}, then ${rate(after).toFixed(0)}`] : []),
  ]
}

function judge({ middle, low, high }: Ratio, isMoreBetter: boolean): Change['verdict'] {
  const isForced = low > 1 || high < 1
  if (isForced && Math.abs(middle - 1) >= LEAST) return middle > 1 === isMoreBetter ? 'better' : 'worse'
  return high - low > WIDE ? 'unclear' : 'the same'
}

/** The same runs always give the same interval: the numbers are drawn from a fixed seed. */
function ratioOf(before: readonly number[], after: readonly number[]): Ratio {
  const random = randomFrom(1)
  const drawn = (values: readonly number[]) => {
    const starts = Array.from({ length: Math.ceil(values.length / BLOCK) }, () =>
      Math.floor(random() * (values.length - BLOCK + 1)),
    )
    return mean(starts.flatMap(start => values.slice(start, start + BLOCK)))
  }
  const ratios = Array.from({ length: RESAMPLES }, () => drawn(after) / drawn(before)).sort((a, b) => a - b)
  const at = (share: number) => ratios[Math.floor(share * (RESAMPLES - 1))] ?? Number.NaN
  return { middle: mean(after) / mean(before), low: at(0.025), high: at(0.975) }
}

/** Second by second, at full load. */
const ofLoad = (run: Result, name: string): number[] =>
  fullLoad(run).flatMap(index => run.load.values[name]?.[index] ?? [])

function cpuPerRequest(run: Result, parts: readonly string[]): number[] {
  const rates = run.load.values['requests'] ?? []
  const names = Object.keys(run.samples.values).filter(name => parts.some(part => name.startsWith(`cpu ${part}`)))
  if (names.length === 0) return []
  return samplesWithin(run, fullLoad(run)).flatMap(index => {
    const moment = momentOf(run, run.samples.at[index] ?? 0)
    const cores = names.reduce((sum, name) => sum + (run.samples.values[name]?.[index] ?? 0), 0)
    const rate = rates[moment] ?? 0
    return rate > 0 ? [(cores / rate) * 1e6] : []
  })
}

function highest(run: Result, start: string): number[] {
  const series = Object.entries(run.samples.values).filter(([name]) => name.startsWith(start))
  if (series.length === 0) return []
  return samplesWithin(run, fullLoad(run)).flatMap(index => {
    const known = series.flatMap(([, values]) => values[index] ?? [])
    return known.length === 0 ? [] : [Math.max(...known)]
  })
}
