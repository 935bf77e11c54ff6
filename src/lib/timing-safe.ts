import { timingSafeEqual } from 'node:crypto'

/** Whether two secrets are the same; how long it takes does not tell how much of them is. */
export function areSameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
