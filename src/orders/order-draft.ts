import type { CartPricing } from '../cart/cart-pricing.ts'
import type { Quotes } from './quotes.ts'
import { AppError, unavailable } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { bought, countedItemOf, type Demand, demandsOf, inOrder, type OrderDocument } from '../model/order.ts'
import type { Pricing, ProductSource } from '../pricing/pricing-service.ts'
import type { CartRequest, Catalog, PricedCart } from '../pricing/price.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { type OrderRow, orderRows } from '../store/orders.ts'
import type { Session } from '../sessions/sessions.ts'
import type { Router } from '../store/shard-router.ts'
import type { PromotionLimits } from './promotion-limits.ts'
import { documentOf } from './order-view.ts'

export interface PlaceRequest {
  readonly session: Session
  readonly key: string
  readonly fingerprint: string
  /** The cart as the buyer saw it, or … */
  readonly cart?: { readonly version: number }
  /** … a quote with what it is for. */
  readonly quote?: { readonly token: string } & Pick<CartRequest, 'lines' | 'codes'>
  /** The total that the buyer agreed to. */
  readonly total?: number | undefined
  /** From the queue of a sale. */
  readonly admission?: string | undefined
}

/** What is to be ordered, at its price. */
export interface Basket {
  readonly request: CartRequest
  readonly priced: PricedCart
  readonly products: Catalog['products']
  /** The total that the buyer saw. */
  readonly seen: number
  readonly cart: StoredCart | undefined
  /** Of the buyer's cart, also where it is not what is ordered: it moves with whatever they buy. */
  readonly version: number
  /** Orders of the buyer that wait for their payment: they count as placed. */
  readonly pending: number
}

interface BasketDeps {
  readonly router: Router
  readonly promotionLimits: PromotionLimits
  readonly pricing: Pricing
  readonly products: ProductSource
  readonly prices: CartPricing
  readonly quotes: Quotes
  readonly currency: string
  readonly paymentS: number | undefined
}

/** Prices what is to be ordered, and makes the document of the order. */
export function createBaskets(deps: BasketDeps) {
  return {
    /** @throws AppError `cart_changed`, `nothing_to_order`, `product_unknown`, `quote_invalid`, `unavailable`, `overloaded` */
    of: (request: PlaceRequest): Promise<Basket> =>
      request.quote ? quoted(deps, request, request.quote) : priceCart(deps, request),
    /** What the order will say and claim. */
    documentOf: (of: Basket, limited: readonly Demand[]) => draw(deps, of, limited),
  }
}

async function priceCart(deps: BasketDeps, { session, cart, total }: PlaceRequest): Promise<Basket> {
  const { prices } = deps
  const { stored, pending } = await buyerOf(deps, session)
  const request = withPending(stored, pending)
  const { cart: priced, isPriced } = await prices.of(stored, request)
  if (!isPriced) throw unavailable('pricing', new Error('no order is made of old totals'))
  const lines = stored.lines.filter(line => line.selected)
  if (cart?.version !== stored.version) throw cartChanged(stored, priced, total)
  if (lines.length === 0) throw new AppError('nothing_to_order', 'No line of the cart is selected.')
  refuseUnknown(stored.lines.flatMap((line, at) => (line.selected && !priced.lines[at]?.available ? [line.sku] : [])))
  const skus = new Set(lines.map(line => line.sku))
  const same = pending.find(order => {
    const { fromCart, lines: ordered } = documentOf(order)
    return fromCart && ordered.some(line => skus.has(line.sku))
  })
  if (same) throw orderPending(same.orderId)
  refuseTooMany(pending)
  return {
    request,
    priced,
    products: await productsOf(deps, request, priced),
    seen: total ?? shownTotal(stored, priced),
    cart: stored,
    version: stored.version,
    pending: pending.length,
  }
}

async function quoted(
  deps: BasketDeps,
  { session, total }: PlaceRequest,
  quote: NonNullable<PlaceRequest['quote']>,
): Promise<Basket> {
  const { pricing, quotes } = deps
  const { token, lines, codes } = quote
  const claims = await quotes.read(token, { lines, codes, buyerGroup: session.kind })
  const { stored, pending } = await buyerOf(deps, session)
  refuseTooMany(pending)
  const { ordersPlaced, uses } = withPending(stored, pending)
  const request = { lines, codes, buyerGroup: session.kind, ordersPlaced, uses }
  const priced = await pricing.price(request)
  refuseUnknown(lines.flatMap((line, at) => (priced.lines[at]?.available ? [] : [line.sku])))
  return {
    request,
    priced,
    products: await productsOf(deps, request, priced),
    seen: total ?? claims.total,
    cart: undefined,
    version: stored.version,
    pending: pending.length,
  }
}

