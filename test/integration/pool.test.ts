import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { isAppError } from '../../src/lib/errors.ts'
import type { Catalog } from '../../src/pricing/price.ts'
import { createPricing, type Pricing } from '../../src/pricing/pricing-service.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { eventually } from '../support/client.ts'

describe('the pricing threads', () => {
  let dir: string
  let pricing: Pricing
  const line = (sku: string) => ({ lines: [{ sku, quantity: 1, selected: true }], codes: [], buyerGroup: 'member' })
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'ok',
      (error: unknown) => (isAppError(error) ? error.code : String(error)),
    )

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-pool-'))
    // A thread entry that does what it is told to: the sku says what.
    writeFileSync(
      join(dir, 'worker.mjs'),
      `export const price = async ({ carts }) => {
        const skus = carts.map(cart => cart.skus[0])
        if (skus.includes('exit')) process.exit(1)
        if (skus.includes('throw')) throw new Error('a bug')
        if (skus.includes('memory')) { const all = []; for (;;) all.push(new Array(1e6).fill({})) }
        if (skus.includes('hang')) await new Promise(() => setInterval(() => {}, 1000))
        if (skus.includes('slow')) await new Promise(resolve => setTimeout(resolve, 100))
        return carts.map(() => ({ catalogVersion: 1, lines: [], totals: {} }))
      }`,
    )
  })
  after(() => rmSync(dir, { recursive: true }))
  beforeEach(() => {
    pricing = createPricing(
      {
        products: { of: () => ({ version: 1, products: new Map() }) },
        threads: 1,
        queueMax: 20,
        currency: 'GBP',
        inline: 'never',
        // A thread that replaces another starts within this time too, also on a busy machine.
        taskMsMax: 2_500,
        workerFile: join(dir, 'worker.mjs'),
      },
      createMetrics(),
    )
  })
  afterEach(() => pricing.close())

  for (const trouble of ['exit', 'throw', 'hang']) {
    it(`cost one request an error when a task makes one ${trouble}, and go on`, async () => {
      expect(await codeOf(pricing.price(line(trouble)))).to.equal('unavailable')
      await eventually('a thread answers again', async () => (await codeOf(pricing.price(line('fine')))) === 'ok')
    })
  }

  for (const trouble of ['exit', 'throw', 'hang']) {
    it(`price every other cart of the batch when one makes it ${trouble}`, async () => {
      const others = ['a', 'b', 'c', 'd', 'e'].map(sku => codeOf(pricing.price(line(sku))))
      const culprit = codeOf(pricing.price(line(trouble)))
      const more = ['f', 'g'].map(sku => codeOf(pricing.price(line(sku))))
      expect(await Promise.all([...others, ...more])).to.deep.equal(Array.from({ length: 7 }, () => 'ok'))
      expect(await culprit).to.equal('unavailable')
    })
  }

  it('refuse what does not fit the queue', async () => {
    const codes = await Promise.all(
      Array.from({ length: 60 }, (_, n) => codeOf(pricing.price({ ...line('slow'), codes: [String(n)] }))),
    )
    expect(codes).to.include('overloaded')
    expect(codes).to.include('ok')
  })

  it('price with the products as they are', async () => {
    let catalog: Catalog = { version: 0, products: new Map() }
    const use = (version: number, price: number) => {
      const product = { sku: 'a', name: 'A', price, category: 'x', version }
      catalog = { version, products: new Map([['a', product]]) }
    }
    const products = { of: () => catalog }
    // Not about the time that a price may take: a thread begins when the machine lets it.
    const options = { products, threads: 2, queueMax: 10, currency: 'GBP', inline: 'never', taskMsMax: 60_000 } as const
    const real = createPricing(options, createMetrics())
    try {
      use(1, 100)
      expect((await real.price(line('a'))).totals.total).to.equal(100)
      use(2, 90)
      for (let n = 0; n < 6; n++) {
        const { catalogVersion, totals } = await real.price(line('a'))
        expect([catalogVersion, totals.total]).to.deep.equal([2, 90])
      }
    } finally {
      await real.close()
    }
  })
})
