import type { Minor } from '../model/money.ts'
import type { Promotion, RoundingMode } from '../model/promotion.ts'
import { hundredths, opposite, share, split, WHOLE } from './arithmetic.ts'
import type { CartToPrice, LineToPrice } from './cart.ts'
import { type CompiledPromotion, type CompiledRules, matcherOf, type Refusal, refusalOf } from './rules.ts'
import { type Take, takesOf } from './units.ts'

/**
 * THE NORMAL FORM. Whatever its kind, a promotion becomes one of two things for a given cart, and the search knows no others:
 *
 *   line step    changes each of some *cells* by itself: a cell is a number of units of one line that all promotions treat
 *                alike, so lines are cut into as few cells as the promotions for a few units ask for;
 *   order step   takes one amount off some cells together, once all line steps are done. The amount is calculated from what
 *                those cells cost by then, less the earlier order steps that lie wholly within them.
 *
 * Promotions of the first stage that work line by line are line steps, all others are order steps. Delivery is a cell too.
 * Every step only takes away, and takes the less the less there is (until a threshold is missed): the search relies on both.
 */
export interface Problem {
  readonly lines: readonly LineToPrice[]
  /** Cells; the last one is delivery. */
  readonly list: Float64Array
  readonly floor: Float64Array
  readonly units: Float64Array
  readonly lineOf: Int32Array
  /** Line steps, then order steps, each in the order of application. */
  readonly steps: readonly Step[]
  readonly lineSteps: number
  readonly refusals: ReadonlyMap<string, Refusal>
  readonly codesMax: number
}

export type Step = LineStep | OrderStep

interface Common {
  readonly promotion: Promotion
  /** Group that excludes in the whole order. */
  readonly group: string | undefined
  readonly isCode: boolean
}

export interface LineStep extends Common {
  readonly kind: 'line'
  readonly how: Take['how']
  readonly cells: Int32Array
  /** Per cell: hundredths of a percent, minor units a unit, price of a unit, minor units off the cell. */
  readonly values: Float64Array
  readonly rounding: RoundingMode
  readonly perUnit: boolean
  /** First step of the run of a group that excludes by line; each cell takes the best member of the run. */
  readonly runStart: number | undefined
}

export interface OrderStep extends Common {
  readonly kind: 'order'
  readonly target: Int32Array
  readonly measure: Int32Array
  /** Rising thresholds; the last that is reached counts. Empty for a gift. */
  readonly tiers: readonly Tier[]
  readonly every: { readonly amount: Minor; readonly off: Minor; readonly timesMax: number } | undefined
  readonly amountMax: number
  readonly rounding: RoundingMode
  readonly gift: { readonly sku: string; readonly units: number } | undefined
}

export interface Tier {
  readonly from: Minor
  readonly how: 'percent' | 'amount' | 'price'
  readonly value: number
}

interface Open {
  readonly compiled: CompiledPromotion
  readonly takes: readonly Dealt[]
}

/** A take on particular units: those from `start`, around the end of the line if need be. */
interface Dealt extends Take {
  readonly start: number
}

export function buildProblem(rules: CompiledRules, cart: CartToPrice): Problem {
  const lines = cart.lines.filter(line => line.selected && line.quantity > 0).sort((a, b) => (a.sku < b.sku ? -1 : 1))
  const refusals = new Map<string, Refusal>()
  const matches = (scope: Parameters<typeof matcherOf>[0]) => {
    const test = matcherOf(scope)
    return lines.flatMap((line, at) => (test(line) ? [at] : []))
  }
  const { policy } = rules.ruleSet
  const entered = new Set(cart.codes.map(code => code.toLowerCase()))
  const deal = createDealer(lines, policy.units)
  const open: Open[] = []
  for (const compiled of rules.promotions) {
    const { promotion } = compiled
    // A code that nobody entered is nobody's business.
    if (promotion.code !== undefined && !entered.has(promotion.code.toLowerCase())) continue
    const refusal = refusalOf(compiled, cart, lines)
    if (refusal) refusals.set(promotion.id, refusal)
    else open.push({ compiled, takes: deal(takesOf(promotion, lines, matches)) })
  }
  const cells = cutIntoCells(lines, open, cart.shippingFee)
  const builder = createStepBuilder(rules, cart, lines, cells, matches)
  const lineSteps: LineStep[] = []
  const orderSteps: OrderStep[] = []
  for (const { compiled, takes } of open) {
    if (compiled.byLine) {
      const step = builder.lineStep(compiled.promotion, takes, lineSteps)
      if (step) lineSteps.push(step)
    } else {
      const step = builder.orderStep(compiled.promotion, takes)
      if (step) orderSteps.push(step)
    }
  }
  const steps = [...lineSteps, ...orderSteps]
  return { ...cells, lines, steps, lineSteps: lineSteps.length, refusals, codesMax: policy.codesMax }
}

