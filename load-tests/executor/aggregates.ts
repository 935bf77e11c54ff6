import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { Threshold } from 'k6/options'

/**
 * What is kept of each metric, and of each part of it that a threshold asks for (`http_req_duration{name:GET /v1/cart}`): counts for counters and
 * rates, a histogram for trends. The names and aggregations are k6's.
 */
export type Kind = 'counter' | 'gauge' | 'rate' | 'trend'
export type Tags = Readonly<Record<string, string>>

export interface Aggregate {
  add(values: readonly number[]): void
  /** By the names that thresholds and summaries use: `count`, `rate`, `p(95)`, … */
  value(aggregation: string, seconds: number): number | undefined
  readonly isEmpty: boolean
}

/** Trends are kept in microseconds with three figures. */
const US_PER_MS = 1000
const US_MAX = 600e6

export function createAggregate(kind: Kind): Aggregate {
  let [count, sum, last, passed] = [0, 0, 0, 0]
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  const times: RecordableHistogram | undefined =
    kind === 'trend' ? createHistogram({ lowest: 1, highest: US_MAX, figures: 3 }) : undefined
  return {
    get isEmpty() {
      return count === 0
    },
    add(values) {
      for (const value of values) {
        count++
        sum += value
        last = value
        if (value !== 0) passed++
        if (value < min) min = value
        if (value > max) max = value
        times?.record(Math.min(US_MAX, Math.max(1, Math.round(value * US_PER_MS))))
      }
    },
    value(aggregation, seconds) {
      const percentile = /^p\((\d+(?:\.\d+)?)\)$/.exec(aggregation)?.[1]
      if (kind === 'counter') return { count: sum, rate: sum / Math.max(seconds, 1e-3) }[aggregation]
      if (kind === 'gauge') return { value: last, min, max }[aggregation]
      if (kind === 'rate') {
        return { rate: count === 0 ? 0 : passed / count, passes: passed, fails: count - passed }[aggregation]
      }
      if (count === 0) return 0
      if (percentile !== undefined) return (times?.percentile(Number(percentile)) ?? 0) / US_PER_MS
      const median = (times?.percentile(50) ?? 0) / US_PER_MS
      return { avg: sum / count, min, max, med: median, count }[aggregation]
    },
  }
}

export const BUILT_IN: Readonly<Record<string, Kind>> = {
  checks: 'rate',
  dropped_iterations: 'counter',
  http_req_duration: 'trend',
  http_req_failed: 'rate',
  http_req_service_time: 'trend',
  http_reqs: 'counter',
  iteration_duration: 'trend',
  iterations: 'counter',
}

const SUMMARY_OF: Readonly<Record<Exclude<Kind, 'trend'>, readonly string[]>> = {
  counter: ['count', 'rate'],
  gauge: ['value', 'min', 'max'],
  rate: ['rate', 'passes', 'fails'],
}

interface Part {
  /** As thresholds name it. */
  readonly name: string
  readonly wanted: Tags
  readonly aggregate: Aggregate
}

export interface Metrics {
  declare(name: string, kind: Kind): void
  add(name: string, tags: Tags, values: readonly number[]): void
  /** Values of each metric, as k6's summary has them. */
  summary(trends: readonly string[], seconds: number): Record<string, { type: Kind; values: Record<string, number> }>
  /** @throws Error for a metric that does not exist or a rule that cannot be read */
  check(seconds: number): ThresholdResult[]
}

export interface ThresholdResult {
  readonly metric: string
  readonly rule: string
  readonly held: boolean
  readonly abortOnFail: boolean
  readonly delayMs: number
}

export function createMetrics(
  thresholds: Readonly<Record<string, readonly Threshold[]>>,
  durationMs: (text: string | undefined) => number,
): Metrics {
  const kinds = new Map<string, Kind>(Object.entries(BUILT_IN))
  const parts = new Map<string, Part[]>()

  function partsOf(metric: string): Part[] {
    const known = parts.get(metric)
    if (known) return known
    const kind = kinds.get(metric)
    if (kind === undefined) throw new Error(`there is no metric '${metric}'`)
    const asked = Object.keys(thresholds).filter(name => baseOf(name) === metric && name !== metric)
    const made = [metric, ...asked].map(name => ({ name, wanted: tagsOf(name), aggregate: createAggregate(kind) }))
    parts.set(metric, made)
    return made
  }

  return {
    declare: (name, kind) => void kinds.set(name, kind),
    add(name, tags, values) {
      for (const { wanted, aggregate } of partsOf(name)) if (matches(wanted, tags)) aggregate.add(values)
    },
    summary(trends, seconds) {
      const all = [...parts.entries()].flatMap(([metric, known]) => known.map(part => [metric, part] as const))
      return Object.fromEntries(
        all.map(([metric, { name, aggregate }]) => {
          const type = kinds.get(metric) ?? 'trend'
          const names = type === 'trend' ? trends : SUMMARY_OF[type]
          const values = Object.fromEntries(names.map(each => [each, aggregate.value(each, seconds) ?? 0]))
          return [name, { type, values }]
        }),
      )
    },
    check(seconds) {
      return Object.entries(thresholds).flatMap(([name, rules]) => {
        const part = partsOf(baseOf(name)).find(each => each.name === name)
        return rules.map(rule => {
          const {
            threshold,
            abortOnFail = false,
            delayAbortEval,
          } = typeof rule === 'string' ? { threshold: rule } : rule
          const held = part === undefined || holds(threshold, part.aggregate, seconds)
          return { metric: name, rule: threshold, held, abortOnFail, delayMs: durationMs(delayAbortEval) }
        })
      })
    },
  }
}

const baseOf = (name: string): string => name.split('{')[0] ?? name

/** Of `metric{name:GET /v1/cart,status:200}`. */
function tagsOf(name: string): Tags {
  const inside = /\{(.*)\}$/.exec(name)?.[1]
  if (inside === undefined) return {}
  return Object.fromEntries(
    inside.split(',').map(pair => {
      const at = pair.indexOf(':')
      return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    }),
  )
}

const matches = (wanted: Tags, tags: Tags): boolean =>
  Object.entries(wanted).every(([key, value]) => tags[key] === value)

const RULE = /^\s*([a-z]+|p\(\d+(?:\.\d+)?\))\s*(===|==|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*$/

function holds(rule: string, aggregate: Aggregate, seconds: number): boolean {
  const [, aggregation = '', operator = '', number] = RULE.exec(rule) ?? []
  const value = aggregate.value(aggregation, seconds)
  if (value === undefined || number === undefined) throw new Error(`the threshold '${rule}' cannot be read`)
  const limit = Number(number)
  if (aggregate.isEmpty && aggregation === 'rate') return true // k6 too: nothing was counted, so nothing broke it
  switch (operator) {
    case '<':
      return value < limit
    case '<=':
      return value <= limit
    case '>':
      return value > limit
    case '>=':
      return value >= limit
    case '!=':
      return value !== limit
    default:
      return value === limit
  }
}
