import type { Database } from '../../src/store/database.ts'
import { checkOrders, type CountersSeen, isCleanOrder, type OrderSeen, type OrderVerdict } from '../history/orders.ts'
import { eventually } from '../support/client.ts'
import { databasesOf } from './accounts.ts'
import type { Buyer, History } from './buyers.ts'
import type { Shop } from './shop.ts'

/** What must hold when everything has come to rest; each number must be 0 but `sold`. */
export interface Verdict extends OrderVerdict {
  /** Orders of a buyer beyond the first. */
  readonly again: number
  /** Buyers without a clear answer. */
  readonly unclear: number
  readonly restMs: number
}

export async function judge(
  shop: Pick<Shop, 'addresses'>,
  what: { sku: string; units: number; history: History; buyers: readonly Buyer[]; brokenSeen: number },
): Promise<Verdict> {
  const { sku, units, history, buyers } = what
  const { shards, close } = await databasesOf(shop)
  try {
    const since = performance.now()
    await eventually(
      'nothing is held or pending any more',
      async () => (await Promise.all(shards.map(openIn))).every(open => open === 0),
      60_000,
    )
    const restMs = performance.now() - since
    const orders = (await Promise.all(shards.map(shard => ordersIn(shard, sku)))).flat()
    const counters = (await Promise.all(shards.map(countersIn))).flat()
    const { tries } = history
    const verdict = checkOrders({ item: `s:${sku}`, units, demand: buyers.length, tries, orders, counters })
    return {
      ...verdict,
      broken: verdict.broken + what.brokenSeen,
      again: orders.length - new Set(orders.map(order => order.userId)).size,
      unclear: buyers.filter(buyer => buyer.end === undefined || buyer.end === 'unclear').length,
      restMs,
    }
  } finally {
    await close()
  }
}

async function openIn(shard: Database): Promise<number> {
  const [claims] = await shard.rows<{ n: string | number }>(
    "SELECT COUNT(*) AS n FROM stock_claims WHERE state = 'held'",
  )
  const [orders] = await shard.rows<{ n: string | number }>(
    "SELECT COUNT(*) AS n FROM orders WHERE state = 'pending' OR settled = 0",
  )
  return Number(claims?.n ?? 0) + Number(orders?.n ?? 0)
}

async function ordersIn(shard: Database, sku: string): Promise<OrderSeen[]> {
  const rows = await shard.rows<{
    order_id: string
    user_id: string
    idempotency_key: string
    total: string
    document: string
  }>("SELECT order_id, user_id, idempotency_key, total, document FROM orders WHERE state = 'confirmed'")
  return rows.flatMap(row => {
    const { lines } = JSON.parse(row.document) as { lines: { sku: string; quantity: number }[] }
    const units = lines.filter(line => line.sku === sku).reduce((sum, line) => sum + line.quantity, 0)
    if (units === 0) return []
    return [{ orderId: row.order_id, userId: row.user_id, key: row.idempotency_key, units, total: Number(row.total) }]
  })
}

async function countersIn(shard: Database): Promise<CountersSeen[]> {
  const rows = await shard.rows<Record<string, string | number>>(`
    SELECT s.item, s.units, SUM(b.free) AS free, SUM(b.held) AS held, SUM(b.sold) AS sold
    FROM stock s JOIN stock_buckets b ON b.item = s.item GROUP BY s.item, s.units`)
  return rows.map(row => ({
    item: String(row['item']),
    units: Number(row['units']),
    free: Number(row['free']),
    held: Number(row['held']),
    sold: Number(row['sold']),
  }))
}

/** Looks at the invariants again and again, as an operator's monitoring would; counts the looks at which they did not hold. */
export function watchInvariants(shop: Shop): { stop(): { looks: number; broken: number } } {
  let looks = 0
  let broken = 0
  let turn = 0
  const timer = setInterval(() => {
    const url = shop.opsUrls[turn++ % Math.max(1, shop.opsUrls.length)]
    fetch(`${url}/ops/stock/invariants`)
      .then(async answer => {
        const report = (await answer.json()) as { broken: unknown[] }
        looks++
        if (report.broken.length > 0) broken++
      })
      .catch(() => undefined) // that instance is down just now
  }, 200)
  return {
    stop() {
      clearInterval(timer)
      return { looks, broken }
    },
  }
}

export function lastLine(verdict: Verdict): string {
  const { sold, oversold, undersold, lost, duplicated, again } = verdict
  return `sold=${sold} oversold=${oversold} undersold=${undersold} lost=${lost} duplicated=${duplicated + again}`
}

export function isClean(verdict: Verdict): boolean {
  return isCleanOrder(verdict) && verdict.again === 0 && verdict.unclear === 0
}
