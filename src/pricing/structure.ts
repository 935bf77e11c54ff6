import { type Arena, lineDiscount, orderDiscount, sumScopes } from './arena.ts'

/**
 * What can be said about the steps of one cart before the search, above all which of them need no branch.
 *
 * A step is *free* when nothing hinders it: it is in no group with another member, codes are not scarce, and it does not stop
 * others. Taking a free step never makes the order dearer, and so needs no branch, if from there on less always costs less:
 *
 *   - line steps: cell by cell, what is left of less is not more (whole numbers, rounded monotonically);
 *   - order steps that go from narrow to broad: of any two that overlap, the earlier lies within the later. Then take two runs
 *     of which one costs less by some d >= 0 on every cell. A step takes off at most as much more in the dearer run as its
 *     cells cost more there, so the difference on its cells stays >= 0; and they stay together for ever after, because every
 *     later step that meets them holds them all. At the end the difference of the totals is a sum of such differences.
 *     Without that order a step may lower the base of two later ones at once, and nothing is taken for certain;
 *   - thresholds: a step is only sure while no threshold after it is open, i.e. lies between what its lines may still come down
 *     to and what they cost now. `risks` has a bit for every threshold that is open (the last bit for all beyond the 30th).
 */
export interface Structure {
  /** Number of the group that excludes in the order, or -1. */
  readonly groupOf: Int32Array
  readonly groups: number
  /** Some order steps overlap without one holding the other: their amounts may not all fit on the lines. */
  readonly mayLose: boolean
  readonly floorTotal: number
  readonly jumps: readonly Jump[]
  isFree(step: number): boolean
  isSure(step: number, risks: number): boolean
}

/** An order step with thresholds that may be missed. */
export interface Jump {
  readonly step: number
  /** reduction[k]: by how much the steps from k up to this one may bring down what it measures, at most. */
  readonly reduction: Float64Array
  /** True when a threshold lies above `low` and not above `high`. */
  isOpenBetween(low: number, high: number): boolean
}

const RISK_BITS = 31

export function analyse(arena: Arena): Structure {
  const { problem, lineSteps, orderSteps } = arena
  const { steps, codesMax } = problem
  const lineCount = lineSteps.length
  const names = [...new Set(steps.flatMap(step => (step.group === undefined ? [] : [step.group])))]
  const sizes = names.map(name => steps.filter(step => step.group === name && !step.promotion.exclusive).length)
  const groupOf = Int32Array.from(steps, ({ group }) => {
    const at = group === undefined ? -1 : names.indexOf(group)
    return at >= 0 && sizes[at]! > 1 ? at : -1
  })
  const scarceCodes = steps.filter(step => step.isCode).length > codesMax
  const { nested, disjoint } = relationsOf(arena)
  const isGift = (at: number) => orderSteps[at]!.gift !== undefined
  const pairs = orderSteps.flatMap((_, a) => orderSteps.slice(a + 1).map((__, b) => [a, a + 1 + b] as const))
  const meeting = pairs.filter(([a, b]) => !disjoint(a, b) && !isGift(a) && !isGift(b))
  const narrowToBroad = meeting.every(([a, b]) => nested(a, b))
  const all = jumpsOf(arena, groupOf, names.length)
  const high = all.map(({ step }) => problemSum(arena, arena.scopes[arena.measureOf[step - lineCount]!]!))
  const jumps = all.filter((jump, at) => jump.isOpenBetween(high[at]! - jump.reduction[0]!, high[at]!))
  const affects = steps.map((_, at) => riskMask(jumps, jump => jump.step === at || changes(at, jump)))

  function changes(at: number, { step, reduction }: Jump): boolean {
    return at < step && reduction[at]! > reduction[at + 1]!
  }

  const free = steps.map((step, at) => {
    if (step.promotion.stops || groupOf[at]! >= 0 || (step.isCode && scarceCodes)) return false
    return narrowToBroad || (at >= lineCount && isGift(at - lineCount))
  })
  return {
    groupOf,
    groups: names.length,
    mayLose: meeting.some(([a, b]) => !nested(a, b) && !nested(b, a)),
    floorTotal: problem.floor.reduce((sum, floor) => sum + floor, 0),
    jumps,
    isFree: at => free[at]!,
    isSure: (at, risks) => free[at]! && (affects[at]! & risks) === 0,
  }
}

/** Bit of the n-th threshold; those beyond the last bit share it. */
export function riskBit(at: number): number {
  return 1 << Math.min(at, RISK_BITS - 1)
}

function riskMask(jumps: readonly Jump[], holds: (jump: Jump) => boolean): number {
  return jumps.reduce((mask, jump, at) => (holds(jump) ? mask | riskBit(at) : mask), 0)
}

function problemSum({ problem }: Arena, cells: Int32Array): number {
  return cells.reduce((sum, cell) => sum + problem.list[cell]!, 0)
}

/** How the targets of two order steps lie to each other. */
function relationsOf({ orderSteps, within, targetOf }: Arena) {
  const sets = orderSteps.map(step => new Set(step.target))
  return {
    nested: (inner: number, outer: number) => within[targetOf[outer]!]![inner] === 1,
    disjoint: (a: number, b: number) => !orderSteps[b]!.target.some(cell => sets[a]!.has(cell)),
  }
}

/** Upper bounds: what a step takes off at list prices is the most it ever does. Of a group only the largest counts. */
function jumpsOf(arena: Arena, groupOf: Int32Array, groups: number): Jump[] {
  const { problem, lineSteps, orderSteps } = arena
  const lineCount = lineSteps.length
  const listSums = new Float64Array(arena.scopes.length)
  sumScopes(arena, problem.list, listSums)
  const nothing = new Float64Array(orderSteps.length)
  return orderSteps.flatMap((order, index): Jump[] => {
    const thresholds = order.tiers.map(tier => tier.from).filter(from => from > 0)
    if (thresholds.length === 0 && !order.every) return []
    const measure = arena.measureOf[index]!
    const inMeasure = new Set(arena.scopes[measure])
    const step = lineCount + index
    const reduction = new Float64Array(step + 1)
    const groupMost = new Float64Array(groups)
    let free = 0
    for (let at = step - 1; at >= 0; at--) {
      const before = at - lineCount
      let most = 0
      if (at < lineCount) most = lineDiscountWithin(arena, at, inMeasure)
      else if (arena.within[measure]![before] === 1) most = orderDiscount(arena, before, listSums, nothing)
      const group = groupOf[at]!
      if (group < 0) free += most
      else groupMost[group] = Math.max(groupMost[group]!, most)
      reduction[at] = free + groupMost.reduce((sum, one) => sum + one, 0)
    }
    const { every } = order
    const isOpenBetween = (low: number, high: number) =>
      thresholds.some(from => low < from && from <= high) ||
      (every !== undefined && Math.floor(Math.max(0, low) / every.amount) < Math.floor(high / every.amount))
    return [{ step, reduction, isOpenBetween }]
  })
}

function lineDiscountWithin(arena: Arena, at: number, cells: ReadonlySet<number>): number {
  const step = arena.lineSteps[at]!
  if (step.cells.every(cell => cells.has(cell))) return lineDiscount(arena, step, arena.problem.list)
  const indexes = [...step.cells.keys()].filter(index => cells.has(step.cells[index]!))
  const part = {
    ...step,
    cells: Int32Array.from(indexes, index => step.cells[index]!),
    values: Float64Array.from(indexes, index => step.values[index]!),
  }
  return lineDiscount(arena, part, arena.problem.list)
}
