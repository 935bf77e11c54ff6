import { type Evaluation, orderDiscount, sumScopes } from './evaluation.ts'
import { WHOLE } from './arithmetic.ts'
import { leastAfterLines, lineDiscount } from './line-steps.ts'
import type { Every, LineStep } from './problem.ts'

/**
 * What can be said about the steps of one cart before the search, above all which of them need no branch.
 *
 * A step is *free* when nothing hinders it: it is in no group with another member, codes are not scarce, it does not stop
 * others, and less costs less from there on. The last is so when, thresholds aside,
 *
 *   - line steps: what is left of less is not more, cell by cell. This holds for all of them, but for members of a line group
 *     that want the same line and that are not compared cell by cell, and for the rounding of parts of a line: where an order step aims at a part of a line, no step of that line is free, and bounds leave room for the cents;
 *   - order steps: take two runs of which one costs less by some d >= 0 on every cell. A step that takes off a given amount
 *     does not care. A step that *responds* (a percentage, or an amount that may not fit) takes off at most as much more in the
 *     dearer run as its cells cost more there, so on its cells the difference stays >= 0 in all. If of any two of these that
 *     overlap the earlier lies within the later, those cells stay together ever after, and the difference of the totals is a sum
 *     of such differences. Without that, a step could lower the bases of two later ones at once, and no step is free.
 *
 * A free step is *sure* to be in a best combination unless it may decide whether a later threshold is reached. `risks` has a
 * bit for every threshold that lies between what its lines may still come down to and what they cost now.
 *
 * Giving up d by leaving free steps out makes the order dearer by at least `kept * d - slack`, where no amount is cut for want
 * of room: each free percentage passes on all but itself, rounded.
 */
export interface Structure {
  /** Number of the group that excludes in the order, or -1. */
  readonly groupOf: Int32Array
  readonly groups: number
  /** Number of the code that is scarce, or -1: where all codes can be used at once none is. */
  readonly codeOf: Int32Array
  readonly codes: number
  /** The amounts of some order steps may not fit on their lines, which only their placement shows. */
  readonly mayLose: boolean
  readonly floorTotal: number
  /** Order steps with thresholds that are open. */
  readonly jumps: readonly Jump[]
  /** Steps after which nothing is taken. */
  readonly stops: readonly number[]
  readonly kept: number
  readonly slack: number
  /** By how many minor units the rounding of parts of lines may change what order steps take off, at most. */
  readonly partSlack: number
  hasThreshold(step: number): boolean
  isFree(step: number): boolean
  isForced(step: number, risks: number): boolean
}

interface Jump {
  readonly step: number
  /** reduction[k]: by how much the steps from k up to this one may bring down what it measures, at most. */
  readonly reduction: Float64Array
  /** By how much rounded lines may differ from unrounded ones, at most. */
  readonly slack: number
  /** The thresholds above `low` and not above `high`, the first few of them. */
  openBetween(low: number, high: number): readonly number[]
}

const RISK_BITS = 31
/** More open thresholds of one step than this are not looked at one by one. */
export const THRESHOLDS_MAX = 12

export function analyse(evaluation: Evaluation): Structure {
  const { problem, lineSteps, orderSteps } = evaluation
  const { steps, codesMax } = problem
  const lineCount = lineSteps.length
  const names = [...new Set(steps.flatMap(step => (step.group === undefined ? [] : [step.group])))]
  const sizes = names.map(name => steps.filter(step => step.group === name && !step.promotion.exclusive).length)
  const groupOf = Int32Array.from(steps, ({ group }) => {
    const at = group === undefined ? -1 : names.indexOf(group)
    return at >= 0 && sizes[at]! > 1 ? at : -1
  })
  const entered = [...new Set(steps.flatMap(step => (step.promotion.exclusive ? [] : (step.code ?? []))))]
  const codes = entered.length > codesMax ? entered : []
  const codeOf = Int32Array.from(steps, ({ code }) => (code === undefined ? -1 : codes.indexOf(code)))
  const parts = partsOf(evaluation)
  const rivals = rivalsByLine(evaluation)
  const touchesParts = (at: number) =>
    at < lineCount && lineSteps[at]!.cells.some(cell => parts.lines.has(problem.lineOf[cell]!))
  const isHindered = (at: number) =>
    steps[at]!.promotion.stops === true ||
    groupOf[at]! >= 0 ||
    codeOf[at]! >= 0 ||
    touchesParts(at) ||
    (at < lineCount && rivals.hinders(lineSteps[at]!))
  const orders = analyseOrderSteps(evaluation, groupOf)
  const free = steps.map((_, at) => !isHindered(at) && (orders.lessCostsLess || orders.isGift(at - lineCount)))
  const all = jumpsOf(evaluation, groupOf, names.length)
  const jumps = all.filter(jump => {
    const high = evaluation.scopes[evaluation.measureOf[jump.step - lineCount]!]!.reduce(
      (sum, cell) => sum + problem.list[cell]!,
      0,
    )
    return isOpen(jump, high - jump.reduction[0]! - jump.slack, high + jump.slack)
  })
  const affects = steps.map((_, at) =>
    jumps.reduce((mask, { step, reduction }, bit) => {
      const changesIt = at < step && reduction[at]! > reduction[at + 1]!
      return step === at || changesIt ? mask | riskBit(bit) : mask
    }, 0),
  )
  const rates = orderSteps.flatMap((_, at) =>
    free[lineCount + at] && orders.rateOf(at) > 0 ? [orders.rateOf(at)] : [],
  )
  return {
    groupOf,
    groups: names.length,
    codeOf,
    codes: codes.length,
    mayLose: orders.mayLose,
    floorTotal: problem.floor.reduce((sum, floor) => sum + floor, 0),
    jumps,
    stops: steps.flatMap(({ promotion }, at) => (promotion.stops && !promotion.exclusive ? [at] : [])),
    kept: rates.reduce((kept, rate) => kept * (1 - rate), 1),
    slack: rates.length,
    partSlack: parts.slack,
    hasThreshold: at => all.some(({ step }) => step === at),
    isFree: at => free[at]!,
    isForced: (at, risks) => free[at]! && (affects[at]! & risks) === 0,
  }
}

