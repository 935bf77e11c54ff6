import type { Threshold } from './generator.ts'
import type { Machine } from './machine.ts'
import type { RecordableHistogram } from 'node:perf_hooks'
import { mean } from '../compare/statistics.ts'
import { emptySecond, merged, type Points, type Route, type Second } from './points.ts'
import { type Reading, type Series, seriesOf } from './readings.ts'

/** One run, as it is kept (JSON) and shown. Times in milliseconds, rates a second, CPU in cores. */
export interface Result {
  readonly format: typeof FORMAT
  readonly scenario: string
  readonly profile: string
  readonly startedAt: string
  readonly command: string
  readonly machine: Machine
  /** Undefined for a shop elsewhere, of which nothing was read. */
  readonly cluster: { readonly version: string; readonly instances: number; readonly shards: number } | undefined
  readonly thresholds: readonly Threshold[]
  /** Why the run did not go through to its end. */
  readonly problem: string | undefined
  readonly totals: Totals
  readonly routes: readonly RouteResult[]
  readonly failures: readonly Counted[]
  readonly failedChecks: readonly Counted[]
  /** The scenario's own counters, such as lost_adds. */
  readonly counters: Readonly<Record<string, number>>
  /** Of one length, and sorted; `at` in seconds from the start. */
  readonly load: Series
  readonly samples: Series
}

export const FORMAT = 'cartload load 1'

export interface Times {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface Totals extends Times {
  /** Median without the wait before the start, where the generator knows it. */
  readonly serviceP50?: number
  readonly seconds: number
  readonly requests: number
  readonly failed: number
  readonly iterations: number
  readonly dropped: number
  readonly checks: number
  readonly failedChecks: number
}

export interface RouteResult extends Times {
  readonly name: string
  readonly requests: number
  readonly failed: number
}

export interface Counted {
  readonly name: string
  readonly count: number
}

/** Charts with more points than this show nothing more. */
const POINTS_MAX = 400

export type About = Pick<
  Result,
  'scenario' | 'profile' | 'startedAt' | 'command' | 'machine' | 'cluster' | 'thresholds' | 'problem'
>

export function resultOf(about: About, points: Points, readings: readonly Reading[]): Result {
  const seconds = filled(points.seconds)
  const [first = 0] = seconds.keys()
  const sum = (of: (second: Second) => number) => [...seconds.values()].reduce((all, second) => all + of(second), 0)
  const counted = (counts: ReadonlyMap<string, number>): Counted[] =>
    [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count)
  const sampled = seriesOf(readings, about.machine.cores)
  return {
    format: FORMAT,
    ...about,
    totals: {
      seconds: seconds.size,
      requests: sum(({ requests }) => requests),
      failed: sum(({ failed }) => failed),
      iterations: sum(({ iterations }) => iterations),
      dropped: sum(({ dropped }) => dropped),
      checks: points.passedChecks + counted(points.failedChecks).reduce((all, { count }) => all + count, 0),
      failedChecks: counted(points.failedChecks).reduce((all, { count }) => all + count, 0),
      ...timesOf(merged([...seconds.values()])),
      ...(points.service.count > 0 ? { serviceP50: points.service.percentile(50) / 1000 } : {}),
    },
    routes: [...points.routes].map(routeOf).sort((a, b) => b.requests - a.requests),
    failures: counted(points.failures),
    failedChecks: counted(points.failedChecks),
    counters: Object.fromEntries(points.counters),
    load: loadSeries(seconds, Math.ceil(seconds.size / POINTS_MAX)),
    samples: thinned({ ...sampled, at: sampled.at.map(at => at - first) }),
  }
}

/** With the seconds in which nothing ended. */
function filled(known: ReadonlyMap<number, Second>): Map<number, Second> {
  if (known.size === 0) return new Map()
  const [first, last] = [Math.min(...known.keys()), Math.max(...known.keys())]
  return new Map(
    Array.from({ length: last - first + 1 }, (_, index) => [first + index, known.get(first + index) ?? emptySecond()]),
  )
}

/** By the second, or by so many of them. */
function loadSeries(seconds: ReadonlyMap<number, Second>, width: number): Series {
  const all = [...seconds.values()]
  const windows = Array.from({ length: Math.ceil(all.length / width) }, (_, index) =>
    all.slice(index * width, (index + 1) * width),
  )
  const rate = (of: (second: Second) => number) =>
    windows.map(window => window.reduce((sum, second) => sum + of(second), 0) / window.length)
  const times = windows.map(merged)
  const percentile = (share: number) => times.map(each => (each.count === 0 ? null : msOf(each, share)))
  return {
    at: windows.map((window, index) => index * width + window.length),
    values: {
      requests: rate(({ requests }) => requests),
      iterations: rate(({ iterations }) => iterations),
      failed: rate(({ failed }) => failed),
      dropped: rate(({ dropped }) => dropped),
      'failed checks': rate(({ failedChecks }) => failedChecks),
      p50: percentile(50),
      p95: percentile(95),
      p99: percentile(99),
    },
  }
}

/** Means of neighbours, so that there are not more points than a chart can show. */
function thinned({ at, values }: Series): Series {
  const width = Math.ceil(at.length / POINTS_MAX)
  if (width <= 1) return { at, values }
  const starts = Array.from({ length: Math.ceil(at.length / width) }, (_, index) => index * width)
  const meanOf = (all: readonly (number | null)[]) => {
    const known = all.filter(value => value !== null)
    return known.length === 0 ? null : mean(known)
  }
  return {
    at: starts.map(start => at[Math.min(at.length, start + width) - 1] ?? 0),
    values: Object.fromEntries(
      Object.entries(values).map(([name, all]) => [name, starts.map(start => meanOf(all.slice(start, start + width)))]),
    ),
  }
}

const msOf = (times: RecordableHistogram, percentile: number): number => times.percentile(percentile) / 1000

const timesOf = (times: RecordableHistogram): Times =>
  times.count === 0
    ? { p50: 0, p95: 0, p99: 0, max: 0 }
    : { p50: msOf(times, 50), p95: msOf(times, 95), p99: msOf(times, 99), max: times.max / 1000 }

const routeOf = ([name, { requests, failed, times }]: readonly [string, Route]): RouteResult => ({
  name,
  requests,
  failed,
  ...timesOf(times),
})
