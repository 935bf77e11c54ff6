import { share, WHOLE } from './arithmetic.ts'
import type { LineStep, OrderStep, Problem } from './problem.ts'

/**
 * How order steps act on amounts (line-steps.ts has the others): the arithmetic under the search and under the final result, over
 * preallocated arrays.
 * `work` counts the cells that were touched: the search's measure of effort, the same on every machine.
 */
export interface Evaluation {
  readonly problem: Problem
  readonly lineSteps: readonly LineStep[]
  readonly orderSteps: readonly OrderStep[]
  /** Distinct sets of cells that order steps aim at or measure. */
  readonly scopes: readonly Int32Array[]
  readonly targetOf: Int32Array
  readonly measureOf: Int32Array
  /** masks[scope][cell]: 1 where the cell is in the scope. */
  readonly masks: readonly Uint8Array[]
  /** within[scope][step]: the step's target lies wholly in the scope. */
  readonly within: readonly Uint8Array[]
  /** Scopes that hold the whole target of a step, its own first: none of them may be overdrawn. */
  readonly enclosing: readonly (readonly number[])[]
  readonly floorSum: Float64Array
  /** By order step: every scope that holds its whole target. */
  readonly holders: readonly (readonly number[])[]
  work: number
  /** By how much the last order discount was cut for want of room. */
  cut: number
}

export function createEvaluation(problem: Problem): Evaluation {
  const lineSteps = problem.steps.filter(step => step.kind === 'line')
  const orderSteps = problem.steps.filter(step => step.kind === 'order')
  const scopes: Int32Array[] = []
  const scopeOf = (cells: Int32Array): number => {
    const at = scopes.indexOf(cells)
    return at >= 0 ? at : scopes.push(cells) - 1
  }
  const targetOf = Int32Array.from(orderSteps, step => scopeOf(step.target))
  const measureOf = Int32Array.from(orderSteps, step => scopeOf(step.measure))
  const masks = scopes.map(cells => {
    const mask = new Uint8Array(problem.list.length)
    for (const cell of cells) mask[cell] = 1
    return mask
  })
  const holds = scopes.map((outer, at) =>
    scopes.map(inner => inner.length <= outer.length && inner.every(cell => masks[at]![cell] === 1)),
  )
  // A gift takes nothing off what it is for.
  const targets = [...new Set(targetOf.filter((_, at) => orderSteps[at]!.gift === undefined))]
  return {
    problem,
    lineSteps,
    orderSteps,
    scopes,
    masks,
    targetOf,
    measureOf,
    within: holds.map(row => Uint8Array.from(targetOf, target => (row[target] ? 1 : 0))),
    enclosing: orderSteps.map((_, at) => {
      const own = targetOf[at]!
      return [own, ...targets.filter(scope => scope !== own && holds[scope]![own])]
    }),
    floorSum: Float64Array.from(scopes, cells => cells.reduce((sum, cell) => sum + problem.floor[cell]!, 0)),
    holders: orderSteps.map((_, at) => [...scopes.keys()].filter(scope => holds[scope]![targetOf[at]!])),
    work: 0,
    cut: 0,
  }
}

/** Sums every scope over amounts after the line steps. */
export function sumScopes(evaluation: Evaluation, amounts: Float64Array, into: Float64Array): void {
  for (let scope = 0; scope < evaluation.scopes.length; scope++) {
    const cells = evaluation.scopes[scope]!
    evaluation.work += cells.length
    let sum = 0
    for (let index = 0; index < cells.length; index++) sum += amounts[cells[index]!]!
    into[scope] = sum
  }
}

/**
 * What order step `at` takes off: its reward, but never more than a cap, its own lines, or any lines around them, have left.
 * `left`: by scope, what it costs after the line steps and the order steps before.
 */
export function orderDiscount(
  evaluation: Evaluation,
  at: number,
  left: Float64Array,
  measured: number = left[evaluation.measureOf[at]!]!,
): number {
  const step = evaluation.orderSteps[at]!
  const around = evaluation.enclosing[at]!
  evaluation.work += 1 + around.length
  let off = 0
  if (step.every && measured >= step.every.minimum)
    off = Math.min(Math.floor(measured / step.every.amount), step.every.timesMax) * step.every.off
  for (let tier = step.tiers.length - 1; tier >= 0; tier--) {
    const { from, how, value } = step.tiers[tier]!
    if (measured < from) continue
    const cost = left[evaluation.targetOf[at]!]!
    off =
      how === 'amount' ? value : how === 'price' ? Math.max(0, cost - value) : share(cost, value, WHOLE, step.rounding)
    break
  }
  if (off > step.amountMax) off = step.amountMax
  const wanted = off
  for (let index = 0; index < around.length && off > 0; index++) {
    const scope = around[index]!
    const room = left[scope]! - evaluation.floorSum[scope]!
    if (off > room) off = Math.max(0, room)
  }
  evaluation.cut = wanted - off
  return off
}

/** Takes an amount of an order step off all scopes that hold its target; a negative one gives it back. */
export function takeOff(evaluation: Evaluation, at: number, left: Float64Array, amount: number): void {
  const holders = evaluation.holders[at]!
  evaluation.work += holders.length
  for (let index = 0; index < holders.length; index++) left[holders[index]!]! -= amount
}

/** The order steps from narrow to broad, so that the broad ones leave room for the narrow ones when amounts are put on cells. */
export function narrowFirst(evaluation: Evaluation): number[] {
  return evaluation.orderSteps
    .map((step, at) => ({ at, size: step.breadth }))
    .sort((a, b) => a.size - b.size || a.at - b.at)
    .map(({ at }) => at)
}
