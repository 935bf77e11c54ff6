import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { clientOf, eventually, newMember } from '../support/client.ts'
import { PRODUCTS, putProducts } from '../support/servers.ts'

describe('the catalogue over HTTP', () => {
  const app = withApp()
  const get = (path: string) => clientOf(app().url).get(path)

  const own = new Set(PRODUCTS.map(({ sku }) => sku))

  /** Tests before this one have left other products; each of these comes once all the same. */
  async function walk(query: string, limit: number): Promise<string[]> {
    const seen: string[] = []
    let cursor = ''
    for (;;) {
      const { status, body } = await get(`/v1/products?limit=${limit}${query}${cursor}`)
      expect(status).to.equal(200)
      seen.push(...body.data.map((product: { sku: string }) => product.sku).filter((sku: string) => own.has(sku)))
      if (body.page.next === null) return seen
      cursor = `&cursor=${body.page.next}`
    }
  }

  const skus = (keep: (product: (typeof PRODUCTS)[number]) => boolean) =>
    PRODUCTS.filter(keep).map(product => product.sku)
  const walks: [string, string, string[]][] = [
    ['by category', '&category=alpha', skus(p => p.category === 'alpha')],
    ['by the start of the name, any case', '&q=TEST%20thing%2000', skus(p => p.name.startsWith('Test Thing 00'))],
    ['by price', '&minPrice=150&maxPrice=260', skus(p => p.price >= 150 && p.price <= 260)],
    [
      'by category and price',
      '&category=beta&minPrice=400&maxPrice=450',
      skus(p => p.category === 'beta' && p.price >= 400 && p.price <= 450),
    ],
    [
      'by name, category and price',
      '&q=test&category=alpha&maxPrice=200',
      skus(p => p.category === 'alpha' && p.price <= 200),
    ],
    ['by a name that holds a wildcard', '&q=test%25', []],
  ]
  for (const [what, query, expected] of walks) {
    it(`lists ${what}, every product once, whatever the page size`, async () => {
      for (const limit of [7, 100]) expect(await walk(query, limit)).to.deep.equal(expected)
    })
  }

  it('has 20 products to a page unless asked, and at most 100', async () => {
    expect((await get('/v1/products')).body.data).to.have.length(20)
    const { status, body } = await get('/v1/products?limit=101')
    expect(status).to.equal(400)
    expect(body.errors[0]).to.include({ in: 'query', pointer: '#/limit' })
  })

  it('gives products the fields of the contract and the currency once', async () => {
    const { body } = await get('/v1/products?category=alpha&limit=1')
    expect(body.data[0]).to.deep.equal({ sku: 'T-001', name: 'Test Thing 001', price: 101, category: 'alpha' })
    expect(body.currency).to.equal('GBP')
  })

  it('refuses a cursor of another kind of query', async () => {
    const { body } = await get('/v1/products?limit=5&minPrice=1')
    expect((await get(`/v1/products?q=test&cursor=${body.page.next}`)).status).to.equal(400)
  })

  for (const query of [
    'limit=0',
    'limit=ten',
    'minPrice=5&maxPrice=4',
    'minPrice=-1',
    'colour=red',
    'limit=1&limit=2',
    'category=',
  ]) {
    it(`refuses '${query}'`, async () => {
      expect((await get(`/v1/products?${query}`)).status).to.equal(400)
    })
  }

  it('shows one product, and 404 for none', async () => {
    expect((await get('/v1/products/T-042')).body).to.deep.equal({
      sku: 'T-042',
      name: 'Test Thing 042',
      price: 142,
      category: 'beta',
      currency: 'GBP',
    })
    expect((await get('/v1/products/T-9999')).status).to.equal(404)
  })

  it('answers 304 to a page of the same catalogue', async () => {
    const { headers } = await get('/v1/products?limit=3')
    const again = await clientOf(app().url).get('/v1/products?limit=3', { 'If-None-Match': headers.get('etag') ?? '' })
    expect(again.status).to.equal(304)
  })

  it('asks the database for a deep page as little as for the first', async () => {
    const { createConnection } = await import('mysql2/promise')
    const { testServers } = await import('../support/servers.ts')
    const connection = await createConnection({ uri: testServers().adminUrls.global })
    const rowsRead = async (sql: string, values: unknown[]) => {
      await connection.query('FLUSH STATUS')
      await connection.query(sql, values)
      const [rows] = await connection.query("SHOW SESSION STATUS LIKE 'Handler_read_%'")
      return (rows as { Value: string }[]).reduce((sum, row) => sum + Number(row.Value), 0)
    }
    try {
      const sql =
        'SELECT sku FROM products WHERE price >= ? AND price <= ? AND price >= ? AND (price > ? OR sku > ?) ORDER BY price, sku LIMIT 21'
      const first = await rowsRead(sql, [0, 1e9, 0, 0, ''])
      const deep = await rowsRead(sql, [0, 1e9, 650, 650, 'T-550'])
      expect(deep).to.be.at.most(first + 3)
    } finally {
      await connection.end()
    }
  })

  it('reprices carts that hold a product whose price moved: version, ETag and totals move together', async () => {
    const sku = `MOVE-${Date.now()}`
    await putProducts([{ sku, name: 'Moving', price: 500, category: 'moving' }])
    await eventually('the product is on sale', async () => (await get(`/v1/products/${sku}`)).status === 200)
    const me = await newMember(app().url)
    let added = await me.post('/v1/cart/lines', { sku, quantity: 2 })
    await eventually('the thread knows it', async () => {
      if (added.status !== 200) added = await me.post('/v1/cart/lines', { sku, quantity: 2 })
      return added.status === 200
    })
    // The version is what the client has until the instance refreshes: no page of it is taken for unchanged all the same.
    const onlyChanged = { 'If-None-Match': added.headers.get('etag') ?? '' }
    const longPage = () => me.get('/v1/cart?limit=100', onlyChanged)
    await eventually('the cart is cached', async () => (await longPage()).status === 304)
    await putProducts([{ sku, name: 'Moving', price: 450, category: 'moving' }])
    await eventually('the cart shows the new price', async () => (await longPage()).body?.totals.total === 900)
    const moved = await me.get('/v1/cart')
    expect(moved.body.version).to.equal(added.body.version + 1)
    expect((await me.get('/v1/cart', { 'If-None-Match': added.headers.get('etag') ?? '' })).status).to.equal(200)
  })
})
