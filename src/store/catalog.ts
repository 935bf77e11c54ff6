import { splitPrice, type UnitPrice } from '../model/money.ts'
import { type Product, type ProductState, searchForm, type StockMode } from '../model/product.ts'
import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'

/**
 * Products, in the global database. Every change raises the catalogue's version, in the same transaction; caches of
 * products and the totals of carts carry the version they were made from.
 */

export interface ProductFilter {
  readonly category?: string | undefined
  /** Start of the name, in search form. */
  readonly prefix?: string | undefined
  readonly priceMin?: number | undefined
  readonly priceMax?: number | undefined
}

/** Where the page before ended: the sort columns of its last product. */
export type ProductCursor = readonly (string | number)[]

/** What products are sorted by: always columns of an index that the filter enters, so depth costs nothing. */
export type ProductOrder = 'name' | 'price' | 'sku'

export function orderOf(filter: ProductFilter): ProductOrder {
  if (filter.prefix !== undefined) return 'name'
  return filter.priceMin !== undefined || filter.priceMax !== undefined ? 'price' : 'sku'
}

const PRODUCT_COLUMNS =
  'sku, name, price, category, tags, list_price, floor_price, fine_prices, tax_rate, tax_milli, stock_mode, stock_item, version'
/** What is off sale is in the table, and nowhere else. */
const ON_SALE = "status = 'active'"
const SORT_COLUMN = { name: 'search_name', price: 'price' } as const

/** One constant text per combination of sort order, category and continuation. */
function listStatement(order: ProductOrder, byCategory: boolean, after: boolean): string {
  const where = byCategory ? ['category = ?', ON_SALE] : [ON_SALE]
  if (order === 'sku') {
    if (after) where.push('sku > ?')
  } else {
    const column = SORT_COLUMN[order]
    if (order === 'name') where.push("search_name LIKE ? ESCAPE '|'")
    where.push('price >= ?', 'price <= ?')
    if (after) where.push(`${column} >= ?`, `(${column} > ? OR sku > ?)`)
  }
  const by = order === 'sku' ? 'sku' : `${SORT_COLUMN[order]}, sku`
  return statement(`SELECT ${PRODUCT_COLUMNS} FROM products WHERE ${where.join(' AND ')} ORDER BY ${by} LIMIT ?`)
}

const LIST = new Map<string, string>()
for (const order of ['name', 'price', 'sku'] as const) {
  for (const byCategory of [true, false]) {
    for (const after of [true, false])
      LIST.set(`${order}/${byCategory}/${after}`, listStatement(order, byCategory, after))
  }
}

const SELECT_STATE = statement("SELECT name, version FROM catalog_state WHERE name IN ('products', 'forget')")
const LOCK_VERSION = statement("SELECT version FROM catalog_state WHERE name = 'products' FOR UPDATE")
const SET_VERSION = statement("UPDATE catalog_state SET version = ? WHERE name = 'products'")
const FORGET_BEFORE = statement("UPDATE catalog_state SET version = ? WHERE name = 'forget'")
const SELECT_PRODUCT = statement(`SELECT ${PRODUCT_COLUMNS} FROM products WHERE sku = ? AND ${ON_SALE}`)
const SELECT_MANY = statement(`SELECT ${PRODUCT_COLUMNS}, status FROM products WHERE sku IN (?)`)
const SELECT_CHANGES = statement(`
  SELECT sku, version FROM products WHERE version >= ? AND (version > ? OR sku > ?) ORDER BY version, sku LIMIT ?`)
const SELECT_LATEST = statement('SELECT sku, version FROM products ORDER BY version DESC LIMIT ?')
const KNOWN_CATEGORIES = statement(`SELECT DISTINCT category FROM products WHERE category IN (?) AND ${ON_SALE}`)
const COUNT_PRODUCTS = statement('SELECT COUNT(*) AS products FROM products')

const UPSERT_PRODUCTS = statement(`
  INSERT INTO products (sku, name, search_name, price, category, version, tags, list_price, floor_price, tax_rate,
    tax_milli, stock_mode, stock_item, status, fine_prices) VALUES ?
  ON DUPLICATE KEY UPDATE name = VALUES(name), search_name = VALUES(search_name), price = VALUES(price),
    category = VALUES(category), version = VALUES(version), tags = VALUES(tags), list_price = VALUES(list_price),
    floor_price = VALUES(floor_price), tax_rate = VALUES(tax_rate), tax_milli = VALUES(tax_milli), status = VALUES(status),
    fine_prices = VALUES(fine_prices)`)

// How stock is counted is set by itself: an import of prices must not undo it.
const SET_STOCK = statement('UPDATE products SET stock_mode = ?, stock_item = ?, version = ? WHERE sku = ?')

