import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { stockItemOf } from '../model/order.ts'
import type { StockMode } from '../model/product.ts'
import { SALE_ID } from '../model/sale.ts'
import { catalogRows } from '../store/catalog.ts'
import { type Database, DuplicateKeyError } from '../store/database.ts'
import { type SaleRow, saleRows } from '../store/sales.ts'
import type { StockLevels } from '../store/stock.ts'
import type { Inventory } from './inventory.ts'
import type { Stock } from './stock.ts'

/** What operators do with the stock of products and with sales. */
export interface Stocking {
  readonly mode: StockMode
  /** Units that shall be free; left out: as it is. */
  readonly units?: number | undefined
  /** null: no limit; left out: as it is. */
  readonly perUserMax?: number | null | undefined
  /** The stock it shares with other products. */
  readonly stockItem?: string | undefined
}

export type SaleWish = Omit<SaleRow, 'endsAt'> & {
  readonly endsAt?: string | undefined
  readonly perUserMax: number | undefined
  /** Set the free units of a product that is counted already. */
  readonly replace: boolean
}

export type StockKeeping = ReturnType<typeof createStockKeeping>

export function createStockKeeping({
  global,
  inventory,
  stock,
}: {
  global: Database
  inventory: Inventory
  stock: Stock
}) {
  async function product(sku: string) {
    const found = await catalogRows.find(global, sku)
    if (!found) throw new AppError('product_not_found', `There is no product '${sku}'.`, { extra: { sku } })
    return found
  }

  /** @throws AppError `product_not_found`, `invalid_request` */
  async function setStock(sku: string, wish: Stocking): Promise<StockLevels | undefined> {
    const known = await product(sku)
    const stockItem = wish.stockItem ?? known.stockItem
    const item = stockItemOf({ sku, ...(stockItem === undefined ? {} : { stockItem }) })
    let levels = await stock.levels(item)
    // The rows first: a product is never counted without them.
    if (wish.mode !== 'none') {
      const { units, perUserMax } = wish
      levels = await inventory.set(item, {
        ...(units === undefined ? {} : { free: units }),
        ...(perUserMax === undefined ? {} : { perUserMax }),
      })
    }
    if ((known.stock ?? 'none') !== wish.mode || known.stockItem !== stockItem) {
      await catalogRows.setStock(global, [{ sku, mode: wish.mode, item: stockItem }])
    }
    return levels
  }

  /** What a sale would change; nothing is changed. @throws AppError `product_not_found`, `invalid_request` */
  async function checkSale(wish: SaleWish): Promise<{ free: number | undefined }> {
    const wrong = (field: string, detail: string) =>
      new AppError('invalid_request', `${field} ${detail}`, {
        errors: [{ in: 'body', pointer: `#/${field}`, detail }],
      })
    if (!SALE_ID.test(wish.id)) throw wrong('id', 'must be lower-case letters, digits and hyphens, at most 32')
    const startsMs = Date.parse(wish.startsAt)
    if (Number.isNaN(startsMs)) throw wrong('starts', 'must be a time')
    if (startsMs < Date.now() - FIXED.clockSkewMs) throw wrong('starts', 'must not be in the past')
    if (wish.endsAt !== undefined && !(Date.parse(wish.endsAt) > startsMs))
      throw wrong('ends', 'must be after the start')
    const known = await product(wish.sku)
    const open = await saleRows.open(global, FIXED.salesOpenMax)
    for (const sale of open) {
      const other = sale.sku === wish.sku ? known : await catalogRows.find(global, sale.sku)
      if (other && stockItemOf(other) === stockItemOf(known))
        throw wrong('sku', `is of the stock of the sale '${sale.id}' already; end that one first`)
    }
    if (open.length >= FIXED.salesOpenMax)
      throw wrong('id', `is one too many: at most ${FIXED.salesOpenMax} sales are open`)
    const levels = known.stock === undefined ? undefined : await stock.levels(stockItemOf(known))
    if (levels && levels.free !== wish.units && !wish.replace) {
      throw wrong(
        'units',
        `would change the stock of '${wish.sku}', which has ${levels.free} free: say --replace to set it`,
      )
    }
    return { free: levels?.free }
  }

  return {
    setStock,

    /** @throws AppError `product_not_found`, `stock_not_found` for a product that is not counted */
    async levelsOf(sku: string): Promise<StockLevels & { mode: StockMode; item: string }> {
      const known = await product(sku)
      const item = stockItemOf(known)
      const levels = await stock.levels(item)
      if (!levels) throw new AppError('stock_not_found', `The stock of '${sku}' is not counted.`)
      return { ...levels, item, mode: known.stock ?? 'none' }
    },

    checkSale,

    /** Announces the sale, then sets the stock. @throws AppError as checkSale; `invalid_request` for an id that is taken */
    async openSale(wish: SaleWish, announceMs = FIXED.salePollMs * 2): Promise<void> {
      await checkSale(wish)
      try {
        await saleRows.insert(global, { endsAt: undefined, ...wish })
      } catch (error) {
        if (!(error instanceof DuplicateKeyError)) throw error
        throw new AppError('invalid_request', `There is a sale '${wish.id}' already.`, { cause: error })
      }
      // When every instance has heard of it only who is admitted can order the product: then its stock is set.
      await sleep(announceMs)
      await setStock(wish.sku, { mode: 'reserve', units: wish.units, perUserMax: wish.perUserMax ?? null })
    },

    /** @throws AppError `sale_not_found` */
    async endSale(id: string): Promise<void> {
      if (!(await saleRows.end(global, id))) throw new AppError('sale_not_found', `There is no open sale '${id}'.`)
    },

    listSales: (): Promise<SaleRow[]> => saleRows.list(global, 100),
  }
}
