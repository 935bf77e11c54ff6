import type { BreakerWatch } from '../lib/circuit-breaker.ts'
import { messageOf } from '../lib/errors.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/**
 * Tells of a dependency that is away: one line when its circuit opens, a counter of what failed, one line when it is back. Nothing else that
 * follows from it is worth a line: requests have their metrics, background work goes on by itself.
 */
export function watchOutages(dependency: string, metrics: Metrics, log: Log): BreakerWatch {
  const errors = metrics.dependencyErrors.labels({ dependency })
  let since: number | undefined
  let failures = 0
  return {
    failed() {
      errors.inc()
      failures++
    },
    opened(error) {
      since ??= performance.now()
      log.warn({ dependency, cause: causeOf(error) }, `'${dependency}' is away`)
    },
    closed() {
      const seconds = since === undefined ? 0 : Math.round((performance.now() - since) / 100) / 10
      log.info({ dependency, seconds, failures }, `'${dependency}' is back`)
      since = undefined
      failures = 0
    },
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error ? `${messageOf(error)}: ${messageOf(cause)}` : messageOf(error)
}

const SAME_MS = 60_000

/**
 * For background work that is repeated: a failure that follows from an outage is reported by that; another one is reported, with its
 * stack the first time, and the same one not again within a minute.
 */
export function createFailureLog(log: Log, what: string): (error: unknown) => void {
  let last: { text: string; at: number; times: number } | undefined
  return error => {
    if (isOutage(error)) return log.debug({ err: error }, what)
    const text = messageOf(error)
    const now = performance.now()
    if (last?.text === text && now - last.at < SAME_MS) {
      last.times++
      return
    }
    if (last?.text === text) log.warn({ cause: text, times: last.times }, what)
    else log.warn({ err: error }, what)
    last = { text, at: now, times: 1 }
  }
}

export const isOutage = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'unavailable' || error.code === 'overloaded')
