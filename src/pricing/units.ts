import { FIXED } from '../model/limits.ts'
import type { Minor } from '../model/money.ts'
import type { Promotion, PromotionOf, Scope, UnitChoice } from '../model/promotion.ts'
import { hundredths, share, split, WHOLE } from './arithmetic.ts'
import type { LineToPrice } from './cart.ts'

/**
 * Which units of which lines a promotion is about, and what it does to each: decided once per promotion, by unit prices,
 * before promotions are combined, so that what one promotion takes does not depend on the others. Units are counted, never
 * listed: every function here costs the number of lines, or its logarithm, whatever the quantities are.
 */
export interface Take {
  /** Index into the lines of the cart. */
  readonly line: number
  readonly units: number
  readonly how: 'percent' | 'each' | 'price' | 'constant'
  /** Hundredths of a percent; minor units off each unit; price of a unit; minor units off all of these units together. */
  readonly value: number
}

interface Piece {
  readonly line: number
  readonly units: number
  readonly price: Minor
}

export type Lines = readonly LineToPrice[]
type Reward = { percent?: number | undefined; amount?: number | undefined; price?: number | undefined }

export function takesOf(promotion: Promotion, lines: Lines, matches: (scope: Scope | undefined) => number[]): Take[] {
  const pool = poolOf(lines, matches(promotion.scope))
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
      return buyGet(promotion, lines, matches)
    case 'multi_buy':
      return multiBuy(promotion, pool)
    case 'bundle':
      return bundle(promotion, lines, matches)
    case 'set':
      return setOfDifferent(promotion, pool)
    case 'threshold':
    case 'gift':
    case 'shipping':
      return []
  }
}

/** Pieces by unit price, dearest first, ties by product code. */
function poolOf(lines: Lines, members: readonly number[]): Piece[] {
  return members
    .map(line => ({ line, units: lines[line]!.quantity, price: lines[line]!.unitPrice, sku: lines[line]!.sku }))
    .sort((a, b) => b.price - a.price || (a.sku < b.sku ? -1 : 1))
}

const countOf = (pool: readonly Piece[]) => pool.reduce((sum, piece) => sum + piece.units, 0)
const valueOf = (pool: readonly Piece[]) => pool.reduce((sum, piece) => sum + piece.units * piece.price, 0)
const unpriced = ({ line, units }: Piece) => ({ line, units })

