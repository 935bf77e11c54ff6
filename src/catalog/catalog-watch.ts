import type { CatalogNews } from '../cache/catalog-news.ts'
import { missIfUnavailable, unavailable } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { createSingleFlight, lookFor } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import { catalogRows, type CatalogState } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { RestoreWatch } from '../store/restore-watch.ts'
import type { Log } from '../telemetry/log.ts'
import { createFailureLog } from '../telemetry/outages.ts'
import type { ProductStore } from './product-store.ts'

/**
 * Keeps an instance on the newest version of the catalogue: reads which products have changed since its own version, whenever a message
 * announces a new one, and once a second in any case. Until the global database answers again, the instance goes on with what it has; without any
 * version, prices are not available.
 */
export interface CatalogWatch {
  version(): number
  /**
   * Makes sure that the catalogue is not older than what another instance has heard of and shown, or announced
   * (store/catalog-watermark.ts). @throws AppError `unavailable` when that cannot be found out now
   */
  atLeast(version: number): Promise<void>
  /** Makes a version that was never used before, after which no cached page, product or total of an earlier one is used. */
  renew(): Promise<void>
  stop(): void
}

interface CatalogWatchDeps {
  readonly global: Database
  readonly store: Pick<ProductStore, 'version' | 'learn' | 'forget'>
  readonly news: Pick<CatalogNews, 'listen'>
  readonly restores: RestoreWatch
  readonly log: Log
}

/** Reads the version, then polls for changes; starts also while the global database is unavailable. */
export async function watchCatalog({ global, store, news, restores, log }: CatalogWatchDeps): Promise<CatalogWatch> {
  const flight = createSingleFlight<void>()
  let isStarted = false
  let isStopped = false

  /** With `restored`, it is also found out whether the database was restored to an earlier state. */
  async function look(asks: { readonly restored: boolean }): Promise<void> {
    const state = await catalogRows.state(global)
    if (asks.restored && (await wasRestored(state))) return
    if (!isStarted) return start(state)
    if (state.forget > store.version) store.forget(state.forget)
    if (state.version <= store.version) return
    for await (const page of catalogRows.changesSince(global, store.version, FIXED.catalogChangeRows)) {
      const last = page.at(-1)?.version ?? 0
      const isWhole = page.length < FIXED.catalogChangeRows
      store.learn(isWhole ? Math.max(state.version, last) : last - 1, page)
    }
  }

  /** Reads the latest changes too: without them every cart that was cached before the start would count as changed. */
  async function start({ version, forget }: CatalogState): Promise<void> {
    const { since, changes } = await catalogRows.latestChanges(global, FIXED.catalogChangeRows)
    store.forget(Math.max(since, forget))
    store.learn(Math.max(version, changes.at(-1)?.version ?? 0), changes)
    isStarted = true
    log.info({ version }, 'catalogue found')
  }

  /** Pages, products and totals of the lost time carry versions that will be made again, with other products. */
  async function wasRestored({ version: found }: CatalogState): Promise<boolean> {
    // Without the cache there is nothing from another time either.
    const known = await restores.look(global, found).catch(missIfUnavailable)
    if (!known) return false
    log.warn(
      { ticks: known.ticks },
      'the global database was restored to an earlier state: its cached pages, products and totals are dropped',
    )
    const version = await catalogRows.goBeyond(global, Math.max(known.mark, store.version))
    store.forget(version)
    store.learn(version, [])
    isStarted = true
    await restores.settle(global, known)
    return true
  }

  const lookThoroughly = () => flight.run('look', () => look({ restored: true }))
  const lookQuickly = () => flight.run('look', () => look({ restored: false }))

  await lookThoroughly().catch(createFailureLog(log, 'the catalogue could not be read yet'))
  const watch = repeat(lookThoroughly, FIXED.catalogPollMs, createFailureLog(log, 'the catalogue could not be checked'))
  news.listen(version => {
    // The poll tries again within a second, and logs what fails.
    if (!isStopped) lookFor(() => store.version >= version, lookQuickly).catch(() => undefined)
  })
  return {
    version: () => store.version,
    async atLeast(version) {
      const isKnown = () => store.version >= version
      await lookFor(isKnown, lookQuickly)
      if (isKnown()) return
      await flight.run(`settle:${version}`, () => catalogRows.settle(global, version))
      await lookFor(isKnown, lookQuickly)
      if (!isKnown()) throw unavailable('global', new Error(`it does not show version ${version} of the catalogue`))
    },
    async renew() {
      await catalogRows.goBeyond(global, store.version)
    },
    stop() {
      isStopped = true
      watch.stop()
    },
  }
}
