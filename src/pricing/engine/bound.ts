import { type Evaluation, orderDiscount, sumScopes, takeOff } from './evaluation.ts'
import { WHOLE } from './arithmetic.ts'
import { createLineRivals } from './line-rivals.ts'
import { applyLineStep, applyMember, lineDiscount, type Ownership, roundLines } from './line-steps.ts'
import type { LineStep, Step } from './problem.ts'
import { costNow, riskBit, type Structure, THRESHOLDS_MAX } from './dominance.ts'

/**
 * A lower bound of what any completion of a partial choice costs.
 *
 * Free steps (dominance.ts) are taken, all of them: less costs less. Rivals, i.e. steps that exclude each other, count with what
 * each would take off in a run that costs at least as much as any completion; a step takes off the less the less there is, so
 * that is never too little. Of a group only the best counts, of codes only as many as are left. Of the rivals of a line group
 * every line counts with the one that takes most off it: together they are one rival.
 *
 * Thresholds are the trouble: a completion may leave free steps out to reach one. Let `given` be by how much dearer its lines
 * are for that. It reaches at most the thresholds that lie within `given` of the run that takes everything; it costs at least
 * `kept * given - cut - slack` more (dominance.ts; `cut`: what steps would take of it at once, having found no room before); and a rival takes
 * off at most its percentage of `given` more. The bound is the least of that over rows of intervals of `given`.
 */
export interface Choice {
  /** Amounts before each line step; of the present choice up to where it has been made. */
  readonly levels: readonly Float64Array[]
  /** Amounts after all line steps, once they have been decided. */
  readonly rounded: Float64Array
  /** By scope: what it costs after the choice, once the line steps have been decided. */
  readonly left: Float64Array
  /** By order step: what the choice takes off so far. */
  readonly taken: Float64Array
  /** False for steps that the choice or the rules exclude. */
  isOpen(step: number): boolean
  /** How many codes more can be used, and how often each has been used. */
  codesLeft(): number
  readonly codeUses: Uint16Array
  /** Lines that members of line groups have alone, of the present choice. */
  readonly ownership: Ownership
}

interface Run {
  readonly amounts: Float64Array
  /** Amounts before the present run of a line group. */
  readonly base: Float64Array
  readonly sums: Float64Array
  /** By scope, less what the order steps of the run take off. */
  readonly left: Float64Array
}

/** Between the thresholds the intervals grow by this factor. */
const INTERVAL_GROWTH = 1.5

