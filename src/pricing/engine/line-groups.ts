import { FIXED } from '../../model/limits.ts'
import type { Minor } from '../../model/money.ts'
import { choosesUnits, type Promotion } from '../../model/promotion.ts'
import { atMost, WHOLE } from './arithmetic.ts'
import type { ScopeIndex } from './scope-index.ts'
import { choiceOf, type UnitDiscount } from './unit-selection.ts'

/**
 * GROUPS THAT EXCLUDE BY LINE. Every line is given to at most one member of the group, whole.
 *
 *   A member that takes each line by itself (a percentage, an amount off each unit) has any of the lines that no other has; of
 *   several such members a line has the one that takes most off it.
 *   A member that *spans* lines (buy_get, multi_buy, bundle, set, and all that choose some of the units) sees only the lines
 *   that it was given, and these are no other member's: also a line that is only bought for another to be free. A line that no
 *   other member wants is always its own. For the lines that others want too, each way to share them out is an *offer* of the
 *   member, and the search takes at most one of its offers.
 */
export interface Offer {
  readonly takes: readonly UnitDiscount[]
  /** Lines that others want and that this offer needs for itself; undefined for a member that takes each line by itself. */
  readonly own: readonly number[] | undefined
}

interface Offers {
  readonly offers: readonly Offer[]
  /** As in `Choice`. */
  readonly unproved: Minor
  /** False where there are more ways to share lines out than were tried. */
  readonly isComplete: boolean
}

/** Lines that a promotion takes something off, or counts to do so. */
function wantedBy(promotion: Promotion, scopeIndex: ScopeIndex): readonly number[] {
  const { scope } = promotion
  if (promotion.kind === 'buy_get')
    return [...scopeIndex.members(promotion.buy.scope ?? scope), ...scopeIndex.members(promotion.get.scope ?? scope)]
  if (promotion.kind === 'bundle') return promotion.items.flatMap(item => scopeIndex.members(item.scope))
  return scopeIndex.members(scope)
}

/** The members of one group in one cart. */
export interface Rivalry {
  /** Lines that more than one member wants. */
  readonly contested: ReadonlySet<number>
  /** Members that span lines. */
  readonly spanning: number
  /** By line: what part of its price the best member takes off that takes each line by itself, at list prices. */
  readonly aloneRate: Float64Array
  /** No way to share lines out takes off more, in minor units. */
  readonly most: Minor
  /** Units are dealt out to promotions in their order, so there is one offer only. */
  readonly isDealt: boolean
}

export function rivalryOf(members: readonly Promotion[], scopeIndex: ScopeIndex, isDealt: boolean): Rivalry {
  const wanted = members.flatMap(member => [...new Set(wantedBy(member, scopeIndex))])
  const counts = new Uint16Array(scopeIndex.lines.length)
  for (const line of wanted) counts[line]!++
  const aloneRate = new Float64Array(scopeIndex.lines.length)
  const mostRate = new Float64Array(scopeIndex.lines.length)
  for (const member of members) {
    if (choosesUnits(member)) {
      for (const line of wantedBy(member, scopeIndex)) mostRate[line] = Math.max(mostRate[line]!, largestRate(member))
      continue
    }
    for (const { line, units, how, value } of choiceOf(member, scopeIndex).takes) {
      const { unitPrice, quantity } = scopeIndex.lines[line]!
      const off = {
        percent: (unitPrice * value) / WHOLE,
        each: value,
        price: unitPrice - value,
        constant: value / units,
      }[how]
      const rate = unitPrice === 0 ? 0 : Math.min(1, (off * units) / unitPrice / quantity)
      aloneRate[line] = Math.max(aloneRate[line]!, rate)
    }
  }
  const most = scopeIndex.lines.reduce(
    (sum, line, at) => sum + line.unitPrice * line.quantity * Math.max(aloneRate[at]!, mostRate[at]!),
    0,
  )
  const contested = new Set(wanted.filter(line => counts[line]! > 1))
  const spanning = members.filter(choosesUnits).length
  return { contested, spanning, aloneRate, most: atMost(most) + scopeIndex.lines.length, isDealt }
}

/** No unit gets more off than this part of its price. */
function largestRate(member: Promotion): number {
  if (member.kind === 'set') return Math.max(...member.tiers.map(({ percent }) => percent)) / 100
  return 'percent' in member && member.percent !== undefined ? member.percent / 100 : 1
}

/** What a promotion takes that shares lines with no rival. */
export function wholeOffer(promotion: Promotion, scopeIndex: ScopeIndex): Offers {
  const { takes, unproved } = choiceOf(promotion, scopeIndex)
  return { offers: [{ takes, own: undefined }], unproved, isComplete: true }
}

/** What a member can be given, the most lines first. */
export function offersOf(member: Promotion, scopeIndex: ScopeIndex, rivalry: Rivalry): Offers {
  if (!choosesUnits(member)) return wholeOffer(member, scopeIndex)
  const whole = choiceOf(member, scopeIndex)
  const wanted = [...new Set(wantedBy(member, scopeIndex))]
    .filter(line => rivalry.contested.has(line))
    .sort((a, b) => a - b)
  if (rivalry.isDealt)
    return { offers: [{ takes: whole.takes, own: wanted }], unproved: whole.unproved, isComplete: true }
  const ways = FIXED.lineSharesMax / rivalry.spanning / scopeIndex.lines.length
  const isComplete = 2 ** wanted.length <= ways
  const shares = isComplete ? subsetsOf(wanted) : fewerAndFewer(wanted, rivalry.aloneRate, Math.max(2, ways))
  const offers: (Offer & { own: readonly number[]; key: string })[] = []
  let unproved = 0
  // From few lines to many: an offer that takes the same with fewer lines leaves more to others.
  for (const own of shares) {
    const given = own.length === wanted.length ? whole : choiceOf(member, without(scopeIndex, wanted, own))
    unproved = Math.max(unproved, given.unproved)
    const key = given.takes.map(take => `${take.line} ${take.units} ${take.how} ${take.value}`).join()
    const isThere = offers.some(other => other.key === key && other.own.every(line => own.includes(line)))
    if (given.takes.length > 0 && !isThere) offers.push({ takes: given.takes, own, key })
  }
  return { offers: offers.reverse(), unproved, isComplete }
}

function without(scopeIndex: ScopeIndex, wanted: readonly number[], own: readonly number[]): ScopeIndex {
  const others = new Set(wanted.filter(line => !own.includes(line)))
  return scopeIndex.reduced(line => (others.has(line) ? 0 : scopeIndex.lines[line]!.quantity))
}

/** From the smallest to the largest. */
function subsetsOf(lines: readonly number[]): number[][] {
  const subsets = Array.from({ length: 1 << lines.length }, (_, mask) => lines.filter((__, at) => (mask >> at) & 1))
  return subsets.sort((a, b) => a.length - b.length)
}

/** None of the lines, then more and more of them up to all, first those of which others take the least; at most so many ways. */
function fewerAndFewer(lines: readonly number[], aloneRate: Float64Array, ways: number): number[][] {
  const ordered = [...lines].sort((a, b) => aloneRate[a]! - aloneRate[b]! || a - b)
  const sizes = [0, lines.length]
  for (let left = 1; left < lines.length && sizes.length + 1 <= ways; left *= 2) sizes.splice(1, 0, lines.length - left)
  return [...new Set(sizes)].sort((a, b) => a - b).map(size => ordered.slice(0, size))
}
