import { FIXED } from '../../model/limits.ts'
import type { Minor } from '../../model/money.ts'
import { largest } from './arithmetic.ts'
import type { Piece } from './scope-index.ts'

/**
 * How the units of a pool are put into sets of different products, when the discount rises with the number of products of a set.
 * Small pools are searched completely. In larger ones sets start as large as they can be, and products move from larger to
 * smaller sets, all equal sets at once, while that saves; `most` then says how much the best grouping could take off.
 */
export interface Grouping {
  /** By place in the pool: how many of its units get which percentage (hundredths of a percent). */
  readonly units: readonly ReadonlyMap<number, number>[]
  /** What it takes off, in hundredths of a percent of minor units. */
  readonly worth: number
  /** No grouping takes off more. Equal to `worth` where this one is proved to be the best. */
  readonly most: number
}

/** Numbers of even sets that are tried. */
const EVEN_MAX = 2

/** `percentFor[n]`: hundredths of a percent for sets of n products; as long as the pool, and one more. */
export function bestGrouping(pool: readonly Piece[], percentFor: readonly number[]): Grouping {
  const states = pool.reduce((product, { units }) => product * (units + 1), 1)
  if (states * 2 ** pool.length <= FIXED.setStatesMax) {
    const layers = searched(pool, percentFor)
    return { ...groupingOf(layers, pool, percentFor), most: worthOf(layers, percentFor) }
  }
  const { most, counts } = mostOf(pool, percentFor)
  let best = improved(pool, percentFor)
  for (const count of counts) {
    if (worthOf(best, percentFor) === most) break
    const even = evenSets(pool, count)
    if (worthOf(even, percentFor) > worthOf(best, percentFor)) best = even
  }
  return { ...groupingOf(best, pool, percentFor), most }
}

function worthOf(layers: readonly Layer[], percentFor: readonly number[]): number {
  return layers.reduce((sum, { members, count, value }) => sum + percentFor[members.length]! * value * count, 0)
}

function groupingOf(layers: readonly Layer[], pool: readonly Piece[], percentFor: readonly number[]) {
  const units = pool.map(() => new Map<number, number>())
  for (const { members, count } of layers) {
    const percent = percentFor[members.length]!
    if (percent > 0) for (const at of members) units[at]!.set(percent, (units[at]!.get(percent) ?? 0) + count)
  }
  return { units, worth: worthOf(layers, percentFor) }
}

/**
 * An upper bound of what any grouping takes off. A percentage is only for sets of some size, of which there are so many at most; each
 * has one unit of a product at most. `counts`: the first few of these numbers of sets. One percentage alone is reached by that many even sets.
 */
function mostOf(pool: readonly Piece[], percentFor: readonly number[]): { most: number; counts: readonly number[] } {
  const sizes = percentFor.slice(0, pool.length + 1)
  const percents = [...new Set(sizes)].filter(percent => percent > 0).sort((a, b) => a - b)
  const counts = percents.map(percent =>
    setsOfSize(
      pool,
      sizes.findIndex(one => one >= percent),
    ),
  )
  const most = percents.reduce((sum, percent, at) => {
    const value = pool.reduce((all, { units, price }) => all + Math.min(units, counts[at]!) * price, 0)
    return sum + (percent - (percents[at - 1] ?? 0)) * value
  }, 0)
  return { most, counts: [...new Set(counts)].slice(0, EVEN_MAX) }
}

/** How many sets of so many different products there can be. */
function setsOfSize(pool: readonly Piece[], size: number): number {
  const fits = (count: number) => pool.reduce((sum, { units }) => sum + Math.min(units, count), 0) >= size * count
  return largest(Math.floor(pool.reduce((sum, { units }) => sum + units, 0) / size), fits)
}

/** So many sets of sizes that differ by one at most: units are dealt out in turn, product by product. */
function evenSets(pool: readonly Piece[], count: number): Layer[] {
  // Sets between two of these places are equal: the place moves on by the units of each product.
  const places = new Set([0, count])
  const spans = [...pool.keys()].sort((a, b) => pool[b]!.units - pool[a]!.units || a - b)
  let place = 0
  const starts = new Map<number, number>()
  for (const at of spans) {
    const units = Math.min(pool[at]!.units, count)
    starts.set(at, place)
    place = (place + units) % count
    places.add(place)
  }
  const cuts = [...places].sort((a, b) => a - b)
  return cuts.slice(0, -1).map((from, index) => {
    const members = [...pool.keys()].filter(
      at => (from - starts.get(at)! + count) % count < Math.min(pool[at]!.units, count),
    )
    return layerOf(members, cuts[index + 1]! - from, pool)
  })
}

/** A number of equal sets; members are places in the pool, rising, so that the dearest product comes first. */
interface Layer {
  readonly members: readonly number[]
  /** Of one set, before the discount. */
  readonly value: Minor
  count: number
}

/**
 * The best grouping of all: for every number of units left of each product, the set that the first of them is best in.
 * A state is these numbers in mixed radix, so the states below it have been decided before it.
 */
function searched(pool: readonly Piece[], percentFor: readonly number[]): Layer[] {
  const radix: number[] = []
  let states = 1
  for (const { units } of pool) {
    radix.push(states)
    states *= units + 1
  }
  const worth = new Float64Array(states)
  /** Members of the set that is taken out of each state, as bits; 0 where its first unit is in no set. */
  const taken = new Int32Array(states)
  // Without a list for each state, of which there are many: `left` counts up with it, in the same mixed radix.
  const left = new Int32Array(pool.length)
  const there = new Int32Array(pool.length)
  for (let state = 1; state < states; state++) {
    for (let at = 0; at < left.length; at++) {
      left[at] = left[at]! < pool[at]!.units ? left[at]! + 1 : 0
      if (left[at]! > 0) break
    }
    let count = 0
    for (let at = 0; at < left.length; at++) if (left[at]! > 0) there[count++] = at
    const first = there[0]!
    let best = worth[state - radix[first]!]!
    for (let mask = 0; mask < 1 << (count - 1); mask++) {
      let [rest, value, members, size] = [state - radix[first]!, pool[first]!.price, 1 << first, 1]
      for (let bit = 1; bit < count; bit++) {
        if (((mask >> (bit - 1)) & 1) === 0) continue
        const at = there[bit]!
        rest -= radix[at]!
        value += pool[at]!.price
        members |= 1 << at
        size++
      }
      const sum = percentFor[size]! * value + worth[rest]!
      if (sum <= best) continue
      best = sum
      taken[state] = members
    }
    worth[state] = best
  }
  const leftIn = (state: number, at: number) => Math.floor(state / radix[at]!) % (pool[at]!.units + 1)
  const layers: Layer[] = []
  for (let state = states - 1; state > 0; ) {
    const open = pool.flatMap((_, at) => (leftIn(state, at) > 0 ? [at] : []))
    const members = pool.flatMap((_, at) => ((taken[state]! >> at) & 1 ? [at] : []))
    if (members.length > 0) layers.push(layerOf(members, 1, pool))
    for (const at of members.length > 0 ? members : open.slice(0, 1)) state -= radix[at]!
  }
  return layers
}

function improved(pool: readonly Piece[], percentFor: readonly number[]): Layer[] {
  const layers = largestSets(pool)
  for (let moves = 0; moves < FIXED.setMovesMax; moves++) {
    const move = bestMove(layers, pool, percentFor)
    if (!move) break
    moveProduct(layers, pool, move)
  }
  return layers
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
