import type { Minor } from '../../model/money.ts'
import type { Evaluation } from './evaluation.ts'
import { split } from './arithmetic.ts'
import { applyTaken, roundLines } from './line-steps.ts'
import { placed } from './allocation.ts'
import type { Solution } from './search.ts'

/** What each promotion of a combination takes off each line, in whole minor units that add up to the line's discount. */
interface Distribution {
  /** By line of the problem. */
  readonly perLine: readonly (readonly Part[])[]
  readonly shippingDiscount: Minor
  /** By promotion: what it takes off in all. */
  readonly given: ReadonlyMap<string, Minor>
}

export interface Part {
  readonly promotion: string
  readonly amount: Minor
}

/** Real amounts become weights with this many parts of a minor unit. */
const FINE = 10_000

export function distribute(evaluation: Evaluation, { off }: Solution): Distribution {
  const { problem } = evaluation
  const { rounded, shares } = lineShares(evaluation, off)
  const perLine = problem.lines.map(() => new Map<string, Minor>())
  const given = new Map<string, Minor>()
  let shippingDiscount = 0
  const add = (line: number, promotion: string, amount: Minor) => {
    if (amount === 0) return
    given.set(promotion, (given.get(promotion) ?? 0) + amount)
    const parts = perLine[line]
    if (parts) parts.set(promotion, (parts.get(promotion) ?? 0) + amount)
    else shippingDiscount += amount
  }
  const offLine = problem.lines.map(() => 0)
  for (let cell = 0; cell < problem.list.length - 1; cell++)
    offLine[problem.lineOf[cell]!]! += problem.list[cell]! - rounded[cell]!
  for (const [line, share] of shares.entries()) {
    const parts = split(
      offLine[line]!,
      [...share.values()].map(amount => Math.round(amount * FINE)),
    )
    for (const [at, promotion] of [...share.keys()].entries()) add(line, promotion, parts[at] ?? 0)
  }
  const taken = Float64Array.from(evaluation.orderSteps, (_, at) => off[evaluation.lineSteps.length + at] ?? 0)
  const { parts } = placed(evaluation, rounded, taken)
  for (const [at, step] of evaluation.orderSteps.entries()) {
    for (const [index, part] of parts[at]!.entries()) add(problem.lineOf[step.target[index]!]!, step.promotion.id, part)
  }
  return {
    perLine: perLine.map(amounts => [...amounts].map(([promotion, amount]) => ({ promotion, amount }))),
    shippingDiscount,
    given,
  }
}

/** The line steps of a combination: what cells cost after them, rounded, and by line what each promotion took, unrounded. */
function lineShares(
  evaluation: Evaluation,
  off: Solution['off'],
): { rounded: Float64Array; shares: Map<string, number>[] } {
  const { lines, lineOf, list } = evaluation.problem
  const shares = lines.map(() => new Map<string, number>())
  /** Of the line group that is being applied: what its best member has taken off each line so far. */
  const best = new Map<number, { promotion: string; amount: number }>()
  let group: number | undefined
  const add = (line: number, promotion: string, amount: number) =>
    shares[line]!.set(promotion, (shares[line]!.get(promotion) ?? 0) + amount)
  const endGroup = () => {
    for (const [line, { promotion, amount }] of best) add(line, promotion, amount)
    best.clear()
  }
  const amounts = Float64Array.from(list)
  applyTaken(
    evaluation,
    at => off[at] !== undefined,
    amounts,
    ({ runStart, promotion: { id } }, before) => {
      if (runStart !== group) endGroup()
      group = runStart
      const offLine = new Map<number, number>()
      for (let cell = 0; cell < list.length - 1; cell++) {
        const change = before[cell]! - amounts[cell]!
        if (change !== 0) offLine.set(lineOf[cell]!, (offLine.get(lineOf[cell]!) ?? 0) + change)
      }
      for (const [line, amount] of offLine) {
        if (runStart === undefined) add(line, id, amount)
        else best.set(line, { promotion: id, amount: (best.get(line)?.amount ?? 0) + amount })
      }
    },
  )
  endGroup()
  const rounded = new Float64Array(amounts.length)
  roundLines(evaluation, amounts, rounded)
  return { rounded, shares }
}
