import type { CartLine } from '../model/cart.ts'
import type { StoredCart } from '../store/carts.ts'

/**
 * What the database knows of a cart at one version, as text beside its cached view: a write starts from it instead of from the rows. It may
 * be old only where a hit may be, which is never (cache/cart-cache.ts); and what is written on top of it is compared with the
 * row's version.
 */
export function contentsOf({ lines, ...rest }: StoredCart): string {
  return JSON.stringify([rest, lines.map(packed)])
}

export function readContents(text: string): StoredCart {
  const [rest, lines] = JSON.parse(text) as [Omit<StoredCart, 'lines' | 'mergedInto'>, ReturnType<typeof packed>[]]
  return { mergedInto: undefined, ...rest, lines: lines.map(unpacked) }
}

const packed = ({ sku, quantity, selected, note, position, left }: CartLine) =>
  [sku, quantity, selected ? 1 : 0, position, note, left ?? null] as const

function unpacked([sku, quantity, selected, position, note, left]: ReturnType<typeof packed>): CartLine {
  const line = { sku, quantity, selected: selected === 1, note, position }
  return left === null ? line : { ...line, left }
}
