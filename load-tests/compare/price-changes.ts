import { createCatalogNews } from '../../src/cache/catalog-news.ts'
import { createCatalogChanges } from '../../src/catalog/catalog-changes.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { shardName } from '../../src/sharding/slots.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { connectTo } from '../../test/support/redis.ts'
import { countedBy } from '../../test/support/metrics.ts'
import { type Verdict, verdictOf } from './goals.ts'
import { type Lab, thereAndBack, type Unit } from './lab.ts'
import { residentMb } from './meter.ts'
import { makeShop, SIZES } from './shop.ts'
import { estimate, median, ratios } from './statistics.ts'
import type { Servers } from './stacks.ts'

/**
 * Warm views at half of what the machine can do, while prices change: uniformly over the catalogue, of which the carts hold few products. The
 * CPU is that of every process of cartload, the databases that commit the changes too.
 */
const PRODUCTS = 1_000_000
const FILL_ROWS = 5_000
const GOALS: readonly (readonly [perSecond: number, atMost: number])[] = [
  [1, 1.05],
  [10, 1.1],
  [100, 1.25],
]
const VIEW: Unit = { stack: 'cartload', scenario: 'view-10' }
const HITS_MIN = 0.99

const fillerOf = (index: number) => `FILL-${index}`

export async function priceChanges(
  lab: Lab,
  { rounds, seconds, say }: { rounds: number; seconds: number; say: (text: string) => void },
): Promise<Verdict[]> {
  const { stack, servers } = await lab.get('cartload')
  const shop = await openShop(servers)
  try {
    await lab.prepare(VIEW, seconds)
    const before = await memoryOf(stack)
    await fill(shop, say)
    await lab.prepare(VIEW, seconds) // all carts are older than that much change
    const rate = Math.floor((await lab.window(VIEW, seconds)).rate / 2)
    say(`views at ${rate}/s`)
    const units = [0, ...GOALS.map(([perSecond]) => perSecond)].map(perSecond => ({ ...VIEW, rate, perSecond }))
    const cpu = new Map<number, number[]>(units.map(({ perSecond }) => [perSecond, []]))
    const hits = new Map<number, number[]>(units.map(({ perSecond }) => [perSecond, []]))
    for (const { round, unit } of thereAndBack(units, rounds)) {
      const { perSecond } = unit
      const counted = (results: readonly string[]) => countedBy(stack.opsUrls, 'cartload_cart_reads_total', results)
      const [hitsBefore, missesBefore] = [await counted(['hit']), await counted(MISSES)]
      const changing = changeEvery(shop, perSecond)
      const window = await lab.window(unit, seconds)
      const made = await changing.stop()
      const [hit, missed] = [(await counted(['hit'])) - hitsBefore, (await counted(MISSES)) - missesBefore]
      cpu.get(perSecond)?.push(window.cpuUs)
      hits.get(perSecond)?.push(hit / (hit + missed))
      say(
        `prices ${round}/${rounds}: ${made} changes at ${perSecond}/s, ${window.cpuUs.toFixed(0)} µs a view, ` +
          `${hit} hits, ${missed} misses`,
      )
    }
    const none = cpu.get(0) ?? []
    return [
      ...GOALS.map(([perSecond, atMost]) =>
        verdictOf(
          `warm view while ${perSecond} of ${PRODUCTS} prices change per second, CPU, against none`,
          estimate(ratios(cpu.get(perSecond) ?? [], none)),
          { atMost },
        ),
      ),
      verdictOf('hits while 10 prices change per second', estimate(hits.get(10) ?? []), {
        atLeast: HITS_MIN,
        unit: '',
      }),
      verdictOf(
        `memory of an instance, ${PRODUCTS} products against ${SIZES.products}`,
        estimate([median(await memoryOf(stack)) / median(before)]),
        { atMost: 1.1 },
      ),
    ]
  } finally {
    await shop.close()
  }
}

const MISSES = ['filled', 'unfilled', 'resolved', 'degraded']

const memoryOf = async (stack: { instancePids(): Promise<number[]> }) => (await stack.instancePids()).map(residentMb)

type Shop = Awaited<ReturnType<typeof openShop>>

async function openShop({ addresses }: Servers) {
  if (!addresses) throw new Error('no addresses')
  const log = createLog('silent')
  const open = (name: string, url: string) => openDatabase({ name, url, limits: DEFAULT_LIMITS }, createMetrics(), log)
  const global = open('global', addresses.global)
  const shards = addresses.shards.map((url, index) => open(shardName(index), url))
  const redis = await connectTo(addresses.cacheRedis)
  const changes = createCatalogChanges({ global, shards, news: createCatalogNews(redis, () => redis) })
  return {
    global,
    changes,
    /** Those that carts hold. */
    skus: makeShop().products.map(({ sku }) => sku),
    close: () => Promise.all([global.close(), ...shards.map(shard => shard.close()), redis.close()]),
  }
}

async function fill({ global }: Shop, say: (text: string) => void): Promise<void> {
  say(`adding products up to ${PRODUCTS}`)
  const missing = PRODUCTS - (await catalogRows.count(global))
  for (let first = 0; first < missing; first += FILL_ROWS) {
    const products = Array.from({ length: Math.min(FILL_ROWS, missing - first) }, (_, at) => {
      const sku = fillerOf(first + at)
      return { sku, name: `Thing ${sku}`, price: 1_000, category: 'filler' }
    })
    await catalogRows.put(global, products)
  }
}

/** Changes the price of one product after the other, any of all, at a rate. */
function changeEvery({ changes, skus }: Shop, perSecond: number): { stop(): Promise<number> } {
  let made = 0
  let isOver = false
  let price = 1_000
  async function run(): Promise<void> {
    const since = performance.now()
    while (!isOver) {
      const dueMs = since + ((made + 1) / perSecond) * 1_000
      await new Promise(resolve => setTimeout(resolve, Math.max(0, Math.min(100, dueMs - performance.now()))))
      if (performance.now() < dueMs || isOver) continue
      // Those of the carts have the share that they have in the catalogue.
      const isOfCarts = Math.random() < SIZES.products / PRODUCTS
      const sku = isOfCarts
        ? (skus[Math.floor(Math.random() * skus.length)] ?? '')
        : fillerOf(Math.floor(Math.random() * (PRODUCTS - SIZES.products)))
      await changes.apply([{ sku, price: ++price }])
      made++
    }
  }
  const running = perSecond === 0 ? Promise.resolve() : run()
  return {
    async stop() {
      isOver = true
      await running
      return made
    },
  }
}
