import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { type Client, eventually, newMember } from '../support/client.ts'

const HALF = { kind: 'percent_off', percent: 50 }
const key = () => ({ 'Idempotency-Key': randomUUID() })

describe('what promotions may give away', () => {
  const app = withApp({ repriceSpreadMs: 0 })
  let me: Awaited<ReturnType<typeof newMember>>

  /** Puts a rule set of one promotion in force. Its id is new, so it has not been used. */
  async function offer(fields: object): Promise<string> {
    const id = `offer-${randomUUID().slice(0, 8)}`
    await putInForce([{ id, name: 'offer', ...fields }])
    return id
  }

  async function putInForce(promotions: readonly object[]): Promise<void> {
    const ruleSet = { currency: 'GBP', policy: { codesMax: 2 }, promotions }
    const version = await app().promotions.put(ruleSet, '')
    await app().promotions.activate(version, undefined)
    await eventually('the rules are in force', async () => {
      await app().rules.refresh()
      return app().pricing.rulesVersion() === version
    })
  }

  afterEach(() => putInForce([])) // the other tests share the database
  beforeEach(async () => {
    me = await newMember(app().url)
  })

  const cartOf = async (client: Client, quantity = 1) =>
    (await client.put('/v1/cart/lines/T-100', { quantity })).body as { version: number; totals: { total: number } }
  const order = async (client: Client, quantity = 1) => {
    const cart = await cartOf(client, quantity)
    return client.post('/v1/orders', { cartVersion: cart.version, total: cart.totals.total }, key())
  }

  it('is counted in all: a code for two orders is for two orders, whichever come first', async () => {
    await offer({ ...HALF, code: 'TWICE', usesMax: 2 })
    const buyers = await Promise.all(Array.from({ length: 6 }, () => newMember(app().url)))
    const carts = await Promise.all(
      buyers.map(async buyer => {
        await cartOf(buyer)
        return (await buyer.post('/v1/cart/codes', { code: 'TWICE' })).body
      }),
    )
    expect(carts.map(cart => cart.totals.total)).to.deep.equal(Array.from({ length: 6 }, () => 100))
    const answers = await Promise.all(
      buyers.map((buyer, at) => buyer.post('/v1/orders', { cartVersion: carts[at].version, total: 100 }, key())),
    )
    expect(answers.filter(answer => answer.status === 201)).to.have.length(2)
    for (const { status, body } of answers.filter(answer => answer.status !== 201)) {
      expect(status).to.equal(409)
      expect(body).to.include({ code: 'total_changed', seenTotal: 100, total: 200 })
    }
    const late = await newMember(app().url)
    await cartOf(late)
    const { body } = await late.post('/v1/cart/codes', { code: 'TWICE' })
    expect(body.codes).to.deep.include({
      code: 'TWICE',
      applied: false,
      reason: 'uses_max',
      detail: 'It has been used as often as it can be.',
    })
    // Who sees the new total and agrees to it can order.
    const at = answers.findIndex(answer => answer.status !== 201)
    const cart = (await buyers[at]!.get('/v1/cart')).body
    expect((await buyers[at]!.post('/v1/orders', { cartVersion: cart.version, total: 200 }, key())).status).to.equal(
      201,
    )
  })

  it('is counted by buyer, and the cart shows it', async () => {
    await offer({ ...HALF, usesPerUserMax: 1 })
    const first = await order(me)
    expect([first.status, first.body.total]).to.deep.equal([201, 100])
    const second = await order(me)
    expect([second.status, second.body.total]).to.deep.equal([201, 200])
    const other = await newMember(app().url)
    expect((await order(other)).body.total).to.equal(100)
  })

  it('knows the first order of a buyer', async () => {
    await offer({ ...HALF, when: { orderNumber: 1 } })
    expect((await order(me)).body.total).to.equal(100)
    expect((await order(me)).body.total).to.equal(200)
  })

  it('ends with the budget, to the penny', async () => {
    const id = await offer({ kind: 'amount_off', amount: 90, budget: 150 })
    expect((await order(me)).body.total).to.equal(110)
    await app().promotionLimits.refresh()
    const rest = await order(await newMember(app().url))
    expect(rest.body.total, 'what is left of it').to.equal(140)
    await app().promotionLimits.refresh()
    expect((await order(await newMember(app().url))).body.total).to.equal(200)
    await eventually('all of it is spent', async () => {
      const levels = await app().stock.levels(`b:${id}`)
      return levels?.sold === 150 && levels.free === 0 && levels.held === 0
    })
  })
})
