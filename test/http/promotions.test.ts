import { expect } from 'chai'
import { type TestApp, startApp } from '../support/app.ts'
import { type Client, clientOf, eventually, newMember } from '../support/client.ts'

/** Promotions over HTTP: rule sets for operators, codes, explanations and quotes for shoppers. */
describe('promotions over HTTP', () => {
  let app: TestApp
  let operator: Client
  let me: Client
  const currency = 'GBP'
  const offer = (fields: object) => ({ id: 'offer', name: 'Offer', kind: 'percent_off', percent: 10, ...fields })

  before(async () => {
    app = await startApp({ repriceSpreadMs: 0 })
    operator = clientOf(app.url, await app.operators.add(`tester ${Date.now()}`))
  })
  after(async () => {
    await putInForce([]) // the other tests share the database
    await app.close()
  })
  beforeEach(async () => {
    await putInForce([])
    me = await newMember(app.url)
  })

  async function putInForce(promotions: object[], more: object = {}): Promise<number> {
    const put = await operator.post('/v1/rule-sets', { ruleSet: { currency, promotions, ...more } })
    expect(put.status, put.text).to.equal(201)
    const { version } = put.body
    expect((await operator.post('/v1/rule-sets/activations', { version })).status).to.equal(201)
    await app.rules.refresh()
    return version
  }

  describe('for operators', () => {
    it('are closed to all others, shoppers too', async () => {
      for (const client of [clientOf(app.url), me, clientOf(app.url, `op_${'x'.repeat(43)}`)]) {
        const { status, body } = await client.get('/v1/rule-sets')
        expect([status, body.code]).to.deep.equal([403, 'operator_required'])
      }
    })

    it('are refused to others before their document is read', async () => {
      const { status } = await me.post('/v1/rule-sets', 'this is no JSON')
      expect(status).to.equal(403)
    })

    it('refuse a rule set with five mistakes naming all five; the old one stays in force', async () => {
      const before = await putInForce([offer({})])
      const { status, body } = await operator.post('/v1/rule-sets', {
        ruleSet: {
          currency: 'EUR',
          promotions: [
            offer({ percent: 0 }),
            offer({ id: 'b', colour: 'red' }),
            offer({ id: 'c', stage: 'never' }),
            offer({ id: 'd', kind: 'nothing' }),
            offer({ id: 'e', when: { minAmount: -1 } }),
          ],
        },
      })
      expect(status).to.equal(422)
      expect(body.errors.map((error: { pointer: string }) => error.pointer)).to.have.members([
        '#/ruleSet/promotions/0/percent',
        '#/ruleSet/promotions/1/colour',
        '#/ruleSet/promotions/2/stage',
        '#/ruleSet/promotions/3/kind',
        '#/ruleSet/promotions/4/when/minAmount',
      ])
      expect((await operator.get('/v1/rule-sets')).body.inForce).to.equal(before)
    })

    it('name what does not exist and want it confirmed, when stored and when put in force', async () => {
      const named = offer({
        scope: { categories: ['nowhere'], exclude: { categories: ['nowhere either'] } },
        when: { buyerGroups: ['member', 'vip'], contains: { scope: { categories: ['nor there'] } } },
        codePool: 'none',
      })
      const body = { ruleSet: { currency, promotions: [named] } }
      const pointers = [
        '#/ruleSet/promotions/0/scope/categories/0',
        '#/ruleSet/promotions/0/when/contains/scope/categories/0',
        '#/ruleSet/promotions/0/when/buyerGroups/1',
        '#/ruleSet/promotions/0/codePool',
      ]
      const refused = await operator.post('/v1/rule-sets', body)
      expect([refused.status, refused.body.code]).to.deep.equal([422, 'rules_unconfirmed'])
      expect(refused.body.errors.map((error: { pointer: string }) => error.pointer)).to.have.members(pointers)
      const checked = (await operator.post('/v1/rule-sets/check', body)).body
      expect([checked.valid, checked.warnings.length]).to.deep.equal([true, 4])
      const stored = await operator.post('/v1/rule-sets', { ...body, confirm: true })
      expect(stored.status).to.equal(201)
      const { version } = stored.body
      const activate = (more: object) => operator.post('/v1/rule-sets/activations', { version, ...more })
      expect((await activate({})).body.code).to.equal('rules_unconfirmed')
      expect((await activate({ confirm: true })).status).to.equal(201)
    })

    it('refuse another currency, an unknown version and a time that is past', async () => {
      const other = await operator.post('/v1/rule-sets/check', { ruleSet: { currency: 'EUR', promotions: [] } })
      expect(other.body).to.deep.include({ valid: false })
      expect((await operator.post('/v1/rule-sets/activations', { version: 999_999 })).body.code).to.equal(
        'rules_not_found',
      )
      const version = await putInForce([])
      const past = await operator.post('/v1/rule-sets/activations', { version, at: '2020-01-01T00:00:00Z' })
      expect(past.status).to.equal(400)
    })

    it('are in force from the time that was said', async () => {
      await putInForce([])
      const { version } = (await operator.post('/v1/rule-sets', { ruleSet: { currency, promotions: [offer({})] } }))
        .body
      const at = new Date(Date.now() + 400).toISOString()
      await operator.post('/v1/rule-sets/activations', { version, at })
      await app.rules.refresh()
      const added = await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      expect(added.body.totals.discount).to.equal(0)
      await eventually('the promotion starts', async () => {
        await app.rules.refresh()
        return (await me.get('/v1/cart')).body.totals.discount === 20
      })
    })
  })

  describe('in a cart', () => {
    it('change what it costs, its version, and what is shown of them', async () => {
      const { body: before } = await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 2 })
      expect(before.totals).to.include({ subtotal: 400, discount: 0, total: 400 })
      const version = await putInForce([offer({})])
      const { body: after } = await me.get('/v1/cart')
      expect(after.totals).to.include({ subtotal: 400, discount: 40, total: 360 })
      expect(after.version).to.equal(before.version + 1)
      expect(after.versions.rules).to.equal(version)
      expect(after.lines[0]).to.include({ subtotal: 400, discount: 40, total: 360 })
      expect(after.promotions).to.deep.equal([{ promotion: 'offer', name: 'Offer', amount: 40 }])
      expect(after.stale).to.equal(null)
    })

    it('move carts to new rules each at its own moment, with the old totals said to be old', async () => {
      const slow = await startApp({ repriceSpreadMs: 3_600_000 })
      try {
        // Their ids follow one another, so their moments are 3.6 s apart.
        const members = await Promise.all(Array.from({ length: 6 }, () => newMember(slow.url)))
        for (const member of members) await member.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
        for (const member of members) await member.get('/v1/cart')
        await putInForce([offer({})])
        await eventually('an instance has the rules', async () => {
          const views = await Promise.all(members.map(async member => (await member.get('/v1/cart')).body))
          const waiting = views.filter(view => view.stale !== null)
          for (const view of waiting) {
            expect(view.totals.discount).to.equal(0)
            expect(view.stale.ageSeconds).to.be.at.least(0)
          }
          return waiting.length > 0
        })
      } finally {
        await slow.close()
      }
    })

    it('tell what is missing to the next step', async () => {
      await putInForce([{ id: 'ladder', name: 'Ladder', kind: 'threshold', tiers: [{ from: 500, amount: 50 }] }])
      const { body } = await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 2 })
      expect(body.hints).to.deep.equal([{ promotion: 'ladder', name: 'Ladder', missing: 100, amount: 50 }])
    })

    it('give a gift', async () => {
      await putInForce([{ id: 'gift', name: 'Gift', kind: 'gift', sku: 'T-001' }])
      const { body } = await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      expect(body.gifts).to.deep.equal([{ sku: 'T-001', quantity: 1, promotion: 'gift' }])
    })
  })

  describe('by code', () => {
    beforeEach(() =>
      putInForce([
        offer({ id: 'summer', code: 'SUMMER' }),
        offer({ id: 'big', code: 'BIG', per: 'order', percent: 50, when: { minAmount: 100_000 } }),
      ]),
    )

    it('apply once entered, in whatever case, and stay until taken out', async () => {
      await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      const { body } = await me.post('/v1/cart/codes', { code: 'summer' })
      expect(body.totals.total).to.equal(180)
      expect(body.codes, 'as the shop wrote it').to.deep.equal([{ code: 'SUMMER', applied: true }])
      const again = await me.post('/v1/cart/codes', { code: 'SUMMER' })
      expect(again.body.version).to.equal(body.version)
      const removed = await me.delete('/v1/cart/codes/Summer')
      expect(removed.body).to.deep.include({ codes: [], version: body.version + 1 })
      expect(removed.body.totals.total).to.equal(200)
      expect((await me.delete('/v1/cart/codes/Summer')).body.version).to.equal(body.version + 1)
    })

    it('stay, with the reason, where they do not apply yet', async () => {
      await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      const { body } = await me.post('/v1/cart/codes', { code: 'BIG' })
      expect(body.codes[0]).to.include({ code: 'BIG', applied: false, reason: 'min_amount' })
    })

    it('are refused when the shop does not know them; nothing changes', async () => {
      const before = (await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })).body
      const { status, body } = await me.post('/v1/cart/codes', { code: 'GUESS' })
      expect([status, body.code, body.errors[0].pointer]).to.deep.equal([422, 'code_unknown', '#/code'])
      expect((await me.get('/v1/cart')).body.version).to.equal(before.version)
    })

    it('go over into the account at login', async () => {
      const guest = clientOf(app.url)
      const first = await guest.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      guest.token = first.headers.get('x-session-token') ?? ''
      await guest.post('/v1/cart/codes', { code: 'SUMMER' })
      const email = `codes-${Date.now()}@example.com`
      await guest.post('/v1/accounts', { email, password: 'correct horse battery' })
      const { body } = await guest.post('/v1/sessions', { email, password: 'correct horse battery' })
      const cart = await clientOf(app.url, body.token).get('/v1/cart')
      expect(cart.body.codes).to.deep.equal([{ code: 'SUMMER', applied: true }])
    })

    for (const [what, code] of [
      ['nothing', ''],
      ['too much', 'x'.repeat(65)],
      ['a space', 'a b'],
      ['a number', 5],
    ] as const) {
      it(`are refused when they are ${what}`, async () =>
        expect((await me.post('/v1/cart/codes', { code })).body.errors[0].pointer).to.equal('#/code'))
    }
  })

  it('are explained one by one', async () => {
    await putInForce([
      offer({ group: 'g' }),
      offer({ id: 'better', percent: 20, group: 'g' }),
      offer({ id: 'hidden', code: 'X' }),
    ])
    await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
    const { body } = await me.get('/v1/cart/explain')
    expect(body).to.include({ optimal: true, gap: 0 })
    expect(
      body.outcomes.map((one: { promotion: string; status: string }) => [one.promotion, one.status]),
    ).to.deep.equal([
      ['better', 'applied'],
      ['offer', 'beaten'],
    ])
    expect((await clientOf(app.url).get('/v1/cart/explain')).status).to.equal(401)
  })

  describe('in a quote', () => {
    const ask = { lines: [{ sku: 'T-100', quantity: 2 }], codes: ['SUMMER'] }
    beforeEach(() => putInForce([offer({ id: 'summer', code: 'SUMMER' })]))

    it('price a cart that is not stored; the check says what an order would', async () => {
      const made = await me.post('/v1/quotes', ask)
      expect(made.status).to.equal(200)
      expect(made.body.totals.total).to.equal(360)
      expect((await me.get('/v1/cart')).body.version).to.equal(0)
      const turned = { ...ask, codes: [' summer '], quote: made.body.quote }
      const checked = await me.post('/v1/quotes/check', turned)
      expect(checked.body).to.include({ total: 360, currency })
      expect(Date.parse(checked.body.expiresAt)).to.be.above(Date.now())
      await putInForce([])
      const moved = await me.post('/v1/quotes/check', turned)
      const ordered = await me.post('/v1/orders', turned, { 'Idempotency-Key': 'moved' })
      for (const { status, body } of [moved, ordered]) {
        expect([status, body.code]).to.deep.equal([409, 'total_changed'])
        expect(body).to.include({ seenTotal: 360, total: 400 })
      }
    })

    it('know the buyer: orders placed count for a quote as for the cart', async () => {
      await putInForce([offer({ id: 'first', when: { orderNumber: 1 } })])
      const lines = [{ sku: 'T-100', quantity: 1 }]
      const totalOf = async () => (await me.post('/v1/quotes', { lines })).body.totals.total as number
      expect(await totalOf()).to.equal(180)
      await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
      const { version } = (await me.get('/v1/cart')).body
      expect(
        (await me.post('/v1/orders', { cartVersion: version }, { 'Idempotency-Key': 'first' })).body.total,
      ).to.equal(180)
      await eventually('the order counts', async () => (await totalOf()) === 200)
      const { body } = await me.post('/v1/quotes', { lines })
      const ordered = await me.post('/v1/orders', { lines, quote: body.quote }, { 'Idempotency-Key': 'second' })
      expect([ordered.status, ordered.body.total]).to.deep.equal([201, 200])
    })

    it('do not hold for other lines, or when they were altered', async () => {
      const { quote } = (await me.post('/v1/quotes', ask)).body
      const [payload, signature] = quote.split('.')
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
      const cheaper = `${Buffer.from(JSON.stringify({ ...claims, total: 1 })).toString('base64url')}.${signature}`
      for (const wrong of [
        { ...ask, quote, lines: [{ sku: 'T-100', quantity: 3 }] },
        { ...ask, quote: cheaper },
        { ...ask, quote: 'nonsense' },
      ]) {
        const { status, body } = await me.post('/v1/quotes/check', wrong)
        expect([status, body.code]).to.deep.equal([422, 'quote_invalid'])
      }
    })

    it('name products that are not sold', async () => {
      const { status, body } = await me.post('/v1/quotes', { lines: [{ sku: 'gone', quantity: 1 }] })
      expect([status, body.code, body.errors[0].pointer]).to.deep.equal([422, 'product_unknown', '#/lines/0/sku'])
    })
  })
})
