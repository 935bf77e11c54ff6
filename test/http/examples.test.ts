import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { createGenerator } from '../../src/cli/generator.ts'
import answers from '../../src/http/example-answers.json' with { type: 'json' }
import { type Example, EXAMPLES, PLACEHOLDERS } from '../../src/http/examples.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { withApp } from '../support/app.ts'
import { type Answer, type Client, clientOf, type Json, newEmail } from '../support/client.ts'
import { PROJECT } from '../support/servers.ts'

/**
 * The examples of the API document, sent to a shop with the products of the demo, in an order in which each can succeed. The answers are
 * compared with those in the document but for what differs each time. `UPDATE_EXAMPLES=1` writes them down instead.
 */
describe('the examples of the API document', () => {
  const app = withApp({ payment: 'two-step', repriceSpreadMs: 0 })
  const recorded: Record<string, unknown> = {}
  /** From a placeholder to what it stands for in this run. */
  const meant = new Map<string, string>([[PLACEHOLDERS.email, newEmail()]])
  const operations = new Map<string, { method: string; path: string }>()

  const replaced = (text: string, pairs: Iterable<readonly [string, string]>) =>
    [...pairs].reduce((done, [from, to]) => done.replaceAll(from, to), text)

  async function send(client: Client, name: string, body?: object): Promise<Answer> {
    const operation = operations.get(name)
    const example: Example | undefined = EXAMPLES[name]
    if (!operation || !example) throw new Error(`no example of ${name}`)
    const filled = JSON.parse(replaced(JSON.stringify({ ...example, ...(body && { body }) }), meant)) as Example
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, param: string) => filled.params?.[param] ?? '')
    const query = filled.query ? `?${new URLSearchParams(filled.query).toString()}` : ''
    const answer = await client.send(operation.method, path + query, filled.body, {
      'Idempotency-Key': randomUUID(),
    })
    expect(answer.status, `${name}: ${answer.text}`).to.be.within(200, 299)
    recorded[name] =
      answer.text === ''
        ? null
        : (JSON.parse(
            replaced(
              answer.text,
              [...meant].map(([from, to]) => [to, from] as const),
            ),
          ) as unknown)
    return answer
  }

  /** Ids, times, tokens and versions differ in each run. */
  const VARIES =
    /^(id|userId|orderId|token|quote|admission|createdAt|expiresAt|activeFrom|startsAt|endsAt|rules|catalog|inForce|pollAfterMs|version|data)$/
  const masked = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (key, inner: unknown) => (VARIES.test(key) && !isRows(inner) ? typeof inner : inner)),
    )
  /** A page of things is compared; the list of all rule sets of the shop is not. */
  const isRows = (value: unknown) => Array.isArray(value) && value.every(row => 'sku' in row || 'lines' in row)

  before(async () => {
    const { body } = await clientOf(app().url).get('/openapi.json')
    for (const [path, methods] of Object.entries(body.paths as Record<string, Record<string, { operationId: string }>>))
      for (const [method, { operationId }] of Object.entries(methods))
        operations.set(operationId, { method: method.toUpperCase(), path })

    const { cartLinesMax: linesMax, lineQuantityMax: quantityMax } = DEFAULT_LIMITS
    const generator = createGenerator({ seed: 1, products: 5_000, linesMax, quantityMax })
    const products = [0, 1, 2].map(at => ({
      ...generator.product(at),
      ...(at === 2 ? { stock: 'reserve' as const } : {}),
    }))
    await app().catalog.atLeast(await catalogRows.put(app().global, products))
  })

  it('are there for every operation, and for nothing else', () => {
    expect(Object.keys(EXAMPLES)).to.have.members([...operations.keys()])
  })

  it('succeed', async () => {
    const operator = clientOf(app().url, await app().operators.add(`examples ${Date.now()}`))
    const before: Json = (await operator.get('/v1/rule-sets')).body.inForce
    await send(operator, 'checkRuleSet')
    const { version } = (await send(operator, 'putRuleSet')).body
    await send(operator, 'activateRuleSet', { version })
    await app().rules.refresh()
    await send(operator, 'listRuleSets')
    try {
      await shopping(operator)
    } finally {
      if (before > 0) await operator.post('/v1/rule-sets/activations', { version: before })
      else {
        const none = await operator.post('/v1/rule-sets', { ruleSet: { currency: 'GBP', promotions: [] } })
        await operator.post('/v1/rule-sets/activations', { version: none.body.version })
      }
    }
  })

  async function shopping(operator: Client): Promise<void> {
    const visitor = clientOf(app().url)
    await send(visitor, 'listProducts')
    await send(visitor, 'viewProduct')
    await send(visitor, 'viewStock')
    await send(visitor, 'register')
    const added = await send(visitor, 'addLines')
    const me = clientOf(app().url, added.headers.get('x-session-token') ?? '')
    await send(me, 'setLines')
    me.token = (await send(me, 'logIn')).body.token
    await send(me, 'undoMerge')
    await send(me, 'setLine')
    await send(me, 'addCode')
    await send(me, 'viewLine')
    await send(me, 'viewCart')
    await send(me, 'explainCart')
    await send(me, 'removeCode')
    await send(me, 'removeLine')
    meant.set(PLACEHOLDERS.quote, (await send(me, 'makeQuote')).body.quote)
    await send(me, 'checkQuote')

    await me.put('/v1/cart/lines/P000001', { quantity: 2 })
    const order = async () => {
      const cart = await me.get('/v1/cart')
      const placed = await send(me, 'placeOrder', { cartVersion: cart.body.version })
      meant.set(PLACEHOLDERS.order, placed.body.id)
    }
    await order()
    await send(operator, 'payOrder')
    await send(operator, 'refundOrder')
    await send(me, 'viewOrder')
    await me.put('/v1/cart/lines/P000001', { quantity: 2 })
    await order()
    await send(me, 'cancelOrder')
    await send(me, 'listOrders')
    await send(me, 'clearCart')

    const saleId = `spring-${Date.now()}`
    meant.set(PLACEHOLDERS.saleId, saleId)
    const terms = {
      units: 100,
      factor: 1,
      perUserMax: 1,
      accountAgeS: 0,
      needsProof: false,
      guests: false,
      replace: false,
    }
    const startsAt = new Date().toISOString()
    await app().stockKeeping.openSale({ ...terms, id: saleId, sku: 'P000002', startsAt })
    await app().sales.refresh()
    app().sales.stop() // or the buyer may be admitted before the answer that shows a wait
    await send(visitor, 'viewSale')
    await send(me, 'enterQueue')
    await send(me, 'viewQueue')
    await send(me, 'leaveQueue')

    await send(me, 'whoAmI')
    await send(me, 'changePassword')
    await send(me, 'logOut')
    const { email, next: password } = { email: meant.get(PLACEHOLDERS.email), next: 'staple battery horse' }
    const again = await visitor.post('/v1/sessions', { email, password })
    await send(clientOf(app().url, again.body.token), 'logOutEverywhere')
  }

  it('answer what the document shows', () => {
    if (process.env['UPDATE_EXAMPLES'] === '1') {
      const text = JSON.stringify(recorded, undefined, 2)
      writeFileSync(join(PROJECT, 'src/http/example-answers.json'), `${text}\n`)
      return
    }
    expect(masked(recorded)).to.deep.equal(masked(answers))
  })

  it('and another answer is seen (the control)', () => {
    const { viewCart, ...others } = answers as Record<string, Json>
    const wrong = { ...others, viewCart: { ...viewCart, totals: { ...viewCart.totals, total: 1 } } }
    expect(masked(recorded)).not.to.deep.equal(masked(wrong))
    expect(masked(recorded)).not.to.deep.equal(masked(others))
  })
})
