import { AppError } from './errors.ts'

/**
 * A bulkhead around a scarce resource: at most `concurrencyMax` calls run, at most `queueMax` wait, none longer than
 * `waitMsMax`. A call that does not fit fails at once.
 */
interface BulkheadOptions {
  readonly name: string
  readonly concurrencyMax: number
  readonly queueMax: number
  readonly waitMsMax: number
}

export interface Bulkhead {
  /** @throws AppError `overloaded` when the queue is full or the wait is over */
  run<T>(work: () => Promise<T>): Promise<T>
  readonly inside: () => number
  readonly waiting: () => number
}

interface Waiter {
  admit(): void
  readonly timer: NodeJS.Timeout
}

/** `onWait`: called with the time that a call has waited. */
export function createBulkhead(options: BulkheadOptions, onWait: (waitedMs: number) => void = () => {}): Bulkhead {
  const queue: Waiter[] = []
  let inside = 0

  function enter(): Promise<void> | undefined {
    if (inside < options.concurrencyMax) {
      inside++
      return undefined
    }
    if (queue.length >= options.queueMax) throw tooBusy('queue is full')
    const since = performance.now()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiter), 1)
        reject(tooBusy(`waited ${options.waitMsMax} ms`))
      }, options.waitMsMax)
      const waiter: Waiter = {
        timer,
        admit() {
          onWait(performance.now() - since)
          resolve()
        },
      }
      queue.push(waiter)
    })
  }

  function leave(): void {
    const next = queue.shift()
    if (!next) {
      inside--
      return
    }
    clearTimeout(next.timer)
    next.admit()
  }

  function tooBusy(why: string): AppError {
    return new AppError('overloaded', `Too much is asked of '${options.name}' right now (${why}).`, { retryAfterS: 1 })
  }

  return {
    async run(work) {
      const turn = enter()
      if (turn) await turn
      try {
        return await work()
      } finally {
        leave()
      }
    },
    inside: () => inside,
    waiting: () => queue.length,
  }
}
