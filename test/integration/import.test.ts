import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { cliEnvironment, runCli } from '../support/cli.ts'
import { clientOf, encodeCart, eventually, newEmail, newMember } from '../support/client.ts'
import { onSaleExcept } from '../../src/store/catalog-changes.ts'
import { PROJECT, putProducts } from '../support/servers.ts'

/** Imports by the command line, as an operator runs them, against real servers and an instance that serves meanwhile. */
describe('an import', () => {
  const app = withApp()
  let dir: string
  let runs = 0
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-import-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const cli = (...args: string[]) => runCli(dir, args)
  async function imported(what: 'catalogue' | 'carts', text: string, args: readonly string[]) {
    const file = join(dir, `${++runs}.${what === 'catalogue' ? 'csv' : 'ndjson'}`)
    writeFileSync(file, text)
    const report = `${file}.rejected`
    const result = await cli('import', what, file, '--report', report, ...args)
    const refused = existsSync(report)
      ? readFileSync(report, 'utf8')
          .trim()
          .split('\n')
          .map(line => JSON.parse(line) as { line: number; reason: string })
      : []
    return { ...result, refused }
  }
  const catalogue = (text: string, ...args: string[]) => imported('catalogue', text, args)
  const product = async (sku: string) => (await clientOf(app().url).get(`/v1/products/${encodeURIComponent(sku)}`)).body
  const taxOf = async (sku: string) =>
    (await clientOf(app().url).post('/v1/quotes', { lines: [{ sku, quantity: 1 }] })).body.totals?.tax as
      | number
      | undefined

  describe('of a catalogue', () => {
    it('changes what the file has and nothing else; none takes a value away', async () => {
      const first = await catalogue(
        'sku,name,price,category,regular_price,tax_percent,tags\nIMP1,One,10.00,x,15.00,20,"a,b"\nIMP2,Two,5.00,x,,8.875,\n',
      )
      expect(first.code, first.said).to.equal(0)
      expect(first.said).to.include('Imported 2 products: 2 new, 0 changed, 0 as they were')
      expect(await product('IMP1')).to.deep.equal({
        sku: 'IMP1',
        name: 'One',
        price: 1000,
        category: 'x',
        listPrice: 1500,
        currency: 'GBP',
      })
      await eventually('the instance knows it', async () => (await taxOf('IMP1')) === 167)
      const prices = await catalogue('sku,price\nIMP1,12.00\nIMP2,5.00\nNEW9,1.00\n')
      expect(prices.code).to.equal(3)
      expect(prices.said).to.include('0 new, 1 changed, 1 as they were; 1 rows were refused')
      expect(prices.refused).to.deep.equal([
        { line: 4, reason: "'NEW9' is not in the catalogue: a new product needs name, category" },
      ])
      await eventually('its page shows the new price', async () => (await product('IMP1')).price === 1200)
      expect(await product('IMP1')).to.include({ listPrice: 1500, name: 'One' })
      await eventually('the tax stayed', async () => (await taxOf('IMP1')) === 200)
      expect(await taxOf('IMP2'), '8.875 % contained in 5.00').to.equal(41)
      await catalogue('sku,regular_price,tax_percent\nIMP1,none,none\n')
      await eventually('its page has no list price', async () => !('listPrice' in (await product('IMP1'))))
      await eventually('the tax is gone', async () => (await taxOf('IMP1')) === 0)
    })

    it('says in the report and in its exit status when every row is wrong, and that nothing came in', async () => {
      const { code, said, refused } = await catalogue('sku,name,price,category\nBAD1,x,bad,x\nBAD2,x,12.3.4,x\n')
      expect(code).to.equal(1)
      expect(said)
        .to.include('no row that could be imported')
        .and.not.match(/\n +at /)
      expect(refused.map(({ line }) => line)).to.deep.equal([2, 3])
    })

    it('with --all-or-nothing takes in nothing of a file with one wrong row, whatever is wrong with it', async () => {
      for (const [row, line] of [
        ['AON2,x,bad,x', 3],
        ['AON2,x,1.00', 3],
        ['"AON2,x,1.00,x', 3],
        ['AON1,again,1.00,x', 3],
      ] as const) {
        const { code, said, refused } = await catalogue(
          `sku,name,price,category\nAON1,x,1.00,x\n${row}\n`,
          '--all-or-nothing',
        )
        expect([code, refused.map(one => one.line)], row).to.deep.equal([1, [line]])
        expect(said).to.include('nothing was imported: 1 rows are wrong')
        expect((await product('AON1')).code).to.equal('product_not_found')
      }
      const lacking = await catalogue('sku,price\nT-001,9.99\nAON3,1.00\n', '--all-or-nothing')
      expect([lacking.code, lacking.refused.map(({ line }) => line)]).to.deep.equal([1, [3]])
      expect((await product('T-001')).price).to.equal(101)
      expect((await catalogue('sku,name,price,category\nAON1,x,1.00,x\n', '--all-or-nothing')).code).to.equal(0)
    })

    it('with --withdraw-missing takes off sale what the file does not have, but not when a row was refused', async () => {
      const isSold = async (sku: string) => (await clientOf(app().url).get(`/v1/products/${sku}`)).status === 200
      await catalogue('sku,name,price,category\nWM1,One,1.00,x\nWM2,Two,1.00,x\n')
      const all = 'sku\nWM1\n'
      const others: string[] = []
      for await (const skus of onSaleExcept(app().global, new Set(['WM1']))) others.push(...skus)
      expect(others).to.include('WM2')
      const said = (result: { said: string }) => /(Would take|Took) (\d+) products off sale/.exec(result.said)?.slice(1)
      try {
        const dry = await catalogue(all, '--withdraw-missing', '--dry-run')
        expect(said(dry), dry.said).to.deep.equal(['Would take', String(others.length)])
        expect(await isSold('WM2')).to.equal(true)
        const refused = await catalogue(`${all}"\n`, '--withdraw-missing')
        expect(refused.said).to.include('No product was taken off sale, since rows were refused')
        expect([refused.code, await isSold('WM2')]).to.deep.equal([3, true])
        const done = await catalogue(all, '--withdraw-missing')
        expect(said(done), done.said).to.deep.equal(['Took', String(others.length)])
        await eventually('the instance knows it', async () => !(await isSold('WM2')))
        expect(await isSold('WM1')).to.equal(true)
      } finally {
        await cli('products', 'restore', ...others)
      }
      await eventually('it is sold again', () => isSold('WM2'))
    })

    it('shows the mapping and ten rows, and changes nothing, with --dry-run', async () => {
      const rows = Array.from({ length: 30 }, (_, at) => `DRY${at},Thing ${at},1.50,x,y`).join('\n')
      const { code, said } = await catalogue(`sku,name,price,category,colour\n${rows}\n`, '--dry-run')
      expect(code, said).to.equal(0)
      expect(said)
        .to.include("price from 'price'")
        .and.to.include('Not used: colour')
        .and.to.include('Would import 30 products')
      expect(said.match(/DRY\d+/g)).to.have.length(10)
      expect((await product('DRY0')).code).to.equal('product_not_found')
    })

    it('takes in a file of Windows-1252 with semicolons as it was meant', async () => {
      const file = join(dir, 'w.csv')
      writeFileSync(file, Buffer.from('sku;name;price;category\nWIN1;Crème brûlée;1.234,50;Küche\n', 'latin1'))
      const { code, said } = await cli('import', 'catalogue', file)
      expect(code, said).to.equal(0)
      expect(said).to.include('not UTF-8: it is read as windows-1252')
      expect(await product('WIN1')).to.include({ name: 'Crème brûlée', price: 123_450, category: 'Küche' })
    })

    it('that is killed at some moment goes on, and in the end the catalogue is the same', async function () {
      const count = 60_000
      const file = join(dir, 'large.csv')
      const row = (at: number) =>
        at % 1000 === 999
          ? `KILL${at},broken,x,c`
          : `KILL${at},Thing ${at},${at % 90}.${String(at % 100).padStart(2, '0')},c${at % 7}`
      writeFileSync(file, `sku,name,price,category\n${Array.from({ length: count }, (_, at) => row(at)).join('\n')}\n`)
      const report = join(dir, 'report')
      const args = ['src/cli/main.ts', 'import', 'catalogue', file, '--report', report]
      const start = (): ChildProcess =>
        spawn(process.execPath, args, { env: cliEnvironment(dir), cwd: PROJECT, stdio: ['ignore', 'pipe', 'inherit'] })
      const first = start()
      let said = ''
      first.stdout?.on('data', chunk => (said += String(chunk)))
      await eventually('some batches are in', () => / rows, /.test(said))
      first.kill('SIGKILL')
      await new Promise(resolve => first.once('exit', resolve))
      const second = await cli('import', 'catalogue', file, '--report', report)
      expect(second.said).to.match(/Going on after line \d+\./)
      const refused = new Set(
        readFileSync(report, 'utf8')
          .trim()
          .split('\n')
          .map(line => (JSON.parse(line) as { line: number }).line),
      )
      expect([...refused].toSorted((a, b) => a - b)).to.deep.equal(
        Array.from({ length: count / 1000 }, (_, at) => at * 1000 + 1001),
      )
      for (const at of [0, 1, 9_998, 10_000, 29_998, 30_001, 59_998]) {
        const found = await product(`KILL${at}`)
        expect(found, String(at)).to.include({ name: `Thing ${at}`, category: `c${at % 7}` })
      }
      expect((await product('KILL999')).code).to.equal('product_not_found')
      const again = await cli('import', 'catalogue', file, '--report', report)
      expect(again.said).to.include('0 new, 0 changed, 59940 as they were')
    })
  })

  describe('of carts', () => {
    const carts = (rows: readonly string[], ...args: string[]) => imported('carts', rows.join('\n'), args)
    const order = (id: string, email: string, sku = 'T-001') =>
      JSON.stringify({ id, email, lines: [{ sku, quantity: 2 }] })

    it('asks before it makes accounts on outside servers, and makes none that can be logged into', async () => {
      const email = newEmail()
      const asked = await carts([order('ask', email)])
      expect([asked.code, asked.said]).to.satisfy(
        ([code, said]: [number, string]) => code === 1 && said.includes('add --yes'),
      )
      const done = await carts([order('ask', email)], '--yes')
      expect(done.code, done.said).to.equal(0)
      for (const password of ['cartload-demo', '', ' ', 'password', email])
        expect((await clientOf(app().url).post('/v1/sessions', { email, password })).status, password).to.be.oneOf([
          400, 401,
        ])
    })

    it('passes over a byte-order mark and blank lines, and refuses addresses that a registration would refuse', async () => {
      const { code, refused } = await carts(
        [
          `\ufeff${order('bom', newEmail())}\r`,
          '',
          '  ',
          order('x', 'nul\u0000@example.com'),
          order('y', 'zero\u200bwidth@example.com'),
          order('z', "o'neill@example.com"),
        ],
        '--yes',
      )
      expect(code).to.equal(3)
      expect(refused.map(({ line }) => line).toSorted((a, b) => a - b)).to.deep.equal([4, 5])
    })

    it('of an account that has a cart is left out and told, or added with --merge', async () => {
      const member = await newMember(app().url)
      await member.post('/v1/cart/lines', { sku: 'T-005', quantity: 1 })
      const first = await carts([order('merge-1', member.email)], '--yes')
      expect([first.code, first.refused.map(({ line }) => line)]).to.deep.equal([3, [1]])
      expect(first.refused[0]?.reason).to.include('has a cart already')
      expect((await encodeCart(member)).lines).to.deep.equal({ 'T-005': 1 })
      const second = await carts([order('merge-2', member.email)], '--yes', '--merge')
      expect(second.code, second.said).to.equal(0)
      expect((await encodeCart(member)).lines).to.deep.equal({ 'T-005': 1, 'T-001': 2 })
    })
  })

  it('of seeds is refused on servers that hold accounts of people', async () => {
    await newMember(app().url)
    const { code, said } = await cli('seed', '--products', '1', '--users', '1', '--yes')
    expect([code, said]).to.satisfy(
      ([is, text]: [number, string]) => is === 1 && text.includes('hold accounts of people'),
    )
  })

  describe('of a product that is taken off sale', () => {
    before(() =>
      putProducts([
        { sku: 'OFF1', name: 'Off One', price: 300, category: 'off' },
        { sku: 'OFF2', name: 'Off Two', price: 500, category: 'off' },
      ]),
    )
    const listed = async () =>
      ((await clientOf(app().url).get('/v1/products?category=off')).body.data as { sku: string }[]).map(
        ({ sku }) => sku,
      )

    it('leaves lists, stays in carts as not available, is not counted or ordered, and counts again when it is back', async () => {
      const member = await newMember(app().url)
      await eventually(
        'both are known',
        async () =>
          (
            await member.post('/v1/cart/lines', {
              lines: [
                { sku: 'OFF1', quantity: 1 },
                { sku: 'OFF2', quantity: 2 },
              ],
            })
          ).status === 200,
      )
      const withdrawn = await cli('products', 'withdraw', 'OFF1')
      expect(withdrawn.code, withdrawn.said).to.equal(0)
      await eventually('it has left the list', async () => (await listed()).join() === 'OFF2')
      await eventually('and is not found', async () => (await product('OFF1')).code === 'product_not_found')
      const cart = async () => (await member.get('/v1/cart')).body
      await eventually('the cart counts one', async () => (await cart()).totals.total === 1000)
      expect(
        (await cart()).lines.map(({ sku, available }: { sku: string; available: boolean }) => [sku, available]),
      ).to.deep.equal([
        ['OFF1', false],
        ['OFF2', true],
      ])
      expect((await clientOf(app().url).post('/v1/cart/lines', { sku: 'OFF1', quantity: 1 })).body.code).to.equal(
        'product_unknown',
      )
      // The buyer must see that it is gone: an order that left it out silently would be another one.
      const ordered = await member.post(
        '/v1/orders',
        { cartVersion: (await cart()).version },
        { 'Idempotency-Key': 'off' },
      )
      expect([ordered.status, ordered.body.code]).to.deep.equal([422, 'product_unknown'])
      expect((await cli('products', 'restore', 'OFF1')).said).to.include('1 products are on sale now')
      await eventually('it is back', async () => (await listed()).join() === 'OFF1,OFF2')
      await eventually('and counts', async () => (await cart()).totals.total === 1300)
    })

    it('must be there, and nothing is changed when one is not', async () => {
      const { code, said } = await cli('products', 'withdraw', 'OFF2', 'NO-SUCH')
      expect([code, said]).to.satisfy(
        ([is, text]: [number, string]) => is === 1 && text.includes("there is no product 'NO-SUCH'"),
      )
      expect((await cli('products', 'withdraw', 'OFF2', '--dry-run')).said).to.include('Would change 1 products')
      expect((await product('OFF2')).price).to.equal(500)
      expect((await cli('products', 'sell')).code).to.equal(2)
    })
  })
})
