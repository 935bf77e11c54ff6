import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { databasesOf } from './accounts.ts'
import { buy, type History, makeBuyers } from './buyers.ts'
import { isClean, judge, lastLine, watchInvariants } from './checks.ts'
import { createHttp } from './http.ts'
import { bareShop, type ClusterShop, clusterShop, type Shop } from './shop.ts'
import { createInventory } from '../../src/inventory/stock-levels.ts'
import { createCatalogChanges } from '../../src/catalog/catalog-changes.ts'
import { createStockKeeping } from '../../src/inventory/stock-admin.ts'
import { createStock } from '../../src/inventory/inventory.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { chance } from '../support/history.ts'
import { whenInterrupted } from '../support/servers.ts'

/** A flash sale against the real thing: who buys, what is sold, and whether all of it is as it must be. */
const HELP = `node test/sale/run.ts [--buyers N] [--units N] [--kill] [--seed N] [--naive]

Starts a cluster of its own (nginx, two instances, two databases, two Redis), lets all buyers buy at once, waits for rest,
and checks. The last line is sold=… oversold=… undersold=… lost=… duplicated=…; the exit status says whether all is as it must be.

  --buyers N   who want one unit each (default 10000)
  --units N    units there are (default 500)
  --kill       kill -9 instances, the cache Redis and one database during the sale
  --seed N     of the kills: the same seed gives the same schedule (default 1)
  --naive      the control: stock kept by read, check, write, without a queue; must be found overselling`

const { values } = parseArgs({
  options: {
    buyers: { type: 'string', default: '10000' },
    units: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
    kill: { type: 'boolean', default: false },
    naive: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const SKU = 'P000001'
const SALE = 'drop'
const SALE_MS_MAX = 240_000

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const [count, units, seed] = [values.buyers, values.units, values.seed].map(Number) as [number, number, number]
  if (![count, units].every(n => Number.isInteger(n) && n > 0))
    throw new Error('--buyers and --units take whole numbers')
  say(`starting ${values.naive ? 'two naive instances' : 'the cluster'}`)
  const shop: Shop = values.naive ? await naiveShop() : await clusterShop()
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= shop.stop())
  whenInterrupted(stop)
  try {
    say(`making ${count} buyers`)
    const buyers = await makeBuyers(shop, count)
    const history: History = { tries: [], answers: new Map() }
    const startsMs = await announce(shop, units)
    const invariants = watchInvariants(shop)
    await sleep(Math.max(0, startsMs - performance.now()))
    say(`${count} buyers for ${units} units`)
    const http = createHttp(256)
    const since = performance.now()
    const kills = values.kill ? killing(shop as ClusterShop, seed) : undefined
    const chase = {
      shop,
      http,
      sku: SKU,
      sale: values.naive ? undefined : SALE,
      deadlineMs: since + SALE_MS_MAX,
      history,
    }
    const bought: number[] = []
    await Promise.all(
      buyers.map(async buyer => {
        await buy(chase, buyer)
        if (buyer.end === 'bought') bought.push(performance.now() - since)
      }),
    )
    const tookMs = performance.now() - since
    await kills
    http.close()
    const looks = invariants.stop()
    const verdict = await judge(shop, { sku: SKU, units, history, buyers, brokenSeen: looks.broken })
    const requests = [...history.answers.values()].reduce((sum, n) => sum + n, 0)
    const lastMs = Math.max(0, ...bought)
    for (const [what, n] of [...history.answers].sort((a, b) => b[1] - a[1]))
      console.log(`${String(n).padStart(8)} ${what}`)
    const ends = Object.groupBy(buyers, buyer => buyer.end ?? 'unclear')
    say(
      Object.entries(ends)
        .map(([end, all]) => `${end} ${all?.length}`)
        .join(', '),
    )
    say(
      `all buyers had an answer after ${seconds(tookMs)}: ${requests} requests, ${Math.round(requests / (tookMs / 1000))}/s`,
    )
    say(`the last unit went after ${seconds(lastMs)}: ${Math.round(bought.length / (lastMs / 1000))} orders/s`)
    say(`at rest ${seconds(verdict.restMs)} later; invariants looked at ${looks.looks} times`)
    say(JSON.stringify(verdict))
    console.log(lastLine(verdict))
    return isClean(verdict) ? 0 : 1
  } finally {
    await stop()
  }
}

/** Two instances that keep stock by read, check, write. */
async function naiveShop(): Promise<Shop> {
  const shop = await bareShop()
  await Promise.all([shop.start({ PLANT: 'naive-stock' }), shop.start({ PLANT: 'naive-stock' })])
  return shop
}

/** Sets the stock and the sale; when it starts, on the clock of performance.now(). */
async function announce(shop: Shop, units: number): Promise<number> {
  const { global, router, close } = await databasesOf(shop)
  try {
    const inventory = createInventory({ router })
    const stock = createStock({ router, instance: 0, metrics: createMetrics() })
    const keeping = createStockKeeping({
      global,
      catalogChanges: createCatalogChanges({
        global,
        shards: router.shards,
        news: { announce: async () => undefined },
      }),
      inventory,
      stock,
    })
    if (values.naive) {
      const { catalogRows } = await import('../../src/store/catalog.ts')
      await catalogRows.put(global, [{ sku: SKU, name: 'The one', price: 1_000, category: 'alpha' }])
      await keeping.setStock(SKU, { mode: 'reserve', units, perUserMax: null })
      return performance.now() + 2_500
    }
    const startsMs = performance.now() + 6_000
    await keeping.openSale({
      id: SALE,
      sku: SKU,
      units,
      startsAt: new Date(Date.now() + 6_000).toISOString(),
      factor: 2,
      accountAgeS: 0,
      needsProof: false,
      guests: false,
      perUserMax: 1,
      replace: true,
    })
    return startsMs
  } finally {
    await close()
  }
}

/** Kills, at times that follow from the seed, while the sale runs. */
async function killing({ cluster }: ClusterShop, seed: number): Promise<void> {
  const random = chance(seed)
  const victims = ['cartload', 'redis-cache', 'cartload', `shard-${random(2)}`, 'cartload', 'redis-cache']
  const schedule = victims.map(name => ({ name, afterMs: 200 + random(1_600), pick: random(2) }))
  say(`kills of seed ${seed}: ${schedule.map(({ name, afterMs }) => `${name} after ${afterMs} ms`).join(', ')}`)
  for (const { name, afterMs, pick } of schedule) {
    await sleep(afterMs)
    const pids = await cluster.pidsOf(name)
    const pid = pids[pick % Math.max(1, pids.length)]
    if (pid !== undefined && pid > 0) {
      process.kill(pid, 'SIGKILL')
      say(`killed ${name} (${pid})`)
    }
  }
}

const began = performance.now()
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
function say(text: string): void {
  console.log(`[${seconds(performance.now() - began).padStart(7)}] ${text}`)
}

process.exitCode = await main()
