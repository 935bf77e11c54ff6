import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { isAppError } from '../../src/lib/errors.ts'
import { createPricing, type Pricing } from '../../src/pricing/pool.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { eventually } from '../support/client.ts'

describe('the pricing threads', () => {
  let dir: string
  let pricing: Pricing
  const line = (sku: string) => [{ sku, quantity: 1, selected: true }]
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
      `export const price = async ({ skus }) => {
        if (skus[0] === 'exit') process.exit(1)
        if (skus[0] === 'throw') throw new Error('a bug')
        if (skus[0] === 'hang') await new Promise(() => setInterval(() => {}, 1000))
        if (skus[0] === 'slow') await new Promise(resolve => setTimeout(resolve, 100))
        return { catalogVersion: 1, lines: [], totals: {} }
      }`,
    )
  })
  after(() => rmSync(dir, { recursive: true }))
  beforeEach(() => {
    pricing = createPricing(
      { threads: 1, queueMax: 3, taskMsMax: 500, workerFile: join(dir, 'worker.mjs') },
      createMetrics(),
    )
    pricing.useCatalog(1, [])
  })
  afterEach(() => pricing.close())

  for (const trouble of ['exit', 'throw', 'hang']) {
    it(`cost one request an error when a task makes one ${trouble}, and go on`, async () => {
      expect(await codeOf(pricing.price(line(trouble)))).to.equal('unavailable')
      await eventually('a thread answers again', async () => (await codeOf(pricing.price(line('fine')))) === 'ok')
    })
  }

  it('refuse what does not fit the queue', async () => {
    const codes = await Promise.all(Array.from({ length: 10 }, () => codeOf(pricing.price(line('slow')))))
    expect(codes).to.include('overloaded')
    expect(codes).to.include('ok')
  })

  it('price with the catalogue that was switched to', async () => {
    const real = createPricing({ threads: 2, queueMax: 10 }, createMetrics())
    try {
      real.useCatalog(1, [{ sku: 'a', name: 'A', price: 100, category: 'x' }])
      expect((await real.price(line('a'))).totals.total).to.equal(100)
      real.useCatalog(2, [{ sku: 'a', name: 'A', price: 90, category: 'x' }])
      for (let n = 0; n < 6; n++) expect(await real.price(line('a'))).to.deep.include({ catalogVersion: 2 })
    } finally {
      await real.close()
    }
  })
})
