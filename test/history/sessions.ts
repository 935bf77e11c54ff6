import type { Operation } from './recorder.ts'

/** Whether sessions were registers that go from valid to ended and never back. */
export interface SessionVerdict {
  readonly requests: number
  readonly logouts: number
  /** Accepted although the end of the session had been acknowledged, or it had been refused, before. */
  readonly resurrected: number
  /** Refused although its end had not begun. */
  readonly lost: number
  readonly breaches: readonly string[]
}

export function checkSessions(operations: readonly Operation[]): SessionVerdict {
  const endedUs = new Map<string, number>()
  const endingUs = new Map<string, number>()
  const earlier = (map: Map<string, number>, key: string, us: number) => map.set(key, Math.min(map.get(key) ?? us, us))
  let logouts = 0
  for (const operation of operations) {
    if (operation.kind !== 'logout') continue
    earlier(endingUs, operation.session, operation.invokedUs)
    if (operation.outcome?.result !== 'ok' || operation.completedUs === undefined) continue
    earlier(endedUs, operation.session, operation.completedUs)
    logouts++
  }
  // A refusal shows that it is over: from then on it must be, whichever request ended it.
  for (const operation of operations) {
    if (operation.kind !== 'request' || operation.outcome?.isAccepted !== false) continue
    if (operation.completedUs !== undefined) earlier(endedUs, operation.session, operation.completedUs)
  }
  let requests = 0
  let lost = 0
  const breaches: string[] = []
  for (const operation of operations) {
    if (operation.kind !== 'request' || operation.outcome?.result !== 'ok') continue
    requests++
    const { session, invokedUs, completedUs = invokedUs } = operation
    const { isAccepted } = operation.outcome
    if (isAccepted && invokedUs > (endedUs.get(session) ?? Number.POSITIVE_INFINITY))
      breaches.push(`session ${session} was accepted (${operation.id}) after its end was told`)
    if (!isAccepted && completedUs < (endingUs.get(session) ?? Number.POSITIVE_INFINITY)) lost++
  }
  return { requests, logouts, resurrected: breaches.length, lost, breaches: breaches.slice(0, 10) }
}
