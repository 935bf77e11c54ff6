import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { createConnection } from 'mysql2/promise'
import { orderIdOf } from '../../src/model/order.ts'
import { userRows } from '../../src/store/users.ts'
import { type TestApp, withApp } from '../support/app.ts'
import { type Answer, type Client, clientOf, encodeCart, eventually, type Json, newMember } from '../support/client.ts'
import { createFakePaymentProvider, type FakePaymentProvider } from '../support/fake-payment-provider.ts'
import { testServers } from '../support/servers.ts'
import { newProduct } from '../support/stock.ts'

const key = () => ({ 'Idempotency-Key': randomUUID() })

/** Puts products into the cart and orders them. */
async function order(
  client: Client,
  lines: Readonly<Record<string, number>>,
  more: object = {},
  headers: Record<string, string> = key(),
): Promise<Answer> {
  const wanted = Object.entries(lines).map(([sku, quantity]) => ({ sku, quantity }))
  const cart = await client.post('/v1/cart/lines', { lines: wanted })
  expect(cart.status).to.equal(200)
  return client.post('/v1/orders', { cartVersion: cart.body.version, ...more }, headers)
}

/** What a refund takes back, without what it cost (taxes.test.ts). */
const unitsOf = ({ lines }: Json) => lines.map(({ sku, quantity }: Json) => ({ sku, quantity }))

const levelsOf = async (app: TestApp, item: string) => {
  const { free, held, sold } = (await app.stock.levels(item)) ?? { free: -1, held: -1, sold: -1 }
  return { free, held, sold }
}

const settled = (app: TestApp, item: string, levels: object) =>
  eventually(`stock is ${JSON.stringify(levels)}`, async () => {
    return JSON.stringify(await levelsOf(app, item)) === JSON.stringify(levels)
  })

