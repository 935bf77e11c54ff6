import { type Minor, plus, times } from '../model/money.ts'
import type { Product } from '../model/product.ts'

/**
 * What a cart costs: pure, no clock, no I/O. Prices come from the catalogue snapshot, never from the caller. Totals are of
 * the selected lines; a product that is no longer sold stays in the cart, costs nothing and is not counted.
 */
export interface LineToPrice {
  readonly sku: string
  readonly quantity: number
  readonly selected: boolean
}

export interface PricedLine {
  /** The product's name; the sku where the product is not sold any more. */
  readonly name: string
  readonly unitPrice: Minor
  readonly total: Minor
  readonly available: boolean
}

export interface Totals {
  readonly lines: number
  readonly units: number
  readonly subtotal: Minor
  readonly discount: Minor
  readonly total: Minor
}

export interface PricedCart {
  readonly catalogVersion: number
  readonly lines: readonly PricedLine[]
  readonly totals: Totals
}

export interface Catalog {
  readonly version: number
  readonly products: ReadonlyMap<string, Product>
}

export function priceCart(lines: readonly LineToPrice[], catalog: Catalog): PricedCart {
  const totals = { lines: 0, units: 0, subtotal: 0, discount: 0, total: 0 }
  const priced = lines.map((line): PricedLine => {
    const product = catalog.products.get(line.sku)
    if (!product) return { name: line.sku, unitPrice: 0, total: 0, available: false }
    const total = times(product.price, line.quantity)
    if (line.selected) {
      totals.lines++
      totals.units += line.quantity
      totals.subtotal = plus(totals.subtotal, total)
    }
    return { name: product.name, unitPrice: product.price, total, available: true }
  })
  totals.total = totals.subtotal - totals.discount
  return { catalogVersion: catalog.version, lines: priced, totals }
}
