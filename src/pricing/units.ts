import { FIXED } from '../model/limits.ts'
import type { Minor } from '../model/money.ts'
import type { Promotion, PromotionOf, UnitChoice } from '../model/promotion.ts'
import { hundredths, share, split, WHOLE } from './arithmetic.ts'
import { paidFor, type Piece, type Shelf } from './shelf.ts'

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

type Reward = { percent?: number | undefined; amount?: number | undefined; price?: number | undefined }

export function takesOf(promotion: Promotion, shelf: Shelf): Take[] {
  const pool = shelf.pool(promotion.scope)
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
      return buyGet(promotion, shelf)
    case 'multi_buy':
      return multiBuy(promotion, pool)
    case 'bundle':
      return bundle(promotion, shelf)
    case 'set':
      return setOfDifferent(promotion, pool)
    case 'threshold': {
      const percent = percentReached(promotion, shelf)
      return percent > 0 ? pool.map(piece => percentOff(piece, percent)) : []
    }
    case 'gift':
    case 'shipping':
      return []
  }
}

/** The percentage of a ladder over some products, by what they cost before promotions, or by their number. */
function percentReached({ tiers = [], measure, scope, when }: PromotionOf<'threshold'>, shelf: Shelf): number {
  const counted = shelf.pool(when?.of ?? scope)
  const reached = measure === 'units' ? countOf(counted) : valueOf(counted)
  return tiers.findLast(tier => tier.from <= reached)?.percent ?? 0
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

function choose(whole: readonly Piece[], choice: UnitChoice | undefined): readonly Piece[] {
  if (!choice) return whole
  const pool = paidFor(whole)
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
  const whole = new Map(pool.map(piece => [piece.line, piece]))
  return choose(pool, units).flatMap((piece): Take[] => {
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
function buyGet(promotion: PromotionOf<'buy_get'>, shelf: Shelf): Take[] {
  const { buy, get, take, timesMax = Number.POSITIVE_INFINITY } = promotion
  const isPaidFor = (line: number) => shelf.lines[line]!.unitPrice > 0
  const buyable = new Set(shelf.members(buy.scope ?? promotion.scope).filter(isPaidFor))
  const givable = paidFor(shelf.pool(get.scope ?? promotion.scope))
  const ordered = take === 'cheapest' ? cheapestFirst(givable) : givable
  const bought = [...buyable].reduce((sum, line) => sum + shelf.lines[line]!.quantity, 0)
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
  return rewarded(promotion, most, [{ units: promotion.units, pool }])
}

/** Several products that belong together. A product that could stand for two items stands for the first that asks for it. */
function bundle(promotion: PromotionOf<'bundle'>, shelf: Shelf): Take[] {
  const claimed = new Set<number>()
  const parts = promotion.items.map(({ scope, units }) => {
    const pool = shelf.pool(scope).filter(piece => !claimed.has(piece.line))
    for (const piece of pool) claimed.add(piece.line)
    return { units, pool }
  })
  const fits = Math.min(...parts.map(({ units, pool }) => Math.floor(countOf(pool) / units)))
  return rewarded(promotion, Math.min(promotion.timesMax ?? Number.POSITIVE_INFINITY, fits), parts)
}

/** So many units of a pool for each group, the dearest first. */
interface Part {
  readonly units: number
  readonly pool: readonly Piece[]
}

/** Groups are worth less and less, so those that cost more than their price stand at the front. */
function rewarded(reward: Reward, most: number, parts: readonly Part[]): Take[] {
  const piecesFor = (times: number) => parts.flatMap(({ units, pool }) => firstUnits(pool, units * times))
  if (reward.percent !== undefined) return percentTogether(piecesFor(most), reward.percent)
  const { price } = reward
  const values = parts.map(({ units, pool }) => ({ units, worth: worthOfFirst(pool) }))
  const worth = (times: number) => values.reduce((sum, part) => sum + part.worth(part.units * times), 0)
  const times = price === undefined ? most : largest(most, count => worth(count) - worth(count - 1) > price)
  const off = price === undefined ? (reward.amount ?? 0) * times : worth(times) - price * times
  return constants(piecesFor(times), Math.min(off, worth(times)))
}

/** What the first units of a pool are worth: the logarithm of the number of lines for every question. */
function worthOfFirst(pool: readonly Piece[]): (count: number) => Minor {
  const before = [{ units: 0, value: 0 }]
  for (const { units, price } of pool) {
    const last = before.at(-1)!
    before.push({ units: last.units + units, value: last.value + units * price })
  }
  return count => {
    const whole = largest(pool.length, pieces => before[pieces]!.units <= count)
    const { units, value } = before[whole]!
    return value + (count - units) * (pool[whole]?.price ?? 0)
  }
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

/** A number of equal sets; members are places in the pool, rising, so that the dearest product comes first. */
interface Layer {
  readonly members: readonly number[]
  /** Of one set, before the discount. */
  readonly value: Minor
  count: number
}

/**
 * Sets of different products, the discount rising with their number. Starts from the largest sets, then moves products from
 * larger to smaller sets, all equal sets at once, while that saves. Finds the best grouping where prices are equal.
 */
function setOfDifferent({ tiers }: PromotionOf<'set'>, pool: readonly Piece[]): Take[] {
  const table = Array.from(
    { length: pool.length + 2 },
    (_, size) => tiers.findLast(tier => tier.distinct <= size)?.percent ?? 0,
  )
  const layers = largestSets(pool)
  for (let moves = 0; moves < FIXED.setMovesMax; moves++) {
    const move = bestMove(layers, pool, table)
    if (!move) break
    moveProduct(layers, pool, move)
  }
  const perPiece = pool.map(() => new Map<number, number>())
  for (const { members, count } of layers) {
    const percent = table[members.length]!
    for (const at of members) perPiece[at]!.set(percent, (perPiece[at]!.get(percent) ?? 0) + count)
  }
  return perPiece.flatMap((byPercent, at) =>
    [...byPercent]
      .filter(([percent]) => percent > 0)
      .map(([percent, units]) => percentOff({ ...pool[at]!, units }, percent)),
  )
}

function layerOf(members: readonly number[], count: number, pool: readonly Piece[]): Layer {
  return { members, value: members.reduce((sum, at) => sum + pool[at]!.price, 0), count }
}

function largestSets(pool: readonly Piece[]): Layer[] {
  const byCount = pool.map((piece, at) => ({ at, units: piece.units })).sort((a, b) => b.units - a.units || a.at - b.at)
  return byCount.flatMap(({ units }, last) => {
    const count = units - (byCount[last + 1]?.units ?? 0)
    if (count === 0) return []
    const members = byCount.slice(0, last + 1).map(({ at }) => at)
    return [
      layerOf(
        members.sort((a, b) => a - b),
        count,
        pool,
      ),
    ]
  })
}

interface Move {
  readonly from: Layer
  readonly to: Layer
  readonly product: number
}

/** Looks among the smallest sets, where the tiers are; of the products that can move, the dearest or the cheapest gains most. */
function bestMove(layers: readonly Layer[], pool: readonly Piece[], percentFor: readonly number[]): Move | undefined {
  let best: Move | undefined
  let gainMost = 0
  const small = [...layers].sort((a, b) => a.members.length - b.members.length).slice(0, FIXED.setLayersMax)
  for (const from of small) {
    for (const to of small) {
      const [larger, smaller] = [from.members.length, to.members.length]
      if (larger <= smaller + 1) continue
      const [fewer, more] = [percentFor[larger - 1]!, percentFor[smaller + 1]!]
      const product = movable(from, to, more > fewer)
      if (product === undefined) continue
      const { price } = pool[product]!
      const before = from.value * percentFor[larger]! + to.value * percentFor[smaller]!
      const gain = (from.value - price) * fewer + (to.value + price) * more - before
      if (gain > gainMost) [best, gainMost] = [{ from, to, product }, gain]
    }
  }
  return best
}

function movable(from: Layer, to: Layer, dearest: boolean): number | undefined {
  const there = new Set(to.members)
  const free = (at: number) => !there.has(at)
  return dearest ? from.members.find(free) : from.members.findLast(free)
}

function moveProduct(layers: Layer[], pool: readonly Piece[], { from, to, product }: Move): void {
  const count = Math.min(from.count, to.count)
  from.count -= count
  to.count -= count
  const fewer = from.members.filter(at => at !== product)
  const more = [...to.members, product].sort((a, b) => a - b)
  layers.push(layerOf(fewer, count, pool), layerOf(more, count, pool))
  for (let at = layers.length - 1; at >= 0; at--) if (layers[at]!.count === 0) layers.splice(at, 1)
}
