import type { Evaluation } from './evaluation.ts'
import { atMost, isSomething, opposite, WHOLE, whole } from './arithmetic.ts'
import type { LineStep } from './problem.ts'

/** How line steps act on the amounts of cells, and members of line groups (line-groups.ts) on whole lines. */

/** What a line step leaves of a cell that costs `amount`, before its floor. */
function leftOf(problem: Evaluation['problem'], step: LineStep, index: number, amount: number): number {
  const cell = step.cells[index]!
  const units = problem.units[cell]!
  const value = step.values[index]!
  switch (step.how) {
    case 'percent':
      // The price of a unit is rounded, and never rises: of a whole price that is the same as rounding its discount.
      return step.perUnit && problem.hasWholePrice[cell] === 1
        ? Math.min(amount, whole((amount * (WHOLE - value)) / (WHOLE * units), opposite(step.rounding)) * units)
        : amount - (amount * value) / WHOLE
    case 'each':
      return amount - value * units
    case 'price':
      return Math.min(amount, value * units)
    case 'constant':
      return amount - value
  }
}

/** What a line step leaves of its cell at `index`, of an amount from before the step. */
function leavesOf({ problem }: Evaluation, step: LineStep, index: number, amount: number): number {
  return Math.min(amount, Math.max(leftOf(problem, step, index, amount), problem.floor[step.cells[index]!]!))
}

/**
 * Applies a line step: reads `from`, writes what changes into `to`, which holds the same amounts otherwise; returns what it
 * takes off in all. Amounts are real numbers here, so that it does not matter into how many cells a line is cut; lines are
 * rounded once, at the end of the line steps (`roundLines`).
 */
export function applyLineStep(evaluation: Evaluation, step: LineStep, from: Float64Array, to: Float64Array): number {
  const { cells } = step
  evaluation.work += cells.length
  let off = 0
  for (let index = 0; index < cells.length; index++) {
    const cell = cells[index]!
    const before = from[cell]!
    const after = leavesOf(evaluation, step, index, before)
    to[cell] = after
    off += before - after
  }
  return off
}

/** Which lines are whose in a line group: by line, 1 where an offer that was taken has it alone. */
export type Owned = Uint8Array

/**
 * Applies a member of a line group. It reads what cells cost before the group in `base`; a line that no offer has alone keeps the
 * member that takes most off it, of equals the earlier.
 */
export function applyMember(
  evaluation: Evaluation,
  step: LineStep,
  from: Float64Array,
  to: Float64Array,
  { base, owned }: { readonly base: Float64Array; readonly owned: Owned },
): number {
  const { firstOf } = evaluation.problem
  let sum = 0
  for (const { line, first, end } of step.parts) {
    if (owned[line] === 1) continue
    let off = 0
    for (let index = first; index < end; index++) off += cellDiscount(evaluation, step, index, base, base)
    let before = 0
    for (let cell = firstOf[line]!; cell < firstOf[line + 1]!; cell++) before += base[cell]! - from[cell]!
    if (!isSomething(off - before)) continue
    for (let cell = firstOf[line]!; cell < firstOf[line + 1]!; cell++) to[cell] = base[cell]!
    for (let index = first; index < end; index++)
      to[step.cells[index]!]! -= cellDiscount(evaluation, step, index, base, base)
    sum += off - before
  }
  return sum
}

/**
 * The most that a line step takes off, lines rounded; with a mask only off the cells in it. Changes nothing. `base`: what a
 * member of a line group reads, where it is not `from`.
 */
export function lineDiscount(
  evaluation: Evaluation,
  step: LineStep,
  from: Float64Array,
  base: Float64Array = from,
  mask?: Uint8Array,
): number {
  let off = 0
  for (let index = 0; index < step.cells.length; index++) {
    if (mask === undefined || mask[step.cells[index]!] === 1)
      off += atMost(cellDiscount(evaluation, step, index, from, base))
  }
  return off
}

/** What a line step takes off its cell at `index` at most, beyond what is off it already. */
export function cellDiscount(
  evaluation: Evaluation,
  step: LineStep,
  index: number,
  from: Float64Array,
  base: Float64Array,
): number {
  const cell = step.cells[index]!
  evaluation.work++
  return Math.max(0, from[cell]! - leavesOf(evaluation, step, index, base[cell]!))
}

