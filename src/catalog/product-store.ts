import type { ProductCache } from '../cache/product-cache.ts'
import { batchPerTick } from '../lib/batch-per-tick.ts'
import { missIfUnavailable, unavailable } from '../lib/errors.ts'
import { createLruCache, type LruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Catalog } from '../pricing/price.ts'
import type { ProductSource } from '../pricing/pricing-service.ts'
import { catalogRows, type ProductVersion } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { ChangeLog } from './change-log.ts'

interface ProductStoreDeps {
  readonly global: Database
  readonly cache: ProductCache
  readonly memoryBytesMax: number
  /** Hears of the changes up to a version; called when a product is newer than the version that this instance is at. */
  catchUp(version: number): Promise<void>
  readonly metrics: Metrics
}

/** A product as it was read. `product`: null for one that is not on sale, or unknown. */
interface Loaded {
  readonly product: Product | null
  /** The version that changed it last; 0 for one that is unknown. */
  readonly version: number
}

/** Objects around a product in memory, in bytes, beside its text. */
const ENTRY_BYTES = 250
const BYTES_PER_CHARACTER = 2
const READ_ATTEMPTS_MAX = 4
const UNKNOWN: Loaded = { product: null, version: 0 }

/**
 * The products that an instance has in memory: those that were asked for, up to a limit in bytes. What is missing is read in batches, from
 * the cache Redis where that has it, then from the database. The size of the catalogue costs neither memory nor time.
 *
 * Invariant: what is in memory is as the catalogue is at `version`. A change takes its product out of memory in the same step that moves
 * the version. What is read meanwhile is kept only if its product has not changed since the reading began.
 */
export class ProductStore implements ProductSource {
  readonly #deps: ProductStoreDeps
  readonly #memory: LruCache<Loaded>
  readonly #log = new ChangeLog(FIXED.catalogChangesMax)
  readonly #load = batchPerTick((skus: string[]) => this.#loadMany(skus))
  /** How far the catalogue is known: only `learn` and `forget` move it. A field, since every view of a cart reads it. */
  version = 0
  #forgotten = 0
  #isKnown = false
  #bulkSinceMs = 0
  #bulkSeenMs = 0

  constructor(deps: ProductStoreDeps) {
    this.#deps = deps
    this.#memory = createLruCache<Loaded>(deps.memoryBytesMax, undefined, bytesOf)
    deps.metrics.watch(
      'cartload_products_memory_bytes',
      'Products in memory, in bytes (estimated)',
      this.#memory.weight,
    )
  }

