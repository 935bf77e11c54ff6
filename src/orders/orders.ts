import type { Session } from '../sessions/sessions.ts'
import type { CartContents } from '../cart/cart-rendering.ts'
import type { CartWriter } from '../cart/cart-writer.ts'
import { CartMerged } from '../cart/prepare-write.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { takeOrdered } from '../model/cart.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import { bought, ORDER_ID, type OrderDocument, userOfOrder } from '../model/order.ts'
import { cartRows } from '../store/carts.ts'
import { type OrderRow, orderRows } from '../store/orders.ts'
import type { Router } from '../store/shard-router.ts'
import { documentOf, orderView, wrongState } from './order-view.ts'
import { createRefunds, refundView } from './refunds.ts'
import type { OnOrderFailpoint } from './failpoints.ts'
import type { OrderRecovery } from './order-recovery.ts'
import type { Stock } from '../inventory/inventory.ts'

/** Orders after they were placed: looking at them, paying, cancelling, refunding. An order's id leads to its one shard. */
interface OrdersDeps {
  readonly router: Router
  readonly stock: Stock
  readonly recovery: OrderRecovery
  readonly writer: CartWriter
  readonly onFailpoint: OnOrderFailpoint
}

export type Orders = ReturnType<typeof createOrders>

/** Orders after they were placed: shown, listed, paid, cancelled, refunded. */
export function createOrders(deps: OrdersDeps) {
  const { router, recovery, onFailpoint } = deps
  return {
    find: (orderId: string, owner: string | undefined) => find(deps, orderId, owner),

    /** Newest first, also those made as a guest that was merged into this account. @throws AppError `invalid_request` for a cursor that is not one of orders */
    list: (session: Session, limit: number, cursor: string | undefined) => list(deps, session, limit, cursor),

    /**
     * What the shop's payment provider says. Saying it again is no error.
     * @throws AppError `order_not_found`, `order_state` when it was decided otherwise or its time is over, `out_of_stock`
     */
    pay: (orderId: string, result: 'confirmed' | 'failed') => pay(deps, orderId, result),

    /** By the buyer, before the payment. @throws AppError `order_not_found`, `order_state` */
    cancel: (session: Session, orderId: string) => cancel(deps, session, orderId),

    refund: createRefunds({
      router,
      recovery,
      find: (orderId: string, owner: string | undefined) => find(deps, orderId, owner),
      onFailpoint,
    }),

    view: orderView,

    /** One order of the session, with its refunds, oldest first. @throws AppError `order_not_found` */
    async viewWithRefunds({ userId }: Session, orderId: string) {
      const order = await find(deps, orderId, userId)
      const refunds = await orderRows.refunds(router.of(userId), userId, orderId)
      return { ...orderView(order), refunds: refunds.map(refundView) }
    },
  }
}

async function list(
  { router }: OrdersDeps,
  session: Session,
  limit: number,
  cursor: string | undefined,
): Promise<{ orders: OrderRow[]; next: string | null }> {
  const after = cursor === undefined ? undefined : readOrderCursor(cursor)
  const { userId } = session
  const guests = await cartRows.mergedGuests(router.of(userId), userId, FIXED.mergedGuestsMax)
  const lists = await Promise.all(
    [userId, ...guests].map(buyer => orderRows.list(router.of(buyer), buyer, after, limit + 1)),
  )
  const rows = lists.flat().sort(newestFirst)
  const orders = rows.slice(0, limit)
  const last = orders.at(-1)
  const next = rows.length > limit && last ? encodeCursor(['orders', last.createdAt, last.orderId]) : null
  return { orders, next }
}

async function pay(deps: OrdersDeps, orderId: string, result: 'confirmed' | 'failed'): Promise<OrderRow> {
  const { recovery, onFailpoint } = deps
  const order = await find(deps, orderId, undefined)
  const { userId } = order
  const document = documentOf(order)
  if (order.state === result) return order
  if (order.state !== 'pending') throw wrongState(order.state, result)
  if (result === 'confirmed') {
    if (order.isOver) throw wrongState('expired', result)
    await takeAtPayment(deps, order, document)
    await confirm(deps, order, document)
    onFailpoint('paid')
    const paid = await find(deps, orderId, userId)
    // Beside the answer: the order stands, and recovery does what this does not.
    void recovery.recoverOrder(paid).then(
      () => onFailpoint('sold'),
      () => undefined,
    )
    return paid
  }
  return end(deps, order, 'failed')
}

