import { expect } from 'chai'
import { AppError } from '../../src/lib/errors.ts'
import { cartRows, UNPRICED } from '../../src/store/carts.ts'
import { withApp } from '../support/app.ts'
import { eventually, newMember } from '../support/client.ts'

/** When no price can be calculated, carts go on: the change lands, the last totals are shown as old, a price follows. */
describe('a cart that cannot be priced', () => {
  const app = withApp()

  it('keeps the change, shows the last totals with their age, and is priced in the background', async () => {
    const me = await newMember(app().url)
    const first = await me.post('/v1/cart/lines', { sku: 'T-100', quantity: 1 })
    expect(first.body.totals.total).to.equal(200)
    const { price } = app().pricing
    app().pricing.price = () => Promise.reject(new AppError('overloaded', 'full', { extra: { dependency: 'pricing' } }))
    try {
      const second = await me.post('/v1/cart/lines', { sku: 'T-101', quantity: 3 })
      expect(second.status).to.equal(200)
      expect(second.body.lines.map((line: { sku: string }) => line.sku)).to.deep.equal(['T-100', 'T-101'])
      expect(second.body.totals.total, 'the last totals').to.equal(200)
      expect(second.body.stale.ageSeconds).to.be.at.least(0)
      const seen = await me.get('/v1/cart')
      expect(seen.body.lines.length).to.equal(2)
      expect(seen.body.stale).to.not.equal(null)
      const quote = await me.post('/v1/quotes', { lines: [{ sku: 'T-100', quantity: 1 }] })
      expect(quote.status, 'a quote is never made of old prices').to.equal(503)
    } finally {
      app().pricing.price = price
    }
    const { id } = (await me.get('/v1/me')).body
    await eventually('a price follows by itself', async () => {
      const stored = await cartRows.load(app().router.of(id), id)
      return stored !== undefined && stored.digest !== UNPRICED
    })
    const { body } = await me.get('/v1/cart')
    expect(body.totals.total).to.equal(200 + 3 * 201)
    expect(body.stale).to.equal(null)
  })
})
