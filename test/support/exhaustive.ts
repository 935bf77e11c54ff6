import type { Promotion, RuleSet, Scope } from '../../src/model/promotion.ts'
import { whole } from '../../src/pricing/engine/arithmetic.ts'
import type { CartToPrice, LineToPrice } from '../../src/pricing/engine/input.ts'
import { compileScopes, createScopeIndex } from '../../src/pricing/engine/scope-index.ts'
import { choiceOf, type UnitDiscount } from '../../src/pricing/engine/unit-selection.ts'

/**
 * The lowest total of a small cart, by trying everything that docs/promotions.md allows: every set of promotions, and in line groups
 * every way to give the lines to members. Written from the document, unit by unit, and knows nothing of the engine's cells,
 * steps, search and bounds; only which units a promotion takes of given lines (`choiceOf`) is asked, and has a comparison of
 * its own. Reads a part of the format: order promotions are of the whole order, conditions are minimum amounts, no codes.
 */
export function lowestTotal(ruleSet: RuleSet, cart: CartToPrice): number {
  const lines = cart.lines.filter(line => line.selected && line.quantity > 0).sort((a, b) => (a.sku < b.sku ? -1 : 1))
  const list = lines.reduce((sum, line) => sum + line.unitPrice * line.quantity, 0)
  const delivery = lines.length > 0 ? cart.shippingFee : 0
  const units = lines.reduce((sum, line) => sum + line.quantity, 0)
  const unitsOf = (one: Promotion) => (one.kind === 'shipping' ? 1 : units)
  const open = ruleSet.promotions
    .filter(one => lines.some(line => isIn(line, one.when?.of ?? one.scope)))
    .filter(one => one.when?.basis === 'current' || amountOf(lines, one) >= (one.when?.minAmount ?? 0))
    .sort(
      (a, b) =>
        placeOf(a) - placeOf(b) ||
        a.priority - b.priority ||
        // Of the order the narrower first: delivery is one unit.
        (isByLine(a) ? 0 : unitsOf(a) - unitsOf(b)) ||
        (keyOf(ruleSet, a) < keyOf(ruleSet, b) ? -1 : 1),
    )
  let best = list + delivery
  const isNeeded = needsLines(ruleSet, lines, open)
  for (let mask = 0; mask < 1 << open.length; mask++) {
    const chosen = open.filter((_, at) => (mask >> at) & 1)
    if (!isLegal(ruleSet, chosen)) continue
    for (const shares of sharesOf(ruleSet, lines, open, chosen)) {
      if (!isNeeded(shares)) continue
      const total = totalOf({ ruleSet, lines, delivery, list }, chosen, shares)
      if (total < best) best = total
    }
  }
  return best
}

const LINE_KINDS = ['volume', 'buy_get', 'multi_buy', 'bundle', 'set']
const isByLine = (one: Promotion) => LINE_KINDS.includes(one.kind) || ('per' in one && one.per !== 'order')
const placeOf = (one: Promotion) => (isByLine(one) ? 0 : 1)
const isOfLineGroup = (ruleSet: RuleSet, one: Promotion) =>
  one.group !== undefined && ruleSet.groups[one.group]?.scope === 'line'
const keyOf = (ruleSet: RuleSet, one: Promotion) => `${isOfLineGroup(ruleSet, one) ? one.group : ''} ${one.id}`

function isIn(line: LineToPrice, scope: Scope | undefined): boolean {
  if (!scope) return true
  const { skus, categories, priceMin = 0 } = scope
  return (
    (skus?.includes(line.sku) ?? true) &&
    (categories?.some(category => line.categories.includes(category)) ?? true) &&
    line.unitPrice >= priceMin
  )
}

function amountOf(lines: readonly LineToPrice[], { when, scope }: Promotion): number {
  const counted = lines.filter(line => isIn(line, when?.of ?? scope))
  return counted.reduce((sum, line) => sum + line.unitPrice * line.quantity, 0)
}

function isLegal(ruleSet: RuleSet, chosen: readonly Promotion[]): boolean {
  const inOrder = chosen.flatMap(one => (one.group !== undefined && !isOfLineGroup(ruleSet, one) ? [one.group] : []))
  const stop = chosen.findIndex(one => one.stops)
  return (
    new Set(inOrder).size === inOrder.length &&
    (stop < 0 || stop === chosen.length - 1) &&
    (chosen.length <= 1 || !chosen.some(one => one.exclusive))
  )
}