export function isOpen(jump: Jump, low: number, high: number): boolean {
  return jump.openBetween(low, high).length > 0
}

/** Bit of the n-th threshold; those beyond the last bit share it. */
export function riskBit(at: number): number {
  return 1 << Math.min(at, RISK_BITS - 1)
}

/** Lines of which an order step aims at some cells and not at others. */
function partsOf({ problem: { lineOf }, orderSteps }: Evaluation): { lines: Set<number>; slack: number } {
  const cells = new Map<number, number>()
  for (const line of lineOf) cells.set(line, (cells.get(line) ?? 0) + 1)
  const lines = new Set<number>()
  let slack = 0
  for (const { target } of orderSteps) {
    const aimed = new Map<number, number>()
    for (const cell of target) aimed.set(lineOf[cell]!, (aimed.get(lineOf[cell]!) ?? 0) + 1)
    for (const [line, count] of aimed) {
      if (count === cells.get(line)) continue
      lines.add(line)
      slack += 2 // a part begins and ends somewhere, and each may be rounded the other way
    }
  }
  return { lines, slack }
}

/**
 * Members of a line group that want the same line. Of members that take each line by itself the line keeps the best, which is the
 * least of both on every cell only where the line is one cell; and a line that a member needs for itself is not the others'.
 */
function rivalsByLine({ problem: { firstOf }, lineSteps }: Evaluation) {
  const members = new Map<string, Set<LineStep>>()
  const needed = new Set<string>()
  const places = ({ runStart, parts, own = [] }: LineStep) =>
    [...new Set([...own, ...parts.map(({ line }) => line)])].map(line => ({
      line,
      key: `${runStart} ${line}`,
    }))
  for (const step of lineSteps) {
    if (step.runStart === undefined) continue
    for (const { key } of places(step)) members.set(key, (members.get(key) ?? new Set()).add(step))
    for (const line of step.own ?? []) needed.add(`${step.runStart} ${line}`)
  }
  return {
    hinders: (step: LineStep) =>
      step.runStart !== undefined &&
      places(step).some(({ line, key }) => {
        const isCut = firstOf[line + 1]! - firstOf[line]! > 1
        return members.get(key)!.size > 1 && (isCut || needed.has(key))
      }),
  }
}

