import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { type TestApp, startApp } from '../support/app.ts'
import { runCli } from '../support/cli.ts'
import { type Client, clientOf, type Json, newMember } from '../support/client.ts'
import { putProducts } from '../support/servers.ts'

/** Promotions with many codes, each used once: made by the command line, claimed by orders, the first one wins. */
describe('codes of a promotion that has many', () => {
  const SKU = 'CODES-1'
  let app: TestApp
  let operator: Client
  let dir: string
  const run = (...args: string[]) => runCli(dir, args)
  const promotion = { id: 'tenth', name: 'A tenth off', kind: 'percent_off', percent: 10 }

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-codes-'))
    await putProducts([{ sku: SKU, name: 'Thing', price: 1000, category: 'x' }])
    app = await startApp({ repriceSpreadMs: 0 })
    operator = clientOf(app.url, await app.operators.add(`codes ${randomUUID()}`))
  })
  after(async () => {
    await putInForce([])
    await app.close()
    rmSync(dir, { recursive: true, force: true })
  })

  async function putInForce(promotions: object[]): Promise<void> {
    const put = await operator.post('/v1/rule-sets', { ruleSet: { currency: 'GBP', promotions }, confirm: true })
    expect(put.status, put.text).to.equal(201)
    await operator.post('/v1/rule-sets/activations', { version: put.body.version, confirm: true })
    await app.rules.refresh()
  }

  async function withCart(code: string): Promise<{ client: Client; entered: number; cart: () => Promise<Json> }> {
    const client = await newMember(app.url)
    await client.post('/v1/cart/lines', { sku: SKU, quantity: 1 })
    const { status } = await client.post('/v1/cart/codes', { code })
    return { client, entered: status, cart: async () => (await client.get('/v1/cart')).body }
  }
  const stateOf = (cart: Json) => ({ total: cart.totals.total, ...cart.codes[0] })
  const order = async (client: Client) => {
    const { version: cartVersion, totals } = (await client.get('/v1/cart')).body
    return client.post('/v1/orders', { cartVersion, total: totals.total }, { 'Idempotency-Key': randomUUID() })
  }

  it('open it once each, and no other code does', async () => {
    const names = ['ONE', 'TWO'].map(name => `${name}-${randomUUID().slice(0, 8)}`)
    await putInForce([{ ...promotion, codes: names }])
    const [first = '', second = ''] = names
    const one = await withCart(first.toLowerCase())
    expect(stateOf(await one.cart())).to.deep.equal({ total: 900, code: first, applied: true })
    const again = await withCart(first)
    expect((await order(one.client)).status).to.equal(201)
    // The other cart has seen 9.00: it is told, and shows why.
    const late = await order(again.client)
    expect([late.status, late.body.code, late.body.total]).to.deep.equal([409, 'total_changed', 1000])
    expect(stateOf(await again.cart())).to.include({ total: 1000, applied: false, reason: 'code_used' })
    expect(stateOf(await (await withCart(second)).cart()).total).to.equal(900)
    expect((await withCart('NOT-ONE-OF-THEM')).entered).to.equal(422)
  })

  it('are had by one of many who order at once', async () => {
    const code = `RUSH-${randomUUID().slice(0, 8)}`
    await putInForce([{ ...promotion, codes: [code] }])
    const carts = await Promise.all(Array.from({ length: 12 }, () => withCart(code)))
    const answers = await Promise.all(carts.map(({ client }) => order(client)))
    expect(answers.filter(({ status }) => status === 201).length).to.equal(1)
    for (const { status, body } of answers)
      if (status !== 201) expect([status, body.code]).to.deep.equal([409, 'total_changed'])
  })

  it('count as often as the shop says, and two of them in one cart count as one', async () => {
    const codes = ['A', 'B'].map(name => `${name}${randomUUID().slice(0, 8)}`)
    await putInForce([{ ...promotion, codes, usesPerCode: 2 }])
    const [a = '', b = ''] = codes
    const both = await withCart(a)
    await both.client.post('/v1/cart/codes', { code: b })
    const { totals, codes: states } = await both.cart()
    expect(totals.total).to.equal(900)
    expect(states.map((one: Json) => [one.code, one.applied, one.reason])).to.deep.equal([
      [a, true, undefined],
      [b, false, 'code_not_needed'],
    ])
    expect((await order(both.client)).status).to.equal(201)
    const second = await withCart(a)
    expect((await order(second.client)).status).to.equal(201)
    expect(stateOf(await (await withCart(a)).cart())).to.include({ total: 1000, reason: 'code_used' })
    expect(stateOf(await (await withCart(b)).cart()).total).to.equal(900)
  })

  describe('of a pool', () => {
    const pool = `pool-${randomUUID().slice(0, 8)}`

    it('are made by the command line, all different, and written as CSV', async () => {
      const output = join(dir, 'made.csv')
      const dry = await run(
        'codes',
        'generate',
        pool,
        '--count',
        '3000',
        '--prefix',
        'Spring-',
        '--output',
        output,
        '--dry-run',
      )
      expect(dry.said).to.match(/Would make 3000 codes such as Spring-[2-9A-Z]{12} /)
      const made = await run('codes', 'generate', pool, '--count', '3000', '--prefix', 'Spring-', '--output', output)
      expect(made.code, made.said).to.equal(0)
      const [head, ...codes] = readFileSync(output, 'utf8').trim().split('\n')
      expect([head, new Set(codes).size]).to.deep.equal(['code', 3000])
      for (const code of codes) expect(code).to.match(/^Spring-[2-9A-HJKMNP-Z]{12}$/)
      expect((await run('codes', 'list')).said).to.match(new RegExp(`${pool}\\s+3,000`))
    })

    it('open the promotion that names the pool, as they were made', async () => {
      await putInForce([{ ...promotion, codePool: pool }])
      const [, code = ''] = readFileSync(join(dir, 'made.csv'), 'utf8').split('\n')
      const one = await withCart(code.toUpperCase())
      expect(stateOf(await one.cart())).to.deep.equal({ total: 900, code, applied: true })
      expect((await order(one.client)).status).to.equal(201)
      expect(stateOf(await (await withCart(code)).cart())).to.include({ total: 1000, reason: 'code_used' })
      expect((await withCart('Spring-222222222222')).entered).to.equal(422)
    })

    it('are imported, once, with what is no code named; and deleted', async () => {
      const file = join(dir, 'own.csv')
      const own = `OWN-${randomUUID()}`
      writeFileSync(file, `code;customer\n"${own}";17\n${own};18\nnot a code;19\n\n`)
      const first = await run('codes', 'import', `${pool}-b`, file)
      expect([first.code, first.said]).to.deep.equal([
        3,
        `1 codes were added to '${pool}-b', 1 were in a pool already, 1 lines were refused.\nline 4: 'not a code' is not a code\n`,
      ])
      await putInForce([{ ...promotion, codePool: `${pool}-b` }])
      expect(stateOf(await (await withCart(own)).cart()).total).to.equal(900)
      expect((await run('codes', 'delete', `${pool}-b`)).said).to.include('is gone: its 1 codes are unknown')
      expect((await withCart(own)).entered).to.equal(422)
      expect((await run('codes', 'export', `${pool}-b`)).code).to.equal(1)
    })

    it('are not made where one could be found by trying', async () => {
      const short = await run(
        'codes',
        'generate',
        'short',
        '--count',
        '1000',
        '--length',
        '6',
        '--output',
        join(dir, 'no.csv'),
      )
      expect(short.code).to.equal(1)
      expect(short.said).to.include('could be found by trying').and.to.include('--length 9')
      for (const wrong of [
        ['generate', pool],
        ['generate', pool, '--count', '0'],
        ['generate', 'Pool!', '--count', '1'],
        ['generate', pool, '--count', '1', '--alphabet', 'aA'],
        ['generate', pool, '--count', '1', '--length', '65'],
        ['import', pool],
        ['burn', pool],
      ])
        expect((await run('codes', ...wrong)).code, wrong.join(' ')).to.equal(2)
    })
  })
})
