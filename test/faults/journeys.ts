import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { unavailable } from '../../src/lib/errors.ts'
import { stockItemOf } from '../../src/model/order.ts'
import type { Product } from '../../src/model/product.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { registrationsOf } from '../sale/accounts.ts'
import { createHttp, type Reply } from '../sale/http.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually, PASSWORD } from '../support/client.ts'
import { shardOf, testServers } from '../support/servers.ts'
import { type Proxy, startProxy, type Toxics } from './proxy.ts'

/**
 * What shoppers do, against each thing that can be missing: whether it works, and if not, how soon they are told. Each cell is measured
 * twice: with the dependency cut off (connections are reset) and silent (nothing is answered).
 */
export const JOURNEYS = ['change', 'view', 'order', 'log in'] as const
export type Journey = (typeof JOURNEYS)[number]

export interface Missing {
  readonly name: string
  readonly proxies: readonly ProxyName[]
  readonly cells: Readonly<Record<Journey, Cell>>
}

export interface Cell {
  readonly works: boolean
  readonly how: string
  /** The slowest answer that is all right: to any request, and to half of those after the first. */
  readonly firstMsMax: number
  readonly laterMsMax: number
}

type ProxyName = 'cache' | 'sessions' | 'shard-0' | 'shard-1' | 'global'

const works = (how = 'works', firstMsMax = 1_500, laterMsMax = 500): Cell => ({
  works: true,
  how,
  firstMsMax,
  laterMsMax,
})
/** Told 503: the first after at most the time of a statement, the others at once. */
const fails = (how = '503 with Retry-After', firstMsMax = 5_000, laterMsMax = 1_000): Cell => ({
  works: false,
  how,
  firstMsMax,
  laterMsMax,
})
const allFail = { view: fails(), change: fails(), order: fails(), 'log in': fails() }

/** The buyer and the address of the login live on shard 0, the product on shard 1; the global database has a server of its own. */
export const MISSING: readonly Missing[] = [
  {
    name: 'cache Redis',
    proxies: ['cache'],
    cells: {
      view: works('from the database'),
      change: works('the first wait until the cache is turned off for all (about 2 s), then from the database', 6_000),
      order: works('as a change', 6_000),
      'log in': works(),
    },
  },
  { name: 'sessions Redis', proxies: ['sessions'], cells: allFail },
  { name: 'the shard of the buyer', proxies: ['shard-0'], cells: allFail },
  {
    name: 'the shard of the product',
    proxies: ['shard-1'],
    cells: { view: works(), change: works(), order: fails(), 'log in': works() },
  },
  {
    name: 'global database',
    proxies: ['global'],
    cells: { view: works(), change: works(), order: works(), 'log in': works() },
  },
  {
    name: 'pricing',
    proxies: [],
    cells: {
      view: works(),
      change: works('lands; the last totals are shown, said to be old'),
      order: fails('503: no order is made of old totals'),
      'log in': works(),
    },
  },
]

export type Mode = 'cut off' | 'silent'
export const MODES: Readonly<Record<Mode, Toxics>> = { 'cut off': { isCut: true }, silent: { blackHole: 'both' } }

export interface CellResult {
  readonly missing: string
  readonly mode: Mode
  readonly journey: Journey
  readonly statuses: readonly number[]
  readonly firstMs: number
  readonly laterMs: number
  readonly problem: string | undefined
}

/** Modes in which something can be missing. */
export const modesOf = ({ proxies }: Missing): readonly Mode[] =>
  proxies.length === 0 ? ['cut off'] : (Object.keys(MODES) as Mode[])

const FIRST = 6
const LATER = 5

export type JourneyLab = Awaited<ReturnType<typeof startJourneyLab>>

