import { FIXED } from '../model/limits.ts'
import { userOfOrder } from '../model/order.ts'
import type { Database } from '../store/database.ts'
import { type OrderRow, orderRows } from '../store/orders.ts'
import type { Router } from '../store/shard-router.ts'
import type { ClaimRow } from '../store/stock.ts'
import { stockAudit } from '../store/stock-audit.ts'
import type { Finding, Inventory } from '../inventory/stock-levels.ts'
import { documentOf } from './order-view.ts'

export interface Progress {
  readonly items: number
  readonly orders: number
}

/**
 * Whether counters, claims, ledger and orders agree. Counters that claims and ledger prove wrong can be set right; what contradicts
 * itself is only reported, with all that a person needs to judge it. Orders in flight are checked again before they are reported.
 */
export function createReconciler({ router, inventory }: { router: Router; inventory: Inventory }) {
  /** A claim that is sold belongs to an order that is confirmed. */
  async function problemOf(item: string, claim: ClaimRow): Promise<string | undefined> {
    if (claim.state !== 'sold') return undefined
    const userId = userOfOrder(claim.orderId)
    const order = await orderRows.find(router.of(userId), userId, claim.orderId)
    if (order?.state === 'confirmed') return undefined
    return `${claim.units} sold to the order ${claim.orderId}, which is ${order?.state ?? 'not there'} (${item})`
  }

  /** An order has what it has claimed; sold, when it is confirmed and recovered. */
  async function missingOf(order: OrderRow): Promise<Finding[]> {
    const { held, atPayment } = documentOf(order)
    const findings: Finding[] = []
    for (const { item, units } of [...held, ...atPayment]) {
      const claim = await stockAudit.claimOf(router.of(item), item, order.orderId)
      if (claim?.units === units) continue
      const problem = `the order ${order.orderId} is confirmed with ${units}, and claims ${claim?.units ?? 'nothing'}`
      findings.push({ item, problem, repaired: false })
    }
    return findings
  }

  async function* claimsOf(item: string): AsyncGenerator<ClaimRow[]> {
    for (let last = ''; ; ) {
      const page = await stockAudit.claimsOfItem(router.of(item), item, last, FIXED.settleBatchMax)
      if (page.length > 0) yield page
      const end = page.at(-1)
      if (!end || page.length < FIXED.settleBatchMax) return
      last = end.orderId
    }
  }

  async function checkOrders(shard: Database, onOrders: (count: number) => void): Promise<Finding[]> {
    const findings: Finding[] = []
    for await (const page of orderRows.confirmed(shard, FIXED.settleBatchMax)) {
      findings.push(...(await fewAtOnce(page, missingOf)).flat())
      onOrders(page.length)
    }
    return findings
  }

  return {
    /** Everything of every shard. */
    async run(repair: boolean, onProgress: (progress: Progress) => void = () => {}): Promise<Finding[]> {
      const findings: Finding[] = []
      let [items, orders] = [0, 0]
      for (const shard of router.shards) {
        for await (const item of stockAudit.items(shard, FIXED.settleBatchMax)) {
          findings.push(...(await inventory.check(item, repair)))
          for await (const page of claimsOf(item)) {
            const problems = await fewAtOnce(page, claim => problemOf(item, claim))
            findings.push(...problems.flatMap(problem => (problem ? [{ item, problem, repaired: false }] : [])))
          }
          onProgress({ items: ++items, orders })
        }
        const found = await checkOrders(shard, count => {
          orders += count
          onProgress({ items, orders })
        })
        findings.push(...found)
      }
      return findings
    },
  }
}

/** A check must leave capacity for buyers. */
async function fewAtOnce<T, R>(list: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < list.length; at += FIXED.checkAtOnceMax) {
    results.push(...(await Promise.all(list.slice(at, at + FIXED.checkAtOnceMax).map(work))))
  }
  return results
}
