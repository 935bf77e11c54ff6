import type { Minor } from '../../model/money.ts'
import type { Policy } from '../../model/promotion.ts'
import { share, split, sumOfShares, TAX_WHOLE, thousandths } from './arithmetic.ts'

/** The tax that is contained in amounts, or that is added to them, rounded where the policy says. */
interface Taxed {
  readonly amount: Minor
  /** At most three decimals. */
  readonly percent: number
  readonly units: number
}

export interface TaxOfRate {
  readonly percent: number
  readonly amount: Minor
}

interface Taxes {
  readonly taxes: Minor
  /** In the order of what was given; they add up to `taxes`. */
  readonly byLine: readonly Minor[]
}

export function taxesOf({ prices, at, mode }: Policy['tax'], taxed: readonly Taxed[]): Taxes {
  const fractionOf = (percent: number) => {
    const rate = thousandths(percent)
    return { rate, whole: prices === 'include-tax' ? TAX_WHOLE + rate : TAX_WHOLE }
  }
  if (at === 'order') return roundedOnce(taxed, fractionOf, mode)
  const byLine = taxed.map(({ amount, percent, units }) => {
    const { rate, whole } = fractionOf(percent)
    if (rate === 0 || amount === 0) return 0
    return at === 'line' ? share(amount, rate, whole, mode) : share(amount, rate, whole * units, mode) * units
  })
  return { taxes: byLine.reduce((sum, tax) => sum + tax, 0), byLine }
}

/** The sum is rounded once, whatever the rates; lines have parts of it by what each would be, largest remainder first. */
function roundedOnce(
  taxed: readonly Taxed[],
  fractionOf: (percent: number) => { rate: number; whole: number },
  mode: Policy['tax']['mode'],
): Taxes {
  const parts = taxed.map(({ amount, percent }) => {
    const { rate, whole } = fractionOf(percent)
    return { n: BigInt(amount) * BigInt(rate), d: BigInt(whole) }
  })
  const taxes = sumOfShares(parts, mode)
  // Weights are whole numbers: millionths of a minor unit are finer than any remainder that decides.
  const weights = parts.map(({ n, d }) => Number((n * 1_000_000n) / d))
  return { taxes, byLine: split(taxes, weights) }
}

/** So many rates are listed at most: a cart keeps its totals in a column of limited width. */
const RATES_MAX = 100

/** What each rate brings, the highest first; rates that bring nothing are left out. Empty with more rates than can be listed. */
export function byRate(taxed: readonly Taxed[], taxes: readonly Minor[]): TaxOfRate[] {
  const sums = new Map<number, Minor>()
  for (const [at, { percent }] of taxed.entries()) sums.set(percent, (sums.get(percent) ?? 0) + (taxes[at] ?? 0))
  if (sums.size > RATES_MAX) return []
  return [...sums]
    .map(([percent, amount]) => ({ percent, amount }))
    .filter(({ amount }) => amount !== 0)
    .sort((a, b) => b.percent - a.percent)
}
