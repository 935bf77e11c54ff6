import type { Session } from '../sessions/sessions.ts'
import { type Funnel, HandedOver } from '../cart/funnel.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { takeOrdered } from '../model/cart.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import { type Demand, inOrder, ORDER_ID, type OrderDocument, stockItemOf, userOfOrder } from '../model/order.ts'
import type { Pricing } from '../pricing/pool.ts'
import { DuplicateKeyError } from '../store/database.ts'
import { type OrderRow, orderRows, type OrderState, type RefundRow } from '../store/orders.ts'
import type { Router } from '../store/router.ts'
import { bought, type OnStep } from './checkout.ts'
import type { Settlement } from './settlement.ts'
import type { Stock } from './stock.ts'

/** Orders after they were placed: looking at them, paying, cancelling, refunding. An order's id leads to its one shard. */
export interface OrderView {
  readonly id: string
  readonly state: OrderState
  readonly createdAt: string
  /** Until when a pending order waits for its payment. */
  readonly expiresAt: string | null
  readonly cartVersion: number | null
  readonly total: number
  readonly currency: string
  readonly totals: OrderDocument['totals']
  readonly lines: OrderDocument['lines']
  readonly gifts: OrderDocument['gifts']
  readonly promotions: OrderDocument['promotions']
  readonly codes: OrderDocument['codes']
  readonly versions: OrderDocument['versions']
}

export interface RefundView {
  readonly id: string
  readonly orderId: string
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[]
  /** False while units are still to be put back; that happens within seconds. */
  readonly restocked: boolean
}

export interface OrdersDeps {
  readonly router: Router
  readonly stock: Stock
  readonly settlement: Settlement
  readonly funnel: Funnel
  readonly pricing: Pricing
  readonly onStep: OnStep
}

export type Orders = ReturnType<typeof createOrders>

