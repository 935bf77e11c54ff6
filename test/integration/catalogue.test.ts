import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { createCatalogNews } from '../../src/cache/catalog-news.ts'
import { createProductCache } from '../../src/cache/product-cache.ts'
import { ProductStore } from '../../src/catalog/product-store.ts'
import { warmProducts } from '../../src/catalog/warm-products.ts'
import type { RedisConnection } from '../../src/lib/redis.ts'
import { FIXED } from '../../src/model/limits.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import type { Database } from '../../src/store/database.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { startApp, withApp } from '../support/app.ts'
import { type Client, clientOf, eventually, newMember } from '../support/client.ts'
import { connectTo } from '../support/redis.ts'
import { testServers } from '../support/servers.ts'

/** The very bytes: a cart that was priced anew carries another version of the catalogue. */
const catalogOf = async (client: Client) => (await client.get('/v1/cart')).body.versions.catalog as number

describe('a change of a product', () => {
  const app = withApp()
  const skuOf = (name: string) => `${name}-${randomUUID().slice(0, 8)}`
  const product = (sku: string, price = 500) => ({ sku, name: `Thing ${sku}`, price, category: 'changing' })
  const totalOf = async (client: Client) => (await client.get('/v1/cart')).body.totals.total as number

  async function change(sku: string, price: number): Promise<void> {
    const { version } = await app().catalogChanges.apply([{ sku, price }])
    await app().catalog.atLeast(version)
  }

  /** A buyer whose cart is cached. */
  async function buyerOf(sku: string): Promise<Client> {
    const client = await newMember(app().url)
    expect((await client.post('/v1/cart/lines', { sku, quantity: 1 })).status).to.equal(200)
    return client
  }

  async function twoProducts() {
    const [moving, other] = [skuOf('MOVES'), skuOf('STAYS')]
    await app().catalog.atLeast(await catalogRows.put(app().global, [product(moving), product(other)]))
    return { moving, other }
  }

  it('reaches the carts that hold it, and leaves the others cached', async () => {
    const { moving, other } = await twoProducts()
    const [holder, bystander] = [await buyerOf(moving), await buyerOf(other)]
    const before = await catalogOf(bystander)
    await change(moving, 450)
    expect(await totalOf(holder)).to.equal(450)
    expect(await catalogOf(holder)).to.equal(app().catalog.version())
    expect(await catalogOf(bystander), 'not priced anew').to.equal(before)
    await change(other, 510)
    expect(await totalOf(bystander)).to.equal(510)
  })

  it('and long carts page by page', async () => {
    const { moving, other } = await twoProducts()
    const me = await buyerOf(other)
    const fill = Array.from({ length: 30 }, (_, at) => ({ sku: `T-${String(at + 1).padStart(3, '0')}`, quantity: 1 }))
    await me.put('/v1/cart/lines?limit=0', { lines: [...fill, { sku: moving, quantity: 1 }] })
    const { body: first } = await me.get('/v1/cart')
    await change(moving, 450)
    const { body: second } = await me.get(`/v1/cart?cursor=${first.page.next}`)
    expect(second.lines.find((line: { sku: string }) => line.sku === moving).unitPrice).to.equal(450)
  })

  it('leaves carts cached on an instance that starts after it', async () => {
    const { moving, other } = await twoProducts()
    const [holder, bystander] = [await buyerOf(moving), await buyerOf(other)]
    const before = await catalogOf(bystander)
    await change(moving, 450)
    const second = await startApp()
    try {
      const at = (client: Client) => clientOf(second.url, client.token ?? '')
      expect(await catalogOf(at(bystander))).to.equal(before)
      expect(await totalOf(at(holder))).to.equal(450)
    } finally {
      await second.close()
    }
  })

  it('is shown by the product at once, and names another content', async () => {
    const { moving, other } = await twoProducts()
    const get = (sku: string, headers = {}) => clientOf(app().url).get(`/v1/products/${sku}`, headers)
    const known = async (sku: string) => ({ 'If-None-Match': (await get(sku)).headers.get('etag') ?? '' })
    const [ofMoving, ofOther] = [await known(moving), await known(other)]
    await change(moving, 450)
    expect((await get(moving, ofMoving)).body).to.include({ price: 450 })
    expect((await get(other, ofOther)).status, 'another product has changed').to.equal(304)
  })

  it('of many products at once moves carts over the spread, and says meanwhile that totals are old', async () => {
    const slow = await startApp({ repriceSpreadMs: 3_600_000 })
    try {
      const skus = Array.from({ length: FIXED.bulkProductsMin }, () => skuOf('BULK'))
      await slow.catalog.atLeast(
        await catalogRows.put(
          slow.global,
          skus.map(sku => product(sku)),
        ),
      )
      const buyers: Client[] = []
      // Whose moment comes first is decided by the last digits of the user's id.
      for (let n = 0; n < 6; n++) buyers.push(clientOf(slow.url, (await buyerOf(skus[n] ?? '')).token ?? ''))
      for (const buyer of buyers) expect((await buyer.get('/v1/cart')).body.stale).to.equal(null)
      const { version } = await slow.catalogChanges.apply(skus.map(sku => ({ sku, price: 400 })))
      await slow.catalog.atLeast(version)
      const seen = await Promise.all(buyers.map(async buyer => (await buyer.get('/v1/cart')).body))
      for (const { stale, totals } of seen) expect(totals.total).to.equal(stale === null ? 400 : 500)
      expect(seen.filter(({ stale }) => stale !== null).length).to.be.above(0)
    } finally {
      await slow.close()
    }
  })
})

