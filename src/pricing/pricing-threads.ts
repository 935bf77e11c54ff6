import { join } from 'node:path'
import { Piscina } from 'piscina'
import { createBatchQueue } from '../lib/batch-queue.ts'
import { AppError, unavailable } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CartRequest, Catalog, GivenAway, PricedCart, Terms } from './price.ts'
import type { RulesSnapshot } from './snapshot.ts'
import { packCarts, type PricingResult, type PricingTask } from './worker.ts'

/**
 * The threads that calculate prices. Carts that are asked for while all threads are busy go over together, one batch a thread.
 *
 * Bounded: waiting carts, carts of a batch, time of a batch. A thread that dies or hangs is replaced; the carts that were on it
 * with others are tried once more, each alone, so that it costs one price and not sixteen.
 */
interface PricingThreads {
  /** @throws AppError `overloaded` when too many wait, `unavailable` when a thread failed or the deadline passed */
  price(cart: CartToPrice): Promise<PricedCart>
  /** Threads begin with the first promotion, not with the first cart that needs one: that one should not wait for them. */
  start(): void
  close(): Promise<void>
}

export interface CartToPrice {
  readonly request: CartRequest
  /** Of the products of the request at least. */
  readonly catalog: Catalog
}

interface ThreadsOptions {
  readonly threads: number
  readonly queueMax: number
  readonly taskMsMax: number
  readonly terms: Terms
  /** Tests put a thread entry here that misbehaves. */
  readonly workerFile?: string | undefined
  /** The rules in force, as a task carries them. */
  rules(): { readonly packed: RulesSnapshot; readonly usage: GivenAway }
}

/** `PricingThreads` says what its functions throw. */
export function createPricingThreads(options: ThreadsOptions, metrics: Metrics): PricingThreads {
  const { threads, taskMsMax, terms } = options
  const piscina = new Piscina<PricingTask, PricingResult[]>({
    filename: options.workerFile ?? join(import.meta.dirname, 'worker.ts'),
    name: 'price',
    minThreads: 0, // a shop without promotions needs none: `start`
    maxThreads: threads,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
    niceIncrement: FIXED.pricingNice, // where cores are short, requests that wait for a price wait longer, not all requests
  })
  let isStarted = false
  const waits = metrics.poolWaits.labels({ pool: 'pricing' })
  const queue = createBatchQueue<CartToPrice, PricedCart>({
    batchMax: FIXED.pricingBatchMax,
    waitingMax: options.queueMax,
    concurrency: threads,
    waitMsMax: taskMsMax,
    run: priceOnThread,
    isRetriedAlone: () => true,
    overloaded: tooBusy,
    onWait: waitedMs => waits.observe(waitedMs / 1000),
  })
  metrics.watch('cartload_pricing_queue', 'Price calculations waiting for a thread', () => queue.waiting())
  metrics.watch('cartload_pricing_threads', 'Threads that calculate prices', () => piscina.threads.length)
  // A thread that fails outside a task must not take the process with it; another begins.
  piscina.on('error', replaceThreads)

  function taskOf(carts: readonly CartToPrice[]): PricingTask {
    const { packed, usage } = options.rules()
    return { rules: packed, usage, terms, ...packCarts(carts) }
  }

  function start(): void {
    isStarted = true
    const task = taskOf([])
    for (let n = piscina.threads.length; n < threads; n++) void piscina.run(task).catch(() => undefined)
  }

  function replaceThreads(): void {
    if (isStarted) start()
  }

  /** @throws AppError `unavailable` when the thread died or ran out of time */
  async function priceOnThread(carts: readonly CartToPrice[]): Promise<readonly (PricedCart | Error)[]> {
    try {
      const results = await piscina.run(taskOf(carts), { signal: AbortSignal.timeout(taskMsMax) })
      return carts.map((_, at) => {
        const result = results[at]
        if (result && 'lines' in result) return result
        return unavailable('pricing', new Error(result?.error ?? 'the thread gave no result'))
      })
    } catch (error) {
      replaceThreads()
      throw unavailable('pricing', error)
    }
  }

  return { price: queue.add, start, close: () => piscina.destroy() }
}

function tooBusy(why: string): AppError {
  return new AppError('overloaded', `Too many carts wait for a price right now (${why}).`, {
    retryAfterS: 1,
    extra: { dependency: 'pricing' },
  })
}
