import type { Minor } from '../../model/money.ts'
import type { Remainder, RoundingMode } from '../../model/promotion.ts'

/** Percentages are whole hundredths of a percent: 17.5 % is 1750 of 10,000. */
export const WHOLE = 10_000

export function hundredths(percent: number): number {
  return Math.round(percent * 100)
}

/** Tax rates are whole thousandths of a percent: 8.875 % is 8875 of 100,000. */
export const TAX_WHOLE = 100_000

export function thousandths(percent: number): number {
  return Math.round(percent * 1_000)
}

/**
 * a × n / d as a whole number, exact for every amount a cart can have. All three are whole and not negative; d above 0.
 * Half-even and half-down differ from half-up only where the remainder is exactly one half.
 */
export function share(a: Minor, n: number, d: number, mode: RoundingMode): Minor {
  const product = a * n
  if (!Number.isSafeInteger(product * 2)) return shareOfLarge(a, n, d, mode)
  const quotient = Math.floor(product / d)
  const twice = (product - quotient * d) * 2
  return twice === 0
    ? quotient
    : quotient + (roundsUp(twice < d ? -1 : twice > d ? 1 : 0, quotient % 2 === 1, mode) ? 1 : 0)
}

function shareOfLarge(a: Minor, n: number, d: number, mode: RoundingMode): Minor {
  const product = BigInt(a) * BigInt(n)
  const divisor = BigInt(d)
  const quotient = product / divisor
  const twice = (product % divisor) * 2n
  if (twice === 0n) return Number(quotient)
  const against = twice < divisor ? -1 : twice > divisor ? 1 : 0
  return Number(quotient) + (roundsUp(against, quotient % 2n === 1n, mode) ? 1 : 0)
}

/** `half`: the remainder is below (-1), at (0) or above (1) one half; it is never zero here. */
function roundsUp(half: -1 | 0 | 1, odd: boolean, mode: RoundingMode): boolean {
  switch (mode) {
    case 'up':
      return true
    case 'down':
      return false
    case 'half-up':
      return half >= 0
    case 'half-down':
      return half > 0
    case 'half-even':
      return half > 0 || (half === 0 && odd)
  }
}

/** The sum of some fractions n / d as one whole number, exact. All n are whole and not negative, all d above 0. */
export function sumOfShares(parts: readonly { readonly n: bigint; readonly d: bigint }[], mode: RoundingMode): Minor {
  let [n, d] = [0n, 1n]
  for (const part of parts) [n, d] = part.d === d ? [n + part.n, d] : [n * part.d + part.n * d, d * part.d]
  const quotient = n / d
  const twice = (n % d) * 2n
  if (twice === 0n) return Number(quotient)
  return Number(quotient) + (roundsUp(twice < d ? -1 : twice > d ? 1 : 0, quotient % 2n === 1n, mode) ? 1 : 0)
}

/** Real amounts this close to a whole number, or to a half, are one: far above the noise of doubles, far below any real share. */
const NOISE = 1e-6

/** A real amount as a whole number. */
export function whole(amount: number, mode: RoundingMode): Minor {
  const below = Math.floor(amount + NOISE)
  const rest = amount - below
  if (rest < NOISE) return below
  return below + (roundsUp(rest < 0.5 - NOISE ? -1 : rest > 0.5 + NOISE ? 1 : 0, below % 2 === 1, mode) ? 1 : 0)
}

/** The least whole number that is not below a real amount. */
export function atMost(amount: number): Minor {
  return Math.ceil(amount - NOISE)
}

/** True for an amount that is more than noise. */
export function isSomething(amount: number): boolean {
  return amount > NOISE
}

const OPPOSITE: Readonly<Record<RoundingMode, RoundingMode>> = {
  up: 'down',
  down: 'up',
  'half-up': 'half-down',
  'half-down': 'half-up',
  'half-even': 'half-even',
}

/** The rounding of a discount that rounds what is left to pay by `mode`. */
export function opposite(mode: RoundingMode): RoundingMode {
  return OPPOSITE[mode]
}

interface SplitOptions {
  /** No part is above its cap. */
  readonly caps?: readonly number[]
  /** Which parts get the minor units that are over when every part is rounded down; by default the largest fractions. */
  readonly remainder?: Remainder
}