describe('the products in memory', () => {
  const app = withApp()
  let redis: RedisConnection

  before(async () => {
    redis = await connectTo(testServers().adminUrls.cache)
  })
  after(() => redis.close())

  function storeWith({ bytes = 1_000_000, global = app().global }: { bytes?: number; global?: Database } = {}) {
    const metrics = createMetrics()
    const store = new ProductStore({
      global,
      cache: createProductCache(redis),
      memoryBytesMax: bytes,
      catchUp: async () => undefined,
      metrics,
    })
    const read = async (from: 'cache' | 'database') => {
      const { values } = await metrics.productReads.get()
      return values.find(({ labels }) => labels['from'] === from)?.value ?? 0
    }
    const bytesInMemory = async () =>
      Number(/^cartload_products_memory_bytes (\d+)/m.exec(await metrics.registry.metrics())?.[1])
    return { store, read, bytesInMemory }
  }

  async function begin(store: ProductStore): Promise<void> {
    store.learn((await catalogRows.state(app().global)).version, [])
  }

  const names = Array.from({ length: 300 }, (_, at) => `T-${String(at + 1).padStart(3, '0')}`)

  it('are not more than the limit, however many are asked for, and all are right', async () => {
    const { store, bytesInMemory } = storeWith({ bytes: 20_000 })
    await begin(store)
    const { products } = await store.of(names)
    expect([...products.keys()]).to.have.members(names)
    expect([...products].every(([sku, { name }]) => name.endsWith(sku.slice(2)))).to.equal(true)
    expect(await bytesInMemory()).to.be.within(10_000, 20_000)
  })

  it('are looked for in the cache Redis before the database, by another instance too', async () => {
    const sku = `SHARED-${randomUUID().slice(0, 8)}`
    await catalogRows.put(app().global, [{ sku, name: 'Shared', price: 1, category: 'x' }])
    const [first, second] = [storeWith(), storeWith()]
    await begin(first.store)
    await begin(second.store)
    await first.store.of([sku])
    expect(await first.read('database')).to.equal(1)
    await eventually('it is in the cache Redis', async () => (await redis.client.exists(`product:${sku}`)) === 1)
    expect((await second.store.of([sku])).products.get(sku)).to.include({ price: 1 })
    expect([await second.read('cache'), await second.read('database')]).to.deep.equal([1, 0])
  })

  it('are read again where a product changes while it is read', async () => {
    const sku = `RACE-${randomUUID().slice(0, 8)}`
    const put = (price: number) => catalogRows.put(app().global, [{ sku, name: 'Race', price, category: 'x' }])
    await put(1)
    let reads = 0
    const global: Database = {
      ...app().global,
      async rows(sql, values) {
        const found = await app().global.rows(sql, values)
        // The instance hears of a change after the rows were read, and before they have come.
        if (++reads === 1) racing.store.learn(await put(2), [{ sku, version: racing.store.version + 1 }])
        return found as never
      },
    }
    const racing = storeWith({ global })
    await begin(racing.store)
    expect((await racing.store.of([sku])).products.get(sku)).to.include({ price: 2 })
    expect(reads).to.equal(2)
    expect((await racing.store.of([sku])).products.get(sku), 'from memory').to.include({ price: 2 })
  })

  it('are not kept as they were where a change of the next version is heard in parts', async () => {
    const sku = `PART-${randomUUID().slice(0, 8)}`
    const put = (price: number) => catalogRows.put(app().global, [{ sku, name: 'Part', price, category: 'x' }])
    await put(1)
    let next = 0
    const global: Database = {
      ...app().global,
      async rows(sql, values) {
        const found = await app().global.rows(sql, values)
        if (next === 0) parted.store.learn(parted.store.version, [{ sku, version: (next = await put(2)) }])
        return found as never
      },
    }
    const parted = storeWith({ global })
    await begin(parted.store)
    await parted.store.of([sku])
    parted.store.learn(next, [])
    expect((await parted.store.of([sku])).products.get(sku)).to.include({ price: 2 })
  })

  it('are those in demand last on an instance that has just started', async () => {
    const [first, second] = [storeWith(), storeWith()]
    await begin(first.store)
    await first.store.of(names)
    await first.store.of(['T-007'])
    const cache = createProductCache(redis)
    const recent = first.store.recentSkus(FIXED.recentProductsMax)
    expect(recent[0]).to.equal('T-007')
    await cache.setRecent(recent)
    await begin(second.store)
    const log = createLog('silent')
    const warming = warmProducts({ store: second.store, cache, log })
    await warming.ready
    warming.stop()
    expect(second.store.recentSkus(1_000)).to.have.members(names)
  })

  it('cannot be asked for before a version is known', () => {
    expect(() => storeWith().store.of(['T-001'])).to.throw('global')
  })
})

describe('news of the catalogue', () => {
  it('reach an instance that listens', async () => {
    const { cache } = testServers().adminUrls
    const [speaker, listener] = [await connectTo(cache), await connectTo(cache)]
    try {
      const heard: number[] = []
      const silent = createCatalogNews(speaker, () => listener)
      silent.listen(version => heard.push(version))
      await eventually('it hears', async () => {
        await silent.announce(7)
        return heard.includes(7)
      })
    } finally {
      await Promise.all([speaker.close(), listener.close()])
    }
  })
})