function percentOff(piece: Piece, percent: number): Take {
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

function choose(pool: readonly Piece[], choice: UnitChoice | undefined): Piece[] {
  if (!choice) return [...pool]
  const { max = Number.POSITIVE_INFINITY, maxPerLine = Number.POSITIVE_INFINITY, groupsOf = 1, take } = choice
  const ordered = (take === 'cheapest' ? cheapestFirst(pool) : pool).map(p => ({
    ...p,
    units: Math.min(p.units, maxPerLine),
  }))
  const count = Math.min(max, countOf(ordered))
  return firstUnits(ordered, count - (count % groupsOf))
}

function amountOff(promotion: PromotionOf<'amount_off'>, pool: readonly Piece[]): Take[] {
  return choose(pool, promotion.units).flatMap((piece): Take[] => {
    if (promotion.per === 'line') return [{ ...unpriced(piece), how: 'constant', value: promotion.amount }]
    const { first } = promotion
    if (first === undefined) return [{ ...unpriced(piece), how: 'each', value: promotion.amount }]
    const others: Take = { line: piece.line, units: piece.units - 1, how: 'each', value: promotion.amount }
    return [{ line: piece.line, units: 1, how: 'each', value: first }, ...(others.units > 0 ? [others] : [])]
  })
}

function volume({ tiers, count, measure, units }: PromotionOf<'volume'>, pool: readonly Piece[]): Take[] {
  const measured = (pieces: readonly Piece[]) => (measure === 'units' ? countOf(pieces) : valueOf(pieces))
  const ofGroup = measured(pool)
  return choose(pool, units).flatMap((piece): Take[] => {
    const whole = pool.filter(other => other.line === piece.line)
    const tier = tiers.findLast(one => one.from <= (count === 'group' ? ofGroup : measured(whole)))
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
function buyGet(
  promotion: PromotionOf<'buy_get'>,
  lines: Lines,
  matches: (scope: Scope | undefined) => number[],
): Take[] {
  const { buy, get, take, timesMax = Number.POSITIVE_INFINITY } = promotion
  const buyable = new Set(matches(buy.scope ?? promotion.scope))
  const givable = poolOf(lines, matches(get.scope ?? promotion.scope))
  const ordered = take === 'cheapest' ? cheapestFirst(givable) : givable
  const bought = [...buyable].reduce((sum, line) => sum + lines[line]!.quantity, 0)
  const all = bought + countOf(givable.filter(piece => !buyable.has(piece.line)))
  const most = Math.min(timesMax, Math.floor(bought / buy.units))
  let best: Piece[] = []
  const around = Math.floor(all / (buy.units + get.units))
  for (const times of new Set([around, around + 1, most].map(t => Math.min(t, most)))) {
    let spare = bought - buy.units * times
    const left = ordered.map(piece => {
      const units = buyable.has(piece.line) ? Math.min(piece.units, spare) : piece.units
      if (buyable.has(piece.line)) spare -= units
      return { ...piece, units }
    })
    const given = firstUnits(left, get.units * times)
    if (countOf(given) > countOf(best)) best = given
  }
  return best.map(piece => percentOff(piece, promotion.percent))
}

/** The largest count in 0..max for which `holds`, which is true up to some count and false from there on. */
function largest(max: number, holds: (count: number) => boolean): number {
  let low = 0
  let high = max
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle - 1
  }
  return low
}

/** n for a price, mixed from the pool: the dearest units, as many whole groups as save anything. */
function multiBuy(promotion: PromotionOf<'multi_buy'>, pool: readonly Piece[]): Take[] {
  const most = Math.min(promotion.timesMax ?? Number.POSITIVE_INFINITY, Math.floor(countOf(pool) / promotion.units))
  return rewarded(promotion, most, times => firstUnits(pool, times * promotion.units))
}

function bundle(
  promotion: PromotionOf<'bundle'>,
  lines: Lines,
  matches: (scope: Scope | undefined) => number[],
): Take[] {
  const pools = promotion.items.map(item => ({ units: item.units, pool: poolOf(lines, matches(item.scope)) }))
  const piecesFor = (times: number): Piece[] | undefined => {
    const used = new Map<number, number>()
    const pieces: Piece[] = []
    for (const { units, pool } of pools) {
      const free = pool.map(piece => ({ ...piece, units: piece.units - (used.get(piece.line) ?? 0) }))
      const taken = firstUnits(free, units * times)
      if (countOf(taken) < units * times) return undefined
      for (const piece of taken) used.set(piece.line, (used.get(piece.line) ?? 0) + piece.units)
      pieces.push(...taken)
    }
    return pieces
  }
  const fits = Math.min(...pools.map(({ units, pool }) => Math.floor(countOf(pool) / units)))
  const most = largest(
    Math.min(promotion.timesMax ?? Number.POSITIVE_INFINITY, fits),
    times => piecesFor(times) !== undefined,
  )
  return rewarded(promotion, most, times => piecesFor(times) ?? [])
}

/** Groups are worth less and less, so those that cost more than their price stand at the front. */
function rewarded(reward: Reward, most: number, piecesFor: (times: number) => Piece[]): Take[] {
  if (reward.percent !== undefined) return percentTogether(piecesFor(most), reward.percent)
  const { price } = reward
  const worth = (times: number) => valueOf(piecesFor(times))
  const times = price === undefined ? most : largest(most, count => worth(count) - worth(count - 1) > price)
  const pieces = piecesFor(times)
  const off = price === undefined ? (reward.amount ?? 0) * times : valueOf(pieces) - price * times
  return constants(pieces, Math.min(off, valueOf(pieces)))
}

/** A percentage of units that are sold as one thing is rounded once. */
function percentTogether(pieces: readonly Piece[], percent: number): Take[] {
  return constants(pieces, share(valueOf(pieces), hundredths(percent), WHOLE, 'half-up'))
}

function constants(pieces: readonly Piece[], off: Minor): Take[] {
  const parts = split(
    off,
    pieces.map(piece => piece.units * piece.price),
  )
  return pieces.map((piece, at): Take => ({ ...unpriced(piece), how: 'constant', value: parts[at] ?? 0 }))
}

/** A number of equal sets. */
interface Layer {
  readonly members: ReadonlySet<number>
  /** Of one set, before the discount. */
  readonly value: Minor
  count: number
}

/**
 * Sets of different products, the discount rising with their number. Starts from the largest sets, then moves products from
 * larger to smaller sets, all equal sets at once, while that saves. Finds the best grouping where prices are equal.
 */
function setOfDifferent({ tiers }: PromotionOf<'set'>, pool: readonly Piece[]): Take[] {
  const percentFor = (distinct: number) => tiers.findLast(tier => tier.distinct <= distinct)?.percent ?? 0
  const layers = largestSets(pool)
  for (let moves = 0; moves < FIXED.setMovesMax && layers.length <= FIXED.setLayersMax; moves++) {
    const move = bestMove(layers, pool, percentFor)
    if (!move) break
    moveProduct(layers, pool, move)
  }
  const perPiece = pool.map(() => new Map<number, number>())
  for (const { members, count } of layers) {
    const percent = percentFor(members.size)
    for (const at of members) perPiece[at]!.set(percent, (perPiece[at]!.get(percent) ?? 0) + count)
  }
  return perPiece.flatMap((byPercent, at) =>
    [...byPercent]
      .filter(([percent]) => percent > 0)
      .map(([percent, units]) => percentOff({ ...pool[at]!, units }, percent)),
  )
}

function layerOf(members: ReadonlySet<number>, count: number, pool: readonly Piece[]): Layer {
  let value = 0
  for (const at of members) value += pool[at]!.price
  return { members, value, count }
}

function largestSets(pool: readonly Piece[]): Layer[] {
  const byCount = pool.map((piece, at) => ({ at, units: piece.units })).sort((a, b) => b.units - a.units || a.at - b.at)
  return byCount.flatMap(({ units }, last) => {
    const count = units - (byCount[last + 1]?.units ?? 0)
    return count > 0 ? [layerOf(new Set(byCount.slice(0, last + 1).map(({ at }) => at)), count, pool)] : []
  })
}

interface Move {
  readonly from: Layer
  readonly to: Layer
  readonly product: number
}

function bestMove(
  layers: readonly Layer[],
  pool: readonly Piece[],
  percentFor: (distinct: number) => number,
): Move | undefined {
  let best: Move | undefined
  let gainMost = 0
  for (const from of layers) {
    for (const to of layers) {
      const [larger, smaller] = [from.members.size, to.members.size]
      if (larger <= smaller + 1) continue
      const before = from.value * percentFor(larger) + to.value * percentFor(smaller)
      for (const product of from.members) {
        if (to.members.has(product)) continue
        const { price } = pool[product]!
        const gain =
          (from.value - price) * percentFor(larger - 1) + (to.value + price) * percentFor(smaller + 1) - before
        if (gain > gainMost) [best, gainMost] = [{ from, to, product }, gain]
      }
    }
  }
  return best
}

function moveProduct(layers: Layer[], pool: readonly Piece[], { from, to, product }: Move): void {
  const count = Math.min(from.count, to.count)
  from.count -= count
  to.count -= count
  const fewer = new Set(from.members)
  fewer.delete(product)
  layers.push(layerOf(fewer, count, pool), layerOf(new Set([...to.members, product]), count, pool))
  for (let at = layers.length - 1; at >= 0; at--) if (layers[at]!.count === 0) layers.splice(at, 1)
}
