import type { Session } from '../sessions/sessions.ts'
import { type Funnel, HandedOver } from '../cart/funnel.ts'
import type { Prices } from '../cart/prices.ts'
import type { Quotes } from '../cart/quotes.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { markShort, takeOrdered } from '../model/cart.ts'
import { FIXED } from '../model/limits.ts'
import { type Demand, type OrderDocument, orderIdOf, stockItemOf } from '../model/order.ts'
import type { Pricing } from '../pricing/pool.ts'
import type { CartRequest } from '../pricing/price.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { DuplicateKeyError, type Transaction } from '../store/database.ts'
import { type OrderRow, orderRows } from '../store/orders.ts'
import type { Router } from '../store/router.ts'
import { userRows } from '../store/users.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Allowances } from './allowances.ts'
import { type Basket, cartChanged, createBaskets, totalChanged } from './basket.ts'
import type { Sales } from './sales.ts'
import type { Stock } from './stock.ts'

/**
 * From cart to order. Buyer and stock live on different shards, so no transaction spans them. In this order nothing is lost or
 * sold twice, whatever dies in between:
 *
 *   1. price the cart afresh and compare with what the buyer saw
 *   2. hold: each item's units, one item after the other in one global order (item's shard, checkout/claims.ts)
 *   3. decide: one transaction in the buyer's shard writes the order, claims its key, and takes the ordered lines out of the
 *      cart at the version that was priced. This row is the commit point.
 *   4. sell: held units become sold. Nothing can go wrong here any more that would not be put right later.
 *
 * Who dies after 2 leaves units held without an order, after 3 units held with one: checkout/settlement.ts frees or sells them within
 * seconds. With payment (`two-step`), 3 writes the order as `pending` and leaves the cart; the shop's server confirms it within its
 * time, which is the decision then.
 */
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

export interface Placed {
  readonly order: OrderRow
  readonly replayed: boolean
}

/** Told after each step; tests stop the process there. */
export type OnStep = (step: CheckoutStep) => void | Promise<void>
export const CHECKOUT_STEPS = ['priced', 'held-first', 'held-all', 'decided', 'sold', 'paid', 'refund-noted'] as const
export type CheckoutStep = (typeof CHECKOUT_STEPS)[number]

export interface CheckoutDeps {
  readonly router: Router
  readonly stock: Stock
  readonly sales: Sales
  readonly allowances: Allowances
  readonly funnel: Funnel
  readonly pricing: Pricing
  readonly prices: Prices
  readonly quotes: Quotes
  readonly currency: string
  /** Seconds that an order waits for its payment; undefined: it is confirmed at once. */
  readonly paymentS: number | undefined
  readonly metrics: Metrics
  readonly onStep: OnStep
}

interface Draft {
  readonly orderId: string
  readonly document: OrderDocument
}

export type Placing = ReturnType<typeof createPlacing>