async function cancel(deps: OrdersDeps, session: Session, orderId: string): Promise<OrderRow> {
  const order = await find(deps, orderId, session.userId)
  return order.state === 'cancelled' ? order : end(deps, order, 'cancelled')
}

/** @throws AppError `order_not_found`, also for an order of another user */
async function find(deps: OrdersDeps, orderId: string, owner: string | undefined): Promise<OrderRow> {
  const { router } = deps
  const userId = ORDER_ID.test(orderId) ? userOfOrder(orderId) : undefined
  const isTheirs = userId !== undefined && (owner === undefined || (await isOf(deps, userId, owner)))
  const order = isTheirs ? await orderRows.find(router.of(userId), userId, orderId) : undefined
  if (!order || order.state === 'void') throw new AppError('order_not_found', 'There is no such order.')
  return order
}

/** What a guest has ordered is the account's from the login on, as the cart is, and until the merge is taken back. */
async function isOf({ router }: OrdersDeps, buyer: string, owner: string): Promise<boolean> {
  return buyer === owner || cartRows.isGuestOf(router.of(owner), owner, buyer)
}

/** Stock that is taken only now. @throws AppError `out_of_stock`; then the order has failed */
async function takeAtPayment(deps: OrdersDeps, order: OrderRow, { atPayment }: OrderDocument): Promise<void> {
  const { stock } = deps
  const { orderId, userId } = order
  const lookMs = FIXED.orderMs + FIXED.orderPerItemMs * atPayment.length
  for (const demand of atPayment) {
    const { is } = await stock.hold(demand.item, {
      orderId,
      userId,
      units: demand.units,
      lookMs,
      bypassesNegativeCache: true,
    })
    if (is === 'done' || is === 'present') continue
    await end(deps, order, 'failed')
    throw new AppError(
      'out_of_stock',
      'There is not enough in stock any more; the order has failed: give the money back.',
      {
        extra: { state: 'failed' },
      },
    )
  }
}

/** The decision: within its time, once. The cart loses what was ordered in the same transaction. */
async function confirm({ router, writer }: OrdersDeps, order: OrderRow, document: OrderDocument): Promise<void> {
  const { orderId, userId } = order
  const refuse = async () => {
    const now = await orderRows.find(router.of(userId), userId, orderId)
    return wrongState(now?.isOver && now.state === 'pending' ? 'expired' : (now?.state ?? 'void'), 'confirmed')
  }
  const taken = (current: CartContents) => ({
    lines: document.fromCart ? takeOrdered(document.lines)(current.lines) : current.lines,
    purchases: bought(current, document),
  })
  try {
    await writer.change({ userId }, current => ({
      ...taken(current),
      async record(tx) {
        if (!(await orderRows.confirm(tx, userId, orderId))) throw await refuse()
      },
    }))
  } catch (error) {
    if (isAppError(error, 'order_state') && error.extra['state'] === 'confirmed') return // another request was first
    if (!(error instanceof CartMerged)) throw error
    // The guest's cart was merged into an account since: the order stays the guest's, cart and purchases are the account's.
    if (!(await router.write(userId, tx => orderRows.confirm(tx, userId, orderId)))) throw await refuse()
    await writer.change({ userId: error.userId }, taken)
  }
}

async function end(deps: OrdersDeps, order: OrderRow, state: 'cancelled' | 'failed'): Promise<OrderRow> {
  const { router, recovery } = deps
  const { orderId, userId } = order
  const changed = await router.write(userId, tx => orderRows.changeState(tx, userId, orderId, 'pending', state))
  const now = await find(deps, orderId, userId)
  if (!changed && now.state !== state) throw wrongState(now.state, state)
  // What fails here is done by recovery: the order's row has decided already.
  await recovery.recoverOrder(now).catch(() => undefined)
  return now
}

function readOrderCursor(text: string): { createdAt: string; orderId: string } {
  const [kind, createdAt, orderId] = decodeCursor(text, ['string', 'string', 'string']) ?? []
  if (kind === 'orders' && !Number.isNaN(Date.parse(String(createdAt))) && ORDER_ID.test(String(orderId))) {
    return { createdAt: String(createdAt), orderId: String(orderId) }
  }
  const detail = 'This is not a cursor of orders.'
  throw new AppError('invalid_request', detail, { errors: [{ in: 'query', pointer: '#/cursor', detail }] })
}

const newestFirst = (a: OrderRow, b: OrderRow): number =>
  a.createdAt === b.createdAt ? (a.orderId < b.orderId ? 1 : -1) : a.createdAt < b.createdAt ? 1 : -1
