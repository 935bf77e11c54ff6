import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createInventory } from '../../src/inventory/stock-levels.ts'
import type { OrderFailpoint } from '../../src/orders/failpoints.ts'
import { stockItemOf } from '../../src/model/order.ts'
import type { Product } from '../../src/model/product.ts'
import { createOperators } from '../../src/accounts/operators.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { eventually } from '../support/client.ts'
import { shardOf } from '../support/servers.ts'
import { databasesOf, registrationsOf } from './accounts.ts'
import { createHttp, type Reply } from './http.ts'
import type { BareShop, Instance } from './shop.ts'
import { type Elapsed, startStopwatch } from '../support/stopwatch.ts'

/**
 * An order during which something happens to the instance that makes it, and what must be true afterwards. Every order has
 * three lines: two products that share one stock, and one whose stock stands on the other shard.
 */
export interface Scenario {
  readonly name: string
  readonly step: OrderFailpoint
  /** `kill`: the process dies there. `stop`: it is stopped there, `meanwhile` happens, and it goes on. */
  readonly action: 'kill' | 'stop'
  readonly payment?: boolean
  readonly clockShiftMs?: number
  readonly meanwhile?: 'settled' | 'database-killed'
  /** The retry goes out at once, or when everything has come to rest. */
  readonly retry: 'at-once' | 'later'
}

const HOUR = 3_600_000

export const SCENARIOS: readonly Scenario[] = [
  ...(['priced', 'held-first', 'held-all', 'decided', 'sold'] as const).flatMap((step): Scenario[] => [
    { name: `killed at ${step}, retried at once`, step, action: 'kill', retry: 'at-once' },
    { name: `killed at ${step}, retried when settled`, step, action: 'kill', retry: 'later' },
  ]),
  ...(['held-all', 'decided', 'paid', 'refund-noted'] as const).map(
    (step): Scenario => ({
      name: `with payment, killed at ${step}`,
      step,
      action: 'kill',
      payment: true,
      retry: 'at-once',
    }),
  ),
  { name: 'stopped across the expiry', step: 'held-all', action: 'stop', meanwhile: 'settled', retry: 'later' },
  {
    name: 'database of the stock killed',
    step: 'held-all',
    action: 'stop',
    meanwhile: 'database-killed',
    retry: 'later',
  },
  {
    name: 'clock an hour ahead, killed at held-all',
    step: 'held-all',
    action: 'kill',
    clockShiftMs: HOUR,
    retry: 'at-once',
  },
  {
    name: 'clock an hour behind, killed at decided',
    step: 'decided',
    action: 'kill',
    clockShiftMs: -HOUR,
    retry: 'at-once',
  },
]

const SETTLE_MS_MAX = 5_000
/** How long a round may wait at all, on a machine that is busy with something else. */
const WAIT_MS_MAX = 120_000
const UNITS = 10

export interface RoundResult {
  readonly scenario: Scenario
  /** What was not as it must be. */
  readonly faults: readonly string[]
  /** From the fault until nothing was held without an order any more, or held for one that had been decided. */
  readonly settleMs: number
  readonly sold: number
}

interface Place {
  readonly skus: readonly [string, string, string]
  readonly items: readonly [shared: string, other: string]
  readonly userId: string
  readonly token: string
}

export type Rounds = Awaited<ReturnType<typeof prepareRounds>>

/** Products, stock and buyers for so many rounds, and a healthy instance of each kind that outlives them all. */
export async function prepareRounds(shop: BareShop, count: number, environment: Record<string, string> = {}) {
  const databases = await databasesOf(shop)
  const accounts = await registrationsOf(shop)
  const inventory = createInventory({ router: databases.router })
  const operator = await createOperators(databases.global).add(`rounds-${randomUUID()}`)
  const http = createHttp(64)
  const places: Place[] = []
  const products: Product[] = []
  for (let n = 0; n < count; n++) {
    const [shared, other] = itemsOnBothShards()
    const skus = ['a', 'b', 'c'].map(letter => `${shared}-${letter}`) as [string, string, string]
    products.push({ sku: skus[0], name: 'A', price: 100, category: 'x', stock: 'reserve', stockItem: shared })
    products.push({ sku: skus[1], name: 'B', price: 200, category: 'x', stock: 'reserve', stockItem: shared })
    products.push({ sku: skus[2], name: 'C', price: 300, category: 'x', stock: 'reserve', stockItem: other })
    const items = [stockItemOf({ sku: shared }), stockItemOf({ sku: other })] as const
    for (const item of items) await inventory.set(item, { free: UNITS })
    const userId = await accounts.addMember(`${randomUUID()}@rounds.example`)
    places.push({ skus, items, userId, token: await accounts.session(userId) })
  }
  await catalogRows.put(databases.global, products)
  await accounts.close()
  const payment = { CARTLOAD_PAYMENT: 'two-step' }
  const [plain, paid] = await Promise.all([shop.start(environment), shop.start({ ...environment, ...payment })])

  return {
    async run(scenario: Scenario): Promise<RoundResult> {
      const place = places.pop()
      if (!place) throw new Error('no round is left')
      return runRound({
        shop,
        databases,
        environment,
        http,
        operator,
        survivor: scenario.payment ? paid : plain,
        scenario,
        place,
      })
    },
    async close() {
      http.close()
      await databases.close()
    },
  }
}

