import { type Minor, amountOf } from '../../model/money.ts'
import { createEvaluation } from './evaluation.ts'
import type { CartToPrice } from './input.ts'
import { distribute } from './line-shares.ts'
import { explain, type Outcome } from './explain.ts'
import { buildProblem } from './build-problem.ts'
import type { CompiledRules } from './rules.ts'
import { solve } from './search.ts'
import { byRate, type TaxOfRate, taxesOf } from './taxes.ts'

/** What a cart costs under a rule set: pure, exact, the same for the same input whatever the order of its lines. */
export interface Calculation {
  /** In the order of the cart's lines. */
  readonly lines: readonly CalculatedLine[]
  readonly totals: CalculatedTotals
  readonly gifts: readonly Gift[]
  readonly outcomes: readonly Outcome[]
  /** By how much a better combination could be cheaper; 0 when it is proved that none is. */
  readonly gap: Minor
  /** Cells touched by the search. */
  readonly work: number
}

interface CalculatedLine {
  /** Quantity times unit price. */
  readonly subtotal: Minor
  readonly discount: Minor
  readonly total: Minor
  readonly tax: Minor
  readonly discounts: readonly { readonly promotion: string; readonly amount: Minor }[]
}

interface CalculatedTotals {
  readonly subtotal: Minor
  readonly discount: Minor
  readonly shipping: Minor
  readonly shippingDiscount: Minor
  /** Contained in the total, or added to it, as the policy says. */
  readonly tax: Minor
  readonly taxes: readonly TaxOfRate[]
  readonly total: Minor
}

export interface Gift {
  readonly sku: string
  readonly quantity: number
  readonly promotion: string
}

export function calculate(rules: CompiledRules, given: CartToPrice, { workMax }: { workMax: number }): Calculation {
  const { policy } = rules.ruleSet
  // Nothing that is counted is nothing that is delivered.
  const isEmpty = !given.lines.some(({ selected, quantity }) => selected && quantity > 0)
  const cart = isEmpty ? { ...given, shippingFee: 0 } : given
  const problem = buildProblem(rules, cart)
  const evaluation = createEvaluation(problem)
  const solution = solve(evaluation, { choice: policy.choice, workMax })
  const { perLine, shippingDiscount, given: givenAway } = distribute(evaluation, solution)
  const at = new Map(problem.lines.map((line, index) => [line, index]))
  const priced = cart.lines.map((line): CalculatedLine => {
    const subtotal = amountOf(line.unitPrice, line.quantity)
    const discounts = perLine[at.get(line) ?? -1] ?? []
    const discount = discounts.reduce((sum, part) => sum + part.amount, 0)
    const total = subtotal - discount
    return { subtotal, discount, total, tax: 0, discounts }
  })
  const isCounted = (index: number) => at.has(cart.lines[index]!)
  const counted = priced.filter((_, index) => isCounted(index))
  const sum = (pick: (line: CalculatedLine) => Minor) => counted.reduce((total, line) => total + pick(line), 0)
  const shipping = cart.shippingFee - shippingDiscount
  const { prices, shippingPercent } = policy.tax
  const taxed = [
    ...priced.map(({ total }, index) => {
      const { taxPercent: percent = 0, quantity, unitPrice } = cart.lines[index]!
      const units = Number.isInteger(unitPrice) ? quantity : 1 // a unit of less than a minor unit has no tax of its own
      return { amount: isCounted(index) ? total : 0, percent, units }
    }),
    { amount: shipping, percent: shippingPercent, units: 1 },
  ]
  const { taxes, byLine } = taxesOf(policy.tax, taxed)
  const lines = priced.map((line, index) => ({ ...line, tax: byLine[index] ?? 0 }))
  const totals: CalculatedTotals = {
    subtotal: sum(line => line.subtotal),
    discount: sum(line => line.discount),
    shipping,
    shippingDiscount,
    tax: taxes,
    taxes: byRate(taxed, byLine),
    total: sum(line => line.total) + shipping + (prices === 'exclude-tax' ? taxes : 0),
  }
  const gifts = problem.steps.flatMap((step, index): Gift[] =>
    step.kind === 'order' && step.gift && solution.off[index] !== undefined
      ? [{ sku: step.gift.sku, quantity: step.gift.units, promotion: step.promotion.id }]
      : [],
  )
  const outcomes = explain(rules, cart, evaluation, { solution, given: givenAway })
  return { lines, totals, gifts, outcomes, gap: solution.total - solution.bound, work: solution.work }
}
