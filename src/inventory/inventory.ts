import { setTimeout as sleep } from 'node:timers/promises'
import { type BatchQueue, createBatchQueue } from '../lib/batch-queue.ts'
import { AppError } from '../lib/errors.ts'
import { createLruCache, type LruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import { DuplicateKeyError } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import { type StockLevels, stockRows } from '../store/stock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { applyBatch, DuplicateBuyer, type Operation, type Outcome, InsufficientBucket } from './reservation-batch.ts'

/**
 * The stock as orders use it. Operations on one item are run in batches, one batch at a time. Items that have run out are
 * remembered for `soldOutMs` (a negative cache), so that late buyers cost no statement; the rows decide.
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

interface Claim {
  readonly orderId: string
  readonly userId: string
  readonly units: number
  /** After this, recovery (orders/order-recovery.ts) resolves the reservation. */
  readonly lookMs: number
  /** Ask the rows even where the item is remembered as sold out. */
  readonly bypassesNegativeCache?: boolean
}

interface StockDeps {
  readonly router: Router
  /** Which of an item's buckets this instance takes from. */
  readonly instance: number
  readonly metrics: Metrics
}

/** Stock operations over the shards of the items; `Stock` says what they throw. */
export function createStock(deps: StockDeps): Stock {
  const { router, metrics } = deps
  const queues = new Map<string, BatchQueue<Operation, Outcome>>()
  const soldOut = createLruCache<true>(FIXED.stockTightMax, FIXED.soldOutMs)
  const memory: Memory = { tight: createLruCache(FIXED.stockTightMax), soldOut }
  const recent = createLruCache<Promise<StockLevels | undefined>>(FIXED.stockReadsMax, FIXED.stockReadMs)
  metrics.watch('cartload_stock_waiting', 'Stock operations that wait for their batch', () =>
    [...queues.values()].reduce((sum, queue) => sum + queue.waiting(), 0),
  )

  function enqueue(item: string, operation: Operation): Promise<Outcome> {
    const queue = queues.get(item) ?? queueOf(item)
    queues.set(item, queue)
    return queue.add(operation)
  }

  function queueOf(item: string): BatchQueue<Operation, Outcome> {
    return createBatchQueue<Operation, Outcome>({
      batchMax: FIXED.stockBatchMax,
      waitingMax: FIXED.stockQueueMax,
      concurrency: 1,
      run: operations => applied(deps, memory, item, operations),
      // One whose counters do not fit must not fail the others.
      isRetriedAlone: error => error instanceof InsufficientBucket,
      overloaded: () => new AppError('overloaded', 'Too many want the same product right now.', { retryAfterS: 1 }),
      onIdle: () => void queues.delete(item),
    })
  }

  return {
    async hold(item, { bypassesNegativeCache = false, ...claim }) {
      const isSoldOut = !bypassesNegativeCache && soldOut.get(item) === true
      if (!isSoldOut) return enqueue(item, { kind: 'hold', ...claim })
      // Negative cache; but a retry must not be refused because of its own reservation.
      return (await stockRows.hasClaim(router.of(item), item, claim.orderId))
        ? { is: 'present' }
        : { is: 'short', left: 0 }
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
      const known = recent.get(item)
      if (known) return known
      const levels = stockRows.levels(router.of(item), item)
      recent.set(item, levels)
      levels.catch(() => recent.delete(item)) // a failure is not remembered
      return levels
    },
  }
}

/** What is remembered of items. */
interface Memory {
  /** Nearly gone: the fast way would find too few. */
  readonly tight: LruCache<true>
  /** Have run out: a negative cache. */
  readonly soldOut: LruCache<true>
}

async function applied(
  { router, instance, metrics }: StockDeps,
  { tight, soldOut }: Memory,
  item: string,
  operations: readonly Operation[],
): Promise<Outcome[]> {
  metrics.stockBatches.observe(operations.length)
  for (let attempt = 1; ; attempt++) {
    const exact = tight.get(item) === true
    try {
      const { outcomes, left } = await router.write(item, (tx, { slot }) =>
        applyBatch(tx, { item, slot, bucket: instance, operations, exact, careful: exact || attempt > 1 }),
      )
      if (left !== undefined) {
        if (left >= FIXED.stockBatchMax * 2) tight.delete(item)
        if (left === 0) soldOut.set(item, true)
      }
      return outcomes
    } catch (error) {
      const isRaced = error instanceof DuplicateBuyer || error instanceof DuplicateKeyError
      if (!(error instanceof InsufficientBucket || isRaced) || attempt >= FIXED.transactionAttemptsMax) throw error
      if (error instanceof InsufficientBucket) tight.set(item, true)
      else await sleep(Math.random() * 5)
    }
  }
}