export function createPlacing(deps: CheckoutDeps) {
  const { router, stock, sales, allowances, funnel, pricing, prices, paymentS, metrics, onStep } = deps
  const baskets = createBaskets(deps)

  /**
   * @throws AppError `cart_changed`, `total_changed`, `out_of_stock`, `purchase_limit`, `nothing_to_order`, `product_unknown`,
   * `quote_invalid`, `order_pending`, `order_given_up`, `idempotency_mismatch`, `idempotency_in_flight`, those of sales, and
   * `unavailable`, `overloaded`, `outcome_unknown` of the dependencies. But for the last, nothing is held or ordered then.
   */
  async function place(request: PlaceRequest): Promise<Placed> {
    try {
      const [replay] = await Promise.all([replayOf(request), requireEpoch(request.session)])
      const placed = replay ?? (await placeAnew(request))
      metrics.orders.inc({ result: placed.replayed ? 'replayed' : placed.order.state })
      return placed
    } catch (error) {
      const result = isAppError(error, 'out_of_stock') ? 'out_of_stock' : isRefusal(error) ? 'refused' : 'failed'
      metrics.orders.inc({ result })
      throw error
    }
  }

  /** The sessions' Redis may have lost that a session was ended: the user's own shard knows. */
  async function requireEpoch({ userId, epoch }: Session): Promise<void> {
    const current = await userRows.sessionEpoch(router.of(userId), userId)
    if (current !== epoch) throw new AppError('session_ended', 'The session is over. Log in again.')
  }

  async function placeAnew(request: PlaceRequest): Promise<Placed> {
    const basket = await baskets.of(request)
    const { priced } = basket
    if (priced.totals.total !== basket.seen) throw totalChanged(basket.seen, priced.totals.total)
    await sales.admit(request.session, basket.request.lines, request.admission)
    const limits = await allowances.of(priced)
    const document = baskets.documentOf(basket, limits.demands)
    const draft = await draftOf(request, document)
    await onStep('priced')
    await holdAll(request, basket, draft)
    await onStep('held-all')
    try {
      await decide(request, basket, draft)
    } catch (error) {
      // Whether it was committed is not known: what is held stays until settlement has looked.
      if (isAppError(error, 'outcome_unknown')) throw error
      return await undecided(request, draft, error)
    }
    await onStep('decided')
    if (paymentS === undefined) sellAll(draft)
    sales.finished(request.session.userId, basket.request.lines)
    const order = await orderRows.find(router.of(request.session.userId), request.session.userId, draft.orderId)
    if (!order) throw new Error(`the order ${draft.orderId} was written and is not there`)
    return { order, replayed: false }
  }

  /** The order that was made with this key before. */
  async function replayOf({ session, key, fingerprint }: PlaceRequest): Promise<Placed | undefined> {
    const order = await orderRows.findByKey(router.of(session.userId), session.userId, key)
    if (!order) return undefined
    if (order.fingerprint === fingerprint) return { order, replayed: true }
    const detail = 'This Idempotency-Key was used for another request.'
    throw new AppError('idempotency_mismatch', detail, {
      errors: [{ in: 'header', pointer: '#/Idempotency-Key', detail }],
    })
  }

  /** The first id of this key that has not been given up. */
  async function draftOf({ session: { userId }, key }: PlaceRequest, document: OrderDocument): Promise<Draft> {
    const ids = Array.from({ length: FIXED.orderAttemptsMax }, (_, at) => orderIdOf(userId, key, document.held, at))
    const given = await orderRows.voidOf(router.of(userId), userId, ids)
    const orderId = ids.find(id => !given.has(id))
    if (orderId === undefined) throw givenUp('Making the order of this key was given up too often: use a new key.')
    return { orderId, document }
  }

  /** All or nothing. @throws AppError `out_of_stock`, `purchase_limit`, `idempotency_in_flight`, and of the dependencies */
  async function holdAll(request: PlaceRequest, basket: Basket, { orderId, document }: Draft): Promise<void> {
    const { userId } = request.session
    const lookMs = FIXED.orderMs + FIXED.orderPerItemMs * document.held.length
    const held: string[] = []
    for (const { item, units } of document.held) {
      try {
        const outcome = await stock.hold(item, { orderId, userId, units, lookMs })
        if (outcome.is === 'done') held.push(item)
        else if (outcome.is === 'present') throw inFlight()
        else if (outcome.is === 'limit') throw limited(item, outcome.max, basket)
        else throw await shortOf(request, basket, document.held, item)
        if (held.length === 1) await onStep('held-first')
      } catch (error) {
        // Where nobody knows whether it was held, it is freed as well.
        const unknown = isAppError(error, 'outcome_unknown') || isAppError(error, 'unavailable') ? [item] : []
        await freeAll(orderId, [...held, ...unknown])
        throw error
      }
    }
  }

  /** What cannot be freed now is freed by settlement. */
  async function freeAll(orderId: string, items: readonly string[]): Promise<void> {
    await Promise.allSettled(items.map(item => stock.free(item, orderId)))
  }

  function sellAll({ orderId, document }: Draft): void {
    // Beside the answer: the order stands, and settlement sells what this does not.
    void Promise.allSettled(document.held.map(({ item }) => stock.sell(item, orderId))).then(() => onStep('sold'))
  }

  /** The commit point. */
  async function decide(request: PlaceRequest, { priced, cart }: Basket, { orderId, document }: Draft): Promise<void> {
    const { session, key, fingerprint } = request
    const { userId } = session
    const insert = (tx: Transaction, slot: number) =>
      orderRows.insert(tx, slot, {
        userId,
        orderId,
        key,
        fingerprint,
        state: paymentS === undefined ? 'confirmed' : 'pending',
        cartVersion: cart?.version,
        total: priced.totals.total,
        document: JSON.stringify(document),
        expiresInS: paymentS,
      })
    if (!cart || paymentS !== undefined) {
      await router.write(userId, async (tx, { slot }) => {
        const now = cart && (await orderRows.lockCart(tx, userId, cart.version))
        if (now?.pending !== undefined) throw orderPending(now.pending)
        if (now && now.version !== cart.version) throw new AppError('version_mismatch', 'The cart has changed.')
        await insert(tx, slot)
      })
      return
    }
    await funnel.change({ userId, ifMatch: cart.version }, current => ({
      lines: takeOrdered(document.lines)(current.lines),
      purchases: bought(current, document),
      record: (tx, { slot }) => insert(tx, slot),
    }))
  }

  /** The order was not written: what is held is freed, unless the order is there after all. */
  async function undecided(request: PlaceRequest, { orderId, document }: Draft, error: unknown): Promise<Placed> {
    const { userId } = request.session
    const items = document.held.map(({ item }) => item)
    if (error instanceof DuplicateKeyError) {
      const own = await orderRows.find(router.of(userId), userId, orderId)
      if (own && own.state !== 'void') return { order: own, replayed: true }
      await freeAll(orderId, items)
      const other = await replayOf(request)
      if (other) return other
      throw givenUp('Making this order took too long, and what it held was given free: try again.')
    }
    await freeAll(orderId, items)
    if (error instanceof HandedOver) throw new AppError('session_ended', 'This cart went to an account. Log in again.')
    if (!isAppError(error, 'version_mismatch')) throw error
    const stored = await cartRows.load(router.of(userId), userId)
    if (!stored) throw error
    throw cartChanged(stored, (await prices.of(stored, stored)).cart, request.total)
  }

  /** Names every line of which too little is left, and marks them in the cart. */
  async function shortOf(
    request: PlaceRequest,
    basket: Basket,
    demands: readonly Demand[],
    first: string,
  ): Promise<AppError> {
    if (!first.startsWith('s:')) return allowances.exhausted(basket.seen, basket.request)
    const levels = await Promise.all(demands.map(({ item }) => stock.levels(item)))
    const left = new Map(demands.map(({ item }, at) => [item, levels[at]?.free ?? 0]))
    const short = new Set(demands.filter(({ item, units }) => (left.get(item) ?? 0) < units).map(({ item }) => item))
    short.add(first)
    const lines = [...basket.request.lines.filter(line => line.selected), ...basket.priced.gifts].flatMap(
      ({ sku, quantity }) => {
        const product = pricing.product(sku)
        const item = product && stockItemOf(product)
        return item !== undefined && short.has(item) ? [{ sku, wanted: quantity, left: left.get(item) ?? 0 }] : []
      },
    )
    const own = basket.request.lines.map(line => line.sku)
    const isOnSale = sales.isOnSale(own)
    if (basket.cart && !isOnSale) {
      const marks = new Map(lines.map(line => [line.sku, line.left]))
      const mark = funnel.change({ userId: request.session.userId }, current => ({
        lines: markShort(marks)(current.lines),
      }))
      await mark.catch(() => undefined) // the answer says it all the same
    }
    const named = lines.map(line => `'${line.sku}': ${line.left} left, ${line.wanted} wanted`).join('; ')
    return new AppError('out_of_stock', `There is not enough in stock. ${named}`, { extra: { lines } })
  }

  return { place }
}