/** Which units of a line a promotion takes: the first ones, or with `fresh-first` those that follow the last ones dealt. */
function createDealer(lines: readonly LineToPrice[], mode: 'shared' | 'fresh-first') {
  const next = lines.map(() => 0)
  return (takes: readonly Take[]): Dealt[] => {
    const own = new Map<number, number>()
    return takes.map(take => {
      const quantity = lines[take.line]!.quantity
      const start = mode === 'shared' ? (own.get(take.line) ?? 0) : next[take.line]!
      own.set(take.line, start + take.units)
      if (take.units < quantity) next[take.line] = (next[take.line]! + take.units) % quantity
      return { ...take, start }
    })
  }
}

interface Cells {
  readonly list: Float64Array
  readonly floor: Float64Array
  readonly units: Float64Array
  readonly lineOf: Int32Array
  /** First cell of each line, and one beyond the last line. */
  readonly firstOf: Int32Array
  /** Where each cell begins within its line. */
  readonly startOf: Float64Array
}

function cutIntoCells(lines: readonly LineToPrice[], open: readonly Open[], shippingFee: Minor): Cells {
  const cuts = lines.map(line => new Set([0, line.quantity]))
  for (const { takes } of open) {
    for (const { line, start, units } of takes) {
      const quantity = lines[line]!.quantity
      if (units >= quantity) continue
      cuts[line]!.add(start % quantity)
      cuts[line]!.add((start + units) % quantity)
    }
  }
  const rows = cuts.map(set => [...set].sort((a, b) => a - b))
  const count = rows.reduce((sum, row) => sum + row.length - 1, 0)
  const cells = {
    list: new Float64Array(count + 1),
    floor: new Float64Array(count + 1),
    units: new Float64Array(count + 1),
    lineOf: new Int32Array(count + 1),
    firstOf: new Int32Array(lines.length + 1),
    startOf: new Float64Array(count + 1),
  }
  let cell = 0
  for (const [at, row] of rows.entries()) {
    const line = lines[at]!
    cells.firstOf[at] = cell
    for (let cut = 0; cut + 1 < row.length; cut++, cell++) {
      const units = row[cut + 1]! - row[cut]!
      cells.startOf[cell] = row[cut]!
      cells.units[cell] = units
      cells.lineOf[cell] = at
      cells.list[cell] = units * line.unitPrice
      cells.floor[cell] = units * Math.min(line.floorPrice ?? 0, line.unitPrice)
    }
  }
  cells.firstOf[lines.length] = cell
  cells.list[cell] = shippingFee
  cells.units[cell] = 1
  cells.lineOf[cell] = -1
  return cells
}