/** Two names whose stock stands on different shards, so that an order's claims are of both. */
function itemsOnBothShards(): [string, string] {
  const shared = randomUUID().slice(0, 8)
  for (;;) {
    const other = randomUUID().slice(0, 8)
    if (shardOf(`s:${shared}`) !== shardOf(`s:${other}`)) return [shared, other]
  }
}

interface Round {
  readonly shop: BareShop
  readonly databases: Awaited<ReturnType<typeof databasesOf>>
  readonly http: ReturnType<typeof createHttp>
  readonly operator: string
  readonly environment: Record<string, string>
  readonly survivor: Instance
  readonly scenario: Scenario
  readonly place: Place
}

async function runRound(round: Round): Promise<RoundResult> {
  const { shop, http, survivor, scenario, place } = round
  const { token } = place
  const victim = await shop.start({
    ...round.environment,
    FAILPOINT: scenario.step,
    ...(scenario.action === 'stop' ? { FAILPOINT_SIGNAL: 'SIGSTOP' } : {}),
    ...(scenario.payment ? { CARTLOAD_PAYMENT: 'two-step' } : {}),
    ...(scenario.clockShiftMs ? { CLOCK_SHIFT_MS: String(scenario.clockShiftMs) } : {}),
  })
  const faults: string[] = []
  const lines = place.skus.map(sku => ({ sku, quantity: 1 }))
  const cart = await http.send(survivor.url, 'POST', '/v1/cart/lines', { token, body: { lines } })
  if (cart.status !== 200) faults.push(`the cart: ${cart.status}`)
  const key = randomUUID()
  const acknowledged = new Set<string>()
  const order = async (at: Instance): Promise<Reply> => {
    const reply = await http.send(at.url, 'POST', '/v1/orders', {
      token,
      body: { cartVersion: cart.body.version },
      key,
    })
    if (reply.status === 200 || reply.status === 201) acknowledged.add(reply.body.id as string)
    return reply
  }
  const finish = () => settleAll(round, order, acknowledged, victim)

  let settleMs = 0
  if (scenario.action === 'kill') {
    const first = order(victim)
    // With payment the fault may come later, when the order is paid or refunded on the victim.
    if (scenario.step === 'paid' || scenario.step === 'refund-noted') settleMs = await finish()
    else {
      await victim.gone
      const elapsed = stopwatchOf(round)
      await first
      if (scenario.retry === 'later') settleMs = await restAfter(round, elapsed)
      await finish()
      if (scenario.retry === 'at-once') settleMs = await restAfter(round, elapsed)
    }
  } else {
    const first = order(victim)
    await stopped(victim)
    const elapsed = stopwatchOf(round)
    if (scenario.meanwhile === 'settled') settleMs = await restAfter(round, elapsed)
    else await killDatabaseOf(round, place.items[0])
    victim.child.kill('SIGCONT')
    const reply = await first
    if (scenario.meanwhile === 'settled' && reply.body?.code !== 'order_given_up') {
      faults.push(`an order that was given up was answered ${reply.status} ${reply.body?.code}`)
    }
    const again = stopwatchOf(round)
    await finish()
    settleMs = Math.max(settleMs, await restAfter(round, again))
  }
  victim.child.kill('SIGKILL')
  await victim.gone
  if (settleMs > SETTLE_MS_MAX) faults.push(`settled only after ${Math.round(settleMs)} ms`)
  return { scenario, faults: [...faults, ...(await check(round, acknowledged))], settleMs, sold: await soldOf(round) }
}

/** Goes on with the same key on the healthy instance until the order is made, and paid and refunded where that is asked. */
async function settleAll(
  round: Round,
  order: (at: Instance) => Promise<Reply>,
  acknowledged: ReadonlySet<string>,
  victim: Instance,
): Promise<number> {
  const { http, operator, survivor, scenario, place } = round
  await eventually(
    'the order is made',
    async () => (await order(survivor)).status < 300 || (await sleep(100), false),
    WAIT_MS_MAX,
  )
  const [id] = acknowledged
  if (!scenario.payment) return 0
  const isLate = scenario.step === 'paid' || scenario.step === 'refund-noted'
  let elapsed = stopwatchOf(round)
  const pay = (at: Instance) =>
    http.send(at.url, 'POST', `/v1/orders/${id}/payments`, { token: operator, body: { result: 'confirmed' } })
  const refund = (at: Instance) =>
    http.send(at.url, 'POST', `/v1/orders/${id}/refunds`, {
      token: operator,
      body: { lines: [{ sku: place.skus[2], quantity: 1 }] },
      key: `refund-${id}`,
    })
  const die = async (work: (at: Instance) => Promise<Reply>) => {
    const answer = work(victim)
    await victim.gone
    elapsed = stopwatchOf(round)
    await answer
  }
  if (scenario.step === 'paid') await die(pay)
  await eventually('it is paid', async () => (await pay(survivor)).status === 200)
  if (scenario.step === 'refund-noted') {
    await die(refund)
    await eventually('it is refunded', async () => (await refund(survivor)).status <= 201)
  }
  return isLate ? restAfter(round, elapsed) : 0
}

