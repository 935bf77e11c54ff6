import { createCartCache } from '../cache/cart-cache.ts'
import { createPageCache } from '../cache/page-cache.ts'
import { startAuditor } from '../cart/cache-auditor.ts'
import { watchCacheModes } from '../cart/cache-mode.ts'
import { createCartFiller } from '../cart/cart-filler.ts'
import { createCartReader } from '../cart/cart-reader.ts'
import { createFunnel } from '../cart/cart-writer.ts'
import { createCarts } from '../cart/carts.ts'
import { createFencedWrite } from '../cart/fenced-write.ts'
import { createFreshness } from '../cart/freshness.ts'
import { createGroupCommit } from '../cart/group-commit.ts'
import { createHandover } from '../cart/guest-merge.ts'
import { createProducts } from '../catalog/products.ts'
import type { Authenticator } from '../http/authenticator.ts'
import { startHousekeeping } from '../ops/housekeeping.ts'
import type { PricingParts } from './prices.ts'
import type { Setup, Stores } from './stores.ts'

export type CartParts = Awaited<ReturnType<typeof wireCarts>>

/** The cart cache, and the one way to change carts. */
export async function wireCarts(
  { config, log, options, closing }: Setup,
  stores: Stores,
  { restores, catalog, prices, codes }: PricingParts,
) {
  const { router, shards, global, cacheRedis, metrics } = stores
  const { limits, currency } = config
  const { onStep = () => undefined } = options
  const modes = await watchCacheModes({ router, redis: cacheRedis, restores, metrics, log })
  closing.defer(modes.stop)
  closing.defer(startHousekeeping(shards, log).stop)
  const cache = createCartCache(cacheRedis)
  const fencedWrite = createFencedWrite({ router, cache, modes })
  const groupCommit = createGroupCommit({ router, cache, metrics, onStep })
  const funnel = createFunnel({
    router,
    cache,
    modes,
    fencedWrite,
    groupCommit,
    prices,
    limits,
    currency,
    metrics,
    onStep,
  })
  prices.onLater(funnel.reprice)
  const handover = createHandover({ router, cache, funnel, fencedWrite, limits, rule: config.mergeRule })
  const carts = createCarts({ funnel, handover, limits, codeAsWritten: codes.asWritten })
  const auditor = startAuditor({ router, cache, modes, limits, perSecond: config.auditPerSecond, metrics, log })
  closing.defer(auditor.stop)
  const products = createProducts({ global, pages: createPageCache(cacheRedis), watch: catalog, currency, metrics })
  return { modes, cache, funnel, handover, carts, products }
}

/** Reading carts, for requests with sessions of `authenticator`. */
export function wireReader(
  { config, options }: Setup,
  { router, metrics }: Stores,
  { pricing, prices }: PricingParts,
  { modes, cache, funnel }: CartParts,
  authenticator: Authenticator,
) {
  const { limits, currency, repriceSpreadMs } = config
  const { onStep = () => undefined } = options
  const freshnessOf = createFreshness(pricing, repriceSpreadMs)
  const filler = createCartFiller({ router, cache, modes, freshnessOf, prices, funnel, currency, metrics, onStep })
  return createCartReader({
    sessions: authenticator,
    cache,
    filler,
    freshnessOf,
    pricing,
    limits,
    currency,
    metrics,
  })
}
