/**
 * Whether orders and stock say the same as what buyers were told: pure, from what was written down and what the databases hold after
 * everything has come to rest.
 */

/** One try of one buyer to order. Unknown is never taken for failed. */
export interface Try {
  readonly userId: string
  readonly key: string
  result: 'invoked' | 'ok' | 'fail' | 'unknown'
  orderId?: string
  total?: number
  code?: string
}

/** A confirmed order as it stands in its shard. */
export interface OrderSeen {
  readonly orderId: string
  readonly userId: string
  readonly key: string
  /** Of the product in question. */
  readonly units: number
  readonly total: number
}

/** The counters of one item. */
export interface CountersSeen {
  readonly item: string
  readonly units: number
  readonly free: number
  readonly held: number
  readonly sold: number
}

/** Each number must be 0 but `sold`. */
export interface OrderVerdict {
  readonly sold: number
  readonly oversold: number
  /** Unsold, although more was wanted. */
  readonly undersold: number
  /** Acknowledged, and not there. */
  readonly lost: number
  /** Orders of a key beyond the first, and different answers to one key. */
  readonly duplicated: number
  /** Refused, or never asked for, and there all the same; or there at another price than was told. */
  readonly contradicted: number
  /** Counters that do not add up. */
  readonly broken: number
}

export function checkOrders(what: {
  readonly item: string
  readonly units: number
  /** Units that buyers wanted, all told. */
  readonly demand: number
  readonly tries: readonly Try[]
  readonly orders: readonly OrderSeen[]
  readonly counters: readonly CountersSeen[]
}): OrderVerdict {
  const { item, units, demand, tries, orders, counters } = what
  const sold = orders.reduce((sum, order) => sum + order.units, 0)
  const byId = new Map(orders.map(order => [order.orderId, order]))
  const acknowledged = tries.filter(({ result, orderId }) => result === 'ok' && orderId !== undefined)
  const keyOf = ({ userId, key }: { userId: string; key: string }) => `${userId}/${key}`
  const answers = new Map<string, Set<string>>()
  for (const one of acknowledged)
    answers.set(keyOf(one), (answers.get(keyOf(one)) ?? new Set()).add(`${one.orderId} ${one.total}`))
  const differing = [...answers.values()].reduce((sum, different) => sum + different.size - 1, 0)
  const wrongTotal = acknowledged.filter(one => {
    const order = byId.get(one.orderId ?? '')
    return order !== undefined && order.total !== one.total
  })
  // The last word of a key counts: after a refusal no order of it may be there.
  const last = new Map(tries.map(one => [keyOf(one), one]))
  const refused = orders.filter(order => last.get(keyOf(order))?.result === 'fail')
  const unasked = orders.filter(order => !last.has(keyOf(order)))
  const own = counters.find(counter => counter.item === item)
  const broken = counters.filter(one => one.units !== one.free + one.held + one.sold).length
  return {
    sold,
    oversold: Math.max(0, sold - units, (own?.sold ?? 0) - units),
    undersold: demand >= units ? Math.max(0, units - sold) : 0,
    lost: new Set(acknowledged.map(one => one.orderId).filter(id => !byId.has(id ?? ''))).size,
    duplicated: orders.length - new Set(orders.map(keyOf)).size + differing,
    contradicted: refused.length + wrongTotal.length + unasked.length,
    broken: broken + (own?.sold === sold ? 0 : 1),
  }
}

export function isCleanOrder(verdict: OrderVerdict): boolean {
  const { oversold, undersold, lost, duplicated, contradicted, broken } = verdict
  return [oversold, undersold, lost, duplicated, contradicted, broken].every(count => count === 0)
}
