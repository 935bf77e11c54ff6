import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { createCatalogChanges } from '../../src/catalog/catalog-changes.ts'
import { createStockKeeping } from '../../src/inventory/stock-admin.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import type { Database } from '../../src/store/database.ts'
import { catalogFloor } from '../../src/store/catalog-watermark.ts'
import { type Proxy, startProxy } from '../faults/proxy.ts'
import { startApp, type TestApp, withApp } from '../support/app.ts'
import { type Client, eventually, newMember } from '../support/client.ts'
import { testServers } from '../support/servers.ts'
import { newProduct } from '../support/stock.ts'

const SILENT = { announce: async () => undefined }

// Instances look for a new catalogue and new sales once a second. Here one does not look at all, as if that second did not end:
// what it must know in order to sell, it has to find out.
describe('an instance that has not heard of a change', () => {
  const app = withApp()
  let late: TestApp
  let global: Proxy

  before(async () => {
    const url = new URL(testServers().addresses.global)
    global = await startProxy(Number(url.port))
    url.port = String(global.port)
    late = await startApp({}, { global: url.href })
    late.catalog.stop()
    late.sales.stop()
  })
  after(async () => {
    await late.close()
    await global.close()
  })

  /** A product that is not counted, known to both. */
  async function uncounted() {
    const product = await newProduct(app(), { mode: 'none' })
    await late.catalog.atLeast(app().catalog.version())
    return product
  }

  async function order(client: Client, sku: string, admission?: string) {
    const cart = await client.put(`/v1/cart/lines/${sku}`, { quantity: 1 })
    expect(cart.status, cart.text).to.equal(200)
    const body = { cartVersion: cart.body.version, ...(admission === undefined ? {} : { admission }) }
    return client.post('/v1/orders', body, { 'Idempotency-Key': randomUUID() })
  }

  it('counts what it sells from the moment that units were set', async () => {
    const { sku, item } = await uncounted()
    const [first, second] = [await newMember(late.url), await newMember(late.url)]
    await app().stockKeeping.setStock(sku, { mode: 'reserve', units: 1 })
    expect((await order(first, sku)).status).to.equal(201)
    expect((await order(second, sku)).body).to.include({ code: 'out_of_stock' })
    await eventually('the unit is sold', async () => (await app().stock.levels(item))?.sold === 1)
  })

  it('sells of a sale what there is, and only to admitted buyers', async () => {
    const { sku, item } = await uncounted()
    const buyers = [await newMember(late.url), await newMember(late.url)]
    const id = `sale-${randomUUID().slice(0, 8)}`
    const rules = { factor: 2, accountAgeS: 0, needsProof: false, guests: false, perUserMax: 1, replace: false }
    const stranger = await newMember(late.url)
    expect((await stranger.get(`/v1/sales/${id}`)).body).to.include({ code: 'sale_not_found' })
    await app().stockKeeping.openSale({ ...rules, id, sku, units: 1, startsAt: new Date().toISOString() })
    expect((await stranger.get(`/v1/sales/${id}`)).status, 'however short a time ago it looked').to.equal(200)
    expect((await order(stranger, sku)).body).to.include({ code: 'admission_required' })
    const admissions: string[] = []
    await eventually('both buyers are admitted', async () => {
      const places = await Promise.all(buyers.map(buyer => buyer.post(`/v1/sales/${id}/queue`, {})))
      for (const [at, { body }] of places.entries()) if (body.admission) admissions[at] = body.admission
      return places.every(({ body }) => body.state === 'admitted')
    })
    const answers: unknown[] = []
    for (const [at, buyer] of buyers.entries()) {
      const { status, body } = await order(buyer, sku, admissions[at])
      answers.push([status, body.code])
    }
    expect(answers).to.deep.equal([
      [201, undefined],
      [409, 'out_of_stock'],
    ])
    await eventually('the unit is sold', async () => (await app().stock.levels(item))?.sold === 1)
    await app().stockKeeping.endSale(id)
  })

  it('sells nothing rather than too much when it cannot look, and goes on where there is nothing to look for', async () => {
    const { sku, item } = await uncounted()
    const me = await newMember(late.url)
    expect((await order(me, sku)).status).to.equal(201)
    global.set({ isCut: true })
    expect((await order(me, sku)).status, 'nothing has changed').to.equal(201)
    await app().stockKeeping.setStock(sku, { mode: 'reserve', units: 1 })
    const { status, body } = await order(me, sku)
    expect([status, body.code]).to.deep.equal([503, 'unavailable'])
    expect(await app().stock.levels(item)).to.include({ free: 1, held: 0, sold: 0 })
    global.set({})
    await eventually('it sells again', async () => (await order(me, sku)).status === 201)
    await eventually('the unit is sold', async () => (await app().stock.levels(item))?.sold === 1)
  })

  it('is not kept from selling by a change that was announced and given up', async () => {
    const { sku } = await uncounted()
    const announced = (await catalogRows.state(app().global)).version + 1
    await catalogFloor.raise(app().router.shards, announced)
    const me = await newMember(late.url)
    expect((await order(me, sku)).status).to.equal(201)
    expect((await catalogRows.state(app().global)).version).to.equal(announced)
    global.set({ isCut: true })
    expect((await order(me, sku)).status, 'there is nothing to look for any more').to.equal(201)
    global.set({})
  })

  it('waits for a change that is under way', async () => {
    const { sku, item } = await uncounted()
    const me = await newMember(late.url)
    const admin = await createConnection({ uri: testServers().adminUrls.global })
    let answer: Promise<unknown> | undefined
    // The order comes when the change is announced in all shards and not committed.
    const hooked: Database = {
      ...app().global,
      transaction: work =>
        app().global.transaction(async tx => {
          const result = await work(tx)
          answer = order(me, sku)
          await eventually('the order waits', async () => {
            const [rows] = await admin.query<RowDataPacket[]>("SHOW STATUS LIKE 'Innodb_row_lock_current_waits'")
            return Number(rows[0]?.['Value']) > 0
          })
          return result
        }),
    }
    const catalogChanges = createCatalogChanges({ global: hooked, shards: app().router.shards, news: SILENT })
    const keeping = createStockKeeping({ ...app(), catalogChanges })
    await keeping.setStock(sku, { mode: 'reserve', units: 1 })
    await admin.end()
    expect(await answer).to.include({ status: 201 })
    await eventually('the unit is sold', async () => (await app().stock.levels(item))?.sold === 1)
  })

  it('is not told of half a change: without one of the shards nothing is set', async () => {
    const [healthy = '', other = ''] = testServers().addresses.shards
    const url = new URL(other)
    const proxy = await startProxy(Number(url.port))
    url.port = String(proxy.port)
    const operator = await startApp({}, { shards: [healthy, url.href] })
    try {
      const { sku, item } = await uncounted()
      proxy.set({ isCut: true })
      const error = await operator.stockKeeping.setStock(sku, { mode: 'reserve', units: 1 }).then(
        () => undefined,
        (thrown: Error) => thrown,
      )
      expect(error).to.include({ code: 'unavailable' })
      expect((await catalogRows.find(app().global, sku))?.stock).to.equal(undefined)
      expect(await app().stock.levels(item)).to.equal(undefined)
      expect((await order(await newMember(late.url), sku)).status).to.equal(201)
    } finally {
      proxy.set({})
      await operator.close()
      await proxy.close()
    }
  })
})