describe('orders over HTTP', () => {
  const app = withApp()
  let me: Awaited<ReturnType<typeof newMember>>

  beforeEach(async () => {
    me = await newMember(app().url)
  })

  describe('placing one', () => {
    it('orders what is in the cart, at its price, and takes it out', async () => {
      const { sku, item } = await newProduct(app(), { free: 5 })
      const { status, body, headers } = await order(me, { [sku]: 2, 'T-001': 1 })
      expect(status).to.equal(201)
      expect(body).to.deep.include({ state: 'confirmed', total: 2_101, currency: 'GBP', expiresAt: null })
      expect(body.lines.map((line: { sku: string }) => line.sku)).to.have.members([sku, 'T-001'])
      expect(headers.get('location')).to.equal(`/v1/orders/${body.id}`)
      expect((await encodeCart(me)).lines).to.deep.equal({})
      await settled(app(), item, { free: 3, held: 0, sold: 2 })
    })

    it('leaves what is not selected', async () => {
      await me.post('/v1/cart/lines', {
        lines: [
          { sku: 'T-001', quantity: 1 },
          { sku: 'T-002', quantity: 3 },
        ],
      })
      const cart = await me.put('/v1/cart/lines/T-002', { selected: false })
      const { status, body } = await me.post('/v1/orders', { cartVersion: cart.body.version }, key())
      expect([status, body.lines.length]).to.deep.equal([201, 1])
      expect((await encodeCart(me)).lines).to.deep.equal({ 'T-002': 3 })
    })

    it('once for a key, however often it is sent, and also at once', async () => {
      const { sku, item } = await newProduct(app(), { free: 5, perUserMax: 1 })
      const cart = await me.post('/v1/cart/lines', { sku, quantity: 1 })
      const headers = key()
      const send = () => me.post('/v1/orders', { cartVersion: cart.body.version }, headers)
      const answers = await Promise.all([send(), send(), send(), send()])
      expect(answers.map(({ status }) => status).sort((a, b) => a - b)).to.deep.equal([200, 200, 200, 201])
      expect(new Set(answers.map(answer => answer.body.id)).size).to.equal(1)
      const again = await send()
      expect([again.status, again.headers.get('idempotency-replayed')]).to.deep.equal([200, 'true'])
      await settled(app(), item, { free: 4, held: 0, sold: 1 })
    })

    it('is told to come again while the process that began it may still be at work', async () => {
      const { sku, item } = await newProduct(app(), { free: 5 })
      const cart = await me.post('/v1/cart/lines', { sku, quantity: 1 })
      const headers = key()
      // What a process has done that died before it could write the order.
      const orderId = orderIdOf(me.userId, headers['Idempotency-Key'], [{ item, units: 1 }], 0)
      await app().stock.hold(item, { orderId, userId: me.userId, units: 1, lookMs: 10_000 })
      const send = () => me.post('/v1/orders', { cartVersion: cart.body.version }, headers)
      const early = await send()
      expect([early.status, early.body.code, early.headers.get('retry-after')]).to.deep.equal([
        409,
        'idempotency_in_flight',
        '1',
      ])
      await app().stock.free(item, orderId)
      expect((await send()).status).to.equal(201)
    })

    it('needs a key, and one key for one request', async () => {
      const cart = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      const body = { cartVersion: cart.body.version }
      expect((await me.post('/v1/orders', body)).body.code).to.equal('idempotency_key_required')
      const headers = key()
      expect((await me.post('/v1/orders', body, headers)).status).to.equal(201)
      expect((await me.post('/v1/orders', { cartVersion: 99 }, headers)).body.code).to.equal('idempotency_mismatch')
    })

    it('refuses another version of the cart, or another total, with both totals, and holds nothing', async () => {
      const { sku, item } = await newProduct(app(), { free: 5 })
      const cart = await me.post('/v1/cart/lines', { sku, quantity: 1 })
      await me.post('/v1/cart/lines', { sku, quantity: 1 })
      const old = await me.post('/v1/orders', { cartVersion: cart.body.version, total: 1_000 }, key())
      expect(old.status).to.equal(409)
      expect(old.body).to.include({ code: 'cart_changed', version: 2, seenTotal: 1_000, total: 2_000 })
      const other = await me.post('/v1/orders', { cartVersion: 2, total: 1_999 }, key())
      expect(other.body).to.include({ code: 'total_changed', seenTotal: 1_999, total: 2_000 })
      expect(await levelsOf(app(), item)).to.deep.equal({ free: 5, held: 0, sold: 0 })
    })

    it('names every wrong field', async () => {
      const { status, body } = await me.post('/v1/orders', { cartVersion: 'x', extra: 1 }, key())
      expect(status).to.equal(400)
      expect(body.errors.map((error: { pointer: string }) => error.pointer)).to.have.members([
        '#/cartVersion',
        '#/extra',
      ])
      const quoted = await me.post('/v1/orders', { quote: 'x' }, key())
      expect(quoted.body.errors[0].pointer).to.equal('#/lines')
    })

    it('refuses nothing at all', async () => {
      const empty = await me.post('/v1/orders', { cartVersion: 0 }, key())
      expect(empty.body.code).to.equal('nothing_to_order')
    })

    it('of a signed quote, without a cart', async () => {
      const { sku, item } = await newProduct(app(), { free: 5 })
      const lines = [
        { sku, quantity: 1 },
        { sku, quantity: 2 },
      ]
      const { body: quote } = await me.post('/v1/quotes', { lines })
      const { status, body } = await me.post('/v1/orders', { quote: quote.quote, lines }, key())
      expect([status, body.total, body.cartVersion]).to.deep.equal([201, 3_000, null])
      await settled(app(), item, { free: 2, held: 0, sold: 3 })
      const other = await me.post('/v1/orders', { quote: quote.quote, lines: [{ sku, quantity: 2 }] }, key())
      expect(other.body.code).to.equal('quote_invalid')
    })

    it('needs a session, and shows no orders of others', async () => {
      const made = await order(me, { 'T-001': 1 })
      const other = await newMember(app().url)
      expect((await clientOf(app().url).post('/v1/orders', { cartVersion: 1 }, key())).status).to.equal(401)
      const seen = await other.get(`/v1/orders/${made.body.id}`)
      const missing = await other.get(
        `/v1/orders/${made.body.id.replace(/.$/, (c: string) => (c === '0' ? '1' : '0'))}`,
      )
      expect([seen.status, seen.body.detail]).to.deep.equal([404, missing.body.detail])
      expect((await me.get(`/v1/orders/${made.body.id}`)).body).to.deep.equal({ ...made.body, refunds: [] })
    })
  })

  describe('stock', () => {
    it('that is too little refuses all of the order, names each line with what is left, and marks it', async () => {
      const few = await newProduct(app(), { free: 1 })
      const none = await newProduct(app(), { free: 0 })
      const plenty = await newProduct(app(), { free: 100 })
      const { status, body } = await order(me, { [few.sku]: 2, [none.sku]: 1, [plenty.sku]: 1 })
      expect([status, body.code]).to.deep.equal([409, 'out_of_stock'])
      expect(body.lines).to.have.deep.members([
        { sku: few.sku, wanted: 2, left: 1 },
        { sku: none.sku, wanted: 1, left: 0 },
      ])
      for (const [one, free] of [
        [few, 1],
        [none, 0],
        [plenty, 100],
      ] as const)
        await settled(app(), one.item, { free, held: 0, sold: 0 })
      const cart = await me.get('/v1/cart')
      expect(cart.body.lines.map((line: { left?: number }) => line.left)).to.deep.equal([1, 0, undefined])
      const changed = await me.put(`/v1/cart/lines/${few.sku}`, { quantity: 1 })
      expect(changed.body.lines[0]).not.to.have.property('left')
    })

    it('is summed over lines that share it', async () => {
      const shared = `shared-${randomUUID().slice(0, 8)}`
      const one = await newProduct(app(), { free: 3, stockItem: shared })
      const two = await newProduct(app(), { stockItem: shared })
      expect((await order(me, { [one.sku]: 2, [two.sku]: 2 })).body.code).to.equal('out_of_stock')
      const cart = await me.put(`/v1/cart/lines/${two.sku}`, { quantity: 1 })
      expect((await me.post('/v1/orders', { cartVersion: cart.body.version }, key())).status).to.equal(201)
      await settled(app(), one.item, { free: 0, held: 0, sold: 3 })
    })

    it('is shown, and invariants hold on the operations port', async () => {
      const { sku, item } = await newProduct(app(), { free: 7 })
      const shown = await me.get(`/v1/stock/${sku}`)
      expect(shown.body).to.deep.equal({ sku, mode: 'reserve', left: 7, state: 'in_stock' })
      expect((await me.get('/v1/stock/T-001')).body).to.include({ mode: 'none', left: null })
      expect((await me.get('/v1/stock/nothing')).status).to.equal(404)
      const { status, body } = await clientOf(app().opsUrl).get('/ops/stock/invariants')
      expect([status, body.holds, body.broken, body.next]).to.deep.equal([200, true, [], null])
      const after = (last: string) =>
        clientOf(app().opsUrl).get(`/ops/stock/invariants?after=${encodeURIComponent(last)}`)
      expect((await after(item)).body.items).to.be.below(body.items)
      expect((await after('\u007e')).body).to.include({ holds: true, items: 0, next: null })
    })

    it('is put back by another process, also behind hundreds of refunds that cannot be settled now', async () => {
      const { sku, item } = await newProduct(app(), { free: 1 })
      const { body } = await order(me, { [sku]: 1 })
      await settled(app(), item, { free: 0, held: 0, sold: 1 })
      const uri = testServers().addresses.shards[app().router.shards.indexOf(app().router.of(me.userId))] ?? ''
      const connection = await createConnection({ uri })
      // As processes leave them that die before they put units back: hundreds whose item is not to be found, then one of ours.
      const open = (id: string, ageS: number, refunded: string) => [
        me.userId,
        body.id,
        id,
        0,
        'pending',
        JSON.stringify({ lines: [], asked: null, items: [{ item: refunded, units: 1 }] }),
        new Date(Date.now() - ageS * 1000).toISOString().slice(0, -1).replace('T', ' '),
      ]
      const rows = Array.from({ length: 250 }, (_, at) => open(`stuck-${at}`, 3_600, `s:none-${at}`))
      try {
        await connection.query(
          'INSERT INTO refunds (user_id, order_id, refund_id, slot, state, document, created_at) VALUES ?',
          [[...rows, open('ours', 60, item)]],
        )
        await settled(app(), item, { free: 1, held: 0, sold: 0 })
      } finally {
        await connection.query('DELETE FROM refunds WHERE order_id = ?', [body.id])
        await connection.end()
      }
    })

    it('has a limit by buyer', async () => {
      const { sku, item } = await newProduct(app(), { free: 10, perUserMax: 2 })
      expect((await order(me, { [sku]: 2 })).status).to.equal(201)
      const more = await order(me, { [sku]: 1 })
      expect(more.body).to.include({ code: 'purchase_limit', max: 2, sku })
      const other = await newMember(app().url)
      expect((await order(other, { [sku]: 3 })).body.code).to.equal('purchase_limit')
      expect((await order(await newMember(app().url), { [sku]: 2 })).status).to.equal(201)
      await settled(app(), item, { free: 6, held: 0, sold: 4 })
    })
  })

  it('are listed newest first, by cursor', async () => {
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.unshift((await order(me, { 'T-001': 1 })).body.id)
    const seen: string[] = []
    for (let path = '/v1/orders?limit=2'; path; ) {
      const { status, body } = await me.get(path)
      expect(status).to.equal(200)
      seen.push(...body.data.map((one: { id: string }) => one.id))
      path = body.page.next === null ? '' : `/v1/orders?limit=2&cursor=${body.page.next}`
    }
    expect(seen).to.deep.equal(ids)
    expect((await me.get('/v1/orders?cursor=nonsense')).status).to.equal(400)
  })
})

