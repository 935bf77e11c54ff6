import { type Minor, amountOf } from '../../model/money.ts'
import type { Promotion, Scope } from '../../model/promotion.ts'
import { hundredths, opposite, share, split, WHOLE } from './arithmetic.ts'
import type { CartToPrice } from './input.ts'
import type { Cells, AssignedDiscount, Open } from './partition.ts'
import type { EnteredCodes } from './codes.ts'
import type { LineStep, OrderStep, Tier } from './problem.ts'
import type { CompiledRules } from './rules.ts'
import type { ScopeIndex } from './scope-index.ts'
import type { UnitDiscount } from './unit-selection.ts'

/** Makes steps of the normal form (problem.ts) out of promotions and the units that they take. */
export function createStepBuilder(
  { ruleSet: { policy }, lineGroupOf }: CompiledRules,
  cart: CartToPrice,
  {
    scopeIndex,
    cells,
    entered,
  }: { readonly scopeIndex: ScopeIndex; readonly cells: Cells; readonly entered: EnteredCodes },
) {
  const { lines } = scopeIndex
  const { rounding, percentages } = policy
  const mode = rounding.of === 'price' ? opposite(rounding.mode) : rounding.mode
  const delivery = Int32Array.of(cells.list.length - 1)
  const byScope = new Map<Scope | undefined, Int32Array>()
  const distinct: Int32Array[] = []

  function cellsOf(take: AssignedDiscount): number[] {
    const { quantity } = lines[take.line]!
    const members: number[] = []
    for (let cell = cells.firstOf[take.line]!; cell < cells.firstOf[take.line + 1]!; cell++) {
      const offset = (cells.startOf[cell]! - take.start + quantity * 2) % quantity
      if (offset < take.units) members.push(cell)
    }
    return members
  }

  /** All cells of the lines of a scope. */
  function cellsIn(scope: Scope | undefined): Int32Array {
    let found = byScope.get(scope)
    if (!found) {
      const members: number[] = []
      for (const line of scopeIndex.members(scope))
        for (let cell = cells.firstOf[line]!; cell < cells.firstOf[line + 1]!; cell++) members.push(cell)
      found = shared(members)
      byScope.set(scope, found)
    }
    return found
  }

  /** One array for equal sets of cells, so that scopes can be compared by identity. */
  function shared(members: readonly number[]): Int32Array {
    const same = (known: Int32Array) =>
      known.length === members.length && known.every((cell, at) => cell === members[at])
    const known = distinct.find(same)
    if (known) return known
    const made = Int32Array.from(members)
    distinct.push(made)
    return made
  }

  function common(promotion: Promotion, isOneOf = false) {
    const { group } = promotion
    const inOrder = group !== undefined && lineGroupOf(promotion) === undefined
    const offersOfIt = isOneOf ? `offers of ${promotion.id}` : undefined
    return {
      promotion,
      group: inOrder ? `group ${group}` : offersOfIt,
      code: entered.openingOf(promotion)?.form,
    }
  }

  /** What a promotion may still take off in all. */
  function capOf({ id, amountMax, budget }: Promotion): number {
    const left = budget === undefined ? Number.POSITIVE_INFINITY : budget - (cart.usage[id]?.spent ?? 0)
    return Math.min(amountMax ?? Number.POSITIVE_INFINITY, left)
  }

  /** What takes are worth at list prices: one amount for each. */
  function worthOf(takes: readonly UnitDiscount[]): Minor[] {
    return takes.map(({ line, units, how, value }) => {
      const { unitPrice } = lines[line]!
      const whole = amountOf(unitPrice, units)
      const off = {
        percent: share(whole, how === 'percent' ? value : 0, WHOLE, mode),
        each: value * units,
        price: Math.max(0, whole - value * units),
        constant: value,
      }[how]
      return Math.min(off, whole)
    })
  }

  /** Where a cap binds, or percentages are all of the list price, or rewards differ in kind: amounts fixed at list prices. */
  function fixed(promotion: Promotion, dealt: readonly AssignedDiscount[]): readonly AssignedDiscount[] {
    const how = dealt[0]?.how
    const parallel = percentages === 'parallel' && dealt.some(take => take.how === 'percent')
    const cap = capOf(promotion)
    if (cap === Number.POSITIVE_INFINITY && !parallel && dealt.every(take => take.how === how)) return dealt
    const worth = worthOf(dealt)
    const sum = worth.reduce((total, off) => total + off, 0)
    if (sum <= cap && !parallel && dealt.every(take => take.how === how)) return dealt
    const parts = sum > cap ? split(cap, worth) : worth
    return dealt.map((take, at) => ({ ...take, how: 'constant' as const, value: parts[at]! }))
  }

  function lineStep({ compiled, takes: dealt, own, isOneOf }: Open, before: readonly LineStep[]): LineStep | undefined {
    const { promotion } = compiled
    const takes = fixed(promotion, dealt)
    const values: { cell: number; value: number }[] = []
    for (const take of takes) {
      for (const cell of cellsOf(take)) {
        const value = take.how === 'constant' ? (take.value * cells.units[cell]!) / take.units : take.value
        values.push({ cell, value })
      }
    }
    values.sort((a, b) => a.cell - b.cell)
    const [first] = takes
    if (!first) return undefined
    const group = lineGroupOf(promotion)
    const runStart = before.findIndex(step => lineGroupOf(step.promotion) === group)
    return {
      kind: 'line',
      ...common(promotion, isOneOf),
      how: first.how,
      cells: Int32Array.from(values, ({ cell }) => cell),
      values: Float64Array.from(values, ({ value }) => value),
      rounding: mode,
      perUnit: rounding.at === 'unit',
      runStart: group === undefined ? undefined : runStart < 0 ? before.length : runStart,
      parts: partsOf(values.map(({ cell }) => cells.lineOf[cell]!)),
      own,
    }
  }

  function orderStep(promotion: Promotion, takes: readonly AssignedDiscount[]): OrderStep | undefined {
    const { when, scope } = promotion
    const ofUnits = 'units' in promotion && typeof promotion.units === 'object'
    if (ofUnits && takes.length === 0) return undefined
    const target =
      promotion.kind === 'shipping'
        ? delivery
        : ofUnits
          ? shared(takes.flatMap(cellsOf).sort((a, b) => a - b))
          : cellsIn(scope)
    const measure =
      when?.of === undefined ? (promotion.kind === 'shipping' ? cellsIn(scope) : target) : cellsIn(when.of)
    const reward = rewardOf(promotion, sumOf(target), measure)
    if (!reward) return undefined
    const floor = when?.basis === 'current' ? (when.minAmount ?? 0) : 0
    const tiers = reward.tiers.map(tier => ({ ...tier, from: Math.max(tier.from, floor) }))
    const amountMax = capOf(promotion)
    const breadth = unitsIn(target)
    return {
      kind: 'order',
      ...common(promotion),
      target,
      breadth,
      measure,
      ...reward,
      tiers,
      amountMax,
      rounding: mode,
    }
  }

  function sumOf(members: Int32Array): Minor {
    return members.reduce((sum, cell) => sum + cells.list[cell]!, 0)
  }

  type Reward = Pick<OrderStep, 'tiers' | 'every' | 'gift'>

  function rewardOf(promotion: Promotion, listSum: Minor, measure: Int32Array): Reward | undefined {
    const percentTier = (from: Minor, percent: number): Tier =>
      percentages === 'parallel'
        ? { from, how: 'amount', value: share(listSum, hundredths(percent), WHOLE, mode) }
        : { from, how: 'percent', value: hundredths(percent) }
    const one = (tier: Tier): Reward => ({ tiers: [tier], every: undefined, gift: undefined })
    switch (promotion.kind) {
      case 'percent_off':
        return one(percentTier(0, promotion.percent))
      case 'fixed_price':
        return one({ from: 0, how: 'price', value: promotion.price })
      case 'amount_off':
        return one({ from: 0, how: 'amount', value: promotion.amount })
      case 'volume':
      case 'buy_get':
      case 'multi_buy':
      case 'bundle':
      case 'set':
        return undefined // these work line by line
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
  }

  function unitsIn(members: Int32Array): number {
    return members.reduce((sum, cell) => sum + cells.units[cell]!, 0)
  }

  function threshold(
    { tiers = [], every, measure: what, when }: Extract<Promotion, { kind: 'threshold' }>,
    measure: Int32Array,
    percentTier: (from: Minor, percent: number) => Tier,
  ): Reward | undefined {
    const minimum = when?.basis === 'current' ? (when.minAmount ?? 0) : 0
    const step = every && {
      amount: every.amount,
      off: every.off,
      timesMax: every.timesMax ?? Number.POSITIVE_INFINITY,
      minimum,
    }
    const made = tiers.map(
      ({ from, percent, amount }): Tier =>
        percent === undefined ? { from, how: 'amount', value: amount ?? 0 } : percentTier(from, percent),
    )
    if (what === 'amount' && when?.basis === 'current') return { tiers: made, every: step, gift: undefined }
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

  return { lineStep, orderStep, rounding: mode }
}

/** Where each line begins and ends in a row of lines, equal ones side by side. */
function partsOf(lines: readonly number[]): LineStep['parts'] {
  const firsts = lines.flatMap((line, at) => (at === 0 || lines[at - 1] !== line ? [at] : []))
  return firsts.map((first, at) => ({ line: lines[first]!, first, end: firsts[at + 1] ?? lines.length }))
}
