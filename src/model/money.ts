import { strict as assert } from 'node:assert'

/** Money is an integer number of minor units (pence, cents) that a double holds exactly. */
export type Minor = number

/**
 * The price of one unit, in minor units: whole, or for bulk goods with parts of a minor unit (0.005678 pounds is 0.5678). Whatever is
 * paid is a whole number of minor units.
 */
export type UnitPrice = number

/** Parts of a minor unit that a unit price may have. */
export const PRICE_PARTS = 1_000_000

/** The whole minor units of a unit price, and the parts of one beyond them. */
export function splitPrice(price: UnitPrice): { whole: Minor; parts: number } {
  const whole = Math.floor(price)
  const parts = Math.round((price - whole) * PRICE_PARTS)
  return parts === PRICE_PARTS ? { whole: whole + 1, parts: 0 } : { whole, parts }
}

/**
 * quantity × unit price: exact, and where the price has parts of a minor unit rounded once, half up.
 * @throws AssertionError when the product leaves the range of exact integers
 */
export function amountOf(unitPrice: UnitPrice, quantity: number): Minor {
  const { whole, parts } = Number.isInteger(unitPrice) ? { whole: unitPrice, parts: 0 } : splitPrice(unitPrice)
  const total = whole * quantity + Math.floor((parts * quantity) / PRICE_PARTS + 0.5)
  assert(Number.isSafeInteger(total), 'money left the range of exact integers')
  return total
}

/** Adds amounts, exact. @throws AssertionError when the sum leaves the range of exact integers */
export function plus(a: Minor, b: Minor): Minor {
  const sum = a + b
  assert(Number.isSafeInteger(sum), 'money left the range of exact integers')
  return sum
}