/** By promotion: the lines of a line group that it is given. */
type Shares = ReadonlyMap<Promotion, ReadonlySet<LineToPrice>>

const isSpanning = (one: Promotion) =>
  ['buy_get', 'multi_buy', 'bundle', 'set'].includes(one.kind) || ('units' in one && typeof one.units === 'object')

function wants(one: Promotion, line: LineToPrice): boolean {
  if (one.kind === 'buy_get') return [one.buy, one.get].some(({ scope }) => isIn(line, scope ?? one.scope))
  if (one.kind === 'bundle') return one.items.some(({ scope }) => isIn(line, scope))
  return isIn(line, one.scope)
}

/** Every way to give each line that several members of a group want to one of the chosen that span lines, or to the others. */
function* sharesOf(
  ruleSet: RuleSet,
  lines: readonly LineToPrice[],
  open: readonly Promotion[],
  chosen: readonly Promotion[],
): Generator<Shares> {
  const spanning = chosen.filter(one => isOfLineGroup(ruleSet, one) && isSpanning(one))
  const wanted = lines.flatMap(line =>
    [...new Set(spanning.map(one => one.group))].flatMap(group => {
      const takers = spanning.filter(one => one.group === group && wants(one, line))
      const rivals = open.filter(one => one.group === group && wants(one, line))
      if (takers.length === 0) return []
      return [{ line, takers: rivals.length > 1 ? [...takers, undefined] : takers }]
    }),
  )
  const ways = wanted.reduce((product, { takers }) => product * takers.length, 1)
  for (let way = 0; way < ways; way++) {
    const shares = new Map(spanning.map(one => [one, new Set<LineToPrice>()]))
    let rest = way
    for (const { line, takers } of wanted) {
      const taker = takers[rest % takers.length]
      rest = Math.floor(rest / takers.length)
      if (taker) shares.get(taker)!.add(line)
    }
    yield shares
  }
}

/**
 * Tells whether every member takes something of the lines that it is given, and takes less without any of those that rivals want:
 * a line is not given to a member only to keep it from another.
 */
function needsLines(ruleSet: RuleSet, lines: readonly LineToPrice[], open: readonly Promotion[]) {
  const known = new Map<string, string>()
  const takenOf = (one: Promotion, own: readonly LineToPrice[]): string => {
    const key = `${one.id} ${own.map(line => line.sku).join()}`
    const found = known.get(key) ?? JSON.stringify(takesOf(ruleSet, lines, one, new Set(own)))
    known.set(key, found)
    return found
  }
  return (shares: Shares): boolean =>
    [...shares].every(([one, given]) => {
      const own = lines.filter(line => given.has(line))
      const isContested = (line: LineToPrice) =>
        open.filter(other => other.group === one.group && wants(other, line)).length > 1
      const taken = takenOf(one, own)
      if (taken === '[]') return false
      const contested = own.filter(isContested)
      return Array.from({ length: (1 << contested.length) - 1 }, (_, kept) => kept).every(
        kept =>
          takenOf(
            one,
            own.filter(line => !isContested(line) || (kept >> contested.indexOf(line)) & 1),
          ) !== taken,
      )
    })
}

interface Priced {
  readonly ruleSet: RuleSet
  readonly lines: readonly LineToPrice[]
  readonly delivery: number
  readonly list: number
}

function totalOf({ ruleSet, lines, delivery }: Priced, chosen: readonly Promotion[], shares: Shares): number {
  const prices = unitsAfter(ruleSet, lines, chosen, shares)
  const floors = lines.map(line => line.quantity * Math.min(line.floorPrice ?? 0, line.unitPrice))
  let goods = 0
  for (const [at, line] of lines.entries()) {
    const off = prices[at]!.reduce((sum, price) => sum + line.unitPrice - price, 0)
    goods += line.unitPrice * line.quantity - whole(off, 'half-up')
  }
  const floor = floors.reduce((sum, one) => sum + one, 0)
  const before = lines.reduce((sum, line) => sum + line.unitPrice * line.quantity, 0)
  let toDeliver = delivery
  for (const one of chosen) {
    if (isByLine(one) || one.kind === 'gift') continue
    if (one.kind === 'shipping') {
      if (one.when?.basis === 'current' && goods < (one.when.minAmount ?? 0)) continue
      const off =
        one.amount ?? (one.percent === undefined ? toDeliver - (one.price ?? 0) : (toDeliver * one.percent) / 100)
      toDeliver -= Math.max(0, Math.min(toDeliver, whole(Math.max(0, off), 'half-up')))
    } else goods -= Math.max(0, Math.min(orderDiscount(one, before, goods), one.amountMax ?? Infinity, goods - floor))
  }
  return goods + toDeliver
}

