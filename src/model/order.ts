import { hash } from 'node:crypto'
import type { Wanted } from './cart.ts'
import type { Minor, UnitPrice } from './money.ts'
import type { Product } from './product.ts'

/** Orders, as far as they can be thought about without a database: what they say, what they claim, and their ids. */

/** What an order says, kept as JSON in its row. */
export interface OrderDocument {
  readonly currency: string
  readonly lines: readonly OrderLine[]
  readonly gifts: readonly OrderGift[]
  readonly totals: Readonly<Record<string, number | readonly { readonly percent: number; readonly amount: Minor }[]>>
  readonly promotions: readonly { readonly promotion: string; readonly name: string; readonly amount: Minor }[]
  readonly codes: readonly string[]
  readonly versions: { readonly rules: number; readonly catalog: number }
  /** Held from ordering on. */
  readonly held: readonly Demand[]
  /** Taken when the order is confirmed. */
  readonly atPayment: readonly Demand[]
  /** Promotions whose uses count by buyer. */
  readonly counted: readonly string[]
  /** True when the order was made of the cart, which is to lose what was ordered. */
  readonly fromCart: boolean
}

export interface OrderLine {
  readonly sku: string
  readonly name: string
  readonly quantity: number
  readonly unitPrice: UnitPrice
  readonly subtotal: Minor
  readonly discount: Minor
  readonly total: Minor
  /** Of a product with a tax rate. */
  readonly tax?: Minor
  readonly taxPercent?: number
  /** The counted item that its units came from: where a refund puts them, whatever the catalogue says by then. */
  readonly item: string | undefined
}

export interface OrderGift {
  readonly sku: string
  readonly quantity: number
  readonly promotion: string
  /** As that of a line. */
  readonly item: string | undefined
}

/** Units of a counted item (store/stock.ts). */
export interface Demand {
  readonly item: string
  readonly units: number
}

/** The item that a product's stock is kept under. */
export const stockItemOf = ({ sku, stockItem }: { sku: string; stockItem?: string | undefined }): string =>
  `s:${stockItem ?? sku}`
/** The same for a code that may not be sold any more. */
/** The item, where the product's stock is counted. */
export const countedItemOf = (product: Product | undefined): string | undefined =>
  product?.stock && product.stock !== 'none' ? stockItemOf(product) : undefined
export const usesItemOf = (promotion: string): string => `p:${promotion}`
/** Of a code of a promotion that has many. */
export const codeItemOf = (form: string): string => `c:${form}`
export const budgetItemOf = (promotion: string): string => `b:${promotion}`

/**
 * What an order takes from the stock, summed where lines share an item, in the one order in which every order claims: two orders for
 * the same last two things never each get one of them. An item is held from ordering on if any of its products is, and for gifts.
 */
export function demandsOf(
  lines: readonly Wanted[],
  gifts: readonly Wanted[],
  productOf: (sku: string) => Product | undefined,
): Record<'reserve' | 'track', Demand[]> {
  const units = new Map<string, { units: number; isHeld: boolean }>()
  const add = ({ sku, quantity }: Wanted, isGift: boolean) => {
    const product = productOf(sku)
    const item = countedItemOf(product)
    if (item === undefined) return
    const known = units.get(item) ?? { units: 0, isHeld: false }
    const isHeld = known.isHeld || isGift || product?.stock === 'reserve'
    units.set(item, { units: known.units + quantity, isHeld })
  }
  for (const line of lines) add(line, false)
  for (const gift of gifts) add(gift, true)
  const of = (isHeld: boolean) =>
    inOrder([...units].flatMap(([item, demand]) => (demand.isHeld === isHeld ? [{ item, units: demand.units }] : [])))
  return { reserve: of(true), track: of(false) }
}

export const inOrder = (demands: readonly Demand[]): Demand[] =>
  [...demands].sort((a, b) => (a.item < b.item ? -1 : a.item > b.item ? 1 : 0))

/**
 * The id of an order follows from whose it is, its key, and what it claims: a process that makes the order of a key, on whichever
 * instance, makes the same one, and claims are made once. It begins with the user's id, so it leads to one shard.
 */
export function orderIdOf(userId: string, key: string, claims: readonly Demand[], attempt: number): string {
  const text = JSON.stringify([userId, key, claims.map(({ item, units }) => [item, units]), attempt])
  return `${userId}-${hash('sha256', text, 'hex').slice(0, 24)}`
}

export const ORDER_ID = /^\d{1,19}-[0-9a-f]{24}$/

export function userOfOrder(orderId: string): string {
  return orderId.slice(0, orderId.indexOf('-'))
}

/** What a buyer has bought before, as far as promotions ask. */
export interface Purchases {
  readonly ordersPlaced: number
  /** How often promotions that count it were used, by promotion. */
  readonly uses: Readonly<Record<string, number>>
}

/** The sum of two purchase records; with `sign` -1 their difference, never below 0. */
export function addPurchases(to: Purchases, more: Purchases, sign: 1 | -1 = 1): Purchases {
  const sum = (a: number, b: number) => Math.max(0, a + sign * b)
  const uses = Object.entries(more.uses).map(
    ([promotion, times]) => [promotion, sum(to.uses[promotion] ?? 0, times)] as const,
  )
  return { ordersPlaced: sum(to.ordersPlaced, more.ordersPlaced), uses: { ...to.uses, ...Object.fromEntries(uses) } }
}

/** What a buyer has bought once an order of theirs is confirmed. */
export function bought({ ordersPlaced, uses }: Purchases, { counted }: Pick<OrderDocument, 'counted'>): Purchases {
  const more = Object.fromEntries(counted.map(promotion => [promotion, (uses[promotion] ?? 0) + 1]))
  return { ordersPlaced: ordersPlaced + 1, uses: { ...uses, ...more } }
}