describe('orders that are paid elsewhere', () => {
  const app = withApp({ payment: 'two-step', paymentMinutes: 1 })
  let me: Awaited<ReturnType<typeof newMember>>
  let shop: Client
  let provider: FakePaymentProvider

  before(async () => {
    const token = await app().operators.add(randomUUID())
    shop = clientOf(app().url, token)
    provider = createFakePaymentProvider(app().url, token)
  })
  beforeEach(async () => {
    me = await newMember(app().url)
  })

  const pay = (id: string, card: 'good' | 'empty' = 'good') => provider.charge(id, card)

  it('hold their stock and leave the cart until they are paid; saying so twice is no error', async () => {
    const { sku, item } = await newProduct(app(), { free: 3 })
    const { status, body } = await order(me, { [sku]: 2 })
    expect([status, body.state]).to.deep.equal([201, 'pending'])
    expect(Date.parse(body.expiresAt)).to.be.above(Date.now())
    expect(await levelsOf(app(), item)).to.deep.equal({ free: 1, held: 2, sold: 0 })
    expect((await encodeCart(me)).lines).to.deep.equal({ [sku]: 2 })
    await me.post('/v1/cart/lines', { sku, quantity: 5 })
    expect((await pay(body.id)).body.state).to.equal('confirmed')
    expect((await provider.repeat(body.id)).body.state).to.equal('confirmed')
    expect((await encodeCart(me)).lines, 'exactly what was ordered is gone').to.deep.equal({ [sku]: 5 })
    await settled(app(), item, { free: 1, held: 0, sold: 2 })
    expect((await pay(body.id, 'empty')).body).to.include({ code: 'order_state', state: 'confirmed' })
  })

  it('free it when the payment fails or the buyer cancels, and the cart is kept', async () => {
    const { sku, item } = await newProduct(app(), { free: 3 })
    const failed = await order(me, { [sku]: 2 })
    expect((await pay(failed.body.id, 'empty')).body.state).to.equal('failed')
    expect(await levelsOf(app(), item)).to.deep.equal({ free: 3, held: 0, sold: 0 })
    const cart = await me.get('/v1/cart')
    const again = await me.post('/v1/orders', { cartVersion: cart.body.version }, key())
    const cancelled = await me.post(`/v1/orders/${again.body.id}/cancel`)
    expect(cancelled.body.state).to.equal('cancelled')
    expect(await levelsOf(app(), item)).to.deep.equal({ free: 3, held: 0, sold: 0 })
    expect((await pay(again.body.id)).body).to.include({ code: 'order_state', state: 'cancelled' })
    expect((await encodeCart(me)).lines).to.deep.equal({ [sku]: 2 })
  })

  it('are one at a time for one cart', async () => {
    const first = await order(me, { 'T-001': 1 })
    const second = await me.post('/v1/orders', { cartVersion: first.body.cartVersion }, key())
    expect(second.body).to.include({ code: 'order_pending', orderId: first.body.id })
  })

  it('take tracked stock when they are paid, and fail when it is gone by then', async () => {
    const { sku, item } = await newProduct(app(), { free: 1, mode: 'track' })
    const other = await newMember(app().url)
    const [mine, theirs] = [await order(me, { [sku]: 1 }), await order(other, { [sku]: 1 })]
    expect(await levelsOf(app(), item)).to.deep.equal({ free: 1, held: 0, sold: 0 })
    expect((await pay(theirs.body.id)).body.state).to.equal('confirmed')
    expect((await pay(mine.body.id)).body).to.include({ code: 'out_of_stock', state: 'failed' })
    expect((await me.get(`/v1/orders/${mine.body.id}`)).body.state).to.equal('failed')
    await settled(app(), item, { free: 0, held: 0, sold: 1 })
  })

  it('expire, by the clock of the database, and free what they hold', async () => {
    const { sku, item } = await newProduct(app(), { free: 2 })
    const { body } = await order(me, { [sku]: 2 })
    await past(app(), body.id)
    expect((await pay(body.id)).body).to.include({ code: 'order_state', state: 'expired' })
    await settled(app(), item, { free: 2, held: 0, sold: 0 })
    expect((await me.get(`/v1/orders/${body.id}`)).body.state).to.equal('expired')
  })

  it('are either paid or expired when both come at once, 20 times, and stock says the same', async () => {
    const { sku, item } = await newProduct(app(), { free: 20 })
    const states: string[] = []
    for (let n = 0; n < 20; n++) {
      const buyer = await newMember(app().url)
      const { body } = await order(buyer, { [sku]: 1 })
      const paying = pay(body.id)
      await past(app(), body.id)
      const answer = await paying
      const { state } = (await buyer.get(`/v1/orders/${body.id}`)).body
      expect(state).to.equal(answer.status === 200 ? 'confirmed' : 'expired')
      states.push(state)
    }
    const sold = states.filter(state => state === 'confirmed').length
    await settled(app(), item, { free: 20 - sold, held: 0, sold })
  })

  it('are refunded into the stock, once for a key, and never more than was ordered', async () => {
    const { sku, item } = await newProduct(app(), { free: 5, perUserMax: 3 })
    const { body } = await order(me, { [sku]: 3, 'T-001': 1 })
    await pay(body.id)
    const headers = key()
    const refund = (lines?: object, more = headers) =>
      shop.post(`/v1/orders/${body.id}/refunds`, lines ? { lines } : {}, more)
    for (const [status, replayed] of [
      [201, null],
      [200, 'true'],
    ]) {
      const made = await refund([{ sku, quantity: 1 }])
      expect([made.status, made.headers.get('idempotency-replayed')]).to.deep.equal([status, replayed])
      expect([made.body.restocked, unitsOf(made.body)]).to.deep.equal([true, [{ sku, quantity: 1 }]])
    }
    expect((await refund([{ sku, quantity: 2 }])).body.code).to.equal('idempotency_mismatch')
    await settled(app(), item, { free: 3, held: 0, sold: 2 })
    expect((await refund([{ sku, quantity: 3 }], key())).body.code).to.equal('refund_invalid')
    expect(unitsOf((await refund(undefined, key())).body)).to.have.deep.members([
      { sku, quantity: 2 },
      { sku: 'T-001', quantity: 1 },
    ])
    await settled(app(), item, { free: 5, held: 0, sold: 0 })
    expect((await refund(undefined, key())).body.code).to.equal('refund_invalid')
    const { refunds } = (await me.get(`/v1/orders/${body.id}`)).body
    expect(refunds.map((one: Json) => [one.orderId, one.restocked, unitsOf(one)])).to.deep.equal([
      [body.id, true, [{ sku, quantity: 1 }]],
      [
        body.id,
        true,
        [
          { sku, quantity: 2 },
          { sku: 'T-001', quantity: 1 },
        ],
      ],
    ])
    expect(await app().inventory.check(item, false)).to.deep.equal([])
  })

  it('are not made with a session that was ended', async () => {
    const cart = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    // What Redis would have kept of a session that was ended in its last second.
    await app().router.write(me.userId, tx => userRows.endSessions(tx, me.userId))
    const { status, body } = await me.post('/v1/orders', { cartVersion: cart.body.version }, key())
    expect([status, body.code]).to.deep.equal([401, 'session_ended'])
  })

  it('are for operators only', async () => {
    const { body } = await order(me, { 'T-001': 1 })
    for (const path of ['payments', 'refunds']) {
      expect((await me.post(`/v1/orders/${body.id}/${path}`, { result: 'confirmed' }, key())).status).to.equal(403)
    }
  })
})

/** Sets an order's time to the past, in the database. */
async function past(app: TestApp, orderId: string): Promise<void> {
  const [userId = ''] = orderId.split('-')
  const connection = await createConnection({
    uri: testServers().addresses.shards[app.router.shards.indexOf(app.router.of(userId))] ?? '',
  })
  try {
    await connection.query('UPDATE orders SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ? AND order_id = ?', [
      userId,
      orderId,
    ])
  } finally {
    await connection.end()
  }
}