  /** See `ProductSource`. @throws AppError `unavailable` */
  of(wanted: Iterable<string>): Catalog | Promise<Catalog> {
    // Without a version it is not known what has changed: every product would look as if it were not sold any more.
    if (!this.#isKnown) throw unavailable('global', new Error('the version of the catalogue has not been read yet'))
    const skus = new Set(wanted)
    const found: [string, Loaded][] = []
    for (const sku of skus) {
      const entry = this.#memory.get(sku)
      if (entry === undefined) return this.#readAll(skus)
      found.push([sku, entry])
    }
    return catalogOf(this.version, found)
  }

  /** Whether a product of a fingerprint has changed after a version of the catalogue, as far as this instance has heard. */
  haveChanged(fingerprint: Uint8Array, since: number): boolean {
    return this.#log.haveChanged(fingerprint, since)
  }

  anyChanged(skus: Iterable<string>, since: number): boolean {
    if (since >= this.version) return false
    for (const sku of skus) if (this.#log.hasChanged(sku, since)) return true
    return false
  }

  /** Moves to a version, and learns which products have changed up to it; changes of a later version may be among them. */
  learn(version: number, changes: readonly ProductVersion[]): void {
    if (this.#isKnown && changes.length >= FIXED.bulkProductsMin) this.#noteBulk(Date.now())
    for (const { sku, version: changedIn } of changes) {
      this.#log.add(sku, changedIn)
      this.#memory.delete(sku)
    }
    this.version = version
    this.#isKnown = true
  }

  /** Moves to a version before which nothing that was kept may be used any more. What has changed since is to be learned. */
  forget(version: number): void {
    this.#log.forget(version)
    this.#memory.clear()
    this.version = version
    this.#forgotten = version
  }

  /** That version: nothing that was kept of an earlier one may be used. */
  forgottenBefore(): number {
    return this.#forgotten
  }

  /** When the latest bulk change began, as far as this instance has heard: ms since 1970. */
  bulkSinceMs(): number {
    return this.#bulkSinceMs
  }

  /** The products in memory, from the most recently used on. */
  recentSkus(max: number): string[] {
    return this.#memory.keys(max)
  }

  #noteBulk(nowMs: number): void {
    // Its slices follow each other closely.
    if (nowMs - this.#bulkSeenMs > FIXED.bulkGapMs) this.#bulkSinceMs = nowMs
    this.#bulkSeenMs = nowMs
  }

  /** With what is missing read; again where a product has changed meanwhile. */
  async #readAll(skus: ReadonlySet<string>): Promise<Catalog> {
    for (let attempt = 1; ; attempt++) {
      const since = this.version
      const loaded = await Promise.all(
        [...skus].map(async sku => [sku, this.#memory.get(sku) ?? (await this.#load(sku))] as const),
      )
      const newest = loaded.reduce((version, [, one]) => Math.max(version, one.version), 0)
      if (newest > this.version) await this.#deps.catchUp(newest)
      const isGood = newest <= this.version && !this.anyChanged(skus, since)
      // After many attempts what there is is stamped with the version before: it is at least as new, and the next look finds the changes.
      if (isGood || attempt === READ_ATTEMPTS_MAX) return catalogOf(isGood ? this.version : since, loaded)
    }
  }

  async #loadMany(wanted: readonly string[]): Promise<Loaded[]> {
    const skus = [...new Set(wanted)]
    const found = new Map<string, Loaded>()
    for (let at = 0; at < skus.length; at += FIXED.catalogLoadRows)
      await this.#loadSome(skus.slice(at, at + FIXED.catalogLoadRows), found)
    return wanted.map(sku => found.get(sku) ?? UNKNOWN)
  }

  async #loadSome(skus: readonly string[], into: Map<string, Loaded>): Promise<void> {
    const { cache, metrics } = this.#deps
    const since = this.version
    const found = new Map<string, Loaded>()
    const cached = await cache.get(skus).catch(missIfUnavailable)
    for (const [at, sku] of skus.entries()) {
      const entry = cached?.[at]
      if (entry && !this.#log.hasChanged(sku, entry.readAt)) found.set(sku, entry)
    }
    metrics.productReads.inc({ from: 'cache' }, found.size)
    const missing = skus.filter(sku => !found.has(sku))
    if (missing.length > 0) {
      const read = await this.#readFromDatabase(missing)
      for (const [sku, loaded] of read) found.set(sku, loaded)
      if (cached) cache.set(read, since).catch(() => undefined) // beside the answer: the next reader reads the database again
    }
    for (const [sku, loaded] of found) {
      into.set(sku, loaded)
      // A change of a later version counts too: it has left memory already, before its version is reached.
      if (!this.#log.hasChanged(sku, since)) this.#memory.set(sku, loaded)
    }
  }

  async #readFromDatabase(skus: readonly string[]): Promise<Map<string, Loaded>> {
    const { global, metrics } = this.#deps
    metrics.productReads.inc({ from: 'database' }, skus.length)
    const rows = await catalogRows.many(global, skus)
    const found = new Map<string, Loaded>(skus.map(sku => [sku, UNKNOWN]))
    for (const { product, status } of rows)
      found.set(product.sku, { product: status === 'active' ? product : null, version: product.version ?? 0 })
    return found
  }
}

function bytesOf({ product }: Loaded): number {
  return ENTRY_BYTES + (product === null ? 0 : BYTES_PER_CHARACTER * JSON.stringify(product).length)
}

function catalogOf(version: number, found: readonly (readonly [string, Loaded])[]): Catalog {
  const products = new Map<string, Product>()
  for (const [sku, { product }] of found) if (product) products.set(sku, product)
  return { version, products }
}
