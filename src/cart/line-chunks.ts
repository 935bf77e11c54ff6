import { hash } from 'node:crypto'
import type { Chunks } from '../cache/cart-packing.ts'
import type { CartLine, Lines } from '../model/cart.ts'
import { FIXED } from '../model/limits.ts'
import type { PricedCart, PricedLine } from '../pricing/price.ts'

/**
 * The lines of a cart as text, in chunks. Where it is known what was shown before, text is made only for chunks that show
 * something else now: one of 25 for a line added to a long cart.
 */
export interface RenderedChunks extends Chunks {
  readonly shown: Shown
}

/** What a rendering leaves for the next one, beside the lines (cart/cart-codec.ts). */
export interface Shown {
  readonly catalogVersion: number
  /** Of each chunk. */
  readonly digests: readonly string[]
  /** Of each line; none at all where there are no discounts. */
  readonly discounts: readonly number[]
  /** Of each line; none at all where there is no tax. A release before 0.2.0 leaves it out. */
  readonly taxes?: readonly number[]
}

export const SEPARATOR = ',\n'

/** @param before only where none of its products has changed since it was shown */
export function renderChunks(
  lines: Lines,
  priced: PricedCart,
  before?: { readonly lines: Lines; readonly shown?: Shown },
): RenderedChunks {
  const { catalogVersion } = priced
  const count = Math.ceil(lines.length / FIXED.chunkLines)
  const texts: (string | undefined)[] = []
  const text = (chunk: number) => {
    const at = chunk * FIXED.chunkLines
    const some = lines.slice(at, at + FIXED.chunkLines)
    return (texts[chunk] ??= some
      .map((line, index) => lineText(line, priced.lines[at + index] as PricedLine))
      .join(SEPARATOR))
  }
  const known = before?.shown
  /**
   * A line's text follows from the line, its discount, its tax and what the catalogue says. Edits leave lines that they do not change as they are, so
   * those are the same objects.
   */
  const isSame = (chunk: number) => {
    if (!known || !before || known.digests[chunk] === undefined) return false
    const end = Math.min((chunk + 1) * FIXED.chunkLines, Math.max(lines.length, before.lines.length))
    for (let at = chunk * FIXED.chunkLines; at < end; at++) {
      const { discount, tax = 0 } = priced.lines[at] ?? {}
      if (lines[at] !== before.lines[at] || discount !== (known.discounts[at] ?? 0)) return false
      if (tax !== (known.taxes?.[at] ?? 0)) return false
    }
    return true
  }
  const same = Array.from({ length: count }, (_, chunk) => isSame(chunk))
  const digests = same.map((is, chunk) => (is && known?.digests[chunk]) || hash('sha1', text(chunk), 'base64url'))
  const discounts = priced.lines.map(line => line.discount)
  const taxes = priced.lines.map(({ tax = 0 }) => tax)
  const unlessZero = (amounts: number[]) => (amounts.some(amount => amount !== 0) ? amounts : [])
  const shown = { catalogVersion, digests, discounts: unlessZero(discounts), taxes: unlessZero(taxes) }
  return { count, text, isSame: chunk => same[chunk] === true, shown }
}

/** A line as carts show it, as JSON. */
export function lineText({ sku, quantity, selected, note, left }: CartLine, price: PricedLine): string {
  const { name, unitPrice, subtotal, discount, total, tax, taxPercent, available } = price
  return JSON.stringify({
    sku,
    name,
    quantity,
    selected,
    note,
    unitPrice,
    subtotal,
    discount,
    total,
    tax,
    taxPercent,
    available,
    left,
  })
}