export function createOrders({ router, stock, settlement, funnel, pricing, onStep }: OrdersDeps) {
  /** @throws AppError `order_not_found`, also for an order of somebody else */
  async function find(orderId: string, owner: string | undefined): Promise<OrderRow> {
    const userId = ORDER_ID.test(orderId) ? userOfOrder(orderId) : undefined
    const isTheirs = userId !== undefined && (owner === undefined || owner === userId)
    const order = isTheirs ? await orderRows.find(router.of(userId), userId, orderId) : undefined
    if (!order || order.state === 'void') throw new AppError('order_not_found', 'There is no such order.')
    return order
  }

  /** Stock that is taken only now. @throws AppError `out_of_stock`; then the order has failed */
  async function takeAtPayment(order: OrderRow, { atPayment }: OrderDocument): Promise<void> {
    const { orderId, userId } = order
    const lookMs = FIXED.orderMs + FIXED.orderPerItemMs * atPayment.length
    for (const demand of atPayment) {
      const { is } = await stock.hold(demand.item, { orderId, userId, units: demand.units, lookMs })
      if (is === 'done' || is === 'present') continue
      await end(order, 'failed')
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
  async function confirm(order: OrderRow, document: OrderDocument): Promise<void> {
    const { orderId, userId } = order
    const refuse = async () => {
      const now = await orderRows.find(router.of(userId), userId, orderId)
      return wrongState(now?.isOver && now.state === 'pending' ? 'expired' : (now?.state ?? 'void'), 'confirmed')
    }
    try {
      await funnel.change({ userId }, current => ({
        lines: document.fromCart ? takeOrdered(document.lines)(current.lines) : current.lines,
        purchases: bought(current, document),
        async record(tx) {
          if (!(await orderRows.confirm(tx, userId, orderId))) throw await refuse()
        },
      }))
    } catch (error) {
      if (isAppError(error, 'order_state') && error.extra['state'] === 'confirmed') return // another request was first
      if (!(error instanceof HandedOver)) throw error
      // A guest who has logged in since: the cart went to the account, the order stays the guest's.
      if (!(await router.write(userId, tx => orderRows.confirm(tx, userId, orderId)))) throw await refuse()
    }
  }

  return {
    find,

    /** Newest first. @throws AppError `invalid_request` for a cursor that is not one of orders */
    async list(
      session: Session,
      limit: number,
      cursor: string | undefined,
    ): Promise<{ orders: OrderRow[]; next: string | null }> {
      const after = cursor === undefined ? undefined : readOrderCursor(cursor)
      const rows = await orderRows.list(router.of(session.userId), session.userId, after, limit + 1)
      const orders = rows.slice(0, limit)
      const last = orders.at(-1)
      const next = rows.length > limit && last ? encodeCursor(['orders', last.createdAt, last.orderId]) : null
      return { orders, next }
    },

    /**
     * What the shop's payment provider says. Saying it again is no error.
     * @throws AppError `order_not_found`, `order_state` when it was decided otherwise or its time is over, `out_of_stock`
     */
    async pay(orderId: string, result: 'confirmed' | 'failed'): Promise<OrderRow> {
      const order = await find(orderId, undefined)
      const { userId } = order
      const document = documentOf(order)
      if (order.state === result) return order
      if (order.state !== 'pending') throw wrongState(order.state, result)
      if (result === 'confirmed') {
        if (order.isOver) throw wrongState('expired', result)
        await takeAtPayment(order, document)
        await confirm(order, document)
        await onStep('paid')
        const paid = await find(orderId, userId)
        // Beside the answer: the order stands, and settlement does what this does not.
        void settlement.settleOrder(paid).then(
          () => onStep('sold'),
          () => undefined,
        )
        return paid
      }
      return end(order, 'failed')
    },

    /** By the buyer, before the payment. @throws AppError `order_not_found`, `order_state` */
    async cancel(session: Session, orderId: string): Promise<OrderRow> {
      const order = await find(orderId, session.userId)
      return order.state === 'cancelled' ? order : end(order, 'cancelled')
    },

    /**
     * Puts units of a confirmed order back into the stock: all that are left of it, or some lines. The refund is written down before
     * the stock is touched, so that it is done once, and done even if this process dies.
     * @throws AppError `order_not_found`, `order_state`, `refund_invalid`, `idempotency_mismatch`
     */
    async refund(
      orderId: string,
      refundId: string,
      lines: readonly { readonly sku: string; readonly quantity: number }[] | undefined,
    ): Promise<RefundView> {
      const order = await find(orderId, undefined)
      if (order.state !== 'confirmed') throw wrongState(order.state, 'refunded')
      const { userId } = order
      const document = documentOf(order)
      const wanted = lines && summed(lines)
      const row = await router
        .write(userId, async (tx, { slot }) => {
          await orderRows.findLocked(tx, userId, orderId) // refunds of one order, one after the other
          const before = await orderRows.refunds(tx, userId, orderId)
          const known = before.find(refund => refund.refundId === refundId)
          if (known) return known
          if (before.length >= FIXED.refundsPerOrderMax) throw refundInvalid('This order has too many refunds already.')
          const refunded = refundOf(document, before.map(readRefund), wanted)
          const items = itemsOf(document, refunded, pricing)
          const text = JSON.stringify({ lines: refunded, asked: wanted ?? null, items })
          await orderRows.insertRefund(tx, slot, { userId, orderId, refundId, document: text })
          return { userId, orderId, refundId, state: 'pending' as const, document: text }
        })
        .catch(async (error: unknown): Promise<RefundRow> => {
          if (!(error instanceof DuplicateKeyError)) throw error
          const first = (await orderRows.refunds(router.of(userId), userId, orderId)).find(
            one => one.refundId === refundId,
          )
          if (!first) throw error
          return first
        })
      const noted = readRefund(row)
      if (JSON.stringify(noted.asked) !== JSON.stringify(wanted ?? null)) {
        throw new AppError('idempotency_mismatch', 'This Idempotency-Key was used for another refund.')
      }
      await onStep('refund-noted')
      const restocked = await settlement.settleRefund(row).then(
        () => true,
        () => false, // settlement goes on with it
      )
      return { id: refundId, orderId, lines: noted.lines, restocked: row.state === 'done' || restocked }
    },

    view: orderView,
  }

  async function end(order: OrderRow, state: 'cancelled' | 'failed'): Promise<OrderRow> {
    const { orderId, userId } = order
    const changed = await router.write(userId, tx => orderRows.changeState(tx, userId, orderId, 'pending', state))
    const now = await find(orderId, userId)
    if (!changed && now.state !== state) throw wrongState(now.state, state)
    // What fails here is done by settlement: the order's row has decided already.
    await settlement.settleOrder(now).catch(() => undefined)
    return now
  }
}

export function orderView(order: OrderRow): OrderView {
  const { currency, totals, lines, gifts, promotions, codes, versions } = documentOf(order)
  return {
    id: order.orderId,
    state: order.state === 'pending' && order.isOver ? 'expired' : order.state,
    createdAt: order.createdAt,
    expiresAt: order.state === 'pending' ? (order.expiresAt ?? null) : null,
    cartVersion: order.cartVersion ?? null,
    total: order.total,
    currency,
    totals,
    lines,
    gifts,
    promotions,
    codes,
    versions,
  }
}

const documentOf = ({ document }: OrderRow) => JSON.parse(document) as OrderDocument

type Quantities = readonly { readonly sku: string; readonly quantity: number }[]

const readRefund = ({ document }: RefundRow) =>
  JSON.parse(document) as { readonly lines: Quantities; readonly asked: Quantities | null }

function summed(lines: Quantities): { sku: string; quantity: number }[] {
  const units = new Map<string, number>()
  for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity)
  return [...units].map(([sku, quantity]) => ({ sku, quantity })).sort((a, b) => (a.sku < b.sku ? -1 : 1))
}

/** What a refund takes back. @throws AppError `refund_invalid` for more than was ordered and not refunded yet */
function refundOf(
  document: OrderDocument,
  before: readonly { readonly lines: Quantities }[],
  wanted: Quantities | undefined,
) {
  const left = new Map<string, number>()
  for (const { sku, quantity } of document.lines) left.set(sku, (left.get(sku) ?? 0) + quantity)
  for (const { sku, quantity } of before.flatMap(refund => refund.lines)) left.set(sku, (left.get(sku) ?? 0) - quantity)
  const rest = [...left].flatMap(([sku, quantity]) => (quantity > 0 ? [{ sku, quantity }] : []))
  if (!wanted) {
    if (rest.length === 0) throw refundInvalid('Everything of this order has been refunded.')
    return rest
  }
  for (const { sku, quantity } of wanted) {
    const possible = left.get(sku) ?? 0
    if (quantity > possible) throw refundInvalid(`Of '${sku}' ${possible} can be refunded, not ${quantity}.`)
  }
  return wanted
}

/** The stock that refunded lines came from; only what the order took. */
function itemsOf({ held, atPayment }: OrderDocument, lines: Quantities, pricing: Pricing): Demand[] {
  const taken = new Map([...held, ...atPayment].map(({ item, units }) => [item, units]))
  const back = new Map<string, number>()
  for (const { sku, quantity } of lines) {
    const item = stockItemOf(pricing.product(sku) ?? { sku })
    if (taken.has(item)) back.set(item, Math.min(taken.get(item) ?? 0, (back.get(item) ?? 0) + quantity))
  }
  return inOrder([...back].map(([item, units]) => ({ item, units })))
}

function readOrderCursor(text: string): { createdAt: string; orderId: string } {
  const [kind, createdAt, orderId] = decodeCursor(text, ['string', 'string', 'string']) ?? []
  if (kind === 'orders' && !Number.isNaN(Date.parse(String(createdAt)))) {
    return { createdAt: String(createdAt), orderId: String(orderId) }
  }
  const detail = 'This is not a cursor of orders.'
  throw new AppError('invalid_request', detail, { errors: [{ in: 'query', pointer: '#/cursor', detail }] })
}

function wrongState(state: OrderState, wanted: string): AppError {
  return new AppError('order_state', `This order is ${state}; it cannot become ${wanted}.`, { extra: { state } })
}

function refundInvalid(detail: string): AppError {
  return new AppError('refund_invalid', detail, { errors: [{ in: 'body', pointer: '#/lines', detail }] })
}