/**
 * Splits an amount by weights into whole parts that add up to it: by default the largest remainder, ties to the first. No part is above its
 * cap; what does not fit goes to the others by their weights. Returns as much as the caps let in, in the order of the weights.
 * Source: the published splits of `allocations.json` (52 of 58 follow largest remainder with ties to the first).
 */
export function split(amount: Minor, weights: readonly number[], options: SplitOptions = {}): number[] {
  const { caps, remainder = 'largest-fraction' } = options
  const parts = weights.map(() => 0)
  let left = Math.abs(amount)
  // Positive weights first; a cap of a line without weight is only used when nothing else is left.
  for (const open of [weights.map(w => w > 0), weights.map(w => w <= 0)]) {
    while (left > 0) {
      const members = indexesWhere(open, at => roomOf(at, parts, caps) > 0)
      if (members.length === 0) break
      const full = fillCapped(left, members, weights, parts, caps)
      if (full > 0) left -= full
      else {
        left -= sharedOut(left, members, { weights, parts, caps, remainder })
      }
    }
  }
  return amount < 0 ? parts.map(part => (part === 0 ? 0 : -part)) : parts
}

function roomOf(at: number, parts: readonly number[], caps: readonly number[] | undefined): number {
  return caps ? (caps[at] ?? 0) - (parts[at] ?? 0) : Number.POSITIVE_INFINITY
}

function indexesWhere(open: readonly boolean[], holds: (at: number) => boolean): number[] {
  const found: number[] = []
  for (let at = 0; at < open.length; at++) if (open[at] && holds(at)) found.push(at)
  return found
}

function totalWeight(members: readonly number[], weights: readonly number[]): number {
  return members.reduce((sum, at) => sum + (weights[at] ?? 0), 0)
}

/** Gives what their caps allow to all whose share would be above it; returns how much that was. */
function fillCapped(
  left: number,
  members: readonly number[],
  weights: readonly number[],
  parts: number[],
  caps: readonly number[] | undefined,
): number {
  if (!caps) return 0
  const total = totalWeight(members, weights)
  let given = 0
  for (const at of members) {
    const room = roomOf(at, parts, caps)
    const exact = total > 0 ? share(left, weights[at] ?? 0, total, 'up') : Math.ceil(left / members.length)
    if (exact <= room) continue
    const gets = Math.min(room, left - given)
    parts[at] = (parts[at] ?? 0) + gets
    given += gets
  }
  return given
}

interface Sharing {
  readonly weights: readonly number[]
  readonly parts: number[]
  readonly caps: readonly number[] | undefined
  readonly remainder: Remainder
}

/** Shares are rounded down; what is over goes where the rule says, as far as there is room. How much was shared out. */
function sharedOut(amount: number, members: readonly number[], { weights, parts, caps, remainder }: Sharing): number {
  const total = totalWeight(members, weights)
  const weightOf = (at: number) => (total > 0 ? (weights[at] ?? 0) : 1)
  const sum = total > 0 ? total : members.length
  let rest = amount
  for (const at of members) {
    const down = share(amount, weightOf(at), sum, 'down')
    parts[at] = (parts[at] ?? 0) + down
    rest -= down
  }
  if (remainder === 'largest-fraction') {
    const fractions = members.map(at => ({ at, fraction: remainderOf(amount, weightOf(at), sum) }))
    fractions.sort((a, b) => (a.fraction === b.fraction ? a.at - b.at : a.fraction > b.fraction ? -1 : 1))
    for (const { at } of fractions.slice(0, rest)) parts[at] = (parts[at] ?? 0) + 1
    return amount
  }
  const inTurn =
    remainder === 'first'
      ? members
      : remainder === 'last'
        ? members.toReversed()
        : members.toSorted((a, b) => weightOf(b) - weightOf(a) || a - b)
  for (const at of inTurn) {
    const more = Math.min(rest, roomOf(at, parts, caps))
    parts[at] = (parts[at] ?? 0) + more
    rest -= more
  }
  return amount - rest
}

function remainderOf(a: number, n: number, d: number): bigint | number {
  return Number.isSafeInteger(a * n) ? (a * n) % d : (BigInt(a) * BigInt(n)) % BigInt(d)
}

/** The largest count in 0..max for which `holds`, which is true up to some count and false from there on. */
export function largest(max: number, holds: (count: number) => boolean): number {
  let low = 0
  let high = max
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle - 1
  }
  return low
}
