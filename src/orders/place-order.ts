import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from '../sessions/sessions.ts'
import type { CartWriter } from '../cart/cart-writer.ts'
import { CartMerged } from '../cart/prepare-write.ts'
import type { CartPricing } from '../cart/cart-pricing.ts'
import { type Quotes, totalChanged } from './quotes.ts'
import type { CatalogWatch } from '../catalog/catalog-watch.ts'
import { AppError, idempotencyMismatch, isAppError, sessionEnded } from '../lib/errors.ts'
import { takeOrdered } from '../model/cart.ts'
import { FIXED } from '../model/limits.ts'
import { bought, type OrderDocument, orderIdOf } from '../model/order.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { ProductStore } from '../catalog/product-store.ts'
import { cartRows } from '../store/carts.ts'
import { catalogFloor } from '../store/catalog-watermark.ts'
import { DuplicateKeyError, type Transaction } from '../store/database.ts'
import { type OrderRow, orderRows } from '../store/orders.ts'
import type { Router, SlotGuard } from '../store/shard-router.ts'
import { userRows } from '../store/users.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { PromotionLimits } from './promotion-limits.ts'
import { type Basket, cartChanged, createBaskets, type PlaceRequest, skusOf } from './order-draft.ts'
import { createHolding, type Draft } from './reservations.ts'
import type { Sales } from '../sales/flash-sales.ts'
import type { OrderRecovery } from './order-recovery.ts'
import type { OnOrderFailpoint } from './failpoints.ts'
import type { Stock } from '../inventory/inventory.ts'

/**
 * From cart to order. Buyer and stock live on different shards, so no transaction spans them. In this order nothing is lost or
 * sold twice, whatever dies in between:
 *
 *   1. price the cart afresh and compare with what the buyer saw
 *   2. hold: each item's units, one item after the other in one global order (item's shard, inventory/reservation-batch.ts)
 *   3. decide: one transaction in the buyer's shard writes the order, claims its key, and takes the ordered lines out of the
 *      cart at the version that was priced, if its products are what they were when it was priced
 *      (store/catalog-watermark.ts). This row is the commit point.
 *   4. sell: held units become sold. Nothing can go wrong here any more that would not be put right later.
 *
 * A process that dies after 2 leaves units held without an order, after 3 units held with one: orders/order-recovery.ts frees or sells them within
 * seconds. With payment (`two-step`), 3 writes the order as `pending` and leaves the cart; the shop's server confirms it within its
 * time, which is the decision then.
 */
interface Placed {
  readonly order: OrderRow
  readonly replayed: boolean
}

interface CheckoutDeps {
  readonly router: Router
  readonly catalog: Pick<CatalogWatch, 'atLeast'>
  readonly products: Pick<ProductStore, 'version' | 'of' | 'anyChanged'>
  readonly stock: Stock
  readonly recovery: OrderRecovery
  readonly sales: Sales
  readonly promotionLimits: PromotionLimits
  readonly writer: CartWriter
  readonly pricing: Pricing
  readonly prices: CartPricing
  readonly quotes: Quotes
  readonly currency: string
  /** Seconds that an order waits for its payment; undefined: it is confirmed at once. */
  readonly paymentS: number | undefined
  readonly metrics: Metrics
  readonly onFailpoint: OnOrderFailpoint
}

/** The catalogue has changed since the order was priced, perhaps what it goes by (store/catalog-watermark.ts). */
class CatalogAdvanced extends Error {
  readonly floor: number

  constructor(floor: number) {
    super('the floor of the catalogue was raised')
    this.floor = floor
  }
}

export type OrderPlacement = ReturnType<typeof createOrderPlacement>

/** See the head of this file for the steps. */
export function createOrderPlacement(given: CheckoutDeps) {
  const deps: PlacementDeps = { ...given, baskets: createBaskets(given), holding: createHolding(given) }
  return { place: (request: PlaceRequest) => place(deps, request) }
}

interface PlacementDeps extends CheckoutDeps {
  readonly baskets: ReturnType<typeof createBaskets>
  readonly holding: ReturnType<typeof createHolding>
}

/**
 * @throws AppError `cart_changed`, `total_changed`, `out_of_stock`, `purchase_limit`, `nothing_to_order`, `product_unknown`,
 * `quote_invalid`, `order_pending`, `order_given_up`, `idempotency_mismatch`, `idempotency_in_flight`, those of sales, and
 * `unavailable`, `overloaded`, `outcome_unknown` of the dependencies. But for the last, nothing is held or ordered then.
 */
