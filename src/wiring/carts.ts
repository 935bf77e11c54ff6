import { createCartCache } from '../cache/cart-cache.ts'
import { createPageCache } from '../cache/page-cache.ts'
import { startAuditor } from '../cart/cache-auditor.ts'
import { watchCacheModes } from '../cart/cache-mode.ts'
import { createCartFiller } from '../cart/cart-filler.ts'
import { createCartReader } from '../cart/cart-reader.ts'
import { CartWriter } from '../cart/cart-writer.ts'
import { createCarts } from '../cart/carts.ts'
import { createFencedWrite } from '../cart/fenced-write.ts'
import { createCachePolicy } from '../cart/cache-policy.ts'
import { createGroupCommit } from '../cart/group-commit.ts'
import { createGuestMerge } from '../cart/guest-merge.ts'
import { createProducts } from '../catalog/products.ts'
import type { Authenticator } from '../http/authenticator.ts'
import { startHousekeeping } from '../ops/housekeeping.ts'
import type { PricingParts } from './prices.ts'
import type { Setup, Stores } from './stores.ts'

export type CartParts = Awaited<ReturnType<typeof wireCarts>>

/** The cart cache, and the one way to change carts. */
export async function wireCarts(
  { config, log, onFailpoint, closing }: Setup,
  stores: Stores,
  { restores, products, pricing, prices, codes }: PricingParts,
) {
  const { router, shards, global, cacheRedis, metrics } = stores
  const { limits, currency, repriceSpreadMs } = config
  const modes = await watchCacheModes({ router, redis: cacheRedis, restores, metrics, log })
  closing.defer(modes.stop)
  closing.defer(startHousekeeping(shards, log).stop)
  const cache = createCartCache(cacheRedis)
  const policy = createCachePolicy({ router, modes, products, pricing, repriceSpreadMs })
  const fencedWrite = createFencedWrite({ router, cache, modes })
  const groupCommit = createGroupCommit({ router, cache, metrics, onFailpoint })
  const writer = new CartWriter({
    router,
    cache,
    policy,
    fencedWrite,
    groupCommit,
    prices,
    products,
    limits,
    currency,
    metrics,
    onFailpoint,
  })
  prices.onReprice(userId => writer.reprice(userId))
  const guestMerge = createGuestMerge({ router, cache, writer, fencedWrite, limits, rule: config.mergeRule })
  const carts = createCarts({ writer, guestMerge, limits, codeAsWritten: codes.asWritten })
  const auditor = startAuditor({ router, cache, modes, limits, perSecond: config.auditPerSecond, metrics, log })
  closing.defer(auditor.stop)
  const pages = createPageCache(cacheRedis)
  const shownProducts = createProducts({ global, pages, products, currency, metrics })
  return { modes, cache, policy, writer, guestMerge, carts, products: shownProducts }
}

/** Reading carts, for requests with sessions of `authenticator`. */
export function wireReader(
  { config, onFailpoint }: Setup,
  { router, metrics }: Stores,
  { pricing, prices }: PricingParts,
  { cache, policy, writer }: CartParts,
  authenticator: Authenticator,
) {
  const { limits, currency } = config
  const filler = createCartFiller({ router, cache, policy, prices, writer, currency, metrics, onFailpoint })
  return createCartReader({
    sessions: authenticator,
    cache,
    filler,
    policy,
    pricing,
    limits,
    currency,
    metrics,
  })
}
