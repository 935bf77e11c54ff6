import { repeat } from '../lib/repeat.ts'
import { createSingleFlight } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Pricing } from '../pricing/pool.ts'
import { catalogRows } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { Log } from '../telemetry/log.ts'

/**
 * Keeps an instance on the newest catalogue: asks for its version once a second and loads the products when it moved.
 * Until the global database answers again, the instance goes on with what it has; with nothing, prices are not available.
 */
export interface CatalogWatch {
  version(): number
  /**
   * Makes sure that prices are not older than ones that were shown already: another instance may have heard of a new
   * catalogue first. @throws AppError `unavailable` when that cannot be found out now
   */
  atLeast(version: number): Promise<void>
  stop(): void
}

export async function watchCatalog(global: Database, pricing: Pricing, log: Log): Promise<CatalogWatch> {
  const flight = createSingleFlight<void>()
  let loaded = false

  async function load(): Promise<void> {
    const version = await catalogRows.version(global)
    if (loaded && version === pricing.catalogVersion()) return
    const products: Product[] = []
    for await (const page of catalogRows.all(global, FIXED.catalogLoadRows)) products.push(...page)
    pricing.useCatalog(version, products)
    loaded = true
    log.info({ version, products: products.length }, 'catalogue loaded')
  }

  await load().catch((error: unknown) => log.warn({ err: error }, 'the catalogue could not be loaded yet'))
  const watch = repeat(
    () => flight.run('load', load),
    FIXED.catalogPollMs,
    error => log.warn({ err: error }, 'the catalogue could not be checked'),
  )
  return {
    version: pricing.catalogVersion,
    async atLeast(version) {
      if (version > pricing.catalogVersion()) await flight.run('load', load)
    },
    stop: watch.stop,
  }
}