describe('what is counted, changed while an order is being made', () => {
  let app: TestApp
  let meanwhile: (() => Promise<unknown>) | undefined

  before(async () => {
    app = await startApp(
      {},
      {},
      {
        wrap: {
          stock: stock => ({
            ...stock,
            async hold(item, claim) {
              await meanwhile?.()
              meanwhile = undefined
              return stock.hold(item, claim)
            },
          }),
        },
      },
    )
  })
  after(() => app.close())

  /** An order of a counted and an uncounted product, which is counted from when the order has held the other. */
  async function orderWhile(units: number) {
    const counted = await newProduct(app, { free: 5 })
    const other = await newProduct(app, { mode: 'none' })
    const me = await newMember(app.url)
    await me.put(`/v1/cart/lines/${counted.sku}`, { quantity: 1 })
    const { body } = await me.put(`/v1/cart/lines/${other.sku}`, { quantity: 1 })
    meanwhile = () => app.stockKeeping.setStock(other.sku, { mode: 'reserve', units })
    const answer = await me.post('/v1/orders', { cartVersion: body.version }, { 'Idempotency-Key': randomUUID() })
    return { answer, counted, other }
  }

  it('is counted', async () => {
    const { answer, counted, other } = await orderWhile(1)
    expect(answer.status, answer.text).to.equal(201)
    await eventually('both are sold', async () => {
      const levels = await Promise.all([counted, other].map(({ item }) => app.stock.levels(item)))
      return levels.every(one => one?.sold === 1 && one.held === 0)
    })
  })

  it('is not sold where there is none, and nothing is kept', async () => {
    const { answer, counted, other } = await orderWhile(0)
    expect(answer.body).to.include({ code: 'out_of_stock' })
    expect(answer.body.lines).to.deep.equal([{ sku: other.sku, wanted: 1, left: 0 }])
    await eventually('what was held is free', async () => (await app.stock.levels(counted.item))?.free === 5)
  })

  for (const [what, isOrdered, expected] of [
    ['is what its new price says', true, { code: 'total_changed', seenTotal: 2_000, total: 1_900 }],
    ['is not kept from being sold by the price of another product', false, { state: 'confirmed' }],
  ] as const)
    it(what, async () => {
      const counted = await newProduct(app, { free: 5 })
      const [ordered, other] = [await newProduct(app, { mode: 'none' }), await newProduct(app, { mode: 'none' })]
      const me = await newMember(app.url)
      await me.put(`/v1/cart/lines/${counted.sku}`, { quantity: 1 })
      const { body } = await me.put(`/v1/cart/lines/${ordered.sku}`, { quantity: 1 })
      const { sku } = isOrdered ? ordered : other
      let changes = 0
      meanwhile = async () => {
        const done = await app.catalogChanges.apply([{ sku, price: 900 }])
        changes += done.changed
      }
      const answer = await me.post('/v1/orders', { cartVersion: body.version }, { 'Idempotency-Key': randomUUID() })
      expect(changes).to.equal(1)
      expect(answer.body).to.include(expected)
    })

  it('and half of it only: a sale whose units could not be set does not start, nor does it sell what there was', async () => {
    const { sku, item } = await newProduct(app, { free: 5 })
    const keeping = createStockKeeping({
      ...app,
      inventory: {
        ...app.inventory,
        set: async (which, terms) => {
          if (terms.free !== undefined) throw new Error('the operator is gone')
          return app.inventory.set(which, terms)
        },
      },
    })
    const id = `sale-${randomUUID().slice(0, 8)}`
    const rules = { factor: 2, accountAgeS: 0, needsProof: false, guests: false, perUserMax: 1, replace: true }
    const wish = { ...rules, id, sku, units: 2, startsAt: new Date().toISOString() }
    const messageOf = (work: Promise<unknown>) => work.then(String, (error: Error) => error.message)
    expect(await messageOf(keeping.openSale(wish))).to.match(/announced and may not start: .*the operator is gone/)
    expect(await app.stock.levels(item)).to.include({ free: 2, perUserMax: 1 })
    const me = await newMember(app.url)
    await app.sales.refresh()
    expect((await me.post(`/v1/sales/${id}/queue`, {})).body).to.include({ state: 'not_started' })
    const { body } = await me.put(`/v1/cart/lines/${sku}`, { quantity: 1 })
    const order = await me.post('/v1/orders', { cartVersion: body.version }, { 'Idempotency-Key': randomUUID() })
    expect(order.body).to.include({ code: 'sale_not_started' })
    const { version } = await catalogRows.state(app.global)
    await app.stockKeeping.endSale(id)
    expect(await messageOf(app.stockKeeping.openSale(wish))).to.match(/is a sale .* already/)
    expect(await Promise.all(app.router.shards.map(catalogFloor.read)), 'nothing was announced').to.satisfy(
      (floors: number[]) => floors.every(floor => floor <= version),
    )
    await app.stockKeeping.openSale({ ...wish, id: `${id}-2` })
    await app.sales.refresh()
    expect((await me.post(`/v1/sales/${id}-2/queue`, {})).body.state).to.be.oneOf(['waiting', 'admitted'])
    await app.stockKeeping.endSale(`${id}-2`)
  })

  it('a sale of what is counted already adds nothing to what is ordered in that moment', async () => {
    const { sku, item } = await newProduct(app, { free: 2 })
    const me = await newMember(app.url)
    const { body } = await me.put(`/v1/cart/lines/${sku}`, { quantity: 1 })
    const keeping = createStockKeeping({
      ...app,
      stock: {
        ...app.stock,
        async levels(which) {
          const levels = await app.stock.levels(which)
          const place = () => me.post('/v1/orders', { cartVersion: body.version }, { 'Idempotency-Key': item })
          if (levels?.free === 2) expect((await place()).status).to.equal(201)
          return levels
        },
      },
    })
    const id = `sale-${randomUUID().slice(0, 8)}`
    const rules = { factor: 1, accountAgeS: 0, needsProof: false, guests: false, perUserMax: undefined, replace: false }
    await keeping.openSale({ ...rules, id, sku, units: 2, startsAt: new Date(Date.now() + 60_000).toISOString() })
    expect(await app.stock.levels(item)).to.include({ units: 2, free: 1 })
    await app.stockKeeping.endSale(id)
  })

  it('and refused: a sale whose name is taken changes no stock', async () => {
    const [first, second] = [await newProduct(app, { mode: 'none' }), await newProduct(app, { free: 5 })]
    const id = `sale-${randomUUID().slice(0, 8)}`
    const rules = { factor: 1, accountAgeS: 0, needsProof: false, guests: false, perUserMax: 1, replace: true }
    const wish = { ...rules, id, units: 2, startsAt: new Date(Date.now() + 60_000).toISOString() }
    await app.stockKeeping.openSale({ ...wish, sku: first.sku })
    await app.stockKeeping.endSale(id)
    const again = app.stockKeeping.openSale({ ...wish, sku: second.sku })
    expect(await again.then(String, (error: Error) => error.message)).to.match(/is a sale .* already/)
    expect(await app.stock.levels(second.item)).to.include({ free: 5, perUserMax: undefined })
  })
})
