import type { CartKey, CartMeta } from '../cache/cart-cache.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { Router } from '../store/shard-router.ts'
import type { CacheModes } from './cache-mode.ts'

/** Which cached carts may be read, and shown. */
export interface CachePolicy {
  /** Undefined while the cache of the user's shard may not be read (cache-mode.ts). */
  keyOf(userId: string): CartKey | undefined
  freshnessOf(userId: string, cached: Pick<CartMeta, 'catalogVersion' | 'rulesStamp'>): Freshness
}

/**
 * `stale`: its totals are of the rules before the ones in force, and are shown as such. Every cart is priced anew at its own time within
 * the spread, so that new rules do not make all carts expire at once (stale-while-revalidate).
 */
type Freshness = 'fresh' | 'stale' | 'expired'

interface CachePolicyDeps {
  readonly router: Pick<Router, 'of'>
  readonly modes: Pick<CacheModes, 'lease'>
  readonly pricing: Pick<Pricing, 'catalogVersion' | 'rulesStamp'>
  /** Over how long carts move to new rules, in ms. */
  readonly repriceSpreadMs: number
}

export function createCachePolicy({ router, modes, pricing, repriceSpreadMs }: CachePolicyDeps): CachePolicy {
  const isRepriceDue = (userId: string) => {
    const since = Date.now() - pricing.rulesStamp()
    return since < 0 || since >= (Number(BigInt(userId) % 1000n) / 1000) * repriceSpreadMs
  }
  return {
    keyOf(userId) {
      const epoch = modes.lease(router.of(userId))
      return epoch === undefined ? undefined : { userId, epoch }
    },
    freshnessOf(userId, { catalogVersion, rulesStamp }) {
      if (catalogVersion < pricing.catalogVersion()) return 'expired'
      if (rulesStamp >= pricing.rulesStamp()) return 'fresh'
      return isRepriceDue(userId) ? 'expired' : 'stale'
    },
  }
}