function analyseOrderSteps(evaluation: Evaluation, groupOf: Int32Array) {
  const { problem, orderSteps, scopes, masks, within, targetOf } = evaluation
  const lineCount = evaluation.lineSteps.length
  const listSums = new Float64Array(scopes.length)
  sumScopes(evaluation, problem.list, listSums)
  const lowSums = new Float64Array(scopes.length)
  sumScopes(evaluation, leastAfterLines(evaluation), lowSums)
  const isGift = (at: number) => orderSteps[at]?.gift !== undefined
  const most = orderSteps.map((step, at) => (step.promotion.exclusive ? 0 : orderDiscount(evaluation, at, listSums)))
  const overlap = scopes.map((_, a) => scopes.map(cells => cells.some(cell => masks[a]![cell] === 1)))
  const meet = (a: number, b: number) => overlap[targetOf[a]!]![targetOf[b]!]!
  const nested = (inner: number, outer: number) => within[targetOf[outer]!]![inner] === 1
  const active = [...orderSteps.keys()].filter(at => !isGift(at) && most[at]! > 0)
  const room = (scope: number) => lowSums[scope]! - evaluation.floorSum[scope]!
  const together = (of: readonly number[]) =>
    largestTogether(of.map(at => [groupOf[lineCount + at]!, most[at]!] as const))
  // Room for everything that can ever be taken off the lines around it: then its amount is never cut ...
  const tight = scopes.map((_, scope) => room(scope) < together(active.filter(other => within[scope]![other] === 1)))
  const isCut = orderSteps.map((_, at) => evaluation.enclosing[at]!.some(scope => tight[scope]))
  // ... and, placed from narrow to broad, always finds cells.
  const sizeOf = (at: number) => orderSteps[at]!.breadth
  const fits = (at: number) =>
    room(targetOf[at]!) >= together(active.filter(other => sizeOf(other) <= sizeOf(at) && meet(at, other)))
  const isAmount = (at: number) => orderSteps[at]!.tiers.every(tier => tier.how === 'amount')
  const responds = (at: number) => isCut[at]! || !isAmount(at)
  /** The largest share that it takes of what more the goods cost. */
  const rateOf = (at: number) =>
    orderSteps[at]!.promotion.kind === 'shipping'
      ? 0
      : Math.max(
          0,
          ...orderSteps[at]!.tiers.map(({ how, value }) =>
            how === 'percent' ? value / WHOLE : how === 'price' ? 1 : 0,
          ),
        )
  const pairs = active.flatMap((a, at) => active.slice(at + 1).map(b => [a, b] as const)).filter(([a, b]) => meet(a, b))
  // Of two that overlap in part the broader is placed last and may find too little; nested ones are cut to what there is before.
  const mayLose = pairs.some(([a, b]) => !nested(a, b) && !nested(b, a) && !fits(sizeOf(a) > sizeOf(b) ? a : b))
  const narrowToBroad = pairs.every(([a, b]) => !responds(a) || !responds(b) || nested(a, b))
  return { isGift, responds, rateOf, mayLose, lessCostsLess: narrowToBroad && !mayLose }
}

/** The largest sum of amounts of which at most one is of each group; group -1 is none. */
function largestTogether(amounts: readonly (readonly [group: number, amount: number])[]): number {
  const best = new Map<number, number>()
  let sum = 0
  for (const [group, amount] of amounts) {
    if (group < 0) sum += amount
    else best.set(group, Math.max(best.get(group) ?? 0, amount))
  }
  for (const amount of best.values()) sum += amount
  return sum
}

/** Upper bounds: what a step takes off at list prices is the most it ever does. Of a group only the largest counts. */
function jumpsOf(evaluation: Evaluation, groupOf: Int32Array, groups: number): Jump[] {
  const { problem, lineSteps, orderSteps } = evaluation
  const lineCount = lineSteps.length
  const listSums = new Float64Array(evaluation.scopes.length)
  sumScopes(evaluation, problem.list, listSums)
  return orderSteps.flatMap((order, index): Jump[] => {
    const minimum = order.every?.minimum ?? 0
    const thresholds = [...order.tiers.map(tier => tier.from), minimum].filter(from => from > 0)
    if (thresholds.length === 0 && !order.every) return []
    const measure = evaluation.measureOf[index]!
    const step = lineCount + index
    const reduction = new Float64Array(step + 1)
    const groupMost = new Float64Array(groups)
    let free = 0
    for (let at = step - 1; at >= 0; at--) {
      const before = at - lineCount
      let most = 0
      if (at < lineCount)
        most = lineDiscount(evaluation, lineSteps[at]!, problem.list, problem.list, evaluation.masks[measure])
      else if (evaluation.within[measure]![before] === 1) most = orderDiscount(evaluation, before, listSums)
      const group = groupOf[at]!
      if (group < 0) free += most
      else groupMost[group] = Math.max(groupMost[group]!, most)
      reduction[at] = free + groupMost.reduce((sum, one) => sum + one, 0)
    }
    const slack = evaluation.scopes[measure]!.length
    return [{ step, reduction, slack, openBetween: opensOf(thresholds, order.every) }]
  })
}

function opensOf(thresholds: readonly number[], every: Every | undefined): Jump['openBetween'] {
  return (low, high) => {
    const open = thresholds.filter(from => low < from && from <= high)
    if (!every) return open
    const first = Math.floor(Math.max(0, low) / every.amount) + 1
    const last = Math.min(every.timesMax, Math.floor(high / every.amount), first + THRESHOLDS_MAX)
    for (let times = first; times <= last; times++) open.push(times * every.amount)
    return open
  }
}

/** What the scope that a jump measures costs now; unrounded while line steps are open. */
export function costNow(
  evaluation: Evaluation,
  jump: Jump,
  amounts: Float64Array | undefined,
  left: Float64Array,
): number {
  const scope = evaluation.measureOf[jump.step - evaluation.lineSteps.length]!
  if (!amounts) return left[scope]!
  const cells = evaluation.scopes[scope]!
  evaluation.work += cells.length
  let sum = 0
  for (let index = 0; index < cells.length; index++) sum += amounts[cells[index]!]!
  return sum
}
