import { type Evaluation, orderDiscount, sumScopes, takeOff } from './evaluation.ts'
import { isSomething } from './arithmetic.ts'
import { createBound } from './bound.ts'
import { applyLineStep, applyMember, createOwnership, lineDiscount, roundLines } from './line-steps.ts'
import { placed } from './allocation.ts'
import type { Step } from './problem.ts'
import { analyse, costNow, isOpen as hasOpen, riskBit, type Structure } from './dominance.ts'

/**
 * THE BEST LEGAL COMBINATION, by branch and bound over the steps in the order of application.
 *
 * Legal is every choice of steps with at most one member of a group, lines of a line group for one member each, at most `codesMax` codes, nothing after a promotion that
 * stops, and an exclusive promotion alone. So every part of a legal combination is legal, and a promotion may be left out when
 * that is better for the buyer, such as one that would bring the order below the threshold of a larger one.
 *
 * Bound: from a node on, steps that are certainly taken are applied one after the other; each other step counts with what it
 * would take off if it stood alone, of a group only the best, of codes only as many as are left. That is never too little,
 * because a step takes off the less the less there is, and thresholds are taken as reached if they still can be.
 *
 * Certainly taken (`isForced`, proved in dominance.ts): a step that competes with nothing, if no later threshold can be missed
 * through it. It needs no branch, which is why most carts need a handful of nodes.
 *
 * Ties: the combination that has the first promotion in which two of them differ. The effort is counted in cells touched, not
 * in time, so the same cart always gets the same price.
 */
export interface Solution {
  /** By step: what it takes off; undefined where it is not in the combination. */
  readonly off: readonly (number | undefined)[]
  readonly total: number
  /** No legal combination costs less than this. Equal to `total` when the combination is proved to be the best. */
  readonly bound: number
  readonly work: number
}

/** What part of the work may go into the first combination. */
const DIVE_SHARE = 0.4

interface SearchOptions {
  readonly choice: 'lowest-total' | 'in-order'
  readonly workMax: number
}

export function solve(evaluation: Evaluation, { choice, workMax }: SearchOptions): Solution {
  const { problem } = evaluation
  const search = createSearch(evaluation, analyse(evaluation))
  const exclusive = problem.steps.flatMap((step, at) => (step.promotion.exclusive ? [at] : []))
  if (choice === 'in-order') {
    for (const at of exclusive) {
      const alone = search.evaluate(candidate => candidate === at)
      if (alone.off[at] !== undefined) return { ...alone, bound: alone.total, work: evaluation.work }
    }
    const all = search.evaluate(candidate => !exclusive.includes(candidate))
    return { ...all, bound: all.total, work: evaluation.work }
  }
  const found = search.lowest(workMax)
  let best = found
  for (const at of exclusive) {
    const alone = search.evaluate(candidate => candidate === at)
    if (alone.total < best.total) best = { ...alone, bound: 0 }
  }
  const bound = Math.min(best.total, found.bound, boundOfOtherUnits(evaluation, found.bound))
  return { ...best, bound, work: evaluation.work }
}

/**
 * No combination costs less, whatever units the promotions were about whose choice is not proved to be the best. Others take
 * off the more the less such a promotion does, and never more than they would alone.
 */
function boundOfOtherUnits(evaluation: Evaluation, found: number): number {
  const { unproved, steps, list, floor } = evaluation.problem
  if (unproved.length === 0) return found
  const sumOf = (amounts: Iterable<number>) => [...amounts].reduce((sum, amount) => sum + amount, 0)
  const listSums = new Float64Array(evaluation.scopes.length)
  sumScopes(evaluation, list, listSums)
  const isUnproved = (id: string) => unproved.some(({ promotions }) => promotions.includes(id))
  const alone = steps.map((step, at) => {
    if (isUnproved(step.promotion.id)) return 0
    if (step.kind === 'line') return lineDiscount(evaluation, step, list)
    return orderDiscount(evaluation, at - evaluation.lineSteps.length, listSums)
  })
  const most = sumOf(unproved.map(one => one.most))
  return Math.max(sumOf(floor), found - most, sumOf(list) - sumOf(alone) - most)
}

