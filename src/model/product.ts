import { FIXED } from './limits.ts'
import type { UnitPrice } from './money.ts'

/** A thing that is sold. `price` is in minor units of the shop's one currency. */
export interface Product {
  readonly sku: string
  readonly name: string
  readonly price: UnitPrice
  readonly category: string
  readonly tags?: readonly string[]
  /** The price before a sale; above `price` when the product is on sale. */
  readonly listPrice?: UnitPrice
  /** No promotion brings a unit below this. */
  readonly floorPrice?: UnitPrice
  readonly taxPercent?: number
  /** How its stock is counted; `none` where it is not said. */
  readonly stock?: StockMode
  /** The stock it is taken from, where that is not its own: products that share one have the same. */
  readonly stockItem?: string
  /** The version of the catalogue that changed it last, where it comes from there. */
  readonly version?: number
}

/** `withdrawn`: off sale: in no list, not counted in a cart, not to be ordered, until it is put back. */
const PRODUCT_STATES = ['active', 'withdrawn'] as const
export type ProductState = (typeof PRODUCT_STATES)[number]

/** What is to be different about a product: what is left out stays as it is, null takes a value away. */
export interface ProductChange {
  readonly sku: string
  readonly name?: string
  readonly price?: UnitPrice
  readonly category?: string
  readonly tags?: readonly string[]
  readonly listPrice?: UnitPrice | null
  readonly floorPrice?: UnitPrice | null
  readonly taxPercent?: number | null
  readonly status?: ProductState
  /** Of a product that is new and names no category. */
  readonly newCategory?: string
}

/** `none`: sold without counting. `track`: taken when an order is confirmed. `reserve`: held when it is ordered. */
export const STOCK_MODES = ['none', 'track', 'reserve'] as const
export type StockMode = (typeof STOCK_MODES)[number]

/**
 * A product code: visible ASCII, single spaces inside. Neither `.` nor `..`: a parser of addresses takes those out of a path, and then another thing
 * is meant, such as the whole cart.
 */
export const SKU_FORM = /^(?!\.{1,2}$)[\x21-\x7e]+(?: [\x21-\x7e]+)*$/

/** The form in which names are searched: Unicode-folded, lower case, single spaces. */
export function searchForm(text: string): string {
  // Normalising may make text longer than its column.
  return text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim().slice(0, FIXED.productNameCharsMax)
}
