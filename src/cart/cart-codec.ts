import type { CartLine } from '../model/cart.ts'
import type { StoredCart } from '../store/carts.ts'
import type { Shown } from './line-chunks.ts'

/** A cart as the cache knows it: also what was shown of it. */
export type KnownCart = StoredCart & { readonly shown?: Shown }

/**
 * What the database knows of a cart at one version, as text beside its cached view: a write starts from it instead of from the rows. It may
 * be old only where a hit may be, which is never (cache/cart-cache.ts); and what is written on top of it is compared with the
 * row's version.
 */
export function encodeCart({ lines, shown, ...rest }: KnownCart): string {
  const skus = lines.map(({ sku }) => sku).join(BREAK)
  const quantities = lines.map(({ quantity }) => quantity)
  const unusual: Unusual[] = []
  let last = 0
  // Not over `entries()`, which makes a list for each line: of all that an add to a long cart allocated these were a quarter, with those of model/cart.ts.
  lines.forEach(({ position, selected, note, left }, at) => {
    if (position !== last + 1 || !selected || note !== '' || left !== undefined)
      unusual.push([at, position, selected ? 1 : 0, note, left ?? null])
    last = position
  })
  return JSON.stringify([FORM, rest, skus, quantities, unusual, shown ?? null])
}

/** Undefined for what an instance of another version of cartload has left. */
export function decodeCart(text: string): KnownCart | undefined {
  const [form, rest, skus, quantities, unusual, shown] = JSON.parse(text) as Columns
  if (form !== FORM) return undefined
  const exceptions = unusual.values()
  let exception = exceptions.next().value
  let position = 0
  const lines = (skus === '' ? [] : skus.split(BREAK)).map((sku, at): CartLine => {
    const quantity = quantities[at] ?? 0
    if (exception?.[0] !== at) return { sku, quantity, selected: true, note: '', position: ++position }
    const [, , selected, note, left] = exception
    position = exception[1]
    exception = exceptions.next().value
    const line = { sku, quantity, selected: selected === 1, note, position }
    return left === null ? line : { ...line, left }
  })
  return { mergedInto: undefined, ...rest, lines, ...(shown ? { shown } : {}) }
}

/** Changes with the form of the text. */
const FORM = 1

/** No product code holds one. */
const BREAK = '\n'

/** By columns, which are written and read several times as fast as lines. What is not as with most lines: where, position, selected, note, left. */
type Unusual = readonly [number, number, 0 | 1, string, number | null]
type Columns = [number, Omit<StoredCart, 'lines' | 'mergedInto'>, string, number[], Unusual[], Shown | null]