/** As they are now: where one has changed since it was priced, the order is not decided (place-order.ts). */
async function productsOf(
  { products }: BasketDeps,
  request: CartRequest,
  priced: PricedCart,
): Promise<Catalog['products']> {
  return (await products.of(skusOf(request, priced))).products
}

/** All products that a price goes by. */
export const skusOf = ({ lines }: Pick<CartRequest, 'lines'>, { giftSkus }: Pick<PricedCart, 'giftSkus'>): string[] => [
  ...lines.map(({ sku }) => sku),
  ...giftSkus,
]

/** The buyer's cart, and their orders that wait for payment. */
async function buyerOf(
  { router, paymentS }: BasketDeps,
  { userId }: Session,
): Promise<{ stored: StoredCart; pending: OrderRow[] }> {
  const shard = router.of(userId)
  const stored = await cartRows.load(shard, userId)
  if (!stored || stored.mergedInto !== undefined)
    throw new AppError('session_ended', 'This cart is gone. Log in again.')
  const pending = paymentS === undefined ? [] : await orderRows.pending(shard, userId, FIXED.ordersPendingMax)
  return { stored, pending }
}

function draw(
  { promotionLimits, currency, paymentS }: BasketDeps,
  { request, priced, products, cart }: Basket,
  limited: readonly Demand[],
): OrderDocument {
  const productOf = (sku: string) => products.get(sku)
  const lines = request.lines.flatMap((line, at) => {
    const price = priced.lines[at]
    if (!line.selected || !price) return []
    const { available, ...amounts } = price
    if (!available) return []
    const item = countedItemOf(productOf(line.sku))
    return [{ sku: line.sku, quantity: line.quantity, ...amounts, item }]
  })
  const gifts = priced.gifts.map(gift => ({ ...gift, item: countedItemOf(productOf(gift.sku)) }))
  const { reserve, track } = demandsOf(lines, gifts, productOf)
  const reserved = [...reserve, ...limited]
  return {
    currency,
    lines,
    gifts,
    totals: { ...priced.totals },
    promotions: priced.promotions,
    codes: priced.codes.filter(code => code.applied).map(({ code }) => code),
    versions: { rules: priced.rulesVersion, catalog: priced.catalogVersion },
    held: inOrder(paymentS === undefined ? [...reserved, ...track] : reserved),
    atPayment: paymentS === undefined ? [] : track,
    counted: promotionLimits.countedByBuyer(priced),
    fromCart: cart !== undefined,
  }
}

/** What the buyer will have bought once the orders that wait for their payment are paid. */
function withPending(stored: StoredCart, pending: readonly OrderRow[]): StoredCart {
  return pending.reduce((facts, order) => ({ ...facts, ...bought(facts, documentOf(order)) }), stored)
}

function refuseTooMany(pending: readonly OrderRow[]): void {
  const [oldest] = pending
  if (oldest && pending.length >= FIXED.ordersPendingMax) throw orderPending(oldest.orderId)
}

function orderPending(orderId: string): AppError {
  return new AppError('order_pending', 'An order of these products waits for its payment: pay or cancel that one.', {
    extra: { orderId },
  })
}

function shownTotal(stored: StoredCart, priced: PricedCart): number {
  return stored.totals === '' ? priced.totals.total : (JSON.parse(stored.totals) as { total: number }).total
}

function refuseUnknown(skus: readonly string[]): void {
  if (skus.length === 0) return
  const errors = skus.map(sku => ({ in: 'body' as const, pointer: '#/cart', detail: `'${sku}' is not sold any more.` }))
  throw new AppError('product_unknown', errors[0]?.detail ?? '', { errors })
}

export function cartChanged(stored: StoredCart, { totals }: PricedCart, seen: number | undefined): AppError {
  const detail = `The cart is at version ${stored.version} by now: look at it again.`
  const extra = { version: stored.version, total: totals.total, ...(seen === undefined ? {} : { seenTotal: seen }) }
  return new AppError('cart_changed', detail, { extra })
}
