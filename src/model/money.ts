import { strict as assert } from 'node:assert'

/** Money is an integer number of minor units (pence, cents) that a double holds exactly. */
export type Minor = number

/** quantity × unit price, exact. @throws AssertionError when the product leaves the range of exact integers */
export function times(unitPrice: Minor, quantity: number): Minor {
  const total = unitPrice * quantity
  assert(Number.isSafeInteger(total), 'money left the range of exact integers')
  return total
}

/** Adds amounts, exact. @throws AssertionError when the sum leaves the range of exact integers */
export function plus(a: Minor, b: Minor): Minor {
  const sum = a + b
  assert(Number.isSafeInteger(sum), 'money left the range of exact integers')
  return sum
}

/**
 * Reads a decimal price such as `2.95` into minor units of a currency with two decimals. Text goes in and is taken
 * apart as text: `2.955` or `1e3` is refused, not rounded.
 */
export function minorFromDecimal(text: string): Minor | undefined {
  const match = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(text.trim())
  if (!match) return undefined
  return Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'))
}
