import { type Minor, amountOf } from '../../model/money.ts'
import type { Promotion, PromotionOf, UnitChoice } from '../../model/promotion.ts'
import { hundredths, isSomething, largest, share, split, WHOLE } from './arithmetic.ts'
import { createBundles } from './bundles.ts'
import { bestGrouping, type Grouping } from './sets.ts'
import { paidFor, type Piece, type ScopeIndex } from './scope-index.ts'

/**
 * Which units of which lines a promotion is about, and what it does to each: decided once per promotion, by unit prices,
 * before promotions are combined, so that what one promotion takes does not depend on the others. Units are counted, never
 * listed: every function here costs the number of lines, or its logarithm, whatever the quantities are.
 */
export interface UnitDiscount {
  /** Index into the lines of the cart. */
  readonly line: number
  readonly units: number
  readonly how: 'percent' | 'each' | 'price' | 'constant'
  /** Hundredths of a percent; minor units off each unit; price of a unit; minor units off all of these units together. */
  readonly value: number
}

type Reward = { percent?: number | undefined; amount?: number | undefined; price?: number | undefined }

export interface Choice {
  readonly takes: readonly UnitDiscount[]
  /** The most that other units could be worth, in minor units, where it is not proved that these are worth the most; or 0. */
  readonly unproved: Minor
}

export function choiceOf(promotion: Promotion, scopeIndex: ScopeIndex): Choice {
  const pool = scopeIndex.pool(promotion.scope)
  if (promotion.kind !== 'set') return { takes: takesOf(promotion, pool, scopeIndex), unproved: 0 }
  const grouping = groupingOf(promotion, pool)
  const isProved = grouping.most === grouping.worth
  return { takes: setOfDifferent(grouping, pool), unproved: isProved ? 0 : Math.ceil(grouping.most / WHOLE) }
}

function takesOf(
  promotion: Exclude<Promotion, { kind: 'set' }>,
  pool: readonly Piece[],
  scopeIndex: ScopeIndex,
): UnitDiscount[] {
  switch (promotion.kind) {
    case 'percent_off':
      return choose(pool, promotion.units).map(piece => percentOff(piece, promotion.percent))
    case 'amount_off':
      return amountOff(promotion, pool)
    case 'fixed_price':
      return choose(pool, promotion.units).map(piece => ({ ...unpriced(piece), how: 'price', value: promotion.price }))
    case 'volume':
      return volume(promotion, pool)
    case 'buy_get':
      return buyGet(promotion, scopeIndex)
    case 'multi_buy':
      return multiBuy(promotion, pool)
    case 'bundle':
      return bundle(promotion, scopeIndex)
    case 'threshold': {
      const percent = percentReached(promotion, scopeIndex)
      return percent > 0 ? pool.map(piece => percentOff(piece, percent)) : []
    }
    case 'gift':
    case 'shipping':
      return []
  }
}

/** The percentage of a ladder over some products, by what they cost before promotions, or by their number. */
function percentReached(
  { tiers = [], measure, scope, when }: PromotionOf<'threshold'>,
  scopeIndex: ScopeIndex,
): number {
  const counted = scopeIndex.pool(when?.of ?? scope)
  const reached = measure === 'units' ? countOf(counted) : valueOf(counted)
  return tiers.findLast(tier => tier.from <= reached)?.percent ?? 0
}

const countOf = (pool: readonly Piece[]) => pool.reduce((sum, piece) => sum + piece.units, 0)
const valueOf = (pool: readonly Piece[]) => pool.reduce((sum, piece) => sum + amountOf(piece.price, piece.units), 0)
const unpriced = ({ line, units }: Piece) => ({ line, units })

function percentOff(piece: Piece, percent: number): UnitDiscount {
  return { ...unpriced(piece), how: 'percent', value: hundredths(percent) }
}

