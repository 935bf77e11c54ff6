import type { Database } from '../../src/store/database.ts'
import { eventually } from '../support/client.ts'
import { databasesOf } from './accounts.ts'
import type { Buyer, History } from './buyers.ts'
import type { Shop } from './shop.ts'

/** What must hold when everything has come to rest; each number must be 0 but `sold`. */
export interface Verdict {
  readonly sold: number
  readonly oversold: number
  readonly undersold: number
  /** Acknowledged, and not there. */
  readonly lost: number
  /** Orders of a buyer, or of a key, beyond the first. */
  readonly duplicated: number
  /** Refused, and there all the same; or there at another price than was told. */
  readonly contradicted: number
  /** Buyers without a clear answer. */
  readonly unclear: number
  /** Counters that do not add up, at the end or at any look in between. */
  readonly broken: number
  readonly restMs: number
}

interface OrderSeen {
  readonly orderId: string
  readonly userId: string
  readonly key: string
  readonly units: number
  readonly total: number
}

export async function judge(
  shop: Shop,
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
    const sold = orders.reduce((sum, order) => sum + order.units, 0)
    const byId = new Map(orders.map(order => [order.orderId, order]))
    const acknowledged = new Set(
      history.tries.flatMap(({ result, orderId }) => (result === 'ok' && orderId ? [orderId] : [])),
    )
    const buyersOf = new Set(orders.map(order => order.userId))
    const wrongTotal = history.tries.filter(
      one => one.orderId !== undefined && byId.get(one.orderId)?.total !== one.total,
    )
    // The last word of a key counts: after a refusal no order of it may be there.
    const last = new Map(history.tries.map(one => [one.key, one]))
    const refused = orders.filter(order => last.get(order.key)?.result === 'fail')
    const counters = (await Promise.all(shards.map(countersIn))).flat()
    const item = counters.find(counter => counter.item === `s:${sku}`)
    const brokenNow = counters.filter(c => c.units !== c.free + c.held + c.sold).length
    return {
      sold,
      oversold: Math.max(0, sold - units, (item?.sold ?? 0) - units),
      undersold: buyers.length >= units ? Math.max(0, units - sold) : 0,
      lost: [...acknowledged].filter(id => !byId.has(id)).length,
      duplicated: orders.length - buyersOf.size,
      contradicted: refused.length + wrongTotal.length,
      unclear: buyers.filter(buyer => buyer.end === undefined || buyer.end === 'unclear').length,
      broken: what.brokenSeen + brokenNow + (item && item.sold !== sold ? 1 : 0),
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

async function countersIn(shard: Database) {
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
  const { sold, oversold, undersold, lost, duplicated } = verdict
  return `sold=${sold} oversold=${oversold} undersold=${undersold} lost=${lost} duplicated=${duplicated}`
}

export function isClean(verdict: Verdict): boolean {
  const { oversold, undersold, lost, duplicated, contradicted, unclear, broken } = verdict
  return [oversold, undersold, lost, duplicated, contradicted, unclear, broken].every(count => count === 0)
}