/** An app whose every server is behind a proxy. */
export async function startJourneyLab() {
  const { addresses } = testServers()
  const [shard0 = '', shard1 = ''] = addresses.shards
  const targets: Record<ProxyName, string> = {
    cache: addresses.cacheRedis,
    sessions: addresses.sessionsRedis,
    'shard-0': shard0,
    'shard-1': shard1,
    global: addresses.global,
  }
  const proxies = new Map<ProxyName, Proxy>()
  const through = async (name: ProxyName): Promise<string> => {
    const url = new URL(targets[name])
    const proxy = await startProxy(Number(url.port))
    proxies.set(name, proxy)
    url.port = String(proxy.port)
    return url.href
  }
  const app = await startApp(
    { repriceSpreadMs: 0 },
    {
      shards: [await through('shard-0'), await through('shard-1')],
      global: await through('global'),
      sessionsRedis: await through('sessions'),
      cacheRedis: await through('cache'),
    },
  )
  const accounts = await registrationsOf({ addresses })
  const product = await productOnShard1(app)
  const http = createHttp(64)

  async function buyerOnShard0(): Promise<{ token: string; email: string }> {
    for (;;) {
      const email = `${randomUUID()}@journeys.example`
      if (shardOf(email) !== 0) continue
      const id = await accounts.addMember(email)
      if (shardOf(id) === 0) return { token: await accounts.session(id), email }
    }
  }

  /** One journey of a new user; prepared while everything is there. */
  async function prepare(journey: Journey): Promise<() => Promise<Timed>> {
    const { token, email } = await buyerOnShard0()
    const send = async (method: string, path: string, body?: object, key?: string) => {
      const since = performance.now()
      const more = { ...(body ? { body } : {}), ...(key ? { key } : {}) }
      const reply = await http.send(app.url, method, path, { token, ...more })
      return { ...reply, ms: Math.round(performance.now() - since) }
    }
    const { body } = await send('POST', '/v1/cart/lines', { sku: product.sku, quantity: 1 })
    await send('GET', '/v1/cart')
    switch (journey) {
      case 'view':
        return () => send('GET', '/v1/cart')
      case 'change':
        return () => send('POST', '/v1/cart/lines', { sku: 'T-001', quantity: 1 }, randomUUID())
      case 'order':
        return () => send('POST', '/v1/orders', { cartVersion: body.version as number }, randomUUID())
      case 'log in':
        return () => send('POST', '/v1/sessions', { email, password: PASSWORD })
    }
  }

  async function breakIt(missing: Missing, mode: Mode): Promise<() => void> {
    const { price } = app.pricing
    if (missing.name === 'pricing')
      app.pricing.price = () => Promise.reject(unavailable('pricing', new Error('planted')))
    for (const name of missing.proxies) proxies.get(name)?.set(MODES[mode])
    await sleep(2_000) // leases on the cache have run out, breakers have seen it: what lasts is measured
    return () => {
      app.pricing.price = price
      for (const proxy of proxies.values()) proxy.set({})
    }
  }

  /** Several journeys share one failure: only the first of them meets it fresh. */
  async function measure(missing: Missing, mode: Mode, journeys: readonly Journey[] = JOURNEYS): Promise<CellResult[]> {
    const results: CellResult[] = []
    const tries = new Map<Journey, Awaited<ReturnType<typeof prepare>>[]>()
    for (const journey of journeys) {
      const own = []
      for (let n = 0; n < FIRST + LATER; n++) own.push(await prepare(journey))
      tries.set(journey, own)
    }
    const mend = await breakIt(missing, mode)
    try {
      for (const [journey, own] of tries) {
        const first = await Promise.all(own.slice(0, FIRST).map(go => go()))
        const later = []
        for (const go of own.slice(FIRST)) later.push(await go())
        results.push(judge(missing, mode, journey, first, later))
      }
    } finally {
      mend()
    }
    await working()
    return results
  }

  /** Waits until everything works again, from the cache too. */
  async function working(): Promise<void> {
    await eventually(
      'everything works again',
      async () => {
        for (const journey of JOURNEYS) if ((await (await prepare(journey))()).status >= 400) return false
        return true
      },
      20_000,
    )
  }

  return {
    measure,
    async stop() {
      http.close()
      await accounts.close()
      await app.close()
      await Promise.all([...proxies.values()].map(proxy => proxy.close()))
    },
  }
}

type Timed = Reply & { readonly ms: number }

function judge(
  { name, cells }: Missing,
  mode: Mode,
  journey: Journey,
  first: readonly Timed[],
  later: readonly Timed[],
): CellResult {
  const cell = cells[journey]
  const all = [...first, ...later]
  const firstMs = Math.max(...all.map(({ ms }) => ms))
  // One of those after them is let through now and then, to see whether it works again: that one waits as the first did.
  const laterMs = later.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor(later.length / 2)] ?? 0
  const isRight = ({ status, body, retryAfter }: Timed) => {
    if (!cell.works) return status === 503 && retryAfter !== undefined
    const isStale = name === 'pricing' && journey === 'change' ? body.stale !== null : true
    return status >= 200 && status < 300 && isStale
  }
  const wrong = all.filter(one => !isRight(one)).map(({ status, body }) => `${status} ${body?.code ?? ''}`)
  const problem =
    wrong.length > 0
      ? `answered ${[...new Set(wrong)].join(', ')}`
      : firstMs > cell.firstMsMax || laterMs > cell.laterMsMax
        ? `took ${firstMs} ms, and ${laterMs} ms for half of those after the first`
        : undefined
  return { missing: name, mode, journey, statuses: all.map(({ status }) => status), firstMs, laterMs, problem }
}

/** Last in every list, so that tests of the catalogue beside it do not meet it. */
async function productOnShard1(app: TestApp): Promise<{ sku: string }> {
  for (;;) {
    const sku = `Z-${randomUUID().slice(0, 12)}`
    const item = stockItemOf({ sku })
    if (shardOf(item) !== 1) continue
    await app.inventory.set(item, { free: 10_000 })
    const product: Product = { sku, name: 'Zero', price: 1_000, category: 'zeta', stock: 'reserve' }
    await app.catalog.atLeast(await catalogRows.put(app.global, [product]))
    return { sku }
  }
}