/** Keeps, for the steps that are taken, which lines of a line group are whose. */
export interface Ownership {
  /** False where a line that the step needs for itself is another's. */
  isFree(step: LineStep): boolean
  take(step: LineStep): void
  giveBack(step: LineStep): void
  /** Of the group of a step. */
  of(step: LineStep): Owned
}

export function createOwnership({ problem, lineSteps }: Evaluation): Ownership {
  const byGroup = new Map<number | undefined, Owned>()
  for (const { runStart } of lineSteps) byGroup.set(runStart, new Uint8Array(problem.lines.length))
  const of = ({ runStart }: LineStep) => byGroup.get(runStart)!
  const mark = (step: LineStep, value: 0 | 1) => {
    const owned = of(step)
    for (const line of step.own ?? []) owned[line] = value
  }
  return {
    of,
    isFree: step => !step.own?.some(line => of(step)[line] === 1),
    take: step => mark(step, 1),
    giveBack: step => mark(step, 0),
  }
}

/**
 * Rounds what is taken off each line to whole minor units. What is taken off the cells up to one is rounded in the same way, so
 * that a part of a line has the same price however other promotions cut the rest.
 */
export function roundLines(evaluation: Evaluation, amounts: Float64Array, into: Float64Array): void {
  const { list, lineOf, rounding } = evaluation.problem
  evaluation.work += list.length
  for (let first = 0, end = 0; first < list.length; first = end) {
    let off = 0
    for (end = first; end < list.length && lineOf[end] === lineOf[first]; end++) off += list[end]! - amounts[end]!
    const left = whole(off, rounding)
    const mode = rounding !== 'half-even' ? rounding : left === whole(off, 'half-up') ? 'half-up' : 'half-down'
    let upTo = 0
    let given = 0
    for (let cell = first; cell < end; cell++) {
      upTo += list[cell]! - amounts[cell]!
      const rounded = cell === end - 1 ? left : whole(upTo, mode)
      into[cell] = list[cell]! - (rounded - given)
      given = rounded
    }
  }
}

/** What cells cost after the line steps of a combination, rounded; `isTaken` is asked by the index of the step. */
export function amountsAfterLines(evaluation: Evaluation, isTaken: (step: number) => boolean): Float64Array {
  const amounts = Float64Array.from(evaluation.problem.list)
  applyTaken(evaluation, isTaken, amounts)
  roundLines(evaluation, amounts, amounts)
  return amounts
}

/** Applies the line steps of a legal combination to `amounts`. `seen` gets each step that was applied, and the amounts before it. */
export function applyTaken(
  evaluation: Evaluation,
  isTaken: (step: number) => boolean,
  amounts: Float64Array,
  seen?: (step: LineStep, before: Float64Array) => void,
): void {
  const base = Float64Array.from(amounts)
  const before = Float64Array.from(amounts)
  const ownership = createOwnership(evaluation)
  for (const [at, step] of evaluation.lineSteps.entries()) {
    if (step.runStart === at) base.set(amounts)
    if (!isTaken(at)) continue
    before.set(amounts)
    if (step.runStart === undefined) applyLineStep(evaluation, step, before, amounts)
    else {
      applyMember(evaluation, step, before, amounts, { base, owned: ownership.of(step) })
      ownership.take(step)
    }
    seen?.(step, before)
  }
}

/** Nothing costs less than this after the line steps, rounded: of a line group every cell has the step that takes most off it. */
export function leastAfterLines(evaluation: Evaluation): Float64Array {
  const amounts = Float64Array.from(evaluation.problem.list)
  const base = Float64Array.from(amounts)
  for (const [at, step] of evaluation.lineSteps.entries()) {
    if (step.runStart === at) base.set(amounts)
    for (let index = 0; index < step.cells.length; index++) {
      const cell = step.cells[index]!
      const from = step.runStart === undefined ? amounts : base
      amounts[cell]! -= cellDiscount(evaluation, step, index, amounts, from)
    }
  }
  roundLines(evaluation, amounts, amounts)
  return amounts
}