interface ProductRow {
  sku: string
  name: string
  price: string | number
  category: string
  tags: string
  list_price: string | number | null
  floor_price: string | number | null
  /** Of prices with parts of a minor unit (0007-price-parts.sql); null where all are whole. */
  fine_prices: string | null
  /** Hundredths of a percent: what releases before 0.2.0 read. */
  tax_rate: number
  /** Thousandths of a percent; null in rows that only such a release has written. */
  tax_milli: number | null
  stock_mode: StockMode
  stock_item: string | null
  version: string | number
}

/** The catalogue as a whole: the version it is at, and the one before which nothing that was kept of it may be used any more. */
export interface CatalogState {
  readonly version: number
  readonly forget: number
}

export interface ProductVersion {
  readonly sku: string
  readonly version: number
}

const UPSERT_ROWS = 500
const VERSIONS_PER_SECOND_MAX = 10_000
const PRICE_MAX = Number.MAX_SAFE_INTEGER

export const catalogRows = {
  async state(global: Database): Promise<CatalogState> {
    const rows = await global.background<{ name: string; version: string }>(SELECT_STATE)
    const versionOf = (wanted: string) => rows.find(({ name }) => name === wanted)?.version
    const version = versionOf('products')
    if (version === undefined) throw new Error('the catalogue has no version: has the database been migrated?')
    return { version: Number(version), forget: Number(versionOf('forget') ?? 0) }
  },

  /**
   * Which products have changed after a version, in the order of their versions, `rows` at a time. What has changed twice comes once, with
   * its newer version. Each page is complete up to the version before that of its last row; the last page is complete.
   */
  async *changesSince(global: Database, version: number, rows: number): AsyncGenerator<ProductVersion[]> {
    let last: ProductVersion = { version: version + 1, sku: '' }
    for (;;) {
      const values = [last.version, last.version, last.sku, limitTo(rows)]
      const found = await global.background<{ sku: string; version: string }>(SELECT_CHANGES, values)
      const page = found.map(row => ({ sku: row.sku, version: Number(row.version) }))
      yield page
      const end = page.at(-1)
      if (!end || page.length < rows) return
      last = end
    }
  },

  /** The latest changes, in the order of their versions: all after version `since`. */
  async latestChanges(global: Database, rows: number): Promise<{ since: number; changes: ProductVersion[] }> {
    const found = await global.background<{ sku: string; version: string }>(SELECT_LATEST, [limitTo(rows)])
    const changes = found.map(row => ({ sku: row.sku, version: Number(row.version) })).reverse()
    return { since: found.length < rows ? 0 : (changes[0]?.version ?? 0), changes }
  },

  /** Products by their codes, those that are off sale too. */
  async many(global: Database | Transaction, skus: readonly string[]): Promise<Stored[]> {
    const rows = await global.rows<ProductRow & { status: ProductState }>(SELECT_MANY, [skus])
    return rows.map(row => ({ product: productOf(row), status: row.status }))
  },

  async find(global: Database | Transaction, sku: string): Promise<Product | undefined> {
    const [row] = await global.rows<ProductRow>(SELECT_PRODUCT, [sku])
    return row && productOf(row)
  },

  /** One page; ask for one more than is shown to learn whether there is a next. */
  async list(
    global: Database,
    filter: ProductFilter,
    after: ProductCursor | undefined,
    limit: number,
  ): Promise<Product[]> {
    const order = orderOf(filter)
    const sql = LIST.get(`${order}/${filter.category !== undefined}/${after !== undefined}`)
    if (sql === undefined) throw new Error('no statement for this order')
    const values: unknown[] = filter.category === undefined ? [] : [filter.category]
    if (order === 'name') values.push(`${(filter.prefix ?? '').replace(/[|%_]/g, '|$&')}%`)
    if (order !== 'sku') values.push(filter.priceMin ?? 0, filter.priceMax ?? PRICE_MAX)
    if (after) values.push(...(order === 'sku' ? after : [after[0], ...after]))
    return (await global.rows<ProductRow>(sql, [...values, limitTo(limit)])).map(productOf)
  },

  /** Those of some categories that a product on sale is in. */
  async knownCategories(global: Database, categories: readonly string[]): Promise<string[]> {
    if (categories.length === 0) return []
    const rows = await global.rows<{ category: string }>(KNOWN_CATEGORIES, [categories])
    return rows.map(({ category }) => category)
  },

  async count(global: Database): Promise<number> {
    const [row] = await global.rows<{ products: string | number }>(COUNT_PRODUCTS)
    return Number(row?.products ?? 0)
  },

  /** Inserts or changes products as one new version, all or none. Returns that version. */
  async put(global: Database, products: readonly Product[]): Promise<number> {
    return global.transaction(async tx => {
      const version = (await lockVersion(tx)) + 1
      await upsert(
        tx,
        version,
        products.map(product => ({ product, status: 'active' })),
      )
      await tx.run(SET_VERSION, [version])
      return version
    })
  },

  /** The version that a transaction may make; no other makes it meanwhile. */
  nextVersion: async (tx: Transaction): Promise<number> => (await lockVersion(tx)) + 1,

  async setVersion(tx: Transaction, version: number): Promise<void> {
    await tx.run(SET_VERSION, [version])
  },

  /** How the stock of a product is counted. */
  async setStock(
    tx: Transaction,
    version: number,
    { sku, mode, item }: { sku: string; mode: StockMode; item: string | undefined },
  ): Promise<void> {
    await tx.run(SET_STOCK, [mode, item ?? null, version, sku])
  },

  /**
   * Makes a version that was never used: beyond `used` and what may have followed it within a second. Nothing changes in it, and nothing
   * that was kept of earlier ones may be used any more.
   */
  async goBeyond(global: Database, used: number): Promise<number> {
    return global.transaction(async tx => {
      const version = Math.max(await lockVersion(tx), used) + VERSIONS_PER_SECOND_MAX
      await tx.run(SET_VERSION, [version])
      await tx.run(FORGET_BEFORE, [version])
      return version
    })
  },

  /** Waits for a change that has been announced; one that was given up is made good by a version in which nothing changes. */
  async settle(global: Database, announced: number): Promise<void> {
    await global.transaction(async tx => {
      if ((await lockVersion(tx)) < announced) await tx.run(SET_VERSION, [announced])
    })
  },
}

