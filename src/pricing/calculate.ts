import type { Minor } from '../model/money.ts'
import { type Arena, applyLineStep, createArena } from './arena.ts'
import { hundredths, share, WHOLE } from './arithmetic.ts'
import type { CartToPrice, LineToPrice } from './cart.ts'
import { explain, type Outcome } from './explain.ts'
import { placed } from './placement.ts'
import { buildProblem } from './problem.ts'
import type { CompiledRules } from './rules.ts'
import { type Solution, solve } from './search.ts'

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

export interface CalculatedLine {
  /** Quantity times unit price. */
  readonly subtotal: Minor
  readonly discount: Minor
  readonly total: Minor
  readonly tax: Minor
  readonly discounts: readonly { readonly promotion: string; readonly amount: Minor }[]
}

export interface CalculatedTotals {
  readonly subtotal: Minor
  readonly discount: Minor
  readonly shipping: Minor
  readonly shippingDiscount: Minor
  /** Contained in the total, or added to it, as the policy says. */
  readonly tax: Minor
  readonly total: Minor
}

export interface Gift {
  readonly sku: string
  readonly quantity: number
  readonly promotion: string
}

export function calculate(rules: CompiledRules, cart: CartToPrice, { workMax }: { workMax: number }): Calculation {
  const { policy } = rules.ruleSet
  const problem = buildProblem(rules, cart)
  const arena = createArena(problem)
  const solution = solve(arena, { choice: policy.choice, workMax })
  const { perLine, shippingDiscount } = distribute(arena, solution, policy.split === 'value-with-tax')
  const { tax } = policy
  const taxOf = (amount: Minor, percent: number, units: number): Minor => {
    const rate = hundredths(percent)
    if (rate === 0 || amount === 0) return 0
    const whole = tax.prices === 'include-tax' ? WHOLE + rate : WHOLE
    return tax.at === 'line'
      ? share(amount, rate, whole, tax.mode)
      : share(amount, rate, whole * units, tax.mode) * units
  }
  const at = new Map(problem.lines.map((line, index) => [line, index]))
  const lines = cart.lines.map((line): CalculatedLine => {
    const subtotal = line.quantity * line.unitPrice
    const discounts = perLine[at.get(line) ?? -1] ?? []
    const discount = discounts.reduce((sum, part) => sum + part.amount, 0)
    const total = subtotal - discount
    return { subtotal, discount, total, tax: taxOf(total, line.taxPercent ?? 0, line.quantity), discounts }
  })
  const counted = lines.filter((_, index) => at.has(cart.lines[index]!))
  const sum = (pick: (line: CalculatedLine) => Minor) => counted.reduce((total, line) => total + pick(line), 0)
  const shipping = cart.shippingFee - shippingDiscount
  const taxes = sum(line => line.tax) + taxOf(shipping, tax.shippingPercent, 1)
  const totals: CalculatedTotals = {
    subtotal: sum(line => line.subtotal),
    discount: sum(line => line.discount),
    shipping,
    shippingDiscount,
    tax: taxes,
    total: sum(line => line.total) + shipping + (tax.prices === 'exclude-tax' ? taxes : 0),
  }
  const gifts = problem.steps.flatMap((step, index): Gift[] =>
    step.kind === 'order' && step.gift && solution.off[index] !== undefined
      ? [{ sku: step.gift.sku, quantity: step.gift.units, promotion: step.promotion.id }]
      : [],
  )
  const outcomes = explain(rules, cart, arena, solution)
  return { lines, totals, gifts, outcomes, gap: solution.total - solution.bound, work: solution.work }
}

type Parts = { promotion: string; amount: Minor }[]

/** What each promotion of the combination takes off each line, in whole minor units that add up. */
function distribute(arena: Arena, { off }: Solution, withTax: boolean): { perLine: Parts[]; shippingDiscount: Minor } {
  const { problem } = arena
  const perLine: Parts[] = problem.lines.map(() => [])
  let shippingDiscount = 0
  const add = (line: number, promotion: string, amount: Minor) => {
    if (amount === 0) return
    if (line < 0) {
      shippingDiscount += amount
      return
    }
    const parts = perLine[line]!
    const same = parts.find(part => part.promotion === promotion)
    if (same) same.amount += amount
    else parts.push({ promotion, amount })
  }
  const amounts = Float64Array.from(problem.list)
  const before = Float64Array.from(problem.list)
  const after = Float64Array.from(problem.list)
  /** Of the run of a line group: who has given each cell the lowest amount so far. */
  let run: { start: number; best: Map<number, { promotion: string; amount: Minor }> } | undefined
  const endRun = () => {
    for (const [cell, { promotion, amount }] of run?.best ?? []) add(problem.lineOf[cell]!, promotion, amount)
    run = undefined
  }
  for (const [at, step] of arena.lineSteps.entries()) {
    if (run && step.runStart !== run.start) endRun()
    if (step.runStart !== undefined && !run) {
      run = { start: step.runStart, best: new Map() }
      before.set(amounts)
    }
    if (off[at] === undefined) continue
    after.set(amounts)
    applyLineStep(arena, step, amounts, after, run ? before : amounts)
    for (const cell of step.cells) {
      const left = after[cell]!
      if (left >= amounts[cell]!) continue
      if (run) run.best.set(cell, { promotion: step.promotion.id, amount: before[cell]! - left })
      else add(problem.lineOf[cell]!, step.promotion.id, amounts[cell]! - left)
    }
    amounts.set(after)
  }
  endRun()
  const taken = Float64Array.from(arena.orderSteps, (_, at) => off[arena.lineSteps.length + at] ?? 0)
  const weightOf = (cell: number): number => {
    const line = problem.lines[problem.lineOf[cell]!] as LineToPrice | undefined
    return withTax ? amounts[cell]! * (WHOLE + hundredths(line?.taxPercent ?? 0)) : amounts[cell]!
  }
  const { parts } = placed(arena, amounts, taken, weightOf)
  for (const [at, step] of arena.orderSteps.entries()) {
    for (const [index, part] of parts[at]!.entries()) add(problem.lineOf[step.target[index]!]!, step.promotion.id, part)
  }
  return { perLine, shippingDiscount }
}
