import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { stockItemOf } from '../model/order.ts'
import type { StockMode } from '../model/product.ts'
import { SALE_ID } from '../model/sale.ts'
import { catalogRows } from '../store/catalog.ts'
import { catalogFloor } from '../store/catalog-floor.ts'
import { type Database, DuplicateKeyError } from '../store/database.ts'
import type { Router } from '../store/router.ts'
import { type SaleRow, saleRows } from '../store/sales.ts'
import type { StockLevels } from '../store/stock.ts'
import type { Inventory } from './inventory.ts'
import type { Stock } from './stock.ts'

/**
 * What operators do with the stock of products and with sales.
 *
 * Units are set last. Before, what is counted and on sale was committed, and every shard says so (store/catalog-floor.ts): whoever orders
 * one of the units, on whichever instance, knows that it is counted.
 */
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
  router,
  inventory,
  stock,
}: {
  global: Database
  router: Router
  inventory: Inventory
  stock: Stock
}) {
  async function product(sku: string) {
    const found = await catalogRows.find(global, sku)
    if (!found) throw new AppError('product_not_found', `There is no product '${sku}'.`, { extra: { sku } })
    return found
  }

  const announce = (version: number) => catalogFloor.raise(router.shards, version)

  /** @throws AppError `product_not_found`, `invalid_request`, `unavailable` when a shard is away: then nothing is changed */
  async function setStock(sku: string, { mode, ...wish }: Stocking): Promise<StockLevels | undefined> {
    const known = await product(sku)
    const stockItem = wish.stockItem ?? known.stockItem
    if ((known.stock ?? 'none') !== mode || known.stockItem !== stockItem) {
      await catalogRows.changeKnown(global, announce, (tx, version) =>
        catalogRows.setStock(tx, version, { sku, mode, item: stockItem }),
      )
    }
    const item = stockItemOf({ sku, ...(stockItem === undefined ? {} : { stockItem }) })
    return mode === 'none' ? stock.levels(item) : setUnits(item, wish)
  }

  async function setUnits(item: string, { units, perUserMax }: Pick<Stocking, 'units' | 'perUserMax'>) {
    return inventory.set(item, {
      ...(units === undefined ? {} : { free: units }),
      ...(perUserMax === undefined ? {} : { perUserMax }),
    })
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

    /** @throws AppError as checkSale; `invalid_request` for an id that is taken; `unavailable` when a shard is away */
    async openSale(wish: SaleWish): Promise<void> {
      await checkSale(wish)
      const { sku, units, perUserMax } = wish
      const known = await product(sku)
      try {
        await catalogRows.changeKnown(global, announce, async (tx, version) => {
          await saleRows.insert(tx, { endsAt: undefined, ...wish })
          await catalogRows.setStock(tx, version, { sku, mode: 'reserve', item: known.stockItem })
        })
      } catch (error) {
        if (!(error instanceof DuplicateKeyError)) throw error
        throw new AppError('invalid_request', `There is a sale '${wish.id}' already.`, { cause: error })
      }
      await setUnits(stockItemOf(known), { units, perUserMax: perUserMax ?? null })
    },

    /** @throws AppError `sale_not_found` */
    async endSale(id: string): Promise<void> {
      if (!(await saleRows.end(global, id))) throw new AppError('sale_not_found', `There is no open sale '${id}'.`)
    },

    listSales: (): Promise<SaleRow[]> => saleRows.list(global, 100),
  }
}
