import { createCartPricing } from '../cart/cart-pricing.ts'
import { watchCatalog } from '../catalog/catalog-watch.ts'
import { watchRules } from '../catalog/rules-watch.ts'
import { createCodes } from '../inventory/code-uses.ts'
import { createStock } from '../inventory/inventory.ts'
import { createPricing } from '../pricing/pricing-service.ts'
import { createRestoreWatch } from '../store/restore-watch.ts'
import type { Setup, Stores } from './stores.ts'

export type PricingParts = Awaited<ReturnType<typeof wirePricing>>

/** Catalogue, rules and codes, watched for changes, and the pricing threads that calculate with them. */
export async function wirePricing({ config, log, options, closing }: Setup, stores: Stores) {
  const { global, router, cacheRedis, metrics } = stores
  const pricing = createPricing(
    {
      threads: config.pricingThreads,
      queueMax: config.limits.pricingQueueMax,
      currency: config.currency,
      shippingFee: config.shippingFee,
      inline: config.pricingInline,
    },
    metrics,
  )
  closing.defer(pricing.close)
  const restores = createRestoreWatch(cacheRedis)
  const catalog = await watchCatalog({ global, pricing, restores, log })
  closing.defer(catalog.stop)
  const rules = await watchRules(global, pricing, log)
  closing.defer(rules.stop)
  const prices = createCartPricing({ pricing, catalog, rules, metrics })
  closing.defer(prices.stop)
  const ownStock = createStock({ router, instance: config.instanceIndex, metrics })
  const stock = options.wrap?.stock?.(ownStock, router) ?? ownStock
  const codes = createCodes({ global, stock, pricing })
  pricing.useCodes(codes.factsOf)
  return { pricing, restores, catalog, rules, prices, stock, codes }
}
