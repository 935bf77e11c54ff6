import { type Minor, amountOf } from '../../model/money.ts'
import type { Policy } from '../../model/promotion.ts'
import { atMost } from './arithmetic.ts'
import type { LineToPrice } from './input.ts'
import type { CompiledPromotion } from './rules.ts'
import type { UnitDiscount } from './unit-selection.ts'

/**
 * Cells: the units of a line that all promotions treat alike. A promotion for a few units of a line cuts the line in two;
 * nothing is ever cut into single units.
 */
export interface Open {
  readonly compiled: CompiledPromotion
  readonly takes: readonly AssignedDiscount[]
  /** Lines that it has alone in its group (line-groups.ts). */
  readonly own: readonly number[] | undefined
  /** One of several offers of its promotion, of which at most one is taken. */
  readonly isOneOf: boolean
}

/** A take on particular units: those from `start`, around the end of the line if need be. */
export interface AssignedDiscount extends UnitDiscount {
  readonly start: number
}

/** Which units of a line a promotion takes: the first ones, or those that follow the last ones dealt. */
export function createUnitAssigner(lines: readonly LineToPrice[], mode: Policy['units']) {
  /** Units of each line that were dealt so far; beyond its quantity where they are shared. */
  const dealt = lines.map(() => 0)
  /** Units of a line that no promotion has yet. */
  const left = (line: number) => Math.max(0, lines[line]!.quantity - dealt[line]!)
  /** `asked`: `fresh` units are no other promotion's any more, also when they are the whole line; `none` are taken by a promotion of the whole order. */
  const deal = (takes: readonly UnitDiscount[], asked: 'some' | 'fresh' | 'none' = 'some'): AssignedDiscount[] => {
    const own = new Map<number, number>()
    return takes.map(({ line, units, how, value }) => {
      const { quantity } = lines[line]!
      if (asked === 'fresh') {
        const start = dealt[line]!
        dealt[line] = start + units
        return { line, units, how, value, start }
      }
      if (units >= quantity || asked === 'none') return { line, units, how, value, start: 0 }
      const start = mode === 'shared' ? (own.get(line) ?? 0) : dealt[line]! % quantity
      own.set(line, start + units)
      dealt[line] = dealt[line]! + units
      return { line, units, how, value, start }
    })
  }
  return { deal, left }
}

export interface Cells {
  readonly list: Float64Array
  readonly floor: Float64Array
  readonly units: Float64Array
  /** 0 where a unit costs parts of a minor unit. */
  readonly hasWholePrice: Uint8Array
  readonly lineOf: Int32Array
  /** First cell of each line, and one beyond the last line. */
  readonly firstOf: Int32Array
  /** Where each cell begins within its line. */
  readonly startOf: Float64Array
}

export function partitionUnits(lines: readonly LineToPrice[], open: readonly Open[], shippingFee: Minor): Cells {
  const cuts: (Set<number> | undefined)[] = []
  for (const { takes } of open) {
    for (const { line, start, units } of takes) {
      const quantity = lines[line]!.quantity
      if (units >= quantity) continue
      cuts[line] ??= new Set([0, quantity])
      cuts[line].add(start % quantity).add((start + units) % quantity)
    }
  }
  const rows = lines.map(({ quantity }, at) => (cuts[at] ? [...cuts[at]].sort((a, b) => a - b) : [0, quantity]))
  const count = rows.reduce((sum, row) => sum + row.length - 1, 0)
  const cells = {
    list: new Float64Array(count + 1),
    floor: new Float64Array(count + 1),
    units: new Float64Array(count + 1),
    hasWholePrice: new Uint8Array(count + 1).fill(1),
    lineOf: new Int32Array(count + 1),
    firstOf: new Int32Array(lines.length + 1),
    startOf: new Float64Array(count + 1),
  }
  let cell = 0
  for (const [at, row] of rows.entries()) {
    const line = lines[at]!
    cells.firstOf[at] = cell
    for (let cut = 0; cut + 1 < row.length; cut++, cell++) {
      const units = row[cut + 1]! - row[cut]!
      cells.startOf[cell] = row[cut]!
      cells.units[cell] = units
      cells.lineOf[cell] = at
      // Parts of a line add up to the line, which is rounded once.
      cells.list[cell] = amountOf(line.unitPrice, row[cut + 1]!) - amountOf(line.unitPrice, row[cut]!)
      const floor = atMost(units * Math.min(line.floorPrice ?? 0, line.unitPrice))
      cells.floor[cell] = Math.min(cells.list[cell]!, floor)
      cells.hasWholePrice[cell] = Number.isInteger(line.unitPrice) ? 1 : 0
    }
  }
  cells.firstOf[lines.length] = cell
  cells.list[cell] = shippingFee
  cells.units[cell] = 1
  cells.lineOf[cell] = -1
  return cells
}