/** Over what has a part in settling: the healthy instance, the servers, this program. */
const stopwatchOf = ({ survivor, shop }: Round) =>
  startStopwatch(() =>
    [
      process.pid,
      survivor.child.pid ?? 0,
      ...Object.values(shop.servers.backends).map(backend => backend.pid()),
    ].filter(pid => pid > 0),
  )

/** How long it takes until nothing is held any more but for an order that waits for its payment, without the time in which nothing could run. */
async function restAfter({ databases, place }: Round, elapsed: () => Elapsed): Promise<number> {
  await eventually(
    'claims are settled',
    async () => {
      const open = await Promise.all(
        place.items.map(async item => {
          const rows = await databases.router
            .of(item)
            .rows<{ order_id: string }>("SELECT order_id FROM stock_claims WHERE item = ? AND state = 'held'", [item])
          const pending = await Promise.all(rows.map(row => isPending(databases, row.order_id)))
          return pending.filter(waits => !waits).length
        }),
      )
      const refunds = await databases.router
        .of(place.userId)
        .rows("SELECT refund_id FROM refunds WHERE user_id = ? AND state = 'pending'", [place.userId])
      return open.every(count => count === 0) && refunds.length === 0
    },
    WAIT_MS_MAX,
  )
  return elapsed().ranMs
}

async function isPending(databases: Round['databases'], orderId: string): Promise<boolean> {
  const [userId = ''] = orderId.split('-')
  const rows = await databases.router
    .of(userId)
    .rows<{ state: string }>('SELECT state FROM orders WHERE user_id = ? AND order_id = ?', [userId, orderId])
  return rows[0]?.state === 'pending'
}

async function killDatabaseOf({ shop }: Round, item: string): Promise<void> {
  const backend = shop.servers.backends[`shard-${shardOf(item)}`]
  await backend.kill()
  await backend.start()
}

async function stopped({ child }: Instance): Promise<void> {
  const { readFileSync } = await import('node:fs')
  await eventually(
    'the process is stopped',
    () => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')),
    WAIT_MS_MAX,
  )
}

const soldOf = async ({ databases, place }: Round) =>
  (await Promise.all(place.items.map(item => levels(databases, item)))).reduce((sum, { sold }) => sum + sold, 0)

async function levels(databases: Round['databases'], item: string) {
  const rows = await databases.router
    .of(item)
    .rows<Record<string, string | number>>('SELECT free, held, sold FROM stock_buckets WHERE item = ?', [item])
  const sum = (name: string) => rows.reduce((all, row) => all + Number(row[name]), 0)
  return { free: sum('free'), held: sum('held'), sold: sum('sold') }
}

/** One order of the key, the one that was acknowledged, at its price; stock says the same; counters, claims and ledger agree. */
async function check(
  { databases, environment, scenario, place }: Round,
  acknowledged: ReadonlySet<string>,
): Promise<string[]> {
  const faults: string[] = []
  const refunded = scenario.step === 'refund-noted' ? 1 : 0
  const isSold = async () => {
    const [shared, other] = await Promise.all(place.items.map(item => levels(databases, item)))
    return shared?.held === 0 && other?.held === 0 && shared.sold === 2 && other.sold === 1 - refunded
  }
  // Nothing settles the naive stock of the control: it is wrong as soon as the order is answered.
  await eventually('sold is sold', isSold, environment['PLANT'] ? 3_000 : WAIT_MS_MAX).catch(() => undefined)
  const [shared, other] = await Promise.all(place.items.map(item => levels(databases, item)))
  const right = [
    { free: UNITS - 2, held: 0, sold: 2 },
    { free: UNITS - 1 + refunded, held: 0, sold: 1 - refunded },
  ]
  if (JSON.stringify([shared, other]) !== JSON.stringify(right))
    faults.push(`stock is ${JSON.stringify([shared, other])}`)
  const orders = await databases.router
    .of(place.userId)
    .rows<{ order_id: string; state: string; total: string }>(
      "SELECT order_id, state, total FROM orders WHERE user_id = ? AND state <> 'void'",
      [place.userId],
    )
  if (orders.length !== 1) faults.push(`${orders.length} orders`)
  for (const { order_id, state, total } of orders) {
    if (!acknowledged.has(order_id)) faults.push('another order than the acknowledged one')
    if (state !== 'confirmed') faults.push(`the order is ${state}`)
    if (Number(total) !== 600) faults.push(`the total is ${total}`)
  }
  if (acknowledged.size !== 1) faults.push(`${acknowledged.size} orders were acknowledged`)
  const inventory = createInventory({ router: databases.router })
  for (const item of place.items) for (const { problem } of await inventory.check(item, false)) faults.push(problem)
  return faults
}
