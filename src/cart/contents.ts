import type { CartLine } from '../model/cart.ts'
import type { StoredCart } from '../store/carts.ts'
import type { Shown } from './chunks.ts'

/**
 * What the database knows of a cart at one version, as text beside its cached view: a write starts from it instead of from the rows. It may
 * be old only where a hit may be, which is never (cache/cart-cache.ts); and what is written on top of it is compared with the
 * row's version.
 */
/** A cart as the cache knows it: also what was shown of it. */
export type KnownCart = StoredCart & { readonly shown?: Shown }

export function contentsOf({ lines, shown, ...rest }: KnownCart): string {
  const unusual = lines.flatMap(({ selected, note, left }, at): Unusual[] =>
    selected && note === '' && left === undefined ? [] : [[at, selected ? 1 : 0, note, left ?? null]],
  )
  const column = (name: 'sku' | 'quantity' | 'position') => lines.map(line => line[name])
  return JSON.stringify([rest, column('sku'), column('quantity'), column('position'), unusual, shown ?? null])
}

export function readContents(text: string): KnownCart {
  const [rest, skus, quantities, positions, unusual, shown] = JSON.parse(text) as Packed
  const lines = skus.map((sku, at): CartLine => {
    return { sku, quantity: quantities[at] ?? 0, selected: true, note: '', position: positions[at] ?? 0 }
  })
  for (const [at, selected, note, left] of unusual) {
    const line = { ...(lines[at] as CartLine), selected: selected === 1, note }
    lines[at] = left === null ? line : { ...line, left }
  }
  return { mergedInto: undefined, ...rest, lines, ...(shown ? { shown } : {}) }
}

/** By columns, which are written and read several times as fast as lines; where it is, selected, note, left. */
type Unusual = readonly [number, 0 | 1, string, number | null]
type Packed = [Omit<StoredCart, 'lines' | 'mergedInto'>, string[], number[], number[], Unusual[], Shown | null]
