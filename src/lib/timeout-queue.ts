/**
 * One time limit for many answers, with one timer for all of them: they are due in the order in which they were asked for. A busy process
 * does not mistake itself for a slow server: when the timer itself comes late, because the event loop was blocked or the process was
 * stopped, answers may have arrived meanwhile, and everybody gets the whole limit again, a few times.
 */
export interface Deadlines {
  /** `onLate` is called once when the limit is over; `end` before that says that the answer is there. */
  begin(onLate: (error: Error) => void): Deadline
}

export interface Deadline {
  /** False when it was late: then `onLate` has been called. */
  end(): boolean
}

const STALL_MS = 30
const STALLS_MAX = 3

class Waiting implements Deadline {
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

/** So many that have ended may stand at the front of the queue before it is made anew. */
const ENDED_MAX = 256

export function createDeadlines(msMax: number): Deadlines {
  let queue: Waiting[] = []
  let first = 0
  let timer: NodeJS.Timeout | undefined
  let timerDueMs = 0

  /** Whoever has ended is let go at once: kept until the timer looks, they grew old and cost the garbage collector most. */
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

  function begin(onLate: (error: Error) => void): Deadline {
    const now = performance.now()
    const waiting = new Waiting(now + msMax, onLate, tidy)
    queue.push(waiting)
    if (timer === undefined) arm(waiting.dueMs, now)
    return waiting
  }

  return { begin }
}
