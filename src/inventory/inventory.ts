import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../lib/errors.ts'
import { createRecent } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import { DuplicateKeyError } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import { type StockLevels, stockRows } from '../store/stock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { applyBatch, BuyerRace, type Operation, type Outcome, TooFew } from './reservation-batch.ts'

/**
 * The stock as orders use it. Each item has a lane: while one batch is under way, whatever arrives for the item waits and goes
 * together as the next. Items that have run out are remembered for a moment, so that the crowd that comes too late costs no
 * statement. What the memory says may be wrong for that moment; the rows decide.
 */
export interface Stock {
  /** @throws AppError `overloaded`, `unavailable`, `outcome_unknown` of the item's shard: then the claim may exist or not */
  hold(item: string, claim: Claim): Promise<Outcome>
  sell(item: string, orderId: string): Promise<Outcome>
  free(item: string, orderId: string): Promise<Outcome>
  refund(item: string, refund: { orderId: string; refundId: string; units: number }): Promise<Outcome>
  /** Units that a buyer has bought, refunds not taken off. */
  soldTo(item: string, userId: string): Promise<number>
  /** Counters as they are; undefined when there is no such item. */
  levels(item: string): Promise<StockLevels | undefined>
  /** The same, up to `stockReadMs` old. */
  recentLevels(item: string): Promise<StockLevels | undefined>
}

export interface Claim {
  readonly orderId: string
  readonly userId: string
  readonly units: number
  /** After this somebody else looks what became of it. */
  readonly lookMs: number
  /** Do not believe the memory that it has run out. */
  readonly insists?: boolean
}

export interface StockDeps {
  readonly router: Router
  /** Which of an item's buckets this instance takes from. */
  readonly instance: number
  readonly metrics: Metrics
}

interface Waiting {
  readonly operation: Operation
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

interface Lane {
  readonly queue: Waiting[]
  running: boolean
}

export function createStock({ router, instance, metrics }: StockDeps): Stock {
  const lanes = new Map<string, Lane>()
  /** Items that are nearly gone: the fast way would find too few. */
  const tight = createRecent<true>(FIXED.stockTightMax)
  /** Items that have run out, and until when that is believed. */
  const soldOut = createRecent<number>(FIXED.stockTightMax)
  const recent = createRecent<{ levels: Promise<StockLevels | undefined>; untilMs: number }>(FIXED.stockReadsMax)
  metrics.watch('cartload_stock_waiting', 'Stock operations that wait for their batch', () =>
    [...lanes.values()].reduce((sum, lane) => sum + lane.queue.length, 0),
  )

  function enqueue(item: string, operation: Operation): Promise<Outcome> {
    let lane = lanes.get(item)
    if (!lane) {
      lane = { queue: [], running: false }
      lanes.set(item, lane)
    }
    const { queue } = lane
    if (queue.length >= FIXED.stockQueueMax) {
      throw new AppError('overloaded', 'Too many want the same product right now.', { retryAfterS: 1 })
    }
    const done = new Promise<Outcome>((resolve, reject) => queue.push({ operation, resolve, reject }))
    if (!lane.running) {
      lane.running = true
      setImmediate(() => void run(item, lane)) // whatever this turn of the event loop brings goes together
    }
    return done
  }

  async function run(item: string, lane: Lane): Promise<void> {
    while (lane.queue.length > 0) {
      const batch = lane.queue.splice(0, FIXED.stockBatchMax)
      try {
        const outcomes = await applied(
          item,
          batch.map(waiting => waiting.operation),
        )
        for (const [at, waiting] of batch.entries()) waiting.resolve(outcomes[at] ?? { is: 'missing' })
      } catch (error) {
        // One whose counters do not fit must not take the others with it.
        if (error instanceof TooFew && batch.length > 1) await oneByOne(item, batch)
        else for (const waiting of batch) waiting.reject(error)
      }
    }
    lanes.delete(item)
  }

  async function oneByOne(item: string, batch: readonly Waiting[]): Promise<void> {
    for (const waiting of batch) {
      await applied(item, [waiting.operation]).then(
        ([outcome]) => waiting.resolve(outcome ?? { is: 'missing' }),
        waiting.reject,
      )
    }
  }

  async function applied(item: string, operations: readonly Operation[]): Promise<Outcome[]> {
    metrics.stockBatches.observe(operations.length)
    for (let attempt = 1; ; attempt++) {
      const exact = tight.get(item) === true
      try {
        const { outcomes, left } = await router.write(item, (tx, { slot }) =>
          applyBatch(tx, { item, slot, bucket: instance, operations, exact, careful: exact || attempt > 1 }),
        )
        if (left !== undefined) {
          if (left >= FIXED.stockBatchMax * 2) tight.delete(item)
          if (left === 0) soldOut.set(item, performance.now() + FIXED.soldOutMs)
        }
        return outcomes
      } catch (error) {
        const isRaced = error instanceof BuyerRace || error instanceof DuplicateKeyError
        if (!(error instanceof TooFew || isRaced) || attempt >= FIXED.transactionAttemptsMax) throw error
        if (error instanceof TooFew) tight.set(item, true)
        else await sleep(Math.random() * 5)
      }
    }
  }

  function known(item: string): Outcome | undefined {
    const untilMs = soldOut.get(item)
    if (untilMs === undefined) return undefined
    if (performance.now() < untilMs) return { is: 'short', left: 0 }
    soldOut.delete(item)
    return undefined
  }

  return {
    async hold(item, { insists = false, ...claim }) {
      const outcome = insists ? undefined : known(item)
      if (!outcome) return enqueue(item, { kind: 'hold', ...claim })
      // The crowd is turned away from memory, but not a retry of somebody who has one of the last.
      return (await stockRows.hasClaim(router.of(item), item, claim.orderId)) ? { is: 'present' } : outcome
    },
    sell: async (item, orderId) => enqueue(item, { kind: 'sell', orderId }),
    async free(item, orderId) {
      const outcome = await enqueue(item, { kind: 'free', orderId })
      if (outcome.is === 'done') soldOut.delete(item)
      return outcome
    },
    async refund(item, refund) {
      const outcome = await enqueue(item, { kind: 'refund', ...refund })
      soldOut.delete(item)
      return outcome
    },
    soldTo: async (item, userId) => stockRows.soldTo(router.of(item), item, userId),
    levels: async item => stockRows.levels(router.of(item), item),
    async recentLevels(item) {
      const found = recent.get(item)
      if (found && performance.now() < found.untilMs) return found.levels
      const levels = stockRows.levels(router.of(item), item)
      recent.set(item, { levels, untilMs: performance.now() + FIXED.stockReadMs })
      levels.catch(() => recent.delete(item)) // a failure is not remembered
      return levels
    },
  }
}
