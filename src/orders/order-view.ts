import { AppError } from '../lib/errors.ts'
import type { OrderDocument, OrderGift, OrderLine } from '../model/order.ts'
import type { OrderRow, OrderState } from '../store/orders.ts'

/** An order as clients see it. */
interface OrderView {
  readonly id: string
  readonly state: OrderState
  readonly createdAt: string
  /** Until when a pending order waits for its payment. */
  readonly expiresAt: string | null
  readonly cartVersion: number | null
  readonly total: number
  readonly currency: string
  readonly totals: OrderDocument['totals']
  readonly lines: readonly Omit<OrderLine, 'item'>[]
  readonly gifts: readonly Omit<OrderGift, 'item'>[]
  readonly promotions: OrderDocument['promotions']
  readonly codes: OrderDocument['codes']
  readonly versions: OrderDocument['versions']
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
    lines: lines.map(lineView),
    gifts: gifts.map(({ sku, quantity, promotion }) => ({ sku, quantity, promotion })),
    promotions,
    codes,
    versions,
  }
}

/** Where its units came from is the shop's business. */
function lineView(line: OrderLine): Omit<OrderLine, 'item'> {
  const { sku, name, quantity, unitPrice, subtotal, discount, total, tax = 0, taxPercent } = line
  const taxed = taxPercent === undefined ? {} : { tax, taxPercent }
  return { sku, name, quantity, unitPrice, subtotal, discount, total, ...taxed }
}

export const documentOf = ({ document }: OrderRow) => JSON.parse(document) as OrderDocument

export function wrongState(state: OrderState, wanted: string): AppError {
  return new AppError('order_state', `This order is ${state}; it cannot become ${wanted}.`, { extra: { state } })
}