/** A product as it is in the table. */
export interface Stored {
  readonly product: Product
  readonly status: ProductState
}

/** As it is written, in the order of the statement. */
export function rowOf({ product: p, status }: Stored, version: number): (string | number | null)[] {
  const percent = p.taxPercent ?? 0
  return [
    p.sku,
    p.name,
    searchForm(p.name),
    splitPrice(p.price).whole,
    p.category,
    version,
    (p.tags ?? []).join(','),
    p.listPrice === undefined ? null : splitPrice(p.listPrice).whole,
    p.floorPrice === undefined ? null : splitPrice(p.floorPrice).whole,
    Math.round(percent * 100),
    Math.round(percent * 1_000),
    p.stock ?? 'none',
    p.stockItem ?? null,
    status,
    finePrices(p),
  ]
}

export async function upsert(tx: Transaction, version: number, products: readonly Stored[]): Promise<void> {
  for (let at = 0; at < products.length; at += UPSERT_ROWS) {
    const part = products.slice(at, at + UPSERT_ROWS)
    await tx.run(UPSERT_PRODUCTS, [part.map(one => rowOf(one, version))])
  }
}

async function lockVersion(tx: Transaction): Promise<number> {
  const [row] = await tx.rows<{ version: string }>(LOCK_VERSION)
  return Number(row?.version ?? 0)
}

function productOf(row: ProductRow): Product {
  const fine = (row.fine_prices ?? '').split(',')
  return {
    sku: row.sku,
    name: row.name,
    price: priceOf(row.price, fine[0]),
    category: row.category,
    ...(row.tags === '' ? {} : { tags: row.tags.split(',') }),
    ...(row.list_price === null ? {} : { listPrice: priceOf(row.list_price, fine[1]) }),
    ...(row.floor_price === null ? {} : { floorPrice: priceOf(row.floor_price, fine[2]) }),
    ...taxOf(row),
    ...(row.stock_mode === 'none' ? {} : { stock: row.stock_mode }),
    ...(row.stock_item === null ? {} : { stockItem: row.stock_item }),
    version: Number(row.version),
  }
}

/** The finer one, unless a release that does not know it has changed the price since. */
function priceOf(whole: string | number, fine: string | undefined): UnitPrice {
  const price = Number(fine)
  return fine && splitPrice(price).whole === Number(whole) ? price : Number(whole)
}

/** Six decimals at most, as `readPrice` takes them. */
function finePrices({ price, listPrice, floorPrice }: Product): string | null {
  const texts = [price, listPrice, floorPrice].map(one => (one === undefined || Number.isInteger(one) ? '' : `${one}`))
  return texts.every(text => text === '') ? null : texts.join(',')
}

/** The finer one, unless a release that does not know it has changed the rate since. */
function taxOf({ tax_rate: rate, tax_milli: milli }: ProductRow): { taxPercent?: number } {
  const isCurrent = milli !== null && Math.round(milli / 10) === rate
  const percent = isCurrent ? milli / 1_000 : rate / 100
  return percent === 0 ? {} : { taxPercent: percent }
}