/** The first units of a pool that is in the order of taking. */
function firstUnits(pool: readonly Piece[], count: number): Piece[] {
  const taken: Piece[] = []
  let left = count
  for (const piece of pool) {
    if (left <= 0) break
    const units = Math.min(piece.units, left)
    left -= units
    if (units > 0) taken.push({ ...piece, units })
  }
  return taken
}

/** Cheapest first; products of one price stay in the order of their codes. */
function cheapestFirst(pool: readonly Piece[]): Piece[] {
  return [...pool].sort((a, b) => a.price - b.price)
}

function choose(all: readonly Piece[], choice: UnitChoice | undefined): readonly Piece[] {
  if (!choice) return all
  const pool = paidFor(all)
  const { max = Number.POSITIVE_INFINITY, maxPerLine = Number.POSITIVE_INFINITY, groupsOf = 1, groupsBy, take } = choice
  const whole = (count: number, size: number) => count - (count % size)
  const ordered = (take === 'cheapest' ? cheapestFirst(pool) : pool).map(piece => ({
    ...piece,
    units: whole(Math.min(piece.units, maxPerLine), groupsBy === 'line' ? groupsOf : 1),
  }))
  return firstUnits(ordered, whole(Math.min(max, countOf(ordered)), groupsOf))
}

function amountOff(promotion: PromotionOf<'amount_off'>, pool: readonly Piece[]): UnitDiscount[] {
  return choose(pool, promotion.units).flatMap((piece): UnitDiscount[] => {
    if (promotion.per === 'line') return [{ ...unpriced(piece), how: 'constant', value: promotion.amount }]
    const { first } = promotion
    if (first === undefined) return [{ ...unpriced(piece), how: 'each', value: promotion.amount }]
    const others: UnitDiscount = { line: piece.line, units: piece.units - 1, how: 'each', value: promotion.amount }
    return [{ line: piece.line, units: 1, how: 'each', value: first }, ...(others.units > 0 ? [others] : [])]
  })
}

function volume({ tiers, count, measure, units }: PromotionOf<'volume'>, pool: readonly Piece[]): UnitDiscount[] {
  const measured = (pieces: readonly Piece[]) => (measure === 'units' ? countOf(pieces) : valueOf(pieces))
  const ofGroup = measured(pool)
  const whole = new Map(pool.map(piece => [piece.line, piece]))
  return choose(pool, units).flatMap((piece): UnitDiscount[] => {
    const tier = tiers.findLast(one => one.from <= (count === 'group' ? ofGroup : measured([whole.get(piece.line)!])))
    if (!tier) return []
    if (tier.percent !== undefined) return [percentOff(piece, tier.percent)]
    if (tier.amount !== undefined) return [{ ...unpriced(piece), how: 'each', value: tier.amount }]
    return [{ ...unpriced(piece), how: 'price', value: tier.price ?? piece.price }]
  })
}

/**
 * Buy b, get g: t times as often as it fits. Units that are given were not bought, so with t purchases at most `bought - b*t`
 * of the units that could be bought are given. More purchases may leave fewer to give: the three counts around the best are tried.
 */
function buyGet(promotion: PromotionOf<'buy_get'>, scopeIndex: ScopeIndex): UnitDiscount[] {
  const { buy, get, take, timesMax = Number.POSITIVE_INFINITY } = promotion
  const isPaidFor = (line: number) => scopeIndex.lines[line]!.unitPrice > 0
  const buyable = new Set(scopeIndex.members(buy.scope ?? promotion.scope).filter(isPaidFor))
  const givable = paidFor(scopeIndex.pool(get.scope ?? promotion.scope))
  const ordered = take === 'cheapest' ? cheapestFirst(givable) : givable
  const bought = [...buyable].reduce((sum, line) => sum + scopeIndex.lines[line]!.quantity, 0)
  const all = bought + countOf(givable.filter(piece => !buyable.has(piece.line)))
  const most = Math.min(timesMax, Math.floor(bought / buy.units))
  const givenWith = (times: number): Piece[] => {
    let spare = bought - buy.units * times
    const left = ordered.map(piece => {
      const units = buyable.has(piece.line) ? Math.min(piece.units, spare) : piece.units
      if (buyable.has(piece.line)) spare -= units
      return { ...piece, units }
    })
    return firstUnits(left, get.units * times)
  }
  const around = Math.floor(all / (buy.units + get.units))
  const tries = promotion.complete
    ? [largest(most, times => countOf(givenWith(times)) === get.units * times)]
    : [around, around + 1, most].map(times => Math.min(times, most))
  const [best = []] = tries.map(givenWith).sort((a, b) => countOf(b) - countOf(a))
  return best.map(piece => percentOff(piece, promotion.percent))
}

