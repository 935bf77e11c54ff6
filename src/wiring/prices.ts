import { createCatalogNews } from '../cache/catalog-news.ts'
import { createProductCache } from '../cache/product-cache.ts'
import { createCartPricing } from '../cart/cart-pricing.ts'
import { createCatalogChanges } from '../catalog/catalog-changes.ts'
import { type CatalogWatch, watchCatalog } from '../catalog/catalog-watch.ts'
import { ProductStore } from '../catalog/product-store.ts'
import { warmProducts } from '../catalog/warm-products.ts'
import { watchRules } from '../catalog/rules-watch.ts'
import { createCodes } from '../inventory/code-uses.ts'
import { createStock } from '../inventory/inventory.ts'
import { FIXED } from '../model/limits.ts'
import { createPricing } from '../pricing/pricing-service.ts'
import { createRestoreWatch } from '../store/restore-watch.ts'
import type { Setup, Stores } from './stores.ts'

export type PricingParts = Awaited<ReturnType<typeof wirePricing>>

/** Products, rules and codes, watched for changes, and the pricing threads that calculate with them. */
export async function wirePricing(setup: Setup, stores: Stores) {
  const { config, log, options, closing } = setup
  const { global, router, metrics } = stores
  const catalogue = await wireCatalogue(setup, stores)
  const { products, catalog } = catalogue
  const pricing = createPricing(
    {
      products,
      threads: config.pricingThreads,
      queueMax: config.limits.pricingQueueMax,
      currency: config.currency,
      shippingFee: config.shippingFee,
      inline: config.pricingInline,
    },
    metrics,
  )
  closing.defer(pricing.close)
  const rules = await watchRules(global, pricing, log)
  closing.defer(rules.stop)
  const prices = createCartPricing({ pricing, catalog, rules, metrics })
  closing.defer(prices.stop)
  const ownStock = createStock({ router, instance: config.instanceIndex, metrics })
  const stock = options.wrap?.stock?.(ownStock, router) ?? ownStock
  const codes = createCodes({ global, stock, pricing })
  pricing.useCodes(codes.factsOf)
  return { ...catalogue, pricing, rules, prices, stock, codes }
}

async function wireCatalogue({ servers, config, log, closing }: Setup, stores: Stores) {
  const { global, shards, cacheRedis, redisTo, metrics } = stores
  const restores = createRestoreWatch(cacheRedis)
  const news = createCatalogNews(cacheRedis, () => redisTo('catalog-news', servers.cacheRedis, FIXED.redisCacheMsMax))
  const cache = createProductCache(cacheRedis)
  let watch: CatalogWatch | undefined
  const products = new ProductStore({
    global,
    cache,
    memoryBytesMax: config.productsMemoryMb * 1024 * 1024,
    catchUp: async version => watch?.atLeast(version),
    metrics,
  })
  const catalog = await watchCatalog({ global, store: products, news, restores, log })
  watch = catalog
  closing.defer(catalog.stop)
  const catalogChanges = createCatalogChanges({ global, shards, news })
  /** For instances that serve shoppers; a command needs few products. */
  const keepWarm = () => warmProducts({ store: products, cache, log })
  return { restores, products, catalog, catalogChanges, keepWarm }
}
