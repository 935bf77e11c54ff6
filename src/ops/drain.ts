import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { FIXED } from '../model/limits.ts'

/**
 * Leaving without losing a request. nginx keeps connections to an instance open and may send on any of them at any
 * moment, so closing them first would hit requests on their way; a POST that was sent is never retried. In this order:
 *
 *   1. Every answer says `Connection: close`: nginx retires each connection after a good exchange. Readiness says no.
 *   2. Reads, and writes with an Idempotency-Key, are refused with 502, untouched. nginx gives them to the next instance
 *      and, because that counts as a failure, asks this one no more (max_fails=1 for fail_timeout). Others are served.
 *   3. When nothing has come for a moment, the listener closes, what is under way finishes, and idle connections go.
 *
 * An instance that lacks what another has (`isBetterElsewhere`) refuses in the same way while that is so.
 */
export interface Drain {
  /** `closing`: step 1, `refusing`: from step 2 on. */
  readonly phase: 'open' | 'closing' | 'refusing'
  readonly isBetterElsewhere: (() => boolean) | undefined
  /** Returns when all have closed and nothing is under way. The first sees the requests of all. */
  run(listeners: readonly Server[]): Promise<void>
}

/** Longer than nginx's fail_timeout, whose clock has steps of a second: an instance that left before is back by then. */
const CLOSE_HEADERS_MS = 2_200
const QUIET_MS = 250
const GRACE_MS = 3_000

export function createDrain(isBetterElsewhere?: () => boolean, msMax: number = FIXED.drainMsMax): Drain {
  const drain: { -readonly [Key in keyof Drain]: Drain[Key] } = {
    phase: 'open',
    isBetterElsewhere,
    async run(listeners) {
      const deadline = performance.now() + msMax
      let lastRequest = performance.now()
      listeners[0]?.on('request', () => {
        lastRequest = performance.now()
      })
      drain.phase = 'closing'
      await sleep(CLOSE_HEADERS_MS)
      drain.phase = 'refusing'
      // What is still under way when the quiet never comes has a grace of its own before it is cut off.
      while (performance.now() - lastRequest < QUIET_MS && performance.now() < deadline - GRACE_MS) await sleep(20)
      await Promise.all(listeners.map(listener => close(listener, deadline)))
    },
  }
  return drain
}

async function close(server: Server, deadline: number): Promise<void> {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), Math.max(0, deadline - performance.now()))
  await closed
  clearTimeout(timer)
}
