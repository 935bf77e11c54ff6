/**
 * A bounded queue whose items are run in batches. What arrives in one tick of the event loop goes together, and so does what
 * arrives while all batches that may run at once are running. Where a batch fails and `isRetriedAlone`, each of its items is run once more by itself,
 * so that one bad item does not fail the others.
 */
export interface BatchQueue<Item, Result> {
  /** The result of the item. @throws what `overloaded` makes when the queue is full; what `run` throws or returns for it */
  add(item: Item): Promise<Result>
  waiting(): number
}

interface BatchQueueOptions<Item, Result> {
  readonly batchMax: number
  readonly waitingMax: number
  /** How many batches may run at once. */
  readonly concurrency: number
  /** After this a batch that still runs is not counted, so that the next can start. */
  readonly patienceMs?: number
  /** An item that has waited longer fails instead of being run. */
  readonly waitMsMax?: number
  /** One result for each item, in their order; an Error fails that item only. */
  run(items: readonly Item[]): Promise<readonly (Result | Error)[]>
  isRetriedAlone?(error: unknown): boolean
  overloaded(why: string): Error
  onWait?(waitedMs: number): void
  /** Called when nothing runs or waits. */
  onIdle?(): void
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly sinceMs: number
  readonly isAlone: boolean
  resolve(result: Result): void
  reject(error: unknown): void
}

export function createBatchQueue<Item, Result>(options: BatchQueueOptions<Item, Result>): BatchQueue<Item, Result> {
  const { batchMax, waitingMax, concurrency, patienceMs, waitMsMax = Number.POSITIVE_INFINITY } = options
  const queue: Waiting<Item, Result>[] = []
  let running = 0
  let isScheduled = false

  function start(): void {
    isScheduled = false
    while (running < concurrency && queue.length > 0) startBatch(queue.splice(0, queue[0]?.isAlone ? 1 : batchMax))
    if (running === 0 && queue.length === 0) options.onIdle?.()
  }

  function startBatch(taken: readonly Waiting<Item, Result>[]): void {
    running++
    let isOver = false
    const leave = () => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      running--
      start()
    }
    const timer = patienceMs === undefined ? undefined : setTimeout(leave, patienceMs)
    void settle(taken.filter(isInTime)).then(leave)
  }

  function isInTime(one: Waiting<Item, Result>): boolean {
    const waitedMs = performance.now() - one.sinceMs
    options.onWait?.(waitedMs)
    if (one.isAlone || waitedMs < waitMsMax) return true
    one.reject(options.overloaded(`waited ${waitMsMax} ms`))
    return false
  }

  /** Never rejects. */
  async function settle(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    if (batch.length === 0) return
    try {
      const results = await options.run(batch.map(({ item }) => item))
      for (const [at, { resolve, reject }] of batch.entries()) {
        const result = results[at] as Result | Error
        if (result instanceof Error) reject(result)
        else resolve(result)
      }
    } catch (error) {
      if (batch.length > 1 && options.isRetriedAlone?.(error))
        queue.unshift(...batch.map(one => ({ ...one, isAlone: true })))
      else for (const { reject } of batch) reject(error)
    }
  }

  return {
    waiting: () => queue.length,
    add(item) {
      if (queue.length >= waitingMax) return Promise.reject(options.overloaded('the queue is full'))
      return new Promise((resolve, reject) => {
        queue.push({ item, sinceMs: performance.now(), isAlone: false, resolve, reject })
        if (isScheduled) return
        isScheduled = true
        setImmediate(start)
      })
    },
  }
}
