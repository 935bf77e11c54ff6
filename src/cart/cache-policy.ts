import type { CartKey, Stamped } from '../cache/cart-cache.ts'
import type { ProductStore } from '../catalog/product-store.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { Router } from '../store/shard-router.ts'
import type { CacheModes } from './cache-mode.ts'

/** Which cached carts may be read, and shown. */
export interface CachePolicy {
  /** Undefined while the cache of the user's shard may not be read (cache-mode.ts). */
  keyOf(userId: string): CartKey | undefined
  freshnessOf(userId: string, cached: Pick<Stamped, 'catalogVersion' | 'rulesStamp' | 'fingerprint'>): Freshness
}

/**
 * A change of a product expires the carts that hold it, and no other. `stale`: its totals are of the rules before the ones in force, or of
 * the prices before a bulk change, and are shown as such. Every cart is priced anew at its own time within the spread, so that new
 * rules and bulk changes do not make all carts expire at once (stale-while-revalidate).
 */
type Freshness = 'fresh' | 'stale' | 'expired'

interface CachePolicyDeps {
  readonly router: Pick<Router, 'of'>
  readonly modes: Pick<CacheModes, 'lease'>
  readonly products: Pick<ProductStore, 'version' | 'haveChanged' | 'bulkSinceMs'>
  readonly pricing: Pick<Pricing, 'rulesStamp'>
  /** Over how long carts move to new rules, and to the prices of a bulk change, in ms. */
  readonly repriceSpreadMs: number
}

export function createCachePolicy(deps: CachePolicyDeps): CachePolicy {
  const { router, modes, products, pricing, repriceSpreadMs } = deps
  const isDue = (userId: string, sinceMs: number) => {
    const passedMs = Date.now() - sinceMs
    return passedMs < 0 || passedMs >= (Number(BigInt(userId) % 1000n) / 1000) * repriceSpreadMs
  }
  const isChanged = ({ catalogVersion, fingerprint }: Pick<Stamped, 'catalogVersion' | 'fingerprint'>) =>
    catalogVersion < products.version &&
    (fingerprint === undefined || products.haveChanged(fingerprint, catalogVersion))

  return {
    keyOf(userId) {
      const epoch = modes.lease(router.of(userId))
      return epoch === undefined ? undefined : { userId, epoch }
    },
    freshnessOf(userId, cached) {
      const hasOldPrices = isChanged(cached)
      const hasOldRules = cached.rulesStamp < pricing.rulesStamp()
      if (!hasOldPrices && !hasOldRules) return 'fresh'
      if (hasOldPrices && isDue(userId, products.bulkSinceMs())) return 'expired'
      if (hasOldRules && isDue(userId, pricing.rulesStamp())) return 'expired'
      return 'stale'
    },
  }
}
