/**
 * One time limit for many operations with one timer: all have the same limit, so they are due in the order in which they began. After
 * an event-loop stall (the timer itself is late) the open operations get the whole limit again, at most `STALLS_MAX` times: answers may have
 * arrived meanwhile, and a local pause must not be reported as a slow server.
 */
export interface TimeoutQueue {
  /** `onLate` is called once when the limit is over; `end` before that says that the answer is there. */
  begin(onLate: (error: Error) => void): PendingTimeout
}

interface PendingTimeout {
  /** False when it was late: then `onLate` has been called. */
  end(): boolean
}

const STALL_MS = 30
const STALLS_MAX = 3

class Waiting implements PendingTimeout {
  dueMs: number
  stalls = 0
  onLate: ((error: Error) => void) | undefined
  readonly #onEnd: () => void

  constructor(dueMs: number, onLate: (error: Error) => void, onEnd: () => void) {
    this.dueMs = dueMs
    this.onLate = onLate
    this.#onEnd = onEnd
  }

  end(): boolean {
    if (this.onLate === undefined) return false
    this.onLate = undefined
    this.#onEnd()
    return true
  }
}

/** The queue is compacted after so many settled entries. */
const ENDED_MAX = 256

export function createTimeoutQueue(msMax: number): TimeoutQueue {
  let queue: Waiting[] = []
  let first = 0
  let timer: NodeJS.Timeout | undefined
  let timerDueMs = 0

  /** Drops settled entries at once: kept until the timer fires, they grew old and cost the garbage collector most. */
  function tidy(): void {
    while (first < queue.length && queue[first]?.onLate === undefined) first++
    if (first === queue.length) queue.length = first = 0
    else if (first > ENDED_MAX) {
      queue.splice(0, first)
      first = 0
    }
  }

  function arm(dueMs: number, now: number): void {
    timerDueMs = Math.max(dueMs, now + 1)
    timer = setTimeout(look, timerDueMs - now)
  }

  function look(): void {
    timer = undefined
    const now = performance.now()
    const isStalled = now - timerDueMs > STALL_MS
    const open = queue.filter(({ onLate }) => onLate !== undefined)
    if (isStalled) {
      for (const waiting of open) if (waiting.stalls++ < STALLS_MAX) waiting.dueMs = now + msMax
    }
    queue = open.filter(({ dueMs }) => dueMs > now)
    first = 0
    for (const waiting of open) {
      if (waiting.dueMs > now) continue
      const { onLate } = waiting
      waiting.onLate = undefined
      onLate?.(new Error(`no answer after ${msMax} ms`))
    }
    const [next] = queue
    if (next) arm(next.dueMs, now)
  }

  function begin(onLate: (error: Error) => void): PendingTimeout {
    const now = performance.now()
    const waiting = new Waiting(now + msMax, onLate, tidy)
    queue.push(waiting)
    if (timer === undefined) arm(waiting.dueMs, now)
    return waiting
  }

  return { begin }
}
