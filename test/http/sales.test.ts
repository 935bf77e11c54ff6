import { createHmac, randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { createSchemas } from '../../src/http/schemas.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Client, clientOf, eventually, newMember } from '../support/client.ts'
import { newProduct } from '../support/stock.ts'

const key = () => ({ 'Idempotency-Key': randomUUID() })
const schemas = createSchemas(DEFAULT_LIMITS)
const PROOF_KEY = 'a key of the shop'

interface SaleOptions {
  readonly units: number
  readonly startsInMs?: number
  readonly perUserMax?: number
  readonly factor?: number
  readonly accountAgeS?: number
  readonly needsProof?: boolean
  readonly guests?: boolean
}

describe('flash sales over HTTP', () => {
  let app: TestApp

  before(async () => {
    app = await startApp({}, {}, { saleProofKey: PROOF_KEY })
  })
  after(() => app.close())

  async function open({ units, startsInMs = 0, perUserMax = 1, factor = 1, ...rules }: SaleOptions) {
    const { sku, item } = await newProduct(app, { mode: 'none' })
    const id = `sale-${randomUUID().slice(0, 8)}`
    const startsAt = new Date(Date.now() + startsInMs).toISOString()
    const standard = { accountAgeS: 0, needsProof: false, guests: false, replace: false }
    await app.stockKeeping.openSale({ ...standard, ...rules, id, sku, units, startsAt, factor, perUserMax })
    await app.sales.refresh()
    return { id, sku, item, path: `/v1/sales/${id}/queue` }
  }

  const enter = async (client: Client, path: string, body: object = {}) => (await client.post(path, body)).body

  async function admitted(client: Client, path: string): Promise<string> {
    let admission = ''
    await eventually('the buyer is admitted', async () => {
      const body = await enter(client, path)
      admission = body.admission ?? ''
      return body.state === 'admitted'
    })
    return admission
  }

  async function order(client: Client, sku: string, admission?: string) {
    const cart = await client.put(`/v1/cart/lines/${sku}`, { quantity: 1 })
    const body = { cartVersion: cart.body.version, ...(admission === undefined ? {} : { admission }) }
    return client.post('/v1/orders', body, key())
  }

  it('begin at their time: no buyer is in the queue or orders before', async () => {
    /** What a buyer is told before the start; undefined where a busy machine took so long that it has begun meanwhile. */
    async function beforeStart(startsInMs: number) {
      const me = await newMember(app.url) // whose cart holds nothing of a sale that has begun
      const startsAt = Date.now() + startsInMs
      const sale = await open({ units: 1, startsInMs })
      const early = await enter(me, sale.path)
      const { body: refused } = await order(me, sale.sku)
      const { body: upcoming } = await me.get(`/v1/sales/${sale.id}`)
      return Date.now() < startsAt ? { me, sale, early, refused, upcoming } : undefined
    }
    const seen = (await beforeStart(1_500)) ?? (await beforeStart(15_000))
    if (!seen) return expect.fail('fifteen seconds were not enough')
    const { me, sale, early, refused, upcoming } = seen
    schemas.queue.parse(early)
    expect(early).to.include({ state: 'not_started' })
    expect(early.pollAfterMs).to.be.within(1, 15_100)
    expect(refused).to.include({ code: 'sale_not_started', sale: sale.id })
    expect(upcoming).to.include({ state: 'upcoming', left: 1 })
    schemas.sale.parse(upcoming)
    const admission = await admitted(me, sale.path)
    expect((await order(me, sale.sku, admission)).status).to.equal(201)
  })

  it('sell to buyers they have admitted, and not with the admission of another', async () => {
    const sale = await open({ units: 2 })
    const [me, other] = [await newMember(app.url), await newMember(app.url)]
    expect((await order(me, sale.sku)).body.code).to.equal('admission_required')
    const admission = await admitted(me, sale.path)
    const stranger = await newMember(app.url)
    expect((await order(stranger, sale.sku, admission)).body.code).to.equal('admission_required')
    expect((await order(me, sale.sku, admission)).status).to.equal(201)
    expect((await order(other, sale.sku, await admitted(other, sale.path))).status).to.equal(201)
  })

  it('let in no more than there are units left, in the order of arrival, and end every wait when nothing is left', async () => {
    const sale = await open({ units: 2, factor: 1 })
    const buyers = await Promise.all(Array.from({ length: 5 }, () => newMember(app.url)))
    for (const buyer of buyers) await enter(buyer, sale.path)
    const [first, second, third] = buyers as unknown as [Client, Client, Client]
    const admissions = [await admitted(first, sale.path), await admitted(second, sale.path)]
    const waiting = await enter(third, sale.path)
    expect(waiting).to.include({ state: 'waiting', position: 1 })
    expect(waiting.pollAfterMs).to.be.above(0)
    expect((await first.get(sale.path)).body.state).to.equal('admitted')
    for (const [at, buyer] of [first, second].entries())
      expect((await order(buyer, sale.sku, admissions[at])).status).to.equal(201)
    for (const buyer of buyers.slice(2)) {
      await eventually('the wait is over', async () => (await buyer.get(sale.path)).body.state === 'sold_out')
    }
    expect((await third.get(`/v1/sales/${sale.id}`)).body).to.include({ state: 'sold_out', left: 0 })
    expect((await order(third, sale.sku)).body.code).to.equal('out_of_stock')
  })

  it('give a place that is left to the next one', async () => {
    const sale = await open({ units: 1 })
    const [first, second] = [await newMember(app.url), await newMember(app.url)]
    await enter(first, sale.path)
    await enter(second, sale.path)
    await admitted(first, sale.path)
    expect((await second.get(sale.path)).body).to.include({ state: 'waiting', position: 1 })
    expect((await first.delete(sale.path)).status).to.equal(204)
    expect((await first.get(sale.path)).body.state).to.equal('absent')
    await admitted(second, sale.path)
  })

  it('sell one to a buyer, however often they come', async () => {
    const sale = await open({ units: 5 })
    const me = await newMember(app.url)
    expect((await order(me, sale.sku, await admitted(me, sale.path))).status).to.equal(201)
    const again = await order(me, sale.sku, await admitted(me, sale.path))
    expect(again.body).to.include({ code: 'purchase_limit', max: 1 })
  })

  it('refuse guests, young accounts, and who brings no proof, where they are told to', async () => {
    const guest = clientOf(app.url)
    const first = await guest.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    guest.token = first.headers.get('x-session-token') ?? undefined
    const me = await newMember(app.url)
    const members = await open({ units: 1 })
    expect((await guest.post(members.path, {})).body.code).to.equal('buyer_refused')
    const forAll = await open({ units: 1, guests: true })
    expect((await guest.post(forAll.path, {})).status).to.equal(200)
    const old = await open({ units: 1, accountAgeS: 3_600 })
    expect((await me.post(old.path, {})).body.code).to.equal('buyer_refused')

    const proved = await open({ units: 1, needsProof: true })
    const proof = (userId: string, expiry: number, secret = PROOF_KEY) =>
      `${expiry}.${createHmac('sha256', secret).update(`${proved.id}.${userId}.${expiry}`).digest('base64url')}`
    const soon = Math.floor(Date.now() / 1000) + 60
    for (const wrong of [
      undefined,
      'x',
      proof('1', soon),
      proof(me.userId, soon - 120),
      proof(me.userId, soon, 'another key'),
    ]) {
      expect((await me.post(proved.path, wrong === undefined ? {} : { proof: wrong })).body.code).to.equal(
        'buyer_refused',
      )
    }
    expect((await me.post(proved.path, { proof: proof(me.userId, soon) })).status).to.equal(200)
  })

  it('do not exist for who asks for another, and end when they are ended', async () => {
    const me = await newMember(app.url)
    expect((await me.post('/v1/sales/none/queue', {})).body.code).to.equal('sale_not_found')
    const sale = await open({ units: 3 })
    await app.stockKeeping.endSale(sale.id)
    await app.sales.refresh()
    expect((await me.get(`/v1/sales/${sale.id}`)).body.code).to.equal('sale_not_found')
    expect((await order(me, sale.sku)).status, 'sold as others are').to.equal(201)
  })

  it('are of the stock, whatever the product is called, and gifts of it are for the admitted too', async () => {
    const sale = await open({ units: 3 })
    const twin = await newProduct(app, { stockItem: sale.sku })
    const me = await newMember(app.url)
    expect((await order(me, twin.sku)).body.code).to.equal('admission_required')
    expect((await order(me, twin.sku, await admitted(me, sale.path))).status).to.equal(201)
  })

  it('keep the place of a buyer who orders something else', async () => {
    const sale = await open({ units: 1 })
    const me = await newMember(app.url)
    await admitted(me, sale.path)
    await me.put(`/v1/cart/lines/${sale.sku}`, { quantity: 1 })
    const cart = await me.put(`/v1/cart/lines/${sale.sku}`, { selected: false })
    expect(cart.status).to.equal(200)
    expect((await order(me, 'T-001')).status).to.equal(201)
    expect((await me.get(sale.path)).body.state).to.equal('admitted')
  })

  it('are refused with a reason where they make no sense', async () => {
    const { sku } = await newProduct(app, { free: 7 })
    const wish = {
      id: `sale-${randomUUID().slice(0, 8)}`,
      sku,
      units: 5,
      startsAt: new Date().toISOString(),
      factor: 1,
      accountAgeS: 0,
      needsProof: false,
      guests: false,
      perUserMax: 1,
      replace: false,
    }
    const wrong: [object, RegExp][] = [
      [{}, /7 free/],
      [{ id: 'Not An Id' }, /^id/],
      [{ sku: 'nothing' }, /no product/],
      [{ startsAt: '2020-01-01T00:00:00Z' }, /past/],
      [{ endsAt: '2020-01-01T00:00:00Z' }, /after the start/],
    ]
    for (const [change, message] of wrong) {
      const error = await app.stockKeeping.checkSale({ ...wish, ...change }).then(
        () => undefined,
        (thrown: Error) => thrown,
      )
      expect(error?.message).to.match(message)
    }
    await app.stockKeeping.openSale({ ...wish, replace: true })
    expect((await app.stock.levels(`s:${sku}`))?.free).to.equal(5)
  })
})
