import type { ProductCache } from '../cache/product-cache.ts'
import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { ProductStore } from './product-store.ts'

interface WarmProductsDeps {
  readonly store: Pick<ProductStore, 'of' | 'recentSkus'>
  readonly cache: Pick<ProductCache, 'recent' | 'setRecent'>
  readonly log: Log
}

/**
 * An instance that starts reads the products that were in demand last, beside its work, so that the first carts do not wait for them. The list is in the
 * cache Redis; instances write it from time to time. `ready`: when the list was read.
 */
export function warmProducts({ store, cache, log }: WarmProductsDeps): { readonly ready: Promise<void>; stop(): void } {
  async function warm(): Promise<void> {
    const skus = await cache.recent()
    // The most recent ones last, as they were used.
    for (let end = skus.length; end > 0; end -= FIXED.catalogLoadRows)
      await store.of(skus.slice(Math.max(0, end - FIXED.catalogLoadRows), end))
    log.debug({ products: skus.length }, 'products in demand read')
  }

  async function write(): Promise<void> {
    const skus = store.recentSkus(FIXED.recentProductsMax)
    if (skus.length > 0) await cache.setRecent(skus)
  }

  // Only a help: without it products are read when they are asked for.
  const notNow = (error: unknown) => log.debug({ err: error }, 'products in demand: not now')
  const ready = warm().catch(notNow)
  const { stop } = repeat(write, FIXED.recentProductsEveryMs, notNow)
  return { ready, stop }
}