/** n for a price, mixed from the pool: the dearest units, as many whole groups as save anything. */
function multiBuy(promotion: PromotionOf<'multi_buy'>, pool: readonly Piece[]): UnitDiscount[] {
  const { units, timesMax = Number.POSITIVE_INFINITY } = promotion
  const most = Math.min(timesMax, Math.floor(countOf(pool) / units))
  return rewarded(promotion, most, times => firstUnits(pool, units * times))
}

/** Several products that belong together. */
function bundle(promotion: PromotionOf<'bundle'>, scopeIndex: ScopeIndex): UnitDiscount[] {
  const items = promotion.items.map(({ scope, units }) => ({ units, pool: scopeIndex.pool(scope) }))
  const bundles = createBundles(items)
  const fits = Math.min(...items.map(({ units, pool }) => Math.floor(countOf(pool) / units)))
  const times = Math.min(promotion.timesMax ?? Number.POSITIVE_INFINITY, fits)
  const most = largest(times, count => bundles.piecesOf(count) !== undefined)
  return rewarded(promotion, most, count => bundles.piecesOf(count) ?? [])
}

/**
 * `piecesOf`: the dearest units of so many groups. Each group more is worth less than the one before, so those that cost more
 * than their price come first.
 */
function rewarded(reward: Reward, most: number, piecesOf: (times: number) => readonly Piece[]): UnitDiscount[] {
  if (reward.percent !== undefined) return percentTogether(piecesOf(most), reward.percent)
  const { price } = reward
  // Not rounded: of prices below a minor unit, rounded groups are worth now more and now less than the one before.
  const exact = (times: number) => piecesOf(times).reduce((sum, piece) => sum + piece.units * piece.price, 0)
  const saves = (count: number) => isSomething(exact(count) - exact(count - 1) - (price ?? 0))
  const times = price === undefined ? most : largest(most, saves)
  const pieces = piecesOf(times)
  const worth = valueOf(pieces)
  const off = price === undefined ? (reward.amount ?? 0) * times : worth - price * times
  return constants(pieces, Math.max(0, Math.min(off, worth)))
}

/** A percentage of units that are sold as one thing is rounded once. */
function percentTogether(pieces: readonly Piece[], percent: number): UnitDiscount[] {
  return constants(pieces, share(valueOf(pieces), hundredths(percent), WHOLE, 'half-up'))
}

function constants(pieces: readonly Piece[], off: Minor): UnitDiscount[] {
  const parts = split(
    off,
    pieces.map(piece => amountOf(piece.price, piece.units)),
  )
  return pieces.map((piece, at): UnitDiscount => ({ ...unpriced(piece), how: 'constant', value: parts[at] ?? 0 }))
}

function groupingOf({ tiers }: PromotionOf<'set'>, pool: readonly Piece[]): Grouping {
  const sizes = Array.from({ length: pool.length + 2 }, (_, size) => size)
  return bestGrouping(
    pool,
    sizes.map(size => hundredths(tiers.findLast(tier => tier.distinct <= size)?.percent ?? 0)),
  )
}

function setOfDifferent({ units }: Grouping, pool: readonly Piece[]): UnitDiscount[] {
  return units.flatMap((byPercent, at) =>
    [...byPercent].map(
      ([value, count]): UnitDiscount => ({ line: pool[at]!.line, units: count, how: 'percent', value }),
    ),
  )
}
