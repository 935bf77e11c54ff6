import { type Arena, applyLineStep, costBefore, lineDiscount, orderDiscount, sumScopes } from './arena.ts'
import type { LineStep } from './problem.ts'
import { costNow, riskBit, type Structure } from './structure.ts'

/**
 * A lower bound of what any completion of a partial choice costs.
 *
 *   - free steps (structure.ts) are applied one after the other, all of them: less costs less;
 *   - rivals, i.e. steps that exclude each other, count with what each would take off in a run that costs at least as much as any
 *     completion. A step takes off the less the less there is, so that is never too little. Of a group only the best counts, of
 *     codes only as many as are left;
 *   - thresholds that free steps may miss: what they miss by has to be given up to reach them, and giving up d makes the order
 *     dearer by at least `kept * (d - cut) - slack`, where `cut` is what steps want to take off and find no room for. For each amount that could be given up, the thresholds count as far as it carries.
 */
export interface Choice {
  /** Amounts before each line step; of the present choice up to where it has been made. */
  readonly levels: readonly Float64Array[]
  /** By order step: what the choice takes off so far. */
  readonly taken: Float64Array
  /** False for steps that the choice or the rules exclude. */
  isOpen(step: number): boolean
  /** How many codes more can be used, and how often each has been used. */
  codesLeft(): number
  readonly codeUses: Uint16Array
}

interface Run {
  readonly amounts: Float64Array
  /** Amounts before the present run of a line group. */
  readonly base: Float64Array
  readonly sums: Float64Array
  readonly taken: Float64Array
}

