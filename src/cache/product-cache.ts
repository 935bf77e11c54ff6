import type { RedisConnection } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'

/**
 * Products in the cache Redis, each with the version that the catalogue had reached when it was read from the database. Nothing is ever
 * invalidated: a reader knows which products have changed since (catalog/change-log.ts).
 */
export type ProductCache = ReturnType<typeof createProductCache>

interface CachedProduct {
  /** null: not on sale, or unknown. */
  readonly product: Product | null
  /** The version that changed it last. */
  readonly version: number
  /** It is as the catalogue was at this version, or newer. */
  readonly readAt: number
}

/** Each function throws AppError `unavailable`. */
export function createProductCache(redis: RedisConnection) {
  return {
    /** In the order of the codes; undefined where there is none. */
    async get(skus: readonly string[]): Promise<(CachedProduct | undefined)[]> {
      const texts = await redis.getMany(skus.map(keyOf))
      return texts.map(text => {
        if (text === null) return undefined
        const [readAt, version, product] = JSON.parse(text) as [number, number, Product | null]
        return { readAt, version, product }
      })
    },

    async set(products: ReadonlyMap<string, Omit<CachedProduct, 'readAt'>>, readAt: number): Promise<void> {
      await redis.run(client => {
        const pipeline = client.pipeline()
        for (const [sku, { version, product }] of products)
          pipeline.set(keyOf(sku), JSON.stringify([readAt, version, product]), 'PX', FIXED.productCacheMs)
        return pipeline.exec()
      })
    },

    /** The products that were in demand last, the latest first. */
    async recent(): Promise<string[]> {
      return JSON.parse((await redis.run(client => client.get(RECENT))) ?? '[]') as string[]
    },

    async setRecent(skus: readonly string[]): Promise<void> {
      await redis.run(client => client.set(RECENT, JSON.stringify(skus), 'PX', FIXED.productCacheMs))
    },
  }
}

const RECENT = 'products:recent'
const keyOf = (sku: string): string => `product:${sku}`
