import { parseArgs } from 'node:util'
import { FIXED } from '../../../src/model/limits.ts'
import { calculate } from '../../../src/pricing/engine/calculate.ts'
import { compileRules } from '../../../src/pricing/engine/rules.ts'
import { pricingCase } from './cases.ts'

/** Time of one price by lines and promotions, and how many are proved optimal: `node load-tests/compare/pricing/curve.ts`. */
const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100' },
    lines: { type: 'string', default: '1,5,10,20,50,100,200,500' },
    promotions: { type: 'string', default: '0,5,30,100' },
    current: { type: 'string', default: '0' },
  },
})
const numbers = (text: string) => text.split(',').map(Number)
const count = Number(values.cases)

const rows: Record<string, object> = {}
for (const promotions of numbers(values.promotions)) {
  for (const lines of numbers(values.lines)) {
    const cases = Array.from({ length: count }, (_, at) => {
      const { ruleSet, cart } = pricingCase(at + 1, lines, promotions, Number(values.current))
      return { rules: compileRules(ruleSet), cart }
    })
    const times: number[] = []
    let proved = 0
    // The first round warms up what a thread keeps between carts.
    for (const round of [0, 1]) {
      times.length = 0
      proved = 0
      for (const { rules, cart } of cases) {
        const since = performance.now()
        const { gap } = calculate(rules, cart, { workMax: FIXED.pricingWorkMax })
        times.push(performance.now() - since)
        if (gap === 0) proved++
      }
      if (round === 0) continue
    }
    times.sort((a, b) => a - b)
    const at = (share: number) => `${(times[Math.floor(share * (times.length - 1))] ?? 0).toFixed(2)} ms`
    rows[`${promotions} promotions, ${lines} lines`] = {
      median: at(0.5),
      p95: at(0.95),
      max: at(1),
      proved: `${((100 * proved) / count).toFixed(0)} %`,
    }
  }
}
console.table(rows)