/** What a buyer has bought once an order of theirs is confirmed. */
export function bought(
  { ordersPlaced, uses }: Pick<StoredCart, 'ordersPlaced' | 'uses'>,
  { counted }: Pick<OrderDocument, 'counted'>,
): Pick<StoredCart, 'ordersPlaced' | 'uses'> {
  const more = Object.fromEntries(counted.map(promotion => [promotion, (uses[promotion] ?? 0) + 1]))
  return { ordersPlaced: ordersPlaced + 1, uses: { ...uses, ...more } }
}

function limited(item: string, max: number, { request }: Basket): AppError {
  const what = item.startsWith('s:') ? `'${item.slice(2)}'` : `the promotion '${item.slice(2)}'`
  const { sku = item.slice(2) } = request.lines.find(line => `s:${line.sku}` === item) ?? {}
  return new AppError('purchase_limit', `A buyer can have at most ${max} of ${what}.`, { extra: { sku, max } })
}

function inFlight(): AppError {
  return new AppError('idempotency_in_flight', 'An order with this Idempotency-Key is still being made.', {
    retryAfterS: 1,
  })
}

function orderPending(orderId: string): AppError {
  return new AppError('order_pending', 'There is an order of this very cart that waits for its payment.', {
    extra: { orderId },
  })
}

function givenUp(detail: string): AppError {
  return new AppError('order_given_up', detail, { retryAfterS: 1 })
}

/** The buyer can do something about it, or nothing more can be done; rather than a dependency that failed. */
function isRefusal(error: unknown): boolean {
  return isAppError(error) && !['unavailable', 'overloaded', 'outcome_unknown', 'internal'].includes(error.code)
}
