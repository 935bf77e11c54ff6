import type { Minor } from '../model/money.ts'
import { type Arena, applyLineStep, roundLines } from './arena.ts'
import { split } from './arithmetic.ts'
import { placed } from './placement.ts'
import type { Solution } from './search.ts'

/** What each promotion of a combination takes off each line, in whole minor units that add up to the line's discount. */
export interface Distribution {
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

export function distribute(arena: Arena, { off }: Solution): Distribution {
  const { problem } = arena
  const { rounded, shares } = lineShares(arena, off)
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
  const taken = Float64Array.from(arena.orderSteps, (_, at) => off[arena.lineSteps.length + at] ?? 0)
  const { parts } = placed(arena, rounded, taken)
  for (const [at, step] of arena.orderSteps.entries()) {
    for (const [index, part] of parts[at]!.entries()) add(problem.lineOf[step.target[index]!]!, step.promotion.id, part)
  }
  return {
    perLine: perLine.map(amounts => [...amounts].map(([promotion, amount]) => ({ promotion, amount }))),
    shippingDiscount,
    given,
  }
}

/** The line steps of a combination: what cells cost after them, rounded, and by line what each promotion took, unrounded. */
function lineShares(arena: Arena, off: Solution['off']): { rounded: Float64Array; shares: Map<string, number>[] } {
  const { problem, lineSteps } = arena
  const shares = problem.lines.map(() => new Map<string, number>())
  const add = (cell: number, promotion: string, amount: number) => {
    const share = shares[problem.lineOf[cell]!]!
    share.set(promotion, (share.get(promotion) ?? 0) + amount)
  }
  const amounts = Float64Array.from(problem.list)
  const before = Float64Array.from(problem.list)
  const after = Float64Array.from(problem.list)
  // Of the run of a line group: who has given each cell the lowest amount so far; only that one counts.
  const best = new Map<number, { promotion: string; amount: number }>()
  let run: number | undefined
  const endRun = () => {
    for (const [cell, { promotion, amount }] of best) add(cell, promotion, amount)
    best.clear()
    run = undefined
  }
  for (const [at, step] of lineSteps.entries()) {
    if (run !== undefined && step.runStart !== run) endRun()
    if (step.runStart !== undefined && run === undefined) {
      run = step.runStart
      before.set(amounts)
    }
    if (off[at] === undefined) continue
    after.set(amounts)
    applyLineStep(arena, step, amounts, after, run === undefined ? amounts : before)
    for (const cell of step.cells) {
      const left = after[cell]!
      if (left >= amounts[cell]!) continue
      const { id } = step.promotion
      if (run === undefined) add(cell, id, amounts[cell]! - left)
      else best.set(cell, { promotion: id, amount: before[cell]! - left })
    }
    amounts.set(after)
  }
  endRun()
  const rounded = new Float64Array(amounts.length)
  roundLines(arena, amounts, rounded)
  return { rounded, shares }
}
