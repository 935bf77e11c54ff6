import type { CatalogChanges } from '../catalog/catalog-changes.ts'
import { AppError, isAppError, messageOf } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { stockItemOf } from '../model/order.ts'
import type { Product, StockMode } from '../model/product.ts'
import { SALE_ID } from '../model/sale.ts'
import { catalogRows } from '../store/catalog.ts'
import { type Database, DuplicateKeyError, LockWaitError, type Transaction } from '../store/database.ts'
import { type SaleRow, saleRows } from '../store/sales.ts'
import type { StockLevels } from '../store/stock.ts'
import type { Inventory } from './stock-levels.ts'
import type { Stock } from './inventory.ts'

interface Units {
  /** Units that shall be free; left out: as it is. */
  readonly units?: number | undefined
  /** null: no limit; left out: as it is. */
  readonly perUserMax?: number | null | undefined
}

/**
 * What operators do with the stock of products and with sales.
 *
 * More units come last. Before, what is counted and on sale was committed, and every shard says so (store/catalog-watermark.ts): an instance that orders
 * one of the units, on whichever instance, knows that it is counted.
 */
export interface Stocking extends Units {
  /** Left out: as it is; of a product that is not counted: reserve. */
  readonly mode?: StockMode | undefined
  /** The stock it shares with other products. */
  readonly stockItem?: string | undefined
}

type SaleWish = Omit<SaleRow, 'endsAt'> & {
  readonly endsAt?: string | undefined
  readonly perUserMax: number | undefined
  /** Set the free units of a product that is counted already. */
  readonly replace: boolean
}

interface StockKeepingDeps {
  readonly global: Database
  readonly catalogChanges: CatalogChanges
  readonly inventory: Inventory
  readonly stock: Stock
}

export function createStockKeeping(deps: StockKeepingDeps) {
  const { global } = deps
  return {
    setStock: (sku: string, wish: Stocking) => setStock(deps, sku, wish),

    /** @throws AppError `product_not_found`, `stock_not_found` for a product that is not counted */
    levelsOf: (sku: string) => levelsOf(deps, sku),

    /** What a sale would change; nothing is changed. @throws AppError `product_not_found`, `invalid_request` */
    checkSale: (wish: SaleWish) => checkSale(deps, wish, global),

    /** @throws AppError as `setStock` and `checkSale`; `invalid_request` for an id that is taken */
    openSale: (wish: SaleWish) => openSale(deps, wish),

    /** @throws AppError `sale_not_found` */
    endSale: (id: string) => endSale(deps, id),

    listSales: (): Promise<SaleRow[]> => saleRows.list(global, 100),
  }
}

async function openSale(deps: StockKeepingDeps, wish: SaleWish): Promise<void> {
  const { id, sku, units, perUserMax = null } = wish
  const { item, isSet } = await change(deps, async (tx, version) => {
    const { known, free } = await checkSale(deps, wish, tx)
    await saleRows.insert(tx, { endsAt: undefined, ...wish, units: 0 })
    await catalogRows.setStock(tx, version, { sku, mode: 'reserve', item: known.stockItem })
    await tightenStock(deps, stockItemOf(known), { units, perUserMax })
    return { item: stockItemOf(known), isSet: free !== undefined && !wish.replace }
  }).catch((error: unknown) => {
    if (!(error instanceof DuplicateKeyError)) throw error
    throw new AppError('invalid_request', `There is a sale '${id}' already.`, { cause: error })
  })
  try {
    // What was counted before and is to stay is being ordered: what is free by now is what is left of it.
    await setUnits(deps, item, { units: isSet ? undefined : units, perUserMax })
    await change(deps, tx => saleRows.setUnits(tx, id, units))
  } catch (cause) {
    const detail = `The sale '${id}' is announced and may not start: end it and make another. ${messageOf(cause)}`
    throw new AppError(isAppError(cause) ? cause.code : 'unavailable', detail, { cause })
  }
}

async function endSale({ global }: StockKeepingDeps, id: string): Promise<void> {
  if (!(await saleRows.end(global, id))) throw new AppError('sale_not_found', `There is no open sale '${id}'.`)
}

async function levelsOf(deps: StockKeepingDeps, sku: string): Promise<StockLevels & { mode: StockMode; item: string }> {
  const { global, stock } = deps
  const known = await product(global, sku)
  const item = stockItemOf(known)
  const levels = await stock.levels(item)
  if (!levels) throw new AppError('stock_not_found', `The stock of '${sku}' is not counted.`)
  return { ...levels, item, mode: known.stock ?? 'none' }
}

