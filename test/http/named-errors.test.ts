import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { createThrottle } from '../../src/sessions/throttle.ts'
import { FIXED } from '../../src/model/limits.ts'
import { orderIdOf } from '../../src/model/order.ts'
import { orderRows } from '../../src/store/orders.ts'
import { loginRows } from '../../src/store/users.ts'
import { withApp } from '../support/app.ts'
import { type Client, clientOf, newEmail, newMember, PASSWORD } from '../support/client.ts'
import { connectTo } from '../support/redis.ts'
import { testServers } from '../support/servers.ts'
import { newProduct } from '../support/stock.ts'

const key = () => ({ 'Idempotency-Key': randomUUID() })

/** Errors of single operations that no other test meets, each with its members. */
describe('an operation names its error', () => {
  const app = withApp({ repriceSpreadMs: 0 })
  const paid = withApp({ payment: 'two-step', paymentMinutes: 1 })
  let me: Client & { email: string; userId: string }
  let operator: Client

  before(async () => {
    operator = clientOf(app().url, await app().operators.add(randomUUID()))
  })
  beforeEach(async () => {
    me = await newMember(app().url)
  })

  async function withdraw(sku: string): Promise<void> {
    const { version } = await app().catalogChanges.apply([{ sku, status: 'withdrawn' }])
    await app().catalog.atLeast(version)
  }

  const tooMany = Array.from({ length: 501 }, (_, at) => ({ sku: `T-${String(at + 1).padStart(3, '0')}`, quantity: 1 }))
  const lineCases: [string, (client: Client) => Promise<{ status: number; body: object }>, number, object][] = [
    ['too many lines', client => client.put('/v1/cart/lines', { lines: tooMany }), 400, { code: 'invalid_request' }],
    [
      'one line too many',
      async client => {
        await client.put('/v1/cart/lines?limit=0', { lines: tooMany.slice(0, 500) })
        return client.put('/v1/cart/lines', { lines: tooMany.slice(500) })
      },
      422,
      { code: 'cart_lines_max', max: 500 },
    ],
    [
      'one line too many, alone',
      async client => {
        await client.put('/v1/cart/lines?limit=0', { lines: tooMany.slice(0, 500) })
        return client.put('/v1/cart/lines/T-501', { quantity: 1 })
      },
      422,
      { code: 'cart_lines_max', max: 500 },
    ],
    ['no such product', client => client.put('/v1/cart/lines/none', { quantity: 1 }), 422, { code: 'product_unknown' }],
    [
      'too many units',
      client => client.put('/v1/cart/lines/T-001', { quantity: 1_000 }),
      422,
      { code: 'line_quantity_max', sku: 'T-001', max: 999 },
    ],
  ]
  for (const [what, ask, status, members] of lineCases)
    it(`of a line: ${what}`, async () => {
      const answer = await ask(me)
      expect(answer.status).to.equal(status)
      expect(answer.body).to.include(members)
    })

  it('of codes: more than a cart holds', async () => {
    const codes = Array.from({ length: 11 }, (_, at) => `MANY${at}`)
    const offer = { id: 'many', name: 'Many', kind: 'percent_off', percent: 1, codes }
    const version = await app().promotions.put({ currency: 'GBP', promotions: [offer] }, '')
    await app().promotions.activate(version, undefined)
    await app().rules.refresh()
    try {
      for (const code of codes.slice(0, 10)) expect((await me.post('/v1/cart/codes', { code })).status).to.equal(200)
      const one = await me.post('/v1/cart/codes', { code: codes[10] })
      expect([one.status, one.body.code, one.body.max]).to.deep.equal([422, 'codes_max', 10])
    } finally {
      const none = await app().promotions.put({ currency: 'GBP', promotions: [] }, '')
      await app().promotions.activate(none, undefined)
    }
  })

  it('of a quote: a product that is not sold any more', async () => {
    const { sku } = await newProduct(app(), { mode: 'none' })
    const lines = [{ sku, quantity: 1 }]
    const { body: quote } = await me.post('/v1/quotes', { lines })
    await withdraw(sku)
    const { status, body } = await me.post('/v1/quotes/check', { quote: quote.quote, lines })
    expect([status, body.code]).to.deep.equal([422, 'product_unknown'])
  })

  it('of an order: none, another user’s, and one in another state', async () => {
    const cart = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    const { body: order } = await me.post('/v1/orders', { cartVersion: cart.body.version }, key())
    const other = await newMember(app().url)
    for (const [client, path, body] of [
      [other, `/v1/orders/${order.id}/cancel`, undefined],
      [operator, '/v1/orders/1-000000000000000000000000/payments', { result: 'failed' }],
      [operator, '/v1/orders/1-000000000000000000000000/refunds', {}],
    ] as const) {
      const none = await client.post(path, body, key())
      expect([none.status, none.body.code], path).to.deep.equal([404, 'order_not_found'])
    }
    const late = await me.post(`/v1/orders/${order.id}/cancel`, undefined, key())
    expect(late.body).to.include({ code: 'order_state', state: 'confirmed' })
    const buyer = await newMember(paid().url)
    const { version } = (await buyer.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })).body
    const pending = await buyer.post('/v1/orders', { cartVersion: version }, key())
    const early = await operator.post(`/v1/orders/${pending.body.id}/refunds`, {}, key())
    expect(early.body).to.include({ code: 'order_state', state: 'pending' })
  })

  it('of an order whose key was given up too often', async () => {
    const { sku, item } = await newProduct(app(), { free: 5 })
    const headers = key()
    const { version } = (await me.post('/v1/cart/lines', { sku, quantity: 1 })).body
    for (let attempt = 0; attempt < FIXED.orderAttemptsMax; attempt++) {
      const orderId = orderIdOf(me.userId, headers['Idempotency-Key'], [{ item, units: 1 }], attempt)
      await app().router.write(me.userId, (tx, { slot }) => orderRows.insertVoid(tx, slot, me.userId, orderId))
    }
    const { status, body } = await me.post('/v1/orders', { cartVersion: version }, headers)
    expect([status, body.code]).to.deep.equal([409, 'order_given_up'])
  })

  it('of a sale: none', async () => {
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await me.send(method, '/v1/sales/none/queue')
      expect([status, body.code], method).to.deep.equal([404, 'sale_not_found'])
    }
  })

  it('of an account: the address is being registered, or too many from one place', async () => {
    const email = newEmail()
    await app().router.write(email, (tx, { slot }) => loginRows.reserve(tx, email, slot, '999999999999'))
    const busy = await clientOf(app().url).post('/v1/accounts', { email, password: PASSWORD }, key())
    expect([busy.status, busy.body.code]).to.deep.equal([409, 'idempotency_in_flight'])

    const connection = await connectTo(testServers().addresses.sessionsRedis)
    try {
      const throttle = createThrottle(connection)
      for (let made = 0; made < FIXED.newPerAddressPerMinute.accounts; made++)
        await throttle.count('accounts', '198.51.100.7')
    } finally {
      await connection.close()
    }
    const from = { 'X-Forwarded-For': '198.51.100.7' }
    const many = await clientOf(app().url).post('/v1/accounts', { email: newEmail(), password: PASSWORD }, from)
    expect([many.status, many.body.code, many.headers.get('retry-after')]).to.deep.equal([
      429,
      'too_many_attempts',
      '60',
    ])
  })

  it('of a password: too many wrong ones', async () => {
    let last = { status: 0, body: { code: '' } }
    for (let attempt = 0; attempt < 30 && last.status !== 429; attempt++)
      last = await me.put('/v1/me/password', { current: 'wrong password', next: 'another password' })
    expect([last.status, last.body.code]).to.deep.equal([429, 'too_many_attempts'])
  })

  it('of an activation: the rule set has become wrong', async () => {
    const { sku } = await newProduct(app(), { mode: 'none' })
    const gift = { id: 'gift', name: 'Gift', kind: 'gift', sku }
    const { body } = await operator.post('/v1/rule-sets', { ruleSet: { currency: 'GBP', promotions: [gift] } })
    await withdraw(sku)
    const refused = await operator.post('/v1/rule-sets/activations', { version: body.version })
    expect([refused.status, refused.body.code]).to.deep.equal([422, 'rules_invalid'])
  })
})
