import { AppError } from '../lib/errors.ts'
import { summed, type Wanted } from '../model/cart.ts'
import { FIXED } from '../model/limits.ts'
import type { Minor } from '../model/money.ts'
import { type Demand, inOrder, type OrderDocument } from '../model/order.ts'
import { share } from '../pricing/engine/arithmetic.ts'
import { byRate, type TaxOfRate } from '../pricing/engine/taxes.ts'
import { type OrderRow, orderRows, type RefundRow } from '../store/orders.ts'
import type { Router } from '../store/shard-router.ts'
import { documentOf, wrongState } from './order-view.ts'
import type { OrderRecovery } from './order-recovery.ts'
import type { OnOrderFailpoint } from './failpoints.ts'

interface RefundView {
  readonly id: string
  readonly orderId: string
  readonly lines: readonly RefundedLine[]
  /** The tax of these lines by rate, the highest first. */
  readonly taxes: readonly TaxOfRate[]
  /** False while units are still to be put back; that happens within seconds. */
  readonly restocked: boolean
}

interface RefundedLine extends Wanted {
  /** What the order says these units cost, in minor units; absent in a refund that a release before 0.2.0 made. */
  readonly amount?: Minor
  /** Of a product with a tax rate: what of it is tax, or was added. */
  readonly tax?: Minor
  readonly taxPercent?: number
}

/** A refund as the order it belongs to shows it. */
export function refundView(row: RefundRow): RefundView {
  const { lines } = readRefund(row)
  const taxed = lines.map(({ quantity: units, amount = 0, taxPercent: percent = 0 }) => ({ amount, percent, units }))
  const taxes = byRate(
    taxed,
    lines.map(({ tax = 0 }) => tax),
  )
  return { id: row.refundId, orderId: row.orderId, lines, taxes, restocked: row.state === 'done' }
}

interface Refunded {
  readonly view: RefundView
  /** True where it had been made before, with the same key. */
  readonly replayed: boolean
}

interface RefundsDeps {
  readonly router: Router
  readonly recovery: OrderRecovery
  readonly onFailpoint: OnOrderFailpoint
  /** @throws AppError `order_not_found` */
  find(orderId: string, owner: string | undefined): Promise<OrderRow>
}

/** A refund by its id, made once. @throws AppError `order_not_found`, `order_state`, `refund_invalid`, `idempotency_mismatch` */
export function createRefunds({ router, recovery, onFailpoint, find }: RefundsDeps) {
  /**
   * Puts units of a confirmed order back into the stock: all that are left of it, or some lines. The refund is written down before
   * the stock is touched, so that it is done once, and done even if this process dies.
   * @throws AppError `order_not_found`, `order_state`, `refund_invalid`, `idempotency_mismatch`
   */
  return async function refund(orderId: string, refundId: string, lines: Quantities | undefined): Promise<Refunded> {
    const order = await find(orderId, undefined)
    if (order.state !== 'confirmed') throw wrongState(order.state, 'refunded')
    const { userId } = order
    const document = documentOf(order)
    const wanted = lines && summed(lines).sort((a, b) => (a.sku < b.sku ? -1 : 1))
    let replayed = false
    const row = await router.write(userId, async (tx, { slot }): Promise<RefundRow> => {
      await orderRows.findLocked(tx, userId, orderId) // refunds of one order, one after the other
      const before = await orderRows.refunds(tx, userId, orderId)
      const known = before.find(one => one.refundId === refundId)
      replayed = known !== undefined
      if (known) return known
      if (before.length >= FIXED.refundsPerOrderMax) throw refundInvalid('This order has too many refunds already.')
      const noted = before.map(readRefund)
      const refunded = refundOf(document, noted, wanted)
      const items = itemsOf(document, refunded, noted)
      const text = JSON.stringify({ lines: amountsOf(document, refunded, noted), asked: wanted ?? null, items })
      await orderRows.insertRefund(tx, slot, { userId, orderId, refundId, document: text })
      return { userId, orderId, refundId, state: 'pending', document: text }
    })
    const noted = readRefund(row)
    if (JSON.stringify(noted.asked) !== JSON.stringify(wanted ?? null)) {
      throw new AppError('idempotency_mismatch', 'This Idempotency-Key was used for another refund.')
    }
    onFailpoint('refund-noted')
    const restocked = await recovery.recoverRefund(row).then(
      () => true,
      () => false, // recovery goes on with it
    )
    const view = refundView(row)
    return { view: { ...view, restocked: view.restocked || restocked }, replayed }
  }
}

type Quantities = readonly Wanted[]

const readRefund = ({ document }: RefundRow) =>
  JSON.parse(document) as {
    readonly lines: readonly RefundedLine[]
    readonly asked: Quantities | null
    readonly items: readonly Demand[]
  }

function refundedUnits(before: readonly { readonly lines: Quantities }[]): ReadonlyMap<string, number> {
  return new Map(summed(before.flatMap(refund => refund.lines)).map(({ sku, quantity }) => [sku, quantity]))
}

/** What a refund takes back. @throws AppError `refund_invalid` for more than was ordered and not refunded yet */
function refundOf(
  document: OrderDocument,
  before: readonly { readonly lines: Quantities }[],
  wanted: Quantities | undefined,
) {
  const left = new Map(summed(document.lines).map(({ sku, quantity }) => [sku, quantity]))
  for (const [sku, quantity] of refundedUnits(before)) left.set(sku, (left.get(sku) ?? 0) - quantity)
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

/** What the order says that refunded units cost: refunds of a line add up to the line, each rounded. */
function amountsOf(
  { lines }: OrderDocument,
  refunded: Quantities,
  before: readonly { readonly lines: Quantities }[],
): RefundedLine[] {
  const done = refundedUnits(before)
  return refunded.map(({ sku, quantity }) => {
    const line = lines.find(one => one.sku === sku)
    if (!line) return { sku, quantity }
    const from = done.get(sku) ?? 0
    const partOf = (amount: Minor) =>
      share(amount, from + quantity, line.quantity, 'half-up') - share(amount, from, line.quantity, 'half-up')
    const { total, tax, taxPercent } = line
    return { sku, quantity, amount: partOf(total), ...(taxPercent ? { tax: partOf(tax ?? 0), taxPercent } : {}) }
  })
}

/** The stock that refunded lines came from, whatever the catalogue says by now; never more than the order took of it. */
function itemsOf(
  { held, atPayment, lines }: OrderDocument,
  refunded: Quantities,
  before: readonly { readonly items: readonly Demand[] }[],
): Demand[] {
  const left = new Map([...held, ...atPayment].map(({ item, units }) => [item, units]))
  for (const { item, units } of before.flatMap(refund => refund.items)) left.set(item, (left.get(item) ?? 0) - units)
  const itemOf = new Map(lines.map(line => [line.sku, line.item]))
  const back = new Map<string, number>()
  for (const { sku, quantity } of refunded) {
    const item = itemOf.get(sku)
    if (item !== undefined && left.has(item)) {
      back.set(item, Math.min(left.get(item) ?? 0, (back.get(item) ?? 0) + quantity))
    }
  }
  return inOrder([...back].flatMap(([item, units]) => (units > 0 ? [{ item, units }] : [])))
}

function refundInvalid(detail: string): AppError {
  return new AppError('refund_invalid', detail, { errors: [{ in: 'body', pointer: '#/lines', detail }] })
}