export function createBound(evaluation: Evaluation, structure: Structure, choice: Choice) {
  const { lineSteps, orderSteps, scopes, problem } = evaluation
  const { steps } = problem
  const lineCount = lineSteps.length
  const count = steps.length
  const runOf = (): Run => ({
    amounts: new Float64Array(problem.list.length),
    base: new Float64Array(problem.list.length),
    sums: new Float64Array(scopes.length),
    left: new Float64Array(scopes.length),
  })
  // All free steps taken, and only the sure ones: whatever a completion chooses lies between.
  const lowest = runOf()
  const highest = runOf()
  // Rivals: what each takes off in the two runs, and the share it takes of what more there is.
  const rivalAt = new Int32Array(count)
  const rivalRate = new Float64Array(count)
  const rivalCells = new Int32Array(count)
  const rivalLow = new Float64Array(count)
  const rivalHigh = new Float64Array(count)
  const rateOf = Float64Array.from(steps, largestRate)
  let rivals = 0
  const inLow = createLineRivals(evaluation)
  const inHigh = createLineRivals(evaluation)
  /** Steps from here on are not counted, and of those that stop others only this one. */
  let end = count
  let stopping = -1
  const groupBest = new Float64Array(structure.groups)
  const codeOffs = new Float64Array(structure.codes)
  const unusedOffs = new Float64Array(structure.codes)
  /** What each order step measures in the lowest run, and at most. */
  const lowOfStep = new Float64Array(orderSteps.length)
  const highOf = new Float64Array(orderSteps.length)
  const crowded = new Uint8Array(orderSteps.length)
  let cut = 0

  function addRival(at: number, low: number, high: number): void {
    const step = steps[at]
    rivalAt[rivals] = at
    rivalRate[rivals] = rateOf[at] ?? 0
    rivalCells[rivals] = step?.kind === 'line' ? step.cells.length : 1
    rivalLow[rivals] = low
    rivalHigh[rivals] = high
    rivals++
  }

  /** The members of a line group together, which are no step: of each line only the best of them counts. */
  function addGroup(low: number, high: number, rate: number, cells: number): void {
    addRival(NO_STEP, low, high)
    rivalRate[rivals - 1] = rate
    rivalCells[rivals - 1] = cells
  }

  /** What rivals take off at most when up to `given` has been given up. */
  function rivalsWith(given: number): number {
    groupBest.fill(0)
    codeOffs.fill(0)
    let sum = 0
    for (let index = 0; index < rivals; index++) {
      const at = rivalAt[index]!
      const amount = Math.min(rivalHigh[index]!, lowOf(index, given) + more(index, given))
      const group = structure.groupOf[at] ?? -1
      const code = structure.codeOf[at] ?? -1
      if (group >= 0) groupBest[group] = Math.max(groupBest[group]!, amount)
      else if (code >= 0) codeOffs[code]! += amount
      else sum += amount
    }
    for (const amount of groupBest) sum += amount
    let unused = 0
    for (let code = 0; code < codeOffs.length; code++) {
      if (choice.codeUses[code]! > 0) sum += codeOffs[code]!
      else unusedOffs[unused++] = codeOffs[code]!
    }
    return sum + largestOf(unusedOffs, unused, choice.codesLeft())
  }

  /** What a rival takes off in the lowest run, with the thresholds that are reached when `given` is given up. */
  function lowOf(index: number, given: number): number {
    const at = rivalAt[index]!
    if (given === 0 || at === NO_STEP || !structure.hasThreshold(at)) return rivalLow[index]!
    const order = at - lineCount
    return orderDiscount(evaluation, order, lowest.sums, Math.min(lowOfStep[order]! + given, highOf[order]!))
  }

  /** How much more a rival may take off when there is `given` more, each of its cells rounded. */
  function more(index: number, given: number): number {
    return given === 0 ? 0 : Math.min(given, Math.ceil(given * rivalRate[index]!) + rivalCells[index]!)
  }

  const isOpen = (at: number) => choice.isOpen(at) && (at === stopping || steps[at]!.promotion.stops !== true)

  /** What cells cost before the line group of a step. */
  const baseIn = (run: Run, { runStart = 0 }: LineStep, from: number) =>
    runStart < from ? choice.levels[runStart]! : run.base

  const applyTo = (run: Run, step: LineStep, from: number) =>
    step.runStart === undefined
      ? applyLineStep(evaluation, step, run.amounts, run.amounts)
      : applyMember(evaluation, step, run.amounts, run.amounts, {
          base: baseIn(run, step, from),
          owned: choice.ownership.of(step),
        })

  function runLineSteps(from: number, runs: readonly Run[], risks: number): void {
    const [low = lowest, high] = runs
    for (const run of runs) run.amounts.set(choice.levels[from]!)
    let rate = 0
    let cells = 0
    for (let at = from; at < Math.min(lineCount, end); at++) {
      const step = lineSteps[at]!
      if (step.runStart === at) for (const run of runs) run.base.set(run.amounts)
      if (isOpen(at)) {
        if (structure.isFree(at)) {
          applyTo(low, step, from)
          if (high && structure.isForced(at, risks)) applyTo(high, step, from)
        } else if (step.runStart === undefined) {
          const off = lineDiscount(evaluation, step, low.amounts)
          addRival(at, off, high ? lineDiscount(evaluation, step, high.amounts) : off)
        } else {
          const owned = choice.ownership.of(step)
          inLow.count(step, low.amounts, { base: baseIn(low, step, from), owned })
          if (high) inHigh.count(step, high.amounts, { base: baseIn(high, step, from), owned })
          rate = Math.max(rate, rateOf[at]!)
          cells += step.cells.length
        }
      }
      const isLast = at + 1 === Math.min(lineCount, end) || lineSteps[at + 1]!.runStart !== step.runStart
      if (!isLast || cells === 0) continue
      const off = inLow.end()
      addGroup(off, high ? inHigh.end() : off, rate, cells)
      rate = 0
      cells = 0
    }
    for (const run of runs) {
      roundLines(evaluation, run.amounts, run.amounts)
      sumScopes(evaluation, run.amounts, run.sums)
    }
  }

  function runOrderSteps(first: number, runs: readonly Run[], risks: number): void {
    const [low = lowest, high] = runs
    for (const run of runs) run.left.set(run.sums)
    for (let at = first; at < end; at++) {
      if (!isOpen(at)) continue
      const index = at - lineCount
      lowOfStep[index] = low.left[evaluation.measureOf[index]!]!
      const off = orderDiscount(evaluation, index, low.left)
      if (structure.isFree(at)) {
        takeOff(evaluation, index, low.left, off)
        if (high && structure.isForced(at, risks))
          takeOff(evaluation, index, high.left, orderDiscount(evaluation, index, high.left))
      } else addRival(at, off, high ? orderDiscount(evaluation, index, high.left) : off)
    }
  }

  /**
   * What the free order steps take off together when `given` has been given up for thresholds. A step is measured by what it
   * measures when nothing is given up, and `given`: steps before it that only then apply bring that down, never up.
   */
  function freeOrderSteps(first: number, given: number): number {
    let sum = 0
    cut = 0
    lowest.left.set(lowest.sums)
    for (let at = first; at < end; at++) {
      if (!structure.isFree(at) || !isOpen(at)) continue
      const index = at - lineCount
      const reached = lowOfStep[index]! + given
      const measured = given > 0 && crowded[index] === 1 ? highOf[index]! : Math.min(reached, highOf[index]!)
      const off = orderDiscount(evaluation, index, lowest.left, measured)
      cut += evaluation.cut
      takeOff(evaluation, index, lowest.left, off)
      sum += off
    }
    return sum
  }

  /** What free order steps and rivals take off together at most, less what is given up for it. */
  function mostOff(first: number, from: number, risks: number): number {
    highOf.fill(Number.POSITIVE_INFINITY)
    crowded.fill(0)
    const all = freeOrderSteps(first, 0)
    if (risks === 0) return all + rivalsWith(0)
    const amounts = from <= lineCount ? choice.levels[from]! : undefined
    const points = new Set([0])
    for (const [bit, jump] of structure.jumps.entries()) {
      if (jump.step < first || jump.step >= Math.max(end, stopping + 1) || (riskBit(bit) & risks) === 0) continue
      const index = jump.step - lineCount
      const high = costNow(evaluation, jump, amounts, choice.left) + (amounts ? jump.slack : 0)
      highOf[index] = high
      const low = lowOfStep[index]!
      const thresholds = jump.openBetween(low, high)
      // Where there are too many, all count as reached.
      if (thresholds.length > THRESHOLDS_MAX) points.add(1)
      else for (const threshold of thresholds) points.add(threshold - low)
      crowded[index] = thresholds.length > THRESHOLDS_MAX ? 1 : 0
    }
    const rising = [...points].sort((a, b) => a - b)
    let best = 0
    for (let at = 0; at < rising.length; at++) {
      const off = freeOrderSteps(first, rising[at]!)
      const wanting = cut
      const until = rising[at + 1] ?? Number.POSITIVE_INFINITY
      for (let given = rising[at]!; given < until; ) {
        const next = Math.min(until, Math.max(given * INTERVAL_GROWTH, given + 64))
        const costs = Math.max(0, Math.floor(given * structure.kept) - wanting - structure.slack)
        best = Math.max(best, off - costs + rivalsWith(next - 1))
        given = next
        if (given > MOST_GIVEN || (until === Number.POSITIVE_INFINITY && costs > off + rivalsWith(MOST_GIVEN))) break
      }
    }
    return best
  }

  function boundUpTo(from: number, risks: number, limit: number, stop: number): number {
    end = limit
    stopping = stop
    rivals = 0
    const runs = risks === 0 ? [lowest] : [lowest, highest]
    const first = Math.max(from, lineCount)
    if (from <= lineCount) runLineSteps(from, runs, risks)
    else for (const run of runs) run.sums.set(choice.left)
    let goods = 0
    for (const amount of from <= lineCount ? lowest.amounts : choice.rounded) goods += amount
    for (const amount of choice.taken) goods -= amount
    runOrderSteps(first, runs, risks)
    return goods - mostOff(first, from, risks) - structure.partSlack
  }

  /**
   * `from`: the first step that the choice has not decided. `risks`: the thresholds that are open there. Of the steps that stop
   * others at most one is taken, and then nothing after it: each of them is a case of its own.
   */
  return function boundOf(from: number, risks: number): number {
    let bound = boundUpTo(from, risks, count, -1)
    for (const stop of structure.stops) {
      if (stop >= from && choice.isOpen(stop)) bound = Math.min(bound, boundUpTo(from, risks, stop + 1, stop))
    }
    return Math.max(structure.floorTotal, bound)
  }
}

/** In place of a step: a line group. */
const NO_STEP = -1

/** More than any cart costs. */
const MOST_GIVEN = Number.MAX_SAFE_INTEGER / 4

/** The largest share that a step takes of what more there is. */
function largestRate(step: Step): number {
  if (step.kind === 'line') return step.how === 'percent' ? Math.max(...step.values) / WHOLE : 1
  // An amount that was cut for want of room takes all that there is more.
  return Math.max(step.every ? 1 : 0, ...step.tiers.map(({ how, value }) => (how === 'percent' ? value / WHOLE : 1)))
}

/** The sum of the largest `most` of the first `count` values; reorders them. */
function largestOf(values: Float64Array, count: number, most: number): number {
  const open = values.subarray(0, count)
  if (count > most) open.sort()
  let sum = 0
  for (let at = Math.max(0, count - most); at < count; at++) sum += open[at]!
  return sum
}