function orderDiscount(one: Promotion, list: number, goods: number): number {
  const isCurrent = one.when?.basis === 'current'
  if (isCurrent && goods < (one.when?.minAmount ?? 0)) return 0
  const reached = isCurrent ? goods : list
  if (one.kind === 'threshold') {
    if (one.every)
      return Math.min(one.every.timesMax ?? Infinity, Math.floor(reached / one.every.amount)) * one.every.off
    return one.tiers?.findLast(tier => tier.from <= reached)?.amount ?? 0
  }
  if (one.kind === 'percent_off') return whole((goods * one.percent) / 100, 'half-up')
  if (one.kind === 'amount_off') return one.amount
  throw new Error(`${one.kind} is not read here`)
}

/** What every unit costs after the promotions that work line by line. */
function unitsAfter(
  ruleSet: RuleSet,
  lines: readonly LineToPrice[],
  chosen: readonly Promotion[],
  shares: Shares,
): readonly (readonly number[])[] {
  let prices = lines.map(line => Array.from({ length: line.quantity }, () => line.unitPrice))
  const done = new Set<string>()
  for (const one of chosen.filter(isByLine)) {
    if (!isOfLineGroup(ruleSet, one)) prices = applied(lines, prices, takesOf(ruleSet, lines, one, undefined))
    else if (!done.has(one.group!)) {
      done.add(one.group!)
      prices = groupApplied(
        ruleSet,
        { lines, prices, shares },
        chosen.filter(other => other.group === one.group),
      )
    }
  }
  return prices
}

type Units = readonly (readonly number[])[]

function groupApplied(
  ruleSet: RuleSet,
  { lines, prices, shares }: { lines: readonly LineToPrice[]; prices: Units; shares: Shares },
  members: readonly Promotion[],
): number[][] {
  const result = prices.map(units => [...units])
  const given = new Set(members.flatMap(one => [...(shares.get(one) ?? [])]))
  const costOf = (units: readonly number[]) => units.reduce((sum, price) => sum + price, 0)
  for (const one of members.toSorted((a, b) => Number(isSpanning(b)) - Number(isSpanning(a)))) {
    const own = shares.get(one)
    const after = applied(lines, prices, takesOf(ruleSet, lines, one, own))
    for (const [at, line] of lines.entries()) {
      const isOpen = own ? own.has(line) : !given.has(line)
      if (isOpen && costOf(after[at]!) < costOf(result[at]!) - 1e-6) result[at] = after[at]!
    }
  }
  return result
}

/** What a promotion takes of the lines that it is given; without `own` of all. */
function takesOf(
  ruleSet: RuleSet,
  lines: readonly LineToPrice[],
  one: Promotion,
  own: ReadonlySet<LineToPrice> | undefined,
): readonly UnitDiscount[] {
  const scopeIndex = createScopeIndex(lines, compileScopes(ruleSet.promotions))
  return choiceOf(one, own ? scopeIndex.reduced(at => (own.has(lines[at]!) ? lines[at]!.quantity : 0)) : scopeIndex)
    .takes
}

function applied(lines: readonly LineToPrice[], prices: Units, takes: readonly UnitDiscount[]): number[][] {
  const after = prices.map(units => [...units])
  const next = lines.map(() => 0)
  for (const { line, units, how, value } of takes) {
    const floor = Math.min(lines[line]!.floorPrice ?? 0, lines[line]!.unitPrice)
    for (let unit = next[line]!; unit < next[line]! + units; unit++) {
      const price = prices[line]![unit]!
      const left = {
        percent: price - (price * value) / 10_000,
        each: price - value,
        price: Math.min(price, value),
        constant: price - value / units,
      }[how]
      after[line]![unit] = Math.min(price, Math.max(floor, left))
    }
    next[line]! += units
  }
  return after
}
