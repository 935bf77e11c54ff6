import { unavailable, missIfUnavailable } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { createSingleFlight, lookFor } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import { catalogRows } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { Known, RestoreWatch } from '../store/restore-watch.ts'
import type { Log } from '../telemetry/log.ts'
import { createFailureLog } from '../telemetry/outages.ts'

/**
 * Keeps an instance on the newest catalogue: asks for its version once a second and loads the products when it moved.
 * Until the global database answers again, the instance goes on with what it has; with nothing, prices are not available.
 */
export interface CatalogWatch {
  version(): number
  /**
   * Makes sure that the catalogue is not older than what another instance has heard of and shown, or announced
   * (store/catalog-watermark.ts). @throws AppError `unavailable` when that cannot be found out now
   */
  atLeast(version: number): Promise<void>
  /** Makes a version that was never used before: no cached page or total is of it. */
  renew(): Promise<void>
  stop(): void
}

interface CatalogWatchDeps {
  readonly global: Database
  readonly pricing: Pricing
  readonly restores: RestoreWatch
  readonly log: Log
}

/** Loads the catalogue, then polls for changes; starts also while the global database is unavailable. */
export async function watchCatalog({ global, pricing, restores, log }: CatalogWatchDeps): Promise<CatalogWatch> {
  const flight = createSingleFlight<void>()
  let loaded = false

  async function load(): Promise<void> {
    const found = await catalogRows.version(global)
    // Without the cache there is nothing from another time either.
    const known = await restores.look(global, found).catch(missIfUnavailable)
    const version = known ? await goBeyond(known) : found
    if (loaded && version === pricing.catalogVersion()) return
    const products: Product[] = []
    for await (const page of catalogRows.all(global, FIXED.catalogLoadRows)) products.push(...page)
    pricing.useCatalog(version, products)
    loaded = true
    log.info({ version, products: products.length }, 'catalogue loaded')
  }

  /** After a restore: pages and totals carry versions that will be made again, with other products. */
  async function goBeyond(known: Known): Promise<number> {
    log.warn(
      { ticks: known.ticks },
      'the global database was restored to an earlier state: its cached pages and totals are dropped',
    )
    const version = await catalogRows.goBeyond(global, Math.max(known.mark, pricing.catalogVersion()))
    await restores.settle(global, known)
    return version
  }

  const look = () => flight.run('load', load)

  await load().catch(createFailureLog(log, 'the catalogue could not be loaded yet'))
  const watch = repeat(look, FIXED.catalogPollMs, createFailureLog(log, 'the catalogue could not be checked'))
  return {
    version: pricing.catalogVersion,
    async atLeast(version) {
      const isKnown = () => pricing.catalogVersion() >= version
      await lookFor(isKnown, look)
      if (isKnown()) return
      await flight.run(`settle:${version}`, () => catalogRows.settle(global, version))
      await lookFor(isKnown, look)
      if (!isKnown()) throw unavailable('global', new Error(`it does not show version ${version} of the catalogue`))
    },
    async renew() {
      await catalogRows.goBeyond(global, pricing.catalogVersion())
    },
    stop: watch.stop,
  }
}
