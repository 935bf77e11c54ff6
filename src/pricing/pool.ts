import { join } from 'node:path'
import { Piscina } from 'piscina'
import { isAppError, unavailable } from '../lib/errors.ts'
import { createGate } from '../lib/gate.ts'
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
  const taskMsMax = options.taskMsMax ?? FIXED.pricingMsMax
  const piscina = new Piscina<PricingTask, PricedCart>({
    filename: options.workerFile ?? join(import.meta.dirname, 'worker.ts'),
    name: 'price',
    minThreads: options.threads,
    maxThreads: options.threads,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
  })
  // A thread that fails outside a task must not take the process with it; the pool replaces the thread.
  piscina.on('error', () => undefined)
  // The bound is ours: tasks that carry an abort signal do not count against Piscina's own maxQueue (5.3.2 keeps them aside).
  const waits = metrics.poolWaits.labels({ pool: 'pricing' })
  const gate = createGate(
    { name: 'pricing', concurrencyMax: options.threads, queueMax: options.queueMax, waitMsMax: taskMsMax },
    waitedMs => waits.observe(waitedMs / 1000),
  )
  metrics.watch('cartload_pricing_queue', 'Price calculations waiting for a thread', gate.waiting)
  metrics.watch('cartload_pricing_threads', 'Threads that calculate prices', () => piscina.threads.length)
  let snapshot: Snapshot | undefined

  return {
    useCatalog(version, products) {
      snapshot = packSnapshot(version, products)
    },
    catalogVersion: () => snapshot?.version ?? 0,
    async price(lines) {
      // Without a catalogue every product would look as if it were not sold any more.
      if (!snapshot) throw unavailable('global', new Error('no catalogue has been loaded yet'))
      const since = performance.now()
      const task: PricingTask = {
        skus: lines.map(line => line.sku),
        quantities: lines.map(line => line.quantity),
        selected: lines.map(line => line.selected),
        snapshot,
      }
      try {
        return await gate.run(() => piscina.run(task, { signal: AbortSignal.timeout(taskMsMax) }))
      } catch (error) {
        if (isAppError(error)) throw error
        throw unavailable('pricing', error)
      } finally {
        metrics.pricing.observe((performance.now() - since) / 1000)
      }
    },
    close: () => piscina.destroy(),
  }
}