async function product(rows: Database | Transaction, sku: string): Promise<Product> {
  const found = await catalogRows.find(rows, sku)
  if (!found) throw new AppError('product_not_found', `There is no product '${sku}'.`, { extra: { sku } })
  return found
}

/** One new version of the catalogue, which every order goes by from now on. */
const change = <T>(
  { catalogChanges }: StockKeepingDeps,
  work: (tx: Transaction, version: number) => Promise<T>,
): Promise<T> =>
  busyIfLocked(
    catalogChanges.inOneVersion(async (tx, version) => ({ result: await work(tx, version), isChanged: true })),
  )

/** Fewer units and a tighter limit hold before the product is counted; more come last. */
async function tightenStock(
  { inventory, stock }: StockKeepingDeps,
  item: string,
  { units, perUserMax }: Units,
): Promise<void> {
  if (!(await stock.levels(item))) return
  await inventory.set(item, { freeAtMost: units, perUserAtMost: perUserMax ?? undefined })
}

function setUnits({ inventory }: StockKeepingDeps, item: string, { units, perUserMax }: Units): Promise<StockLevels> {
  return busyIfLocked(inventory.set(item, { free: units, perUserMax }))
}

/**
 * @throws AppError `product_not_found`, `invalid_request`, `overloaded`, `unavailable` when a shard is away; then there are no more units
 * than before and than wished, and it can be done again
 */
async function setStock(deps: StockKeepingDeps, sku: string, wish: Stocking): Promise<StockLevels | undefined> {
  const { global, stock } = deps
  const before = await product(global, sku)
  const mode = wish.mode ?? (before.stock === undefined || before.stock === 'none' ? 'reserve' : before.stock)
  if (mode !== 'none' && wish.units === undefined && !(await stock.levels(itemOf(before, wish)))) {
    const detail = 'must be said for a product that was not counted: without them it would be sold out'
    throw new AppError('invalid_request', `units ${detail}`, { errors: [{ in: 'body', pointer: '#/units', detail }] })
  }
  const isChanged =
    (before.stock ?? 'none') !== mode || (wish.stockItem !== undefined && before.stockItem !== wish.stockItem)
  const changed = async (tx: Transaction, version: number) => {
    const known = await product(tx, sku)
    await catalogRows.setStock(tx, version, { sku, mode, item: wish.stockItem ?? known.stockItem })
    if (mode !== 'none') await tightenStock(deps, itemOf(known, wish), wish)
    return known
  }
  const item = itemOf(isChanged ? await change(deps, changed) : before, wish)
  return mode === 'none' ? stock.levels(item) : setUnits(deps, item, wish)
}

async function checkSale(
  deps: StockKeepingDeps,
  wish: SaleWish,
  rows: Database | Transaction,
): Promise<{ known: Product; free: number | undefined }> {
  const { stock } = deps
  const wrong = (field: string, detail: string) =>
    new AppError('invalid_request', `${field} ${detail}`, {
      errors: [{ in: 'body', pointer: `#/${field}`, detail }],
    })
  if (!SALE_ID.test(wish.id)) throw wrong('id', 'must be lower-case letters, digits and hyphens, at most 32')
  const startsMs = Date.parse(wish.startsAt)
  if (Number.isNaN(startsMs)) throw wrong('starts', 'must be a time')
  if (startsMs < Date.now() - FIXED.clockSkewMs) throw wrong('starts', 'must not be in the past')
  if (wish.endsAt !== undefined && !(Date.parse(wish.endsAt) > startsMs)) throw wrong('ends', 'must be after the start')
  const known = await product(rows, wish.sku)
  const open = await saleRows.open(rows.rows, FIXED.salesOpenMax)
  for (const sale of open) {
    const other = sale.sku === wish.sku ? known : await catalogRows.find(rows, sale.sku)
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
  return { known, free: levels?.free }
}

const itemOf = ({ sku, stockItem }: Product, wish: Pick<Stocking, 'stockItem'>): string =>
  stockItemOf({ sku, stockItem: wish.stockItem ?? stockItem })

/** The rows are locked by an import, or by orders of a product in demand. */
async function busyIfLocked<T>(work: Promise<T>): Promise<T> {
  return work.catch((cause: unknown) => {
    if (!(cause instanceof LockWaitError)) throw cause
    throw new AppError('overloaded', 'The same rows are being changed just now: try again.', {
      retryAfterS: 1,
      cause,
    })
  })
}