/** The price of one given combination: its steps in order, each if it is legal after those before it and takes anything off. */
export function evaluateCombination(
  evaluation: Evaluation,
  isIn: (step: number) => boolean,
): Omit<Solution, 'bound' | 'work'> {
  return createSearch(evaluation, analyse(evaluation)).evaluate(isIn)
}

function createSearch(evaluation: Evaluation, structure: Structure) {
  const { problem, lineSteps, orderSteps } = evaluation
  const { list, steps, codesMax } = problem
  const [count, lineCount] = [steps.length, lineSteps.length]
  // Amounts after each line step; a level shares the array of the one before where its step changes nothing.
  const own: (Float64Array | undefined)[] = []
  const levels: Float64Array[] = Array.from({ length: lineCount + 1 }, () => list)
  /** Amounts after all line steps, in whole minor units. */
  const rounded = new Float64Array(list.length)
  /** By scope: what it costs after the steps of the present choice. */
  const left = new Float64Array(evaluation.scopes.length)
  const taken = new Float64Array(orderSteps.length)
  const off = new Float64Array(count).fill(-1)
  const groupTaken = new Uint8Array(structure.groups)
  const codeUses = new Uint16Array(structure.codes)
  const ownership = createOwnership(evaluation)
  let codes = 0
  let stopped = false

  function isLegal(at: number): boolean {
    if (stopped) return false
    const group = structure.groupOf[at]!
    if (group >= 0 && groupTaken[group] === 1) return false
    const step = steps[at]!
    if (step.kind === 'line' && !ownership.isFree(step)) return false
    const code = structure.codeOf[at]!
    return code < 0 || codeUses[code]! > 0 || codes < codesMax
  }

  const isGift = (step: Step) => step.kind === 'order' && step.gift !== undefined

  /** Tries a step on top of the present state: what it takes off, 0 when nothing; the state after it is ready in the next level. */
  function attempt(at: number): number {
    const step = steps[at]!
    if (step.kind === 'order') return orderDiscount(evaluation, at - lineCount, left)
    const before = levels[at]!
    const after = (own[at + 1] ??= new Float64Array(list.length))
    after.set(before)
    levels[at + 1] = after
    if (step.runStart === undefined) return applyLineStep(evaluation, step, before, after)
    return applyMember(evaluation, step, before, after, { base: levels[step.runStart]!, owned: ownership.of(step) })
  }

  function take(at: number, amount: number): void {
    const step = steps[at]!
    off[at] = amount
    if (step.kind === 'order') {
      taken[at - lineCount] = amount
      takeOff(evaluation, at - lineCount, left, amount)
    } else ownership.take(step)
    const group = structure.groupOf[at]!
    if (group >= 0) groupTaken[group] = 1
    const code = structure.codeOf[at]!
    if (code >= 0 && codeUses[code]!++ === 0) codes++
    if (step.promotion.stops) stopped = true
  }

  function giveBack(at: number): void {
    const step = steps[at]!
    off[at] = -1
    if (step.kind === 'order') {
      takeOff(evaluation, at - lineCount, left, -taken[at - lineCount]!)
      taken[at - lineCount] = 0
    } else ownership.giveBack(step)
    const group = structure.groupOf[at]!
    if (group >= 0) groupTaken[group] = 0
    const code = structure.codeOf[at]!
    if (code >= 0 && --codeUses[code]! === 0) codes--
    if (step.promotion.stops) stopped = false
  }

  function leave(at: number): void {
    if (at < lineCount) levels[at + 1] = levels[at]!
  }

  function enterOrder(at: number): void {
    if (at !== lineCount) return
    roundLines(evaluation, levels[at]!, rounded)
    sumScopes(evaluation, rounded, left)
  }

  /** What the present combination costs: the sum of its cells less the order steps, and what did not fit on their lines. */
  function totalNow(limit = Number.POSITIVE_INFINITY): number {
    let total = 0
    for (const amount of rounded) total += amount
    for (const amount of taken) total -= amount
    // Placing is dear: not for a combination that is too dear without it.
    return structure.mayLose && total < limit ? total + placed(evaluation, rounded, taken).lost : total
  }

  const solution = () => ({ off: Array.from(off, amount => (amount < 0 ? undefined : amount)), total: totalNow() })

  function evaluate(isIn: (step: number) => boolean): Omit<Solution, 'bound' | 'work'> {
    const undo: number[] = []
    for (let at = 0; at < count; at++) {
      enterOrder(at)
      const amount = isIn(at) && isLegal(at) ? attempt(at) : 0
      if (isSomething(amount) || (isIn(at) && isLegal(at) && isGift(steps[at]!))) {
        take(at, amount)
        undo.push(at)
      } else leave(at)
    }
    enterOrder(count)
    const result = solution()
    for (const at of undo.reverse()) giveBack(at)
    return result
  }

  const isOpen = (at: number) => isLegal(at) && !steps[at]!.promotion.exclusive
  const boundOf = createBound(evaluation, structure, {
    levels,
    rounded,
    left,
    taken,
    codeUses,
    ownership,
    isOpen,
    codesLeft: () => codesMax - codes,
  })

  /** Which thresholds are open, depending on what is chosen from step `at` on. */
  function risksAt(at: number): number {
    let risks = 0
    for (const [bit, jump] of structure.jumps.entries()) {
      if (jump.step < at) continue
      const high = costNow(evaluation, jump, at <= lineCount ? levels[at]! : undefined, left)
      const slack = at <= lineCount ? jump.slack : 0
      if (hasOpen(jump, high - jump.reduction[at]! - slack, high + slack)) risks |= riskBit(bit)
    }
    return risks
  }

  function lowest(workMax: number): Omit<Solution, 'work'> {
    const workEnd = evaluation.work + workMax
    const start = dive(evaluation.work + workMax * DIVE_SHARE)
    let best = start
    let cutoff = start.total + 1 // the search is to find this one again, or the first of its equals
    let openBound = Number.POSITIVE_INFINITY

    function visit(from: number, above: number): void {
      let at = from
      const sure: number[] = []
      for (; at < count; at++) {
        enterOrder(at)
        if (!isOpen(at)) {
          leave(at)
          continue
        }
        const amount = attempt(at)
        if (!isSomething(amount) && !isGift(steps[at]!)) {
          leave(at)
          continue
        }
        if (structure.isForced(at, structure.isFree(at) ? risksAt(at) : 0)) {
          take(at, amount)
          sure.push(at)
          continue
        }
        branch(at, amount, above)
        break
      }
      if (at === count) {
        enterOrder(count)
        const total = totalNow(cutoff)
        if (total < cutoff) {
          cutoff = total
          best = solution()
        }
      }
      for (const step of sure.reverse()) giveBack(step)
    }

    function branch(at: number, amount: number, above: number): void {
      if (evaluation.work > workEnd) {
        openBound = Math.min(openBound, above)
        return
      }
      const bound = boundOf(at, risksAt(at))
      if (bound >= cutoff) return
      take(at, amount)
      visit(at + 1, bound)
      giveBack(at)
      if (bound >= cutoff) return
      leave(at)
      visit(at + 1, bound)
    }

    visit(0, Number.NEGATIVE_INFINITY)
    return { ...best, bound: Math.max(structure.floorTotal, Math.min(best.total, openBound)) }
  }

  /** A good combination to start with: at every branch the side with the lower bound, while there is work to spend on it. */
  function dive(workEnd: number): Omit<Solution, 'bound' | 'work'> {
    const undo: number[] = []
    for (let at = 0; at < count; at++) {
      enterOrder(at)
      const amount = isOpen(at) ? attempt(at) : 0
      if (!isOpen(at) || (!isSomething(amount) && !isGift(steps[at]!))) {
        leave(at)
        continue
      }
      if (evaluation.work < workEnd && !structure.isForced(at, structure.isFree(at) ? risksAt(at) : 0)) {
        const after = at < lineCount ? levels[at + 1]! : undefined
        take(at, amount)
        const withIt = boundOf(at + 1, risksAt(at + 1))
        giveBack(at)
        leave(at)
        if (boundOf(at + 1, risksAt(at + 1)) < withIt) continue
        if (after) levels[at + 1] = after
      }
      take(at, amount)
      undo.push(at)
    }
    enterOrder(count)
    const result = solution()
    for (const at of undo.reverse()) giveBack(at)
    return result
  }

  return { evaluate, lowest }
}
