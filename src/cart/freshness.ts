import type { CartMeta } from '../cache/cart-cache.ts'
import type { Pricing } from '../pricing/pricing-service.ts'

/**
 * Whether a cached cart may be shown. `stale`: its totals are of the rules before the ones in force, and are shown as such; every
 * cart is priced anew at its own time within the spread, so that new rules do not make all carts expire at once (stale-while-revalidate).
 */
type Freshness = 'fresh' | 'stale' | 'expired'
export type FreshnessOf = (userId: string, cached: Pick<CartMeta, 'catalogVersion' | 'rulesStamp'>) => Freshness

/** `repriceSpreadMs`: over how long carts move to new rules. */
export function createFreshness(
  pricing: Pick<Pricing, 'catalogVersion' | 'rulesStamp'>,
  repriceSpreadMs: number,
): FreshnessOf {
  const isRepriceDue = (userId: string) => {
    const since = Date.now() - pricing.rulesStamp()
    return since < 0 || since >= (Number(BigInt(userId) % 1000n) / 1000) * repriceSpreadMs
  }
  return (userId, { catalogVersion, rulesStamp }) => {
    if (catalogVersion < pricing.catalogVersion()) return 'expired'
    if (rulesStamp >= pricing.rulesStamp()) return 'fresh'
    return isRepriceDue(userId) ? 'expired' : 'stale'
  }
}
