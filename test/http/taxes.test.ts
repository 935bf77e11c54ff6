import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { clientOf, type Json, newMember } from '../support/client.ts'
import { putProducts } from '../support/servers.ts'

/** Tax by line and by rate, wherever a shopper or the shop's bookkeeping sees amounts. */
describe('tax over HTTP', () => {
  const app = withApp()
  const skus = ['TAX-20', 'TAX-8875', 'TAX-0']
  const taxOf = (line: Json) => [line.sku, line.total, line.tax, line.taxPercent]
  const key = () => ({ 'Idempotency-Key': randomUUID() })

  before(async () => {
    const version = await putProducts([
      { sku: 'TAX-20', name: 'Lamp', price: 333, category: 'x', taxPercent: 20 },
      { sku: 'TAX-8875', name: 'Book', price: 1000, category: 'x', taxPercent: 8.875 },
      { sku: 'TAX-0', name: 'Stamp', price: 100, category: 'x' },
    ])
    await app().catalog.atLeast(version)
  })

  it('is shown in quotes, carts, orders and refunds, and adds up', async () => {
    const me = await newMember(app().url)
    const wanted = skus.map(sku => ({ sku, quantity: 3 }))
    const lines = [
      ['TAX-20', 999, 167, 20],
      ['TAX-8875', 3000, 245, 8.875],
      ['TAX-0', 300, undefined, undefined],
    ]
    const taxes = [
      { percent: 20, amount: 167 },
      { percent: 8.875, amount: 245 },
    ]
    const quote = (await me.post('/v1/quotes', { lines: wanted })).body
    expect(quote.lines.map(taxOf)).to.have.deep.members(lines)
    expect(quote.totals).to.deep.include({ tax: 412, taxes })
    const cart = (await me.post('/v1/cart/lines', { lines: wanted })).body
    const shown = (await me.get('/v1/cart')).body
    expect(shown.lines.map(taxOf)).to.deep.equal(lines)
    const order = (await me.post('/v1/orders', { cartVersion: cart.version }, key())).body
    expect(order.lines.map(taxOf)).to.have.deep.members(lines)
    expect(order.totals).to.deep.include({ tax: 412, taxes })

    const shop = clientOf(app().url, await app().operators.add(`taxes ${randomUUID()}`))
    const refund = async (body: object) => (await shop.post(`/v1/orders/${order.id}/refunds`, body, key())).body
    const first = await refund({ lines: [{ sku: 'TAX-20', quantity: 1 }] })
    expect(first.lines).to.deep.equal([{ sku: 'TAX-20', quantity: 1, amount: 333, tax: 56, taxPercent: 20 }])
    expect(first.taxes).to.deep.equal([{ percent: 20, amount: 56 }])
    const rest = await refund({})
    const amounts = new Map<string, number[]>(rest.lines.map((line: Json) => [line.sku, [line.amount, line.tax]]))
    expect(amounts.get('TAX-20')).to.deep.equal([666, 111])
    expect(amounts.get('TAX-8875')).to.deep.equal([3000, 245])
    expect(amounts.get('TAX-0')).to.deep.equal([300, undefined])
    const { refunds } = (await me.get(`/v1/orders/${order.id}`)).body
    const total = refunds.flatMap((one: Json) => one.lines).reduce((sum: number, line: Json) => sum + line.amount, 0)
    expect(total).to.equal(order.total)
  })
})
