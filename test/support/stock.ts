import { randomUUID } from 'node:crypto'
import { stockItemOf } from '../../src/model/order.ts'
import type { Product, StockMode } from '../../src/model/product.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import type { TestApp } from './app.ts'

/** A product of its own for a test, with its stock counted. */
export interface Stocked {
  readonly sku: string
  readonly item: string
}

export async function newProduct(
  app: TestApp,
  {
    free,
    mode = 'reserve',
    perUserMax,
    price = 1_000,
    stockItem,
  }: {
    free?: number
    mode?: StockMode
    perUserMax?: number
    price?: number
    stockItem?: string
  },
): Promise<Stocked> {
  const sku = `S-${randomUUID().slice(0, 12)}`
  const product: Product = {
    sku,
    name: `Thing ${sku}`,
    price,
    category: 'stocked',
    stock: mode,
    ...(stockItem === undefined ? {} : { stockItem }),
  }
  const item = stockItemOf(product)
  if (free !== undefined) await app.inventory.set(item, { free, perUserMax: perUserMax ?? null })
  await app.catalog.atLeast(await catalogRows.put(app.global, [product]))
  return { sku, item }
}
