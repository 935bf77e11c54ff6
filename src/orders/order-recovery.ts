import { randomUUID } from 'node:crypto'
import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'
import { type Demand, type OrderDocument, userOfOrder } from '../model/order.ts'
import { type Database, DuplicateKeyError } from '../store/database.ts'
import { type OrderRow, orderRows, type Place, type RefundRow } from '../store/orders.ts'
import type { Router } from '../store/shard-router.ts'
import { stockRows } from '../store/stock.ts'
import type { OverdueClaim } from '../store/stock-audit.ts'
import { stockAudit } from '../store/stock-audit.ts'
import type { Log } from '../telemetry/log.ts'
import { createFailureLog } from '../telemetry/outages.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { documentOf } from './order-view.ts'
import type { Stock } from '../inventory/inventory.ts'

/**
 * In-doubt recovery: resolves reservations of orders whose process died, was stopped for longer than an order takes, or could not reach a shard.
 * The order's row decides. Where a claim has no order, one is written as `void` first: from then on the process that
 * was making it cannot any more, however late it wakes up, and only then are its units freed.
 *
 * Any instance does it. A lease keeps all but one from looking; with two of them every step would still be right.
 */
export type OrderRecovery = ReturnType<typeof startOrderRecovery>

interface OrderRecoveryDeps {
  readonly router: Router
  readonly stock: Stock
  readonly metrics: Metrics
  readonly log: Log
}

/** Starts the periodic recovery of this instance; one instance at a time leads it. */
export function startOrderRecovery(deps: OrderRecoveryDeps) {
  const { router, metrics, log } = deps
  const holder = randomUUID()
  const looks = new Map<string, number>()
  /** By shard: where the next page of open refunds begins. */
  const refundPlaces = new Map<string, Place>()
  const ages = new Map<string, { claims: number; orders: number }>()
  const oldest = (of: 'claims' | 'orders') => Math.max(0, ...[...ages.values()].map(age => age[of])) / 1000
  metrics.watch('cartload_claims_overdue_seconds', 'By how much the oldest unresolved claim is overdue', () =>
    oldest('claims'),
  )
  metrics.watch('cartload_orders_overdue_seconds', 'By how much the oldest pending order is past its time', () =>
    oldest('orders'),
  )

  const logClaimFailure = createFailureLog(log, 'a claim on stock could not be settled yet')
  const logOrderFailure = createFailureLog(log, 'an order could not be settled yet')
  const logRefundFailure = createFailureLog(log, 'a refund could not be settled yet')

  async function settleShard(shard: Database): Promise<void> {
    if (!(await orderRows.lease(shard, FIXED.orderLease, holder, FIXED.orderLeaseS))) {
      ages.delete(shard.name)
      return
    }
    const overdue = await stockAudit.overdue(shard, FIXED.settleBatchMax)
    const settle = ({ item, orderId }: OverdueClaim) =>
      settleClaim(deps, item, orderId).catch(async (error: unknown) => {
        // The order was decided just now, for another of its claims: the next run finds it.
        if (error instanceof DuplicateKeyError) return
        // Its other shard is away: others must not wait behind it.
        await router.write(item, tx => stockRows.putOffClaim(tx, item, orderId, FIXED.putOffS))
        throw error
      })
    await all(overdue, settle, logClaimFailure)
    // What follows is due only seconds after it was decided: every third look is enough.
    const look = (looks.get(shard.name) ?? 0) + 1
    looks.set(shard.name, look)
    if (look % 3 !== 0) return
    const over = await orderRows.over(shard, FIXED.settleBatchMax)
    const expire = ({ userId, orderId }: { userId: string; orderId: string }) =>
      router.write(userId, tx => orderRows.changeState(tx, userId, orderId, 'pending', 'expired'))
    await all(over, expire, logOrderFailure)
    const settleLater = (order: OrderRow) =>
      recoverOrder(deps, order).catch(async (error: unknown) => {
        await orderRows.putOff(shard, order)
        throw error
      })
    await all(await orderRows.unsettled(shard, FIXED.settleBatchMax), settleLater, logOrderFailure)
    // Page after page, from look to look: refunds whose other shard is away must not hold up those behind them.
    const { refunds, next } = await orderRows.openRefunds(shard, FIXED.settleBatchMax, refundPlaces.get(shard.name))
    if (next) refundPlaces.set(shard.name, next)
    else refundPlaces.delete(shard.name)
    await all(refunds, row => recoverRefund(deps, row), logRefundFailure)
    ages.set(shard.name, {
      claims: await stockAudit.oldestOverdueMs(shard),
      orders: await orderRows.oldestOverMs(shard),
    })
  }

  const looking = router.shards.map(shard =>
    repeat(() => settleShard(shard), FIXED.settleEveryMs, createFailureLog(log, `settling on ${shard.name} failed`)),
  )
  return {
    settleClaim: (item: string, orderId: string) => settleClaim(deps, item, orderId),
    recoverOrder: (order: OrderRow) => recoverOrder(deps, order),
    recoverRefund: (of: RefundRow) => recoverRefund(deps, of),
    sellAll: (order: OrderRow) => sellAll(deps, order),
    stop() {
      for (const one of looking) one.stop()
    },
  }
}