function createStepBuilder(
  { ruleSet: { policy, groups } }: CompiledRules,
  cart: CartToPrice,
  lines: readonly LineToPrice[],
  cells: Cells,
  matches: (scope: Parameters<typeof matcherOf>[0]) => number[],
) {
  const { rounding, percentages } = policy
  const mode = rounding.of === 'price' ? opposite(rounding.mode) : rounding.mode
  const delivery = Int32Array.of(cells.list.length - 1)
  const cellsOfLines = new Map<string, Int32Array>()

  function cellsOf(take: Dealt): number[] {
    const quantity = lines[take.line]!.quantity
    const members: number[] = []
    for (let cell = cells.firstOf[take.line]!; cell < cells.firstOf[take.line + 1]!; cell++) {
      const offset = (cells.startOf[cell]! - take.start + quantity * 2) % quantity
      if (offset < take.units) members.push(cell)
    }
    return members
  }

  /** All cells of the lines of a scope. Equal scopes share one array. */
  function cellsIn(scope: Parameters<typeof matcherOf>[0]): Int32Array {
    const members = matches(scope).flatMap(line => {
      const first = cells.firstOf[line]!
      return Array.from({ length: cells.firstOf[line + 1]! - first }, (_, at) => first + at)
    })
    return shared(members)
  }

  function shared(members: readonly number[]): Int32Array {
    const key = members.join()
    const known = cellsOfLines.get(key) ?? Int32Array.from(members)
    cellsOfLines.set(key, known)
    return known
  }

  function common(promotion: Promotion): Common {
    const { group, code } = promotion
    const inOrder = group !== undefined && groups[group]?.scope !== 'line'
    return { promotion, group: inOrder ? group : undefined, isCode: code !== undefined }
  }

  /** What a promotion may still take off in all. */
  function capOf({ id, amountMax, budget }: Promotion): number {
    const left = budget === undefined ? Number.POSITIVE_INFINITY : budget - (cart.usage[id]?.spent ?? 0)
    return Math.min(amountMax ?? Number.POSITIVE_INFINITY, left)
  }

  /** What takes are worth at list prices: one amount for each. */
  function worthOf(takes: readonly Take[]): Minor[] {
    return takes.map(({ line, units, how, value }) => {
      const { unitPrice } = lines[line]!
      const whole = unitPrice * units
      const off = {
        percent: share(whole, how === 'percent' ? value : 0, WHOLE, mode),
        each: value * units,
        price: Math.max(0, whole - value * units),
        constant: value,
      }[how]
      return Math.min(off, whole)
    })
  }

  function lineStep(promotion: Promotion, dealt: readonly Dealt[], before: readonly LineStep[]): LineStep | undefined {
    const cap = capOf(promotion)
    const worth = worthOf(dealt)
    const sum = worth.reduce((total, off) => total + off, 0)
    // Where a cap binds, or percentages are all of the list price, the amounts are fixed beforehand, at list prices.
    const mixed = dealt.some(take => take.how !== dealt[0]?.how)
    const parallel = percentages === 'parallel' && dealt.some(take => take.how === 'percent')
    const fixed = sum > cap || mixed || parallel
    const parts = sum > cap ? split(cap, worth) : worth
    const takes = fixed ? dealt.map((take, at) => ({ ...take, how: 'constant' as const, value: parts[at]! })) : dealt
    const members: number[] = []
    const values: number[] = []
    for (const take of takes) {
      const own = cellsOf(take)
      const perCell =
        take.how === 'constant'
          ? split(
              take.value,
              own.map(cell => cells.units[cell]!),
            )
          : undefined
      for (const [at, cell] of own.entries()) {
        members.push(cell)
        values.push(perCell?.[at] ?? take.value)
      }
    }
    const [first] = takes
    if (!first || sum === 0) return undefined
    const group = promotion.group
    const runStart = before.findIndex(step => step.promotion.group === group)
    const inLineGroup = group !== undefined && groups[group]?.scope === 'line'
    return {
      kind: 'line',
      ...common(promotion),
      how: first.how,
      cells: Int32Array.from(members),
      values: Float64Array.from(values),
      rounding: mode,
      perUnit: rounding.at === 'unit',
      runStart: inLineGroup ? (runStart < 0 ? before.length : runStart) : undefined,
    }
  }

  function orderStep(promotion: Promotion, takes: readonly Dealt[]): OrderStep | undefined {
    const { when = {}, scope } = promotion
    const ofTakes = takes.some(take => take.units < lines[take.line]!.quantity)
    const target =
      promotion.kind === 'shipping'
        ? delivery
        : ofTakes
          ? shared(takes.flatMap(cellsOf).sort((a, b) => a - b))
          : cellsIn(scope)
    const measure = when.of === undefined ? (promotion.kind === 'shipping' ? cellsIn(scope) : target) : cellsIn(when.of)
    const reward = rewardOf(promotion, takes, sumOf(target), measure)
    if (!reward) return undefined
    const floor = when.basis === 'list' ? 0 : (when.minAmount ?? 0)
    const tiers = reward.tiers.map(tier => ({ ...tier, from: Math.max(tier.from, floor) }))
    const amountMax = capOf(promotion)
    return { kind: 'order', ...common(promotion), target, measure, ...reward, tiers, amountMax, rounding: mode }
  }

  function sumOf(members: Int32Array): Minor {
    return members.reduce((sum, cell) => sum + cells.list[cell]!, 0)
  }

  type Reward = Pick<OrderStep, 'tiers' | 'every' | 'gift'>

  function rewardOf(
    promotion: Promotion,
    takes: readonly Dealt[],
    listSum: Minor,
    measure: Int32Array,
  ): Reward | undefined {
    const percentTier = (from: Minor, percent: number): Tier =>
      percentages === 'parallel'
        ? { from, how: 'amount', value: share(listSum, hundredths(percent), WHOLE, mode) }
        : { from, how: 'percent', value: hundredths(percent) }
    const one = (tier: Tier): Reward => ({ tiers: [tier], every: undefined, gift: undefined })
    switch (promotion.kind) {
      case 'percent_off':
        return one(percentTier(0, promotion.percent))
      case 'fixed_price':
        if (promotion.per === 'order') return one({ from: 0, how: 'price', value: promotion.price })
        return ofWorth()
      case 'amount_off':
        if (promotion.per === 'order') return one({ from: 0, how: 'amount', value: promotion.amount })
        return ofWorth()
      case 'volume':
      case 'buy_get':
      case 'multi_buy':
      case 'bundle':
      case 'set':
        return ofWorth()
      case 'shipping':
        if (promotion.percent !== undefined) return one(percentTier(0, promotion.percent))
        if (promotion.amount !== undefined) return one({ from: 0, how: 'amount', value: promotion.amount })
        return one({ from: 0, how: 'price', value: promotion.price ?? 0 })
      case 'gift': {
        const units = unitsIn(measure)
        const per = promotion.perUnits === undefined ? 1 : Math.floor(units / promotion.perUnits)
        const times = Math.min(per, promotion.timesMax ?? Number.POSITIVE_INFINITY)
        if (times === 0) return undefined
        return { tiers: [], every: undefined, gift: { sku: promotion.sku, units: promotion.units * times } }
      }
      case 'threshold':
        return threshold(promotion, measure, percentTier)
    }

    function ofWorth(): Reward | undefined {
      const off = worthOf(takes).reduce((sum, part) => sum + part, 0)
      return off > 0 ? one({ from: 0, how: 'amount', value: off }) : undefined
    }
  }

  function unitsIn(members: Int32Array): number {
    return members.reduce((sum, cell) => sum + cells.units[cell]!, 0)
  }

  function threshold(
    { tiers = [], every, measure: what, when }: Extract<Promotion, { kind: 'threshold' }>,
    measure: Int32Array,
    percentTier: (from: Minor, percent: number) => Tier,
  ): Reward | undefined {
    const step = every && { amount: every.amount, off: every.off, timesMax: every.timesMax ?? Number.POSITIVE_INFINITY }
    const made = tiers.map(
      ({ from, percent, amount }): Tier =>
        percent === undefined ? { from, how: 'amount', value: amount ?? 0 } : percentTier(from, percent),
    )
    if (what === 'amount' && when?.basis !== 'list') return { tiers: made, every: step, gift: undefined }
    // Units and list prices do not change on the way: the tier is known now.
    const reached = what === 'units' ? unitsIn(measure) : sumOf(measure)
    if (step) {
      const times = Math.min(step.timesMax, Math.floor(reached / step.amount))
      return times > 0
        ? { tiers: [{ from: 0, how: 'amount', value: step.off * times }], every: undefined, gift: undefined }
        : undefined
    }
    const tier = made.findLast(({ from }) => from <= reached)
    return tier && { tiers: [{ ...tier, from: 0 }], every: undefined, gift: undefined }
  }

  return { lineStep, orderStep }
}
