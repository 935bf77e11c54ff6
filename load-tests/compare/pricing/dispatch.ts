import { createPricing, type InlineMode } from '../../../src/pricing/pricing-service.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { pricingCase } from './cases.ts'

/**
 * What a price costs where it is asked for, alone on a thread, and in batches on a thread: carts a second and CPU of the process
 * for each. `node load-tests/compare/pricing/dispatch.ts`. Where alone-on-a-thread meets inline is the crossover that
 * FIXED.pricingInlineMax stands for.
 */
const SECONDS = 1.5
const SIZES = [
  [1, 0],
  [5, 0],
  [20, 0],
  [3, 5],
  [10, 5],
  [20, 10],
  [50, 30],
  [100, 30],
] as const

const rows: Record<string, object> = {}
for (const [lines, promotions] of SIZES) {
  const { ruleSet, cart } = pricingCase(7, lines, promotions)
  const products = cart.lines.map(({ sku, unitPrice, categories: [category = ''] }) => ({
    sku,
    name: sku,
    price: unitPrice,
    category,
  }))
  const measure = async (inline: InlineMode, atOnce: number) => {
    const catalog = { version: 1, products: new Map(products.map(product => [product.sku, product])) }
    const pricing = createPricing(
      { products: { of: () => catalog }, threads: 1, queueMax: 1_000, currency: ruleSet.currency, inline },
      createMetrics(),
    )
    pricing.useRules(1, 1, ruleSet)
    let asked = 0
    // Every cart differs, so that nothing is remembered.
    const one = () => {
      asked++
      const wanted = cart.lines.map(({ sku, quantity }, at) => ({
        sku,
        quantity: at === 0 ? asked : quantity,
        selected: true,
      }))
      return pricing.price({ lines: wanted, codes: [], buyerGroup: 'member' })
    }
    for (let n = 0; n < 200; n++) await one()
    const before = { asked, cpu: process.cpuUsage(), time: performance.now() }
    while (performance.now() - before.time < SECONDS * 1000) await Promise.all(Array.from({ length: atOnce }, one))
    const cpu = process.cpuUsage(before.cpu)
    const done = asked - before.asked
    const perSecond = done / ((performance.now() - before.time) / 1000)
    await pricing.close()
    return `${Math.round(perSecond)}/s, ${Math.round((cpu.user + cpu.system) / done)} µs`
  }
  rows[`${lines} lines, ${promotions} promotions`] = {
    inline: await measure('always', 1),
    'alone on a thread': await measure('never', 1),
    '16 at once on a thread': await measure('never', 16),
  }
}
console.table(rows)