export function createBound(arena: Arena, structure: Structure, choice: Choice) {
  const { lineSteps, orderSteps, scopes, problem } = arena
  const lineCount = lineSteps.length
  const count = problem.steps.length
  const runOf = (): Run => ({
    amounts: new Float64Array(problem.list.length),
    base: new Float64Array(problem.list.length),
    sums: new Float64Array(scopes.length),
    taken: new Float64Array(orderSteps.length),
  })
  // All free steps taken, and only the sure ones: whatever a completion chooses lies between.
  const lowest = runOf()
  const highest = runOf()
  const groupBest = new Float64Array(structure.groups)
  const codeOffs = new Float64Array(structure.codes)
  const unusedOffs = new Float64Array(structure.codes)
  const highOf = new Float64Array(orderSteps.length)
  const optimistic = new Uint8Array(orderSteps.length)
  let others = 0
  let cut = 0

  function addRival(at: number, amount: number): void {
    const group = structure.groupOf[at]!
    if (group >= 0) groupBest[group] = Math.max(groupBest[group]!, amount)
    else if (structure.codeOf[at]! >= 0) codeOffs[structure.codeOf[at]!]! += amount
    else others += amount
  }

  function rivals(): number {
    let sum = others
    let unused = 0
    for (let code = 0; code < codeOffs.length; code++) {
      if (choice.codeUses[code]! > 0) sum += codeOffs[code]!
      else unusedOffs[unused++] = codeOffs[code]!
    }
    sum += largestOf(unusedOffs, unused, choice.codesLeft())
    for (const amount of groupBest) sum += amount
    return sum
  }

  function baseIn(run: Run, step: LineStep, from: number): Float64Array {
    if (step.runStart === undefined) return run.amounts
    return step.runStart < from ? choice.levels[step.runStart]! : run.base
  }

  const applyTo = (run: Run, step: LineStep, from: number) =>
    applyLineStep(arena, step, run.amounts, run.amounts, baseIn(run, step, from))

  function runLineSteps(from: number, low: Run, high: Run, risks: number): void {
    for (const run of new Set([low, high])) run.amounts.set(choice.levels[from]!)
    for (let at = from; at < lineCount; at++) {
      const step = lineSteps[at]!
      if (step.runStart === at) for (const run of new Set([low, high])) run.base.set(run.amounts)
      if (!choice.isOpen(at)) continue
      if (!structure.isFree(at)) addRival(at, lineDiscount(arena, step, high.amounts, baseIn(high, step, from)))
      else {
        applyTo(low, step, from)
        if (high !== low && structure.isSure(at, risks)) applyTo(high, step, from)
      }
    }
    for (const run of new Set([low, high])) sumScopes(arena, run.amounts, run.sums)
  }

  /** What the free order steps take off together when `given` has been given up for thresholds. */
  function freeOrderSteps(first: number, given: number): number {
    let sum = 0
    cut = 0
    for (let at = first; at < count; at++) {
      if (!structure.isFree(at) || !choice.isOpen(at)) continue
      const index = at - lineCount
      const reached = costBefore(arena, arena.measureOf[index]!, index, lowest.sums, lowest.taken) + given
      const measured = optimistic[index] === 1 ? highOf[index]! : Math.min(reached, highOf[index]!)
      lowest.taken[index] = orderDiscount(arena, index, lowest.sums, lowest.taken, measured)
      sum += lowest.taken[index]!
      cut += arena.cut
    }
    return sum
  }

  /** The same for the best amount to give up: the sum less what giving it up costs. */
  function bestOfGiving(first: number, from: number, risks: number): number {
    highOf.fill(Number.POSITIVE_INFINITY)
    optimistic.fill(0)
    if (risks === 0) return freeOrderSteps(first, 0)
    const open = structure.jumps.filter((jump, bit) => jump.step >= first && (riskBit(bit) & risks) !== 0)
    const amounts = from <= lineCount ? choice.levels[from]! : undefined
    for (const jump of open) highOf[jump.step - lineCount] = costNow(arena, jump, from, amounts, choice.taken)
    freeOrderSteps(first, 0)
    const givings = new Set([0])
    for (const jump of open) {
      const index = jump.step - lineCount
      const low = costBefore(arena, arena.measureOf[index]!, index, lowest.sums, lowest.taken)
      const thresholds = jump.openBetween(low, highOf[index]!)
      if (!thresholds) optimistic[index] = 1
      for (const threshold of thresholds ?? []) givings.add(threshold - low)
    }
    let best = 0
    for (const given of givings) {
      const off = freeOrderSteps(first, given)
      // What is given up goes first to steps that wanted more than there was.
      const cost = Math.max(0, Math.floor((given - cut) * structure.kept) - structure.slack)
      best = Math.max(best, off - cost)
    }
    return best
  }

  /** `from`: the first step that the choice has not decided. `risks`: the thresholds that are open there. */
  return function boundOf(from: number, risks: number): number {
    groupBest.fill(0)
    codeOffs.fill(0)
    others = 0
    const low = lowest
    const high = risks === 0 ? lowest : highest
    const first = Math.max(from, lineCount)
    if (from <= lineCount) runLineSteps(from, low, high, risks)
    else for (const run of new Set([low, high])) run.sums.set(arena.sums)
    for (const run of new Set([low, high])) run.taken.set(choice.taken)
    let goods = 0
    for (const amount of from <= lineCount ? low.amounts : choice.levels[lineCount]!) goods += amount
    for (const amount of choice.taken) goods -= amount
    // Rivals stand on top of the sure steps before them.
    for (let at = first; at < count; at++) {
      if (!choice.isOpen(at)) continue
      const index = at - lineCount
      const isSure = structure.isSure(at, risks)
      if (structure.isFree(at) && !isSure) continue
      const amount = orderDiscount(arena, index, high.sums, high.taken)
      if (isSure) high.taken[index] = amount
      else addRival(at, amount)
    }
    low.taken.set(choice.taken)
    return Math.max(structure.floorTotal, goods - bestOfGiving(first, from, risks) - rivals())
  }
}

/** The sum of the largest `most` of the first `count` values; reorders them. */
function largestOf(values: Float64Array, count: number, most: number): number {
  const open = values.subarray(0, count)
  if (count > most) open.sort()
  let sum = 0
  for (let at = Math.max(0, count - most); at < count; at++) sum += open[at]!
  return sum
}
