import { setTimeout as sleep } from 'node:timers/promises'
import type { PageCache } from '../cache/page-cache.ts'
import { AppError, missIfUnavailable } from '../lib/errors.ts'
import { createSingleFlight } from '../lib/single-flight.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import { splitPrice } from '../model/money.ts'
import { type Product, searchForm } from '../model/product.ts'
import { catalogRows, orderOf, type ProductCursor, type ProductFilter, type ProductOrder } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CatalogWatch } from './catalog-watch.ts'

/** Products as shoppers see them: one, or a page that costs the same however deep it is. */
interface ProductQuery {
  readonly limit: number
  readonly cursor?: string | undefined
  readonly category?: string | undefined
  readonly q?: string | undefined
  readonly minPrice?: number | undefined
  readonly maxPrice?: number | undefined
}

export interface CatalogPage {
  /** JSON, ready to send. */
  readonly body: Buffer | string
  readonly catalogVersion: number
}

export type Products = ReturnType<typeof createProducts>

interface ProductsDeps {
  readonly global: Database
  readonly pages: PageCache
  readonly watch: CatalogWatch
  readonly currency: string
  readonly metrics: Metrics
}

/** Product pages, from the cache where it has them. */
export function createProducts({ global, pages, watch, currency, metrics }: ProductsDeps) {
  const flights = createSingleFlight<Buffer | string>()

  /** Pages are made of one catalogue version; of all requests that miss one, over all instances, one makes it. */
  async function cached(request: string, make: () => Promise<string>): Promise<CatalogPage> {
    const catalogVersion = watch.version()
    const page = await look(catalogVersion, request)
    if (page) {
      metrics.pageReads.inc({ result: 'hit' })
      return { body: page, catalogVersion }
    }
    const body = await flights.run(`${catalogVersion}:${request}`, () =>
      page === null ? makeOnce(catalogVersion, request, make) : makeAlone('degraded', make),
    )
    return { body, catalogVersion }
  }

  async function makeOnce(version: number, request: string, make: () => Promise<string>): Promise<Buffer | string> {
    const isOurs = await pages.claim(version, request).catch(missIfUnavailable)
    if (isOurs === undefined) return makeAlone('degraded', make)
    if (!isOurs) {
      for (let looks = 0; looks < FIXED.catalogMakingLooks; looks++) {
        await sleep(FIXED.catalogLookMs)
        const page = await look(version, request)
        if (page) return page
      }
      return makeAlone('unfilled', make)
    }
    try {
      const made = await look(version, request) // by the previous holder of the claim
      if (made) return made
      const body = await makeAlone('filled', make)
      await pages.set(version, request, body).catch(missIfUnavailable)
      return body
    } finally {
      await pages.release(version, request).catch(missIfUnavailable)
    }
  }

  function makeAlone(result: 'filled' | 'unfilled' | 'degraded', make: () => Promise<string>): Promise<string> {
    metrics.pageReads.inc({ result })
    return make()
  }

  /** Null where there is none; undefined where the cache does not answer, so that nothing more is asked of it. */
  const look = (version: number, request: string) => pages.get(version, request).catch(missIfUnavailable)

  return {
    /** @throws AppError `invalid_request` for a cursor of another query */
    async page(query: ProductQuery): Promise<CatalogPage> {
      const filter: ProductFilter = {
        category: query.category,
        prefix: query.q === undefined ? undefined : searchForm(query.q),
        priceMin: query.minPrice,
        priceMax: query.maxPrice,
      }
      const order = orderOf(filter)
      const after = query.cursor === undefined ? undefined : readCursor(query.cursor, order)
      return cached(`page:${JSON.stringify([filter, after, query.limit])}`, async () => {
        const rows = await catalogRows.list(global, filter, after, query.limit + 1)
        const data = rows.slice(0, query.limit)
        const last = data.at(-1)
        const next = rows.length > query.limit && last ? writeCursor(last, order) : null
        return JSON.stringify({ data: data.map(shown), currency, page: { limit: query.limit, next } })
      })
    },

    /** @throws AppError `product_not_found` */
    async one(sku: string): Promise<CatalogPage> {
      return cached(`sku:${sku}`, async () => {
        const product = await catalogRows.find(global, sku)
        if (!product) throw new AppError('product_not_found', `There is no product '${sku}'.`, { extra: { sku } })
        return JSON.stringify({ ...shown(product), currency })
      })
    },
  }
}

/** What shoppers see of a product. */
function shown({ sku, name, price, category, listPrice }: Product): object {
  return { sku, name, price, category, ...(listPrice === undefined ? {} : { listPrice }) }
}

function writeCursor(last: Product, order: ProductOrder): string {
  switch (order) {
    case 'name':
      return encodeCursor(['name', searchForm(last.name), last.sku])
    case 'price':
      return encodeCursor(['price', splitPrice(last.price).whole, last.sku])
    case 'sku':
      return encodeCursor(['sku', last.sku])
  }
}

function readCursor(text: string, order: ProductOrder): ProductCursor {
  const types = {
    name: ['string', 'string', 'string'],
    price: ['string', 'number', 'string'],
    sku: ['string', 'string'],
  } as const
  const parts = decodeCursor(text, types[order])
  if (parts?.[0] !== order) {
    const detail = 'This cursor does not belong to this query; start again without a cursor.'
    throw new AppError('invalid_request', detail, { errors: [{ in: 'query', pointer: '#/cursor', detail }] })
  }
  return parts.slice(1)
}
