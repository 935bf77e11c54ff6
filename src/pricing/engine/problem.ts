import type { Minor } from '../../model/money.ts'
import type { Promotion, Remainder, RoundingMode } from '../../model/promotion.ts'
import type { EnteredCodes } from './codes.ts'
import type { LineToPrice } from './input.ts'
import type { Refusal } from './rules.ts'
import type { UnitDiscount } from './unit-selection.ts'

/**
 * THE NORMAL FORM. Whatever its kind, a promotion becomes one of two things for a given cart, and the search knows no others:
 *
 *   line step    changes each of some *cells* by itself: a cell is a number of units of one line that all promotions treat
 *                alike, so lines are cut into as few cells as the promotions for a few units ask for;
 *   order step   takes one amount off some cells together, once all line steps are done. The amount is calculated from what
 *                those cells cost by then, less the earlier order steps that lie wholly within them.
 *
 * Promotions of the first stage that work line by line are line steps, all others are order steps. Delivery is a cell too.
 * Line steps calculate with real numbers; what they take off a line together is rounded once, before the order steps.
 * Every step only takes away, and takes the less the less there is (until a threshold is missed): the search relies on both.
 */
export interface Problem {
  readonly lines: readonly LineToPrice[]
  /** Cells; the last one is delivery. */
  readonly list: Float64Array
  readonly floor: Float64Array
  readonly units: Float64Array
  /** 0 where a unit costs parts of a minor unit: what is taken off is then rounded by line only. */
  readonly hasWholePrice: Uint8Array
  readonly lineOf: Int32Array
  /** First cell of each line, and one beyond the last line. */
  readonly firstOf: Int32Array
  /** How the amount of an order step is split over its cells. */
  readonly split: SplitRule
  /** Line steps, then order steps, each in the order of application. */
  readonly steps: readonly Step[]
  readonly lineSteps: number
  /** The codes of the cart, as promotions see them. */
  readonly entered: EnteredCodes
  readonly refusals: ReadonlyMap<string, Refusal>
  /** Of what is taken off a line. */
  readonly rounding: RoundingMode
  readonly codesMax: number
  /** Where another choice of units might be worth more. */
  readonly unproved: readonly Unproved[]
}

interface SplitRule {
  /** By cell: its weight where the split is even, else what its amount is multiplied with. Whole numbers. */
  readonly weights: Float64Array
  readonly isEven: boolean
  readonly remainder: Remainder
}

/** Promotions of which it is not proved that their units are worth the most. */
export interface Unproved {
  /** Their ids. */
  readonly promotions: readonly string[]
  /** What they take off together at most, whatever the units. */
  readonly most: Minor
}

export type Step = LineStep | OrderStep

interface Common {
  readonly promotion: Promotion
  /** At most one step of these is taken: a group that excludes in the whole order, or the offers of a member of a line group. */
  readonly group: string | undefined
  /** The code that opens it, lower case. */
  readonly code: string | undefined
}

export interface LineStep extends Common {
  readonly kind: 'line'
  readonly how: UnitDiscount['how']
  readonly cells: Int32Array
  /** Per cell: hundredths of a percent, minor units a unit, price of a unit, minor units off the cell. */
  readonly values: Float64Array
  readonly rounding: RoundingMode
  readonly perUnit: boolean
  /** First step of the run of a group that excludes by line. */
  readonly runStart: number | undefined
  /** Its cells by line: from `first` up to `end` in `cells`. */
  readonly parts: readonly { readonly line: number; readonly first: number; readonly end: number }[]
  /** Lines that it has alone in its group (line-groups.ts); undefined for a member that is compared with others line by line. */
  readonly own: readonly number[] | undefined
}

export interface OrderStep extends Common {
  readonly kind: 'order'
  readonly target: Int32Array
  /** Units of its target: how narrow it is. Not cells, which depend on how other promotions cut the lines. */
  readonly breadth: number
  readonly measure: Int32Array
  /** Rising thresholds; the last that is reached counts. Empty for a gift. */
  readonly tiers: readonly Tier[]
  readonly every: Every | undefined
  readonly amountMax: number
  readonly rounding: RoundingMode
  readonly gift: { readonly sku: string; readonly units: number } | undefined
}

export interface Every {
  readonly amount: Minor
  readonly off: Minor
  readonly timesMax: number
  /** Nothing below this. */
  readonly minimum: Minor
}

export interface Tier {
  readonly from: Minor
  readonly how: 'percent' | 'amount' | 'price'
  readonly value: number
}
