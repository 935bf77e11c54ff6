import type { PageCache } from '../cache/page-cache.ts'
import { AppError } from '../lib/errors.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { splitPrice } from '../model/money.ts'
import { type Product, searchForm } from '../model/product.ts'
import { catalogRows, orderOf, type ProductCursor, type ProductFilter, type ProductOrder } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { etagOf, ListingPages } from './listing-pages.ts'
import type { ProductStore } from './product-store.ts'

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
  /** Names the content. */
  readonly etag: string
}

export type Products = ReturnType<typeof createProducts>

interface ProductsDeps {
  readonly global: Database
  readonly pages: PageCache
  readonly products: Pick<ProductStore, 'version' | 'forgottenBefore' | 'of'>
  readonly currency: string
  readonly metrics: Metrics
}

/** Products for shoppers. One product is as new as this instance is; pages of products: listing-pages.ts. */
export function createProducts({ global, pages, products, currency, metrics }: ProductsDeps) {
  const listing = new ListingPages({ pages, products, metrics })

  /** @throws AppError `product_not_found`; `unavailable` when it could not be read */
  async function find(sku: string): Promise<Product> {
    const product = (await products.of([sku])).products.get(sku)
    if (!product) throw new AppError('product_not_found', `There is no product '${sku}'.`, { extra: { sku } })
    return product
  }

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
      return listing.get(`page:${JSON.stringify([filter, after, query.limit])}`, async () => {
        const rows = await catalogRows.list(global, filter, after, query.limit + 1)
        const data = rows.slice(0, query.limit)
        const last = data.at(-1)
        const next = rows.length > query.limit && last ? writeCursor(last, order) : null
        return JSON.stringify({ data: data.map(shown), currency, page: { limit: query.limit, next } })
      })
    },

    find,

    /** @throws as `find` */
    async one(sku: string): Promise<CatalogPage> {
      const body = JSON.stringify({ ...shown(await find(sku)), currency })
      return { body, etag: etagOf(body) }
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