async function place(deps: PlacementDeps, request: PlaceRequest): Promise<Placed> {
  const { router, metrics } = deps
  const { session } = request
  const [floor] = await Promise.all([catalogFloor.read(router.of(session.userId)), requireEpoch(deps, session)])
  try {
    const replay = await replayOf(deps, request)
    const placed = replay ?? (await placeAtCatalog(deps, request, floor))
    metrics.orders.inc({ result: placed.replayed ? 'replayed' : placed.order.state })
    return placed
  } catch (error) {
    // Another request of this key may have been first, and be the reason for the refusal.
    const first = isRefusal(error) ? await answerOfFirst(deps, request, error) : undefined
    if (first) return first
    const result = isAppError(error, 'out_of_stock') ? 'out_of_stock' : isRefusal(error) ? 'refused' : 'failed'
    metrics.orders.inc({ result })
    throw error
  }
}

/** The order that another request of this key has made; one that is still at work, perhaps on another instance, is waited for. */
async function answerOfFirst(deps: PlacementDeps, request: PlaceRequest, error: unknown): Promise<Placed | undefined> {
  const until = performance.now() + (isAppError(error, 'idempotency_in_flight') ? FIXED.orderInFlightWaitMs : 0)
  for (;;) {
    const first = await replayOf(deps, request).catch(() => undefined)
    if (first || performance.now() >= until) return first
    await sleep(FIXED.orderInFlightPollMs)
  }
}

/** The sessions' Redis may have lost that a session was ended: the user's own shard knows. */
async function requireEpoch({ router }: PlacementDeps, { userId, epoch }: Session): Promise<void> {
  const current = await userRows.sessionEpoch(router.of(userId), userId)
  if (current !== epoch) throw sessionEnded()
}

/** What is counted, or on sale, may change on another instance, also while the order is being made: nothing is sold past that. */
async function placeAtCatalog(deps: PlacementDeps, request: PlaceRequest, firstFloor: number): Promise<Placed> {
  const { catalog, sales } = deps
  let floor = firstFloor
  for (let attempt = 1; attempt <= FIXED.orderAttemptsMax; attempt++) {
    await catalog.atLeast(floor)
    await sales.atLeast(floor)
    try {
      return await placeAnew(deps, request)
    } catch (error) {
      if (!(error instanceof CatalogAdvanced)) throw error
      floor = error.floor
    }
  }
  throw new AppError('overloaded', 'What is counted or on sale keeps changing.', { retryAfterS: 1 })
}

async function placeAnew(deps: PlacementDeps, request: PlaceRequest): Promise<Placed> {
  const { sales, promotionLimits, recovery, paymentS, onFailpoint, baskets, holding } = deps
  const { session } = request
  const basket = await baskets.of(request)
  const { priced } = basket
  if (priced.totals.total !== basket.seen) {
    if (basket.cart) await holding.showAnew(session.userId)
    throw totalChanged(basket.seen, priced.totals.total)
  }
  const limited = await promotionLimits.of(priced)
  await sales.admit(
    session,
    basket.request.lines.filter(line => line.selected),
    request.admission,
  )
  const withheld = await sales.withheld(session, priced.gifts, request.admission)
  const gifts = priced.gifts.filter(gift => !withheld.has(gift.sku))
  const wanted = baskets.documentOf({ ...basket, priced: { ...priced, gifts } }, limited)
  const draft = await draftOf(deps, request, wanted)
  onFailpoint('priced')
  const document = await holding.reserveAll(draft, basket)
  onFailpoint('held-all')
  let order: OrderRow
  try {
    order = await decideUnchanged(deps, request, basket, { ...draft, document })
  } catch (error) {
    // Whether it was committed is not known: what is held stays until recovery has looked.
    if (isAppError(error, 'outcome_unknown')) throw error
    return await undecided(deps, request, { ...draft, document }, error)
  }
  onFailpoint('decided')
  // Beside the answer: the order stands, and recovery sells what this does not.
  if (paymentS === undefined) void recovery.sellAll(order).then(() => onFailpoint('sold'))
  sales.finished(session.userId, [...document.lines, ...document.gifts])
  return { order, replayed: false }
}

/** The order that was made with this key before. */
async function replayOf(deps: PlacementDeps, request: PlaceRequest): Promise<Placed | undefined> {
  const { router } = deps
  const { session, key } = request
  const order = await orderRows.findByKey(router.of(session.userId), session.userId, key)
  return order && replayed(request, order)
}

function replayed({ fingerprint }: PlaceRequest, order: OrderRow): Placed {
  if (order.fingerprint === fingerprint) return { order, replayed: true }
  throw idempotencyMismatch()
}

