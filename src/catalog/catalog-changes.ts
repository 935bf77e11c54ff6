import type { CatalogNews } from '../cache/catalog-news.ts'
import type { ProductChange } from '../model/product.ts'
import { type ChangesDone, changeProducts, checkProducts } from '../store/catalog-changes.ts'
import { catalogRows } from '../store/catalog.ts'
import { catalogFloor } from '../store/catalog-watermark.ts'
import type { Database, Transaction } from '../store/database.ts'

/**
 * Changes of the catalogue. Each is one transaction and one version. Every shard knows of it before it is committed (store/catalog-watermark.ts), so an
 * order that comes after the answer goes by it, whichever instance makes the order. Instances hear of it at once.
 */
export type CatalogChanges = ReturnType<typeof createCatalogChanges>

interface CatalogChangesDeps {
  readonly global: Database
  readonly shards: readonly Database[]
  readonly news: Pick<CatalogNews, 'announce'>
}

/** Each function throws AppError `unavailable` when a shard is away: nothing was changed then. */
export function createCatalogChanges({ global, shards, news }: CatalogChangesDeps) {
  /** Where `work` says that nothing has changed there is no new version. */
  async function inOneVersion<T>(
    work: (tx: Transaction, version: number) => Promise<{ readonly result: T; readonly isChanged: boolean }>,
  ): Promise<T> {
    // Orders wait from the announcement to the commit: not for a shard that is known to be away.
    await Promise.all(shards.map(catalogFloor.read))
    let made: number | undefined
    const result = await global.transaction(async tx => {
      made = undefined
      const version = await catalogRows.nextVersion(tx)
      const done = await work(tx, version)
      if (!done.isChanged) return done.result
      await catalogFloor.raise(shards, version)
      await catalogRows.setVersion(tx, version)
      made = version
      return done.result
    })
    if (made !== undefined) await news.announce(made) // a command may end right after this: its message must be sent before
    return result
  }

  return {
    inOneVersion,

    /** All that are not refused, as one version. */
    apply: (changes: readonly ProductChange[]): Promise<ChangesDone> =>
      inOneVersion(async (tx, version) => {
        const result = await changeProducts(tx, version, changes)
        return { result, isChanged: result.added + result.changed > 0 }
      }),

    /** What `apply` would do. Changes nothing. */
    check: (changes: readonly ProductChange[]): Promise<ChangesDone> => checkProducts(global, changes),
  }
}
