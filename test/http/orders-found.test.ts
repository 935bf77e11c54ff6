import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { type Client, clientOf, encodeCart, eventually, type Json, newMember, PASSWORD } from '../support/client.ts'
import { createFakePaymentProvider, type FakePaymentProvider } from '../support/fake-payment-provider.ts'
import { newProduct } from '../support/stock.ts'

/** What an attack on orders once found stays found. */
const key = (text: string = randomUUID()) => ({ 'Idempotency-Key': text })

describe('orders, as they were attacked', () => {
  const app = withApp({ repriceSpreadMs: 0 })
  const paid = withApp({ payment: 'two-step', paymentMinutes: 1, repriceSpreadMs: 0 })
  let operator: Client
  let provider: FakePaymentProvider

  before(async () => {
    const token = await app().operators.add(randomUUID())
    operator = clientOf(app().url, token)
    provider = createFakePaymentProvider(paid().url, token)
  })
  afterEach(() => putInForce([])) // the other tests share the database

  async function putInForce(promotions: readonly object[]): Promise<void> {
    const version = await app().promotions.put({ currency: 'GBP', promotions }, '')
    await app().promotions.activate(version, undefined)
    await eventually('the rules are in force', async () => {
      await Promise.all([app().rules.refresh(), paid().rules.refresh()])
      return app().pricing.rulesVersion() === version && paid().pricing.rulesVersion() === version
    })
  }

  const fill = async (client: Client, lines: Record<string, number>) => {
    const wanted = Object.entries(lines).map(([sku, quantity]) => ({ sku, quantity }))
    return (await client.post('/v1/cart/lines', { lines: wanted })).body.version as number
  }
  const free = async (item: string) => (await app().stock.levels(item))?.free
  const sold = (item: string, units: number) =>
    eventually(`${units} are sold`, async () => (await app().stock.levels(item))?.sold === units)

  it('of a guest are the account’s after the login, page by page, and no other account’s; and go back with the undo', async () => {
    const account = await newMember(app().url)
    const [{ sku }] = [await newProduct(app(), { free: 50 })]
    const order = async (client: Client) => {
      const cartVersion = await fill(client, { [sku]: 1 })
      return (await client.post('/v1/orders', { cartVersion }, key())).body.id as string
    }
    const own = [await order(account)]
    const guest = clientOf(app().url)
    guest.token = (await guest.post('/v1/cart/lines', { sku, quantity: 1 })).headers.get('x-session-token') ?? ''
    const asGuest = [await order(guest), await order(guest)]
    const login = await guest.post('/v1/sessions', { email: account.email, password: PASSWORD })
    expect(login.status).to.equal(201)
    const me = clientOf(app().url, login.body.token as string)
    own.push(await order(me))
    const listed: string[] = []
    for (let next: string | null = ''; next !== null; ) {
      const page = await me.get(`/v1/orders?limit=1${next ? `&cursor=${next}` : ''}`)
      expect(page.status).to.equal(200)
      listed.push(...page.body.data.map((one: Json) => one.id))
      next = page.body.page.next as string | null
    }
    expect(listed).to.deep.equal([own[1], asGuest[1], asGuest[0], own[0]])
    const [first = ''] = asGuest
    expect((await me.get(`/v1/orders/${first}`)).status).to.equal(200)
    const other = await newMember(app().url)
    expect((await other.get(`/v1/orders/${first}`)).status).to.equal(404)
    expect((await other.get('/v1/orders')).body.data).to.deep.equal([])
    expect((await me.post('/v1/cart/merge/undo')).status).to.equal(200)
    expect((await me.get(`/v1/orders/${first}`)).status).to.equal(404)
    expect((await me.get('/v1/orders')).body.data.length).to.equal(2)
  })

  it('of a guest count for the account: its first order is not the first again, until the undo', async () => {
    const first = { id: 'first', name: 'First', kind: 'percent_off', percent: 50, when: { orderNumber: 1 } }
    await putInForce([first])
    const account = await newMember(app().url)
    const discountOf = async (client: Client) => (await client.get('/v1/cart')).body.totals.discount as number
    const guest = clientOf(app().url)
    guest.token =
      (await guest.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })).headers.get('x-session-token') ?? ''
    const placed = await guest.post('/v1/orders', { cartVersion: (await guest.get('/v1/cart')).body.version }, key())
    expect([placed.status, placed.body.total]).to.deep.equal([201, 100])
    await fill(account, { 'T-100': 1 })
    expect(await discountOf(account), 'before the login').to.equal(100)
    const login = await guest.post('/v1/sessions', { email: account.email, password: PASSWORD })
    const me = clientOf(app().url, login.body.token as string)
    expect(await discountOf(me), 'after the login').to.equal(0)
    expect((await me.post('/v1/cart/merge/undo')).status).to.equal(200)
    expect(await discountOf(me), 'after the undo').to.equal(100)
  })

  it('count a stock that is shared by a product that is held and one that is tracked, all of it', async () => {
    const stockItem = `shared-${randomUUID().slice(0, 8)}`
    const held = await newProduct(app(), { free: 10, stockItem })
    const tracked = await newProduct(app(), { mode: 'track', stockItem })
    await paid().catalog.atLeast(app().catalog.version())
    const lines = { [held.sku]: 1, [tracked.sku]: 4 }
    const me = await newMember(app().url)
    expect((await me.post('/v1/orders', { cartVersion: await fill(me, lines) }, key())).status).to.equal(201)
    await sold(held.item, 5)
    const other = await newMember(paid().url)
    const order = await other.post('/v1/orders', { cartVersion: await fill(other, lines) }, key())
    expect(await free(held.item)).to.equal(0)
    expect((await provider.charge(order.body.id, 'good')).body.state).to.equal('confirmed')
    await sold(held.item, 10)
  })

  it('of quotes count as purchases too', async () => {
    await putInForce([{ id: 'first', name: 'First', kind: 'percent_off', percent: 50, when: { orderNumber: 1 } }])
    const me = await newMember(app().url)
    const lines = [{ sku: 'T-100', quantity: 1 }]
    const { body: quote } = await me.post('/v1/quotes', { lines })
    const totals: unknown[] = []
    for (let n = 0; n < 2; n++) {
      const { body } = await me.post('/v1/orders', { quote: quote.quote, lines, total: n === 0 ? 100 : 200 }, key())
      totals.push(body.total)
    }
    expect(totals).to.deep.equal([100, 200])
  })

  it('that wait for their payment count as placed: one first order, not three', async () => {
    await putInForce([{ id: 'first', name: 'First', kind: 'percent_off', percent: 50, when: { orderNumber: 1 } }])
    const me = await newMember(paid().url)
    const first = await me.post('/v1/orders', { cartVersion: await fill(me, { 'T-100': 1 }) }, key())
    expect(first.body).to.include({ state: 'pending', total: 100 })
    const version = await fill(me, { 'T-200': 1 })
    expect((await me.post('/v1/orders', { cartVersion: version }, key())).body, 'the same line').to.include({
      code: 'order_pending',
      orderId: first.body.id,
    })
    const cart = await me.delete('/v1/cart/lines/T-100')
    const second = await me.post('/v1/orders', { cartVersion: cart.body.version, total: 150 }, key())
    expect(second.body).to.include({ code: 'total_changed', seenTotal: 150, total: 300 })
  })

  it('teach the cart that a promotion has been used up by its buyer, rather than lock the buyer out', async () => {
    const id = `once-${randomUUID().slice(0, 8)}`
    await putInForce([{ id, name: 'Once', kind: 'percent_off', percent: 50, usesPerUserMax: 1 }])
    const me = await newMember(app().url)
    const version = await fill(me, { 'T-100': 1 })
    // It was used where this cart has not heard of it.
    await app().inventory.set(`p:${id}`, {
      total: 1_000_000_000_000,
      perUserMax: 1,
      rulesVersion: app().pricing.rulesVersion(),
    })
    await app().stock.hold(`p:${id}`, {
      orderId: `${me.userId}-${'a'.repeat(24)}`,
      userId: me.userId,
      units: 1,
      lookMs: 60_000,
    })
    const early = await me.post('/v1/orders', { cartVersion: version }, key())
    expect([early.body.code, early.headers.get('retry-after')], 'held is not used').to.deep.equal([
      'purchase_limit',
      '1',
    ])
    await app().stock.sell(`p:${id}`, `${me.userId}-${'a'.repeat(24)}`)
    const refused = await me.post('/v1/orders', { cartVersion: version }, key())
    expect(refused.body).to.include({ code: 'total_changed', seenTotal: 100, total: 200 })
    const { body: cart } = await me.get('/v1/cart')
    expect(cart.totals.total).to.equal(200)
    expect((await me.post('/v1/orders', { cartVersion: cart.version }, key())).status).to.equal(201)
  })

  it('go without a gift that has run out', async () => {
    const gift = await newProduct(app(), { free: 1 })
    await putInForce([{ id: 'gift', name: 'Gift', kind: 'gift', sku: gift.sku }])
    const answers = []
    for (let n = 0; n < 2; n++) {
      const me = await newMember(app().url)
      answers.push(await me.post('/v1/orders', { cartVersion: await fill(me, { 'T-100': 1 }) }, key()))
    }
    expect(answers.map(({ status, body }) => [status, body.gifts.length])).to.deep.equal([
      [201, 1],
      [201, 0],
    ])
    await sold(gift.item, 1)
  })

  it('name only what is short: what they held themselves does not count', async () => {
    const one = await newProduct(app(), { free: 1 })
    const two = await newProduct(app(), { free: 0 })
    const me = await newMember(app().url)
    const { body } = await me.post('/v1/orders', { cartVersion: await fill(me, { [one.sku]: 1, [two.sku]: 1 }) }, key())
    expect(body.lines).to.deep.equal([{ sku: two.sku, wanted: 1, left: 0 }])
  })

  it('are not made of what has run out because an uncounted gift shares its stock', async () => {
    const stockItem = `shared-${randomUUID().slice(0, 8)}`
    const short = await newProduct(app(), { free: 0, stockItem })
    const gift = await newProduct(app(), { mode: 'none', stockItem })
    await putInForce([{ id: 'gift-0', name: 'Gift', kind: 'gift', sku: gift.sku }])
    const me = await newMember(app().url)
    const order = await me.post('/v1/orders', { cartVersion: await fill(me, { [short.sku]: 1 }) }, key())
    expect(order.body).to.include({ code: 'out_of_stock' })
    await app().inventory.set(short.item, { free: 1 })
    let gifts: unknown
    await eventually('instances have forgotten that it has run out', async () => {
      const { body } = await me.put(`/v1/cart/lines/${short.sku}`, { quantity: 1 })
      const again = await me.post('/v1/orders', { cartVersion: body.version }, key())
      gifts = again.body.gifts
      return again.status === 201
    })
    expect(gifts).to.deep.equal([{ sku: gift.sku, quantity: 1, promotion: 'gift-0' }])
    await sold(short.item, 1)
  })

  it('go without a gift that its buyer has had, and without one of a sale', async () => {
    const gift = await newProduct(app(), { free: 9, perUserMax: 1 })
    const onSale = await newProduct(app(), { mode: 'none' })
    const startsAt = new Date(Date.now() + 3_600_000).toISOString()
    const rules = { factor: 1, accountAgeS: 0, needsProof: false, guests: false, perUserMax: 1, replace: false }
    const id = `sale-${randomUUID().slice(0, 8)}`
    await app().stockKeeping.openSale({ ...rules, id, sku: onSale.sku, units: 1, startsAt })
    await app().sales.refresh()
    await putInForce([gift, onSale].map(({ sku }, at) => ({ id: `gift-${at}`, name: 'Gift', kind: 'gift', sku })))
    const me = await newMember(app().url)
    const gifts: unknown[] = []
    for (let n = 0; n < 2; n++) {
      const order = await me.post('/v1/orders', { cartVersion: await fill(me, { 'T-100': 1 }) }, key())
      expect(order.status, order.text).to.equal(201)
      gifts.push(order.body.gifts.map((one: { sku: string }) => one.sku))
    }
    expect(gifts).to.deep.equal([[gift.sku], []])
    await app().stockKeeping.endSale(id)
    await app().sales.refresh()
  })

  it('are told to every request of their key, also to one that came a moment later', async () => {
    for (let round = 0; round < 15; round++) {
      const me = await newMember(app().url)
      const cartVersion = await fill(me, { 'T-001': 1 })
      const headers = key()
      const answers = await Promise.all(
        [0, 4, 8, 12].map(async ms => {
          await new Promise(resolve => setTimeout(resolve, ms))
          return me.post('/v1/orders', { cartVersion }, headers)
        }),
      )
      for (const { status, text } of answers) expect(status, text).to.be.oneOf([200, 201])
      expect(new Set(answers.map(({ body }) => body.id)).size).to.equal(1)
    }
  })

  it('are refunded to the stock they came from, whatever the catalogue says by then', async () => {
    const one = await newProduct(app(), { free: 5 })
    const two = await newProduct(app(), { free: 5 })
    const me = await newMember(app().url)
    const { body } = await me.post('/v1/orders', { cartVersion: await fill(me, { [one.sku]: 2, [two.sku]: 2 }) }, key())
    await sold(one.item, 2)
    await sold(two.item, 2)
    await app().stockKeeping.setStock(one.sku, { mode: 'reserve', stockItem: two.sku })
    await eventually('the catalogue has changed', async () => {
      const { products } = await app().productStore.of([one.sku])
      return products.get(one.sku)?.stockItem === two.sku
    })
    for (const { sku } of [one, two]) {
      const headers = key('a long key '.repeat(20).replaceAll(' ', '-') + sku)
      const refund = await operator.post(`/v1/orders/${body.id}/refunds`, { lines: [{ sku, quantity: 2 }] }, headers)
      expect([refund.status, refund.body.restocked]).to.deep.equal([201, true])
    }
    expect([await free(one.item), await free(two.item)]).to.deep.equal([5, 5])
    for (const { item } of [one, two]) expect(await app().inventory.check(item, false)).to.deep.equal([])
  })

  it('of tracked stock are not failed by what an instance remembers', async () => {
    const { sku, item } = await newProduct(paid(), { free: 1, mode: 'track' })
    const me = await newMember(paid().url)
    const order = await me.post('/v1/orders', { cartVersion: await fill(me, { [sku]: 1 }) }, key())
    const hold = (user: string) => ({
      orderId: `${user}-${randomUUID().replaceAll('-', '').slice(0, 24)}`,
      userId: user,
      units: 1,
      lookMs: 60_000,
    })
    const other = hold('1')
    await paid().stock.hold(item, other)
    expect((await paid().stock.hold(item, hold('2'))).is).to.equal('short')
    await app().stock.free(item, other.orderId) // on another instance
    expect((await provider.charge(order.body.id, 'good')).body.state).to.equal('confirmed')
  })

  it('of a guest who has logged in since leave the cart of the account', async () => {
    const guest = clientOf(paid().url)
    const first = await guest.post('/v1/cart/lines', { sku: 'T-100', quantity: 2 })
    guest.token = first.headers.get('x-session-token') ?? undefined
    const order = await guest.post('/v1/orders', { cartVersion: first.body.version }, key())
    const member = await newMember(paid().url)
    const login = await guest.post('/v1/sessions', { email: member.email, password: 'correct horse battery' })
    member.token = login.body.token
    expect((await encodeCart(member)).lines).to.deep.equal({ 'T-100': 2 })
    expect((await provider.charge(order.body.id, 'good')).body.state).to.equal('confirmed')
    expect((await encodeCart(member)).lines).to.deep.equal({})
  })

  it('are not listed by a forged cursor', async () => {
    const me = await newMember(app().url)
    const cursor = Buffer.from(JSON.stringify(['orders', '2026-01-01T00:00:00.000Z', 'ü'])).toString('base64url')
    expect((await me.get(`/v1/orders?cursor=${cursor}`)).status).to.equal(400)
  })

  it('of many can be checked', async () => {
    expect(
      (await app().reconciler.run(false)).filter(({ problem }) => /is confirmed with/.test(problem)),
    ).to.deep.equal([])
  })
})
