import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { createInventory } from '../../../src/inventory/stock-levels.ts'
import { createStock } from '../../../src/inventory/inventory.ts'
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts'
import { openDatabase } from '../../../src/store/database.ts'
import { createSlotRouter } from '../../../src/store/shard-router.ts'
import { createLog } from '../../../src/telemetry/log.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { startServers } from '../../../test/support/servers.ts'

/** Orders a second on one hot SKU: claims merged in user space against one row update for each order. Same server, same durability. */
const HELP = `node load-tests/compare/stock/hot-sku.ts [--in-flight N] [--seconds N] [--pairs N]

Both write what one order needs on the shard of the SKU, durable when answered (innodb_flush_log_at_trx_commit = 1):
  naive   START TRANSACTION; UPDATE … SET free = free - 1, sold = sold + 1 WHERE … AND free > 0; INSERT of the claim; COMMIT
  merged  hold, then sell (two operations: an order has a decision in between), with the claim and the ledger
The naive way is run with as few connections as an instance has (8), and with one for each order in flight; the faster counts.`

const { values } = parseArgs({
  options: {
    'in-flight': { type: 'string', default: '128' },
    seconds: { type: 'string', default: '4' },
    pairs: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const inFlight = Number(values['in-flight'])
const durationMs = Number(values.seconds) * 1000
const UNITS = 100_000_000

const servers = await startServers()
const metrics = createMetrics()
const log = createLog('fatal')
const shardsWith = (mysqlConnectionsMax: number) =>
  servers.addresses.shards.map((url, index) =>
    openDatabase(
      { name: `shard-${index}`, url, limits: { ...DEFAULT_LIMITS, mysqlConnectionsMax, mysqlQueueMax: 10_000 } },
      createMetrics(),
      log,
    ),
  )
const few = shardsWith(8)
const many = shardsWith(inFlight)
const router = await createSlotRouter(few)
const wide = await createSlotRouter(many)
const inventory = createInventory({ router })

async function newItem(buckets: number): Promise<string> {
  const item = `s:${randomUUID()}`
  await inventory.set(item, { free: UNITS, buckets })
  return item
}

let next = 0
const nextOrder = () => {
  const userId = String(++next)
  return { orderId: `${userId}-${randomUUID().replaceAll('-', '').slice(0, 24)}`, userId }
}

/** Keeps so many orders in flight; orders a second. */
async function rate(order: () => Promise<void>): Promise<number> {
  const since = performance.now()
  let done = 0
  const worker = async () => {
    while (performance.now() - since < durationMs) {
      await order()
      done++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return done / ((performance.now() - since) / 1000)
}

const TAKE = 'UPDATE stock_buckets SET free = free - 1, sold = sold + 1 WHERE item = ? AND bucket = 0 AND free > 0'
const INSERT = `INSERT INTO stock_claims (item, order_id, slot, user_id, bucket, units, state, look_at, created_at)
  VALUES (?, ?, 0, ?, 0, 1, 'sold', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`

async function naive(shards: typeof router): Promise<number> {
  const item = await newItem(1)
  const database = shards.of(item)
  return rate(async () => {
    const { orderId, userId } = nextOrder()
    await database.transaction(async tx => {
      if ((await tx.run(TAKE, [item])) !== 1) throw new Error('sold out')
      await tx.run(INSERT, [item, orderId, userId])
    })
  })
}

async function merged(instances: number): Promise<number> {
  const item = await newItem(4)
  const stocks = Array.from({ length: instances }, (_, instance) =>
    createStock({ router, instance, metrics: createMetrics() }),
  )
  const result = await rate(async () => {
    const { orderId, userId } = nextOrder()
    const stock = stocks[next % instances]!
    const held = await stock.hold(item, { orderId, userId, units: 1, lookMs: 60_000 })
    const sold = await stock.sell(item, orderId)
    if (held.is !== 'done' || sold.is !== 'done') throw new Error(`${held.is}, ${sold.is}`)
  })
  const wrong = await inventory.check(item, false)
  if (wrong.length > 0) throw new Error(JSON.stringify(wrong))
  return result
}

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
try {
  await rate(async () => void (await router.of('x').rows('SELECT 1 FROM DUAL'))) // everything connected and compiled
  const rows: Record<string, number[]> = {
    'naive, 8 connections': [],
    [`naive, ${inFlight} connections`]: [],
    'merged, 1 instance': [],
    'merged, 2 instances': [],
  }
  const runs: [string, () => Promise<number>][] = [
    ['naive, 8 connections', () => naive(router)],
    ['merged, 1 instance', () => merged(1)],
    [`naive, ${inFlight} connections`, () => naive(wide)],
    ['merged, 2 instances', () => merged(2)],
  ]
  for (let pair = 0; pair < Number(values.pairs); pair++) {
    // There and back, so that a slow moment of the machine does not always hit the same one.
    for (const [name, run] of pair % 2 === 0 ? runs : runs.toReversed()) {
      const found = await run()
      rows[name]?.push(found)
      console.log(`${name}: ${Math.round(found)}/s`)
    }
  }
  const best = Math.max(
    median(rows['naive, 8 connections'] ?? []),
    median(rows[`naive, ${inFlight} connections`] ?? []),
  )
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, rates]) => [
        name,
        {
          'orders/s (median)': Math.round(median(rates)),
          'against the faster naive': `${(median(rates) / best).toFixed(2)}x`,
        },
      ]),
    ),
  )
} finally {
  await Promise.all([...few, ...many].map(database => database.close()))
  metrics.registry.clear()
  await servers.stop()
}
