import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { catalogRows } from '../../src/store/catalog.ts'
import { type Proxy, startProxy } from '../faults/proxy.ts'
import { startApp, type TestApp, withApp } from '../support/app.ts'
import { type Client, eventually, newMember } from '../support/client.ts'
import { testServers } from '../support/servers.ts'
import { newProduct } from '../support/stock.ts'

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

  it('sells of a sale what there is, and to nobody who was not admitted', async () => {
    const { sku, item } = await uncounted()
    const buyers = [await newMember(late.url), await newMember(late.url)]
    const id = `sale-${randomUUID().slice(0, 8)}`
    const rules = { factor: 2, accountAgeS: 0, needsProof: false, guests: false, perUserMax: 1, replace: false }
    await app().stockKeeping.openSale({ ...rules, id, sku, units: 1, startsAt: new Date().toISOString() })
    const stranger = await newMember(late.url)
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
