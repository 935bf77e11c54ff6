import type { Minor, UnitPrice } from '../../model/money.ts'
import type { CodeFacts } from './codes.ts'

/** What is priced, and for whom: everything the engine knows. No clock: `now` is a part of the input. */
export interface CartToPrice {
  readonly currency: string
  readonly lines: readonly LineToPrice[]
  /** Codes that the buyer has entered, in the order of entry. */
  readonly codes: readonly string[]
  /** What is known of them, where a promotion has many codes. */
  readonly codeFacts?: CodeFacts | undefined
  readonly buyer: Buyer
  readonly shippingFee: Minor
  /** `standard` unless it is said. */
  readonly shippingMethod?: string | undefined
  /** ISO 8601, UTC. */
  readonly now: string
  /** What has been given away so far, by promotion id; what is missing is zero. */
  readonly usage: Readonly<Record<string, Usage>>
}

export interface LineToPrice {
  readonly sku: string
  readonly quantity: number
  readonly unitPrice: UnitPrice
  /** The price before a sale, when the product is on sale. */
  readonly listPrice?: UnitPrice | undefined
  readonly categories: readonly string[]
  readonly tags: readonly string[]
  readonly selected: boolean
  /** No promotion brings a unit below this. */
  readonly floorPrice?: UnitPrice | undefined
  readonly taxPercent?: number | undefined
  /** The product of the catalogue, by whose identity the engine remembers what it has found out about it. */
  readonly product?: object
}

export interface Buyer {
  /** Orders that the buyer has placed; this one would be the next. */
  readonly ordersPlaced: number
  readonly groups: readonly string[]
}

export interface Usage {
  readonly uses: number
  readonly usesByBuyer: number
  /** What the promotion has taken off so far, for its budget. */
  readonly spent: Minor
}
