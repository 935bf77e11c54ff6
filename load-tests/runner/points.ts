import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/**
 * What the generator says while it runs (`--out json=-`), kept as one histogram a second and one for each route. k6 has one point a line, the
 * executor all values of a second with the same tags. Only few metrics are looked at; the others are recognised by their first characters.
 */
export interface Second {
  requests: number
  failed: number
  iterations: number
  dropped: number
  failedChecks: number
  readonly times: RecordableHistogram
}

export interface Route {
  requests: number
  failed: number
  readonly times: RecordableHistogram
}

export interface Points {
  /** By the second of the clock, in which they ended. */
  readonly seconds: ReadonlyMap<number, Second>
  /** Of the load itself; what was done to prepare it is left out. */
  readonly routes: ReadonlyMap<string, Route>
  /** Names of checks that failed, with how often; those of the preparation too. */
  readonly failedChecks: ReadonlyMap<string, number>
  /** Statuses of requests that failed (0: no answer), with how often. */
  readonly failures: ReadonlyMap<string, number>
  /** The scenario's own counters. */
  readonly counters: ReadonlyMap<string, number>
  readonly passedChecks: number
  /** From when a request was handed to a connection to its last byte; empty where the generator has only one time of a request. */
  readonly service: RecordableHistogram
  accept(line: string): void
}

interface Point {
  readonly metric: string
  readonly data: {
    /** Of a `Point`. */
    readonly time?: string
    readonly value?: number
    /** Of `Points`. */
    readonly second?: number
    readonly values?: readonly number[]
    readonly tags: Readonly<Record<string, string>> | null
  }
}

const POINT = /^\{"metric":"([a-z_]+)","type":"(Points?|Metric)"/
/** Of the generator itself; what else there is was made by the scenario. */
const OF_K6 = /^(http_|data_|iteration|vus|group_|checks$|dropped_)/
const US_MAX = 120e6

const newHistogram = () => createHistogram({ lowest: 1, highest: US_MAX, figures: 2 })

export const emptySecond = (): Second => ({
  requests: 0,
  failed: 0,
  iterations: 0,
  dropped: 0,
  failedChecks: 0,
  times: newHistogram(),
})

const emptyRoute = (): Route => ({ requests: 0, failed: 0, times: newHistogram() })

/** Of several seconds together. */
export function merged(seconds: readonly Second[]): RecordableHistogram {
  const all = newHistogram()
  for (const { times } of seconds) all.add(times)
  return all
}

export function createPoints(): Points {
  const seconds = new Map<number, Second>()
  const routes = new Map<string, Route>()
  const failedChecks = new Map<string, number>()
  const failures = new Map<string, number>()
  const counters = new Map<string, number>()
  const service = newHistogram()
  let passedChecks = 0

  const secondOf = (at: number) => made(seconds, at, emptySecond)
  const routeOf = (name: string) => made(routes, name, emptyRoute)

  function request(second: Second, value: number, tags: Tags): void {
    const us = microseconds(value)
    const route = routeOf(tags['name'] ?? 'other')
    for (const counted of [second, route]) {
      counted.requests++
      counted.times.record(us)
    }
    if (tags['expected_response'] !== 'false') return
    second.failed++
    route.failed++
    count(failures, `${tags['name']} ${tags['status'] === '0' ? 'no answer' : tags['status']}`)
  }

  return {
    seconds,
    routes,
    failedChecks,
    failures,
    counters,
    service,
    get passedChecks() {
      return passedChecks
    },
    accept(line) {
      const [, metric, type] = POINT.exec(line) ?? []
      if (metric === undefined || type === 'Metric') return
      const isOwn = !OF_K6.test(metric)
      if (!isOwn && !READ.has(metric)) return
      const { data } = JSON.parse(line) as Point
      const at = data.second ?? Math.floor(Date.parse(data.time ?? '') / 1000)
      for (const value of data.values ?? [data.value ?? 0]) acceptValue(metric, isOwn, at, value, data.tags ?? {})
    },
  }

  function acceptValue(metric: string, isOwn: boolean, at: number, value: number, tags: Tags): void {
    const isLoad = tags['scenario'] !== undefined && tags['scenario'] !== ''
    if (isOwn) count(counters, metric, value)
    else if (metric === 'checks') {
      if (value === 1) passedChecks++
      else {
        count(failedChecks, tags['check'] ?? '')
        secondOf(at).failedChecks++
      }
    } else if (!isLoad) return
    else if (metric === 'http_req_duration') request(secondOf(at), value, tags)
    else if (metric === 'http_req_service_time') service.record(microseconds(value))
    else if (metric === 'iterations') secondOf(at).iterations += value
    else secondOf(at).dropped += value
  }
}

type Tags = Readonly<Record<string, string>>

const microseconds = (ms: number): number => Math.min(US_MAX, Math.max(1, Math.round(ms * 1000)))

const READ = new Set(['http_req_duration', 'http_req_service_time', 'iterations', 'dropped_iterations', 'checks'])

/** What stands under the key, made when it is first asked for. */
function made<Key, Value>(all: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = all.get(key) ?? make()
  all.set(key, value)
  return value
}

function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
