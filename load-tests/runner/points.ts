import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/**
 * What k6 says while it runs (`--out json=-`, one point a line), kept as one histogram a second and one for each route. Only few kinds of
 * points are looked at; the others are told from their first characters.
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
  accept(line: string): void
}

interface Point {
  readonly metric: string
  readonly data: {
    readonly time: string
    readonly value: number
    readonly tags: Readonly<Record<string, string>> | null
  }
}

const POINT = /^\{"metric":"([a-z_]+)","type":"(Point|Metric)"/
/** Of k6 itself; what else there is was made by the scenario. */
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
  let passedChecks = 0

  const secondOf = (time: string) => made(seconds, Math.floor(Date.parse(time) / 1000), emptySecond)
  const routeOf = (name: string) => made(routes, name, emptyRoute)

  function request(second: Second, value: number, tags: Readonly<Record<string, string>>): void {
    const us = Math.min(US_MAX, Math.max(1, Math.round(value * 1000)))
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
    get passedChecks() {
      return passedChecks
    },
    accept(line) {
      const [, metric, type] = POINT.exec(line) ?? []
      if (metric === undefined || type === 'Metric') return
      const isOwn = !OF_K6.test(metric)
      if (!isOwn && !READ.has(metric)) return
      const { data } = JSON.parse(line) as Point
      const tags = data.tags ?? {}
      const isLoad = tags['scenario'] !== undefined && tags['scenario'] !== ''
      if (isOwn) count(counters, metric, data.value)
      else if (metric === 'checks') {
        if (data.value === 1) passedChecks++
        else {
          count(failedChecks, tags['check'] ?? '')
          secondOf(data.time).failedChecks++
        }
      } else if (!isLoad) return
      else if (metric === 'http_req_duration') request(secondOf(data.time), data.value, tags)
      else if (metric === 'iterations') secondOf(data.time).iterations += data.value
      else secondOf(data.time).dropped += data.value
    },
  }
}

const READ = new Set(['http_req_duration', 'iterations', 'dropped_iterations', 'checks'])

/** What stands under the key, made when it is first asked for. */
function made<Key, Value>(all: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = all.get(key) ?? make()
  all.set(key, value)
  return value
}

function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