/** The first id of this key that has not been given up. */
async function draftOf(
  { router }: PlacementDeps,
  { session: { userId }, key }: PlaceRequest,
  document: OrderDocument,
): Promise<Draft> {
  const ids = Array.from({ length: FIXED.orderAttemptsMax }, (_, at) => orderIdOf(userId, key, document.held, at))
  const given = await orderRows.voidOf(router.of(userId), userId, ids)
  const orderId = ids.find(id => !given.has(id))
  if (orderId === undefined) {
    throw new AppError('order_given_up', 'Making the order of this key was given up too often: use a new key.')
  }
  return { orderId, userId, document }
}

/** Decides once it is known that no product of the order has changed since it was priced: others may change all the time. */
async function decideUnchanged(
  deps: PlacementDeps,
  request: PlaceRequest,
  basket: Basket,
  draft: Draft,
): Promise<OrderRow> {
  const { catalog } = deps
  for (let attempt = 1; ; attempt++) {
    try {
      return await decide(deps, request, basket, draft)
    } catch (error) {
      if (!(error instanceof CatalogAdvanced) || attempt === FIXED.orderAttemptsMax) throw error
      await catalog.atLeast(error.floor)
      if (isPricedBefore(deps, basket)) throw error
    }
  }
}

/** Whether a product of the basket has changed since it was priced. */
function isPricedBefore({ products }: PlacementDeps, { request, priced }: Basket): boolean {
  return products.anyChanged(skusOf(request, priced), priced.catalogVersion)
}

/** The commit point. */
async function decide(
  deps: PlacementDeps,
  request: PlaceRequest,
  basket: Basket,
  { orderId, document }: Draft,
): Promise<OrderRow> {
  const { router, writer, products, paymentS } = deps
  const { session, key, fingerprint } = request
  const { userId } = session
  const { cart, priced } = basket
  let made: OrderRow | undefined
  const insert = async (tx: Transaction, { slot, shard }: SlotGuard) => {
    const floor = await catalogFloor.readShared(tx, shard)
    if (floor > products.version || isPricedBefore(deps, basket)) throw new CatalogAdvanced(floor)
    await orderRows.insert(tx, slot, {
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
    made = await orderRows.findLocked(tx, userId, orderId)
  }
  const moved = () => new AppError('version_mismatch', 'The cart, or what was bought before, has changed.')
  if (paymentS === undefined) {
    await writer.change({ userId, ifMatch: basket.version }, current => ({
      lines: cart ? takeOrdered(document.lines)(current.lines) : current.lines,
      purchases: bought(current, document),
      record: insert,
    }))
  } else {
    await router.write(userId, async (tx, guard) => {
      const now = await orderRows.lockCart(tx, userId)
      if (now.pending !== basket.pending || now.version !== basket.version) throw moved()
      await insert(tx, guard)
    })
  }
  if (!made) throw new Error(`the order ${orderId} was written and is not there`)
  return made
}

/** The order was not written: what is held is freed, unless the order is there after all. */
async function undecided(
  deps: PlacementDeps,
  request: PlaceRequest,
  { orderId, userId, document }: Draft,
  error: unknown,
): Promise<Placed> {
  const { router, prices, holding } = deps
  if (error instanceof DuplicateKeyError) {
    const own = await orderRows.find(router.of(userId), userId, orderId).catch((cause: unknown) => {
      throw new AppError('outcome_unknown', 'Whether the order was made is not known.', { retryAfterS: 1, cause })
    })
    if (own && own.state !== 'void') return replayed(request, own)
    await holding.freeAll(orderId, document.held)
    const other = await replayOf(deps, request)
    if (other) return other
    throw givenUp('Making this order took too long, and what it held was given free: try again.')
  }
  await holding.freeAll(orderId, document.held)
  if (error instanceof CartMerged) throw new AppError('session_ended', 'This cart went to an account. Log in again.')
  if (!isAppError(error, 'version_mismatch')) throw error
  const stored = await cartRows.load(router.of(userId), userId)
  if (!stored) throw error
  throw cartChanged(stored, (await prices.of(stored, stored)).cart, request.total)
}

function givenUp(detail: string): AppError {
  return new AppError('order_given_up', detail, { retryAfterS: 1 })
}

/** The buyer can do something about it, or nothing more can be done; rather than a dependency that failed. */
function isRefusal(error: unknown): boolean {
  return isAppError(error) && !['unavailable', 'overloaded', 'outcome_unknown', 'internal'].includes(error.code)
}