/** What becomes of a claim is what its order says. */
async function settleClaim(
  { router, stock, metrics }: OrderRecoveryDeps,
  item: string,
  orderId: string,
): Promise<'sold' | 'freed' | 'waiting'> {
  const userId = userOfOrder(orderId)
  let until = 0
  const decision = await router.write(userId, async (tx, { slot }) => {
    const order = await orderRows.findLocked(tx, userId, orderId)
    if (!order) {
      await orderRows.insertVoid(tx, slot, userId, orderId)
      return 'freed'
    }
    if (order.state === 'confirmed') return 'sold'
    if (order.state !== 'pending') return 'freed'
    if (!order.isOver) {
      until = Date.parse(order.expiresAt ?? '')
      return 'waiting'
    }
    await orderRows.changeState(tx, userId, orderId, 'pending', 'expired')
    return 'freed'
  })
  if (decision === 'sold') await stock.sell(item, orderId)
  else if (decision === 'freed') await stock.free(item, orderId)
  else await router.write(item, tx => stockRows.extendClaim(tx, item, orderId, until))
  metrics.settled.inc({ result: decision })
  return decision
}

/** Must never happen: an order is confirmed and has no claim. `cartload stock check` names it too. */
function reportMissing({ metrics, log }: OrderRecoveryDeps, item: string, orderId: string): void {
  metrics.settled.inc({ result: 'missing' })
  log.error({ item, orderId }, 'a confirmed order has no claim on its stock')
}

/** Sells what a new order holds, as far as that works now. */
async function sellAll(deps: OrderRecoveryDeps, order: OrderRow): Promise<void> {
  const { stock } = deps
  const { orderId } = order
  await Promise.allSettled(
    documentOf(order).held.map(async ({ item }) => {
      if ((await stock.sell(item, orderId)).is === 'missing') reportMissing(deps, item, orderId)
    }),
  )
}

/** Brings the stock of an order to what the order says. What fails is done by the next look at it. */
async function recoverOrder(deps: OrderRecoveryDeps, order: OrderRow): Promise<void> {
  const { router, stock } = deps
  const { held, atPayment } = documentOf(order)
  const isSold = order.state === 'confirmed'
  const follow = async ({ item }: Demand) => {
    if (!isSold) await stock.free(item, order.orderId)
    else if ((await stock.sell(item, order.orderId)).is === 'missing') reportMissing(deps, item, order.orderId)
  }
  await Promise.all([...held, ...atPayment].map(follow))
  await orderRows.markSettled(router.of(order.userId), order)
}

/** Puts the units of a refund back, once, and marks it done. */
async function recoverRefund(
  { router, stock }: OrderRecoveryDeps,
  { userId, orderId, refundId, document }: RefundRow,
): Promise<void> {
  const { items } = JSON.parse(document) as { items: OrderDocument['held'] }
  for (const { item, units } of items) {
    let { is } = await stock.refund(item, { orderId, refundId, units })
    if (is === 'missing') {
      // The sale itself may still be on its way from `held` to `sold`.
      await stock.sell(item, orderId)
      is = (await stock.refund(item, { orderId, refundId, units })).is
    }
    if (is !== 'done') throw new Error(`the refund ${refundId} of ${orderId} finds no claim on ${item}`)
  }
  await orderRows.finishRefund(router.of(userId), userId, orderId, refundId)
}

/** An order that cannot be recovered now, since its other shard is unavailable, does not delay the rest. */
async function all<T>(
  list: readonly T[],
  work: (one: T) => Promise<unknown>,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const results = await Promise.allSettled(list.map(work))
  const failed = results.filter(result => result.status === 'rejected')
  if (failed[0]) onFailure(failed[0].reason)
}
