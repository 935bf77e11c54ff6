import { join } from 'node:path'
import { Piscina } from 'piscina'
import { AppError, messageOf, unavailable } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { LineToPrice, PricedCart } from './price.ts'
import { packSnapshot, type Snapshot } from './snapshot.ts'
import type { PricingTask } from './worker.ts'

/**
 * The thread pool that calculates prices. Bounded queue, deadline per task; a thread that dies costs the task it was on
 * and is replaced, the process goes on.
 */
export interface Pricing {
  /** Switches to a catalogue; carts priced from now on carry its version. */
  useCatalog(version: number, products: readonly Product[]): void
  catalogVersion(): number
  /** @throws AppError `overloaded` when the queue is full, `unavailable` when a thread failed or the deadline passed */
  price(lines: readonly LineToPrice[]): Promise<PricedCart>
  close(): Promise<void>
}

export interface PricingOptions {
  readonly threads: number
  readonly queueMax: number
  readonly taskMsMax?: number
  /** Tests put a thread entry here that misbehaves. */
  readonly workerFile?: string
}

export function createPricing(options: PricingOptions, metrics: Metrics): Pricing {
  const piscina = new Piscina<PricingTask, PricedCart>({
    filename: options.workerFile ?? join(import.meta.dirname, 'worker.ts'),
    name: 'price',
    minThreads: options.threads,
    maxThreads: options.threads,
    maxQueue: options.queueMax,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
  })
  // A thread that fails outside a task must not take the process with it; the pool replaces the thread.
  piscina.on('error', () => undefined)
  metrics.watch('cartload_pricing_queue', 'Price calculations waiting for a thread', () => piscina.queueSize)
  metrics.watch('cartload_pricing_threads', 'Threads that calculate prices', () => piscina.threads.length)
  let snapshot: Snapshot = packSnapshot(0, [])

  return {
    useCatalog(version, products) {
      snapshot = packSnapshot(version, products)
    },
    catalogVersion: () => snapshot.version,
    async price(lines) {
      const since = performance.now()
      const task: PricingTask = {
        skus: lines.map(line => line.sku),
        quantities: lines.map(line => line.quantity),
        selected: lines.map(line => line.selected),
        snapshot,
      }
      try {
        return await piscina.run(task, { signal: AbortSignal.timeout(options.taskMsMax ?? FIXED.pricingMsMax) })
      } catch (error) {
        if (messageOf(error).includes('queue is at limit')) {
          throw new AppError('overloaded', 'Too many prices to calculate right now.', { retryAfterS: 1, cause: error })
        }
        throw unavailable('pricing', error)
      } finally {
        metrics.pricing.observe((performance.now() - since) / 1000)
      }
    },
    close: () => piscina.destroy(),
  }
}
