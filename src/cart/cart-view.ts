import { hash } from 'node:crypto'
import type { CachedCart, CartHit } from '../cache/cart-cache.ts'
import { AppError } from '../lib/errors.ts'
import type { Lines } from '../model/cart.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import type { PricedCart } from '../pricing/price.ts'

/**
 * A cart as clients see it. It is rendered once, when it changes, into a head and chunks of lines; any page of it is then
 * put together from those bytes, without parsing them. Lines of a chunk are separated by `,\n`, which JSON text never
 * holds inside a value, so a page that starts in the middle of a chunk can be cut out too.
 */
export interface RenderedCart extends CachedCart {
  /** Of everything shown but the version: equal digests mean equal answers. */
  readonly digest: string
}

export interface PageOfCart {
  readonly offset: number
  readonly limit: number
  /** The version that a cursor was made for. */
  readonly version?: number | undefined
}

export interface CartView {
  readonly version: number
  readonly body: Buffer | string
}

const SEPARATOR = ',\n'

export function renderCart(version: number, currency: string, lines: Lines, priced: PricedCart): RenderedCart {
  const chunks: string[] = []
  for (let at = 0; at < lines.length; at += FIXED.chunkLines) {
    const chunk = lines.slice(at, at + FIXED.chunkLines).map((line, index) => {
      const price = priced.lines[at + index]
      return JSON.stringify({
        sku: line.sku,
        name: price?.name,
        quantity: line.quantity,
        selected: line.selected,
        note: line.note,
        unitPrice: price?.unitPrice,
        total: price?.total,
        available: price?.available,
      })
    })
    chunks.push(chunk.join(SEPARATOR))
  }
  const units = lines.reduce((sum, line) => sum + line.quantity, 0)
  const shown = `"currency":${JSON.stringify(currency)},"totals":${JSON.stringify(priced.totals)},"counts":{"lines":${lines.length},"units":${units}}`
  return {
    version,
    catalogVersion: priced.catalogVersion,
    lines: lines.length,
    head: `{"version":${version},${shown},"lines":[`,
    chunks,
    digest: hash('sha1', [shown, ...chunks].join(SEPARATOR)),
  }
}

/** Which chunks a page needs, first and last. */
export function chunksOf(page: PageOfCart): { first: number; last: number } {
  return {
    first: Math.floor(page.offset / FIXED.chunkLines),
    last: Math.floor((page.offset + page.limit - 1) / FIXED.chunkLines),
  }
}

/** @throws AppError `cursor_stale` when the page was asked for another version of the cart */
export function pageOf(cart: CachedCart | CartHit, page: PageOfCart): CartView {
  if (page.version !== undefined && page.version !== cart.version) {
    throw new AppError(
      'cursor_stale',
      'The cart has changed since this page was linked; start again without a cursor.',
      {
        extra: { version: cart.version },
      },
    )
  }
  const firstChunk = 'firstChunk' in cart ? cart.firstChunk : 0
  const end = page.offset + page.limit
  const next = end < cart.lines ? encodeCursor(['cart', cart.version, end]) : null
  const tail = `],"page":{"limit":${page.limit},"next":${JSON.stringify(next)}}}`
  const lines = cutLines(cart.chunks, page.offset - firstChunk * FIXED.chunkLines, page.limit)
  return { version: cart.version, body: Buffer.concat([bytes(cart.head), bytes(lines), bytes(tail)]) }
}

/** @throws AppError `invalid_request` for a cursor that is not one of a cart */
export function readCartCursor(text: string): { version: number; offset: number } {
  const [kind, version, offset] = decodeCursor(text, ['string', 'number', 'number']) ?? []
  if (kind !== 'cart' || !Number.isSafeInteger(version) || !Number.isSafeInteger(offset) || Number(offset) < 0) {
    const detail = 'This is not a cursor of a cart.'
    throw new AppError('invalid_request', detail, { errors: [{ in: 'query', pointer: '#/cursor', detail }] })
  }
  return { version: Number(version), offset: Number(offset) }
}

function cutLines(chunks: CachedCart['chunks'], offset: number, limit: number): Buffer | string {
  const [only] = chunks
  if (chunks.length <= 1 && offset === 0 && limit >= FIXED.chunkLines) return only ?? ''
  const lines = chunks.flatMap(chunk => chunk.toString().split(SEPARATOR))
  return lines.slice(offset, offset + limit).join(SEPARATOR)
}

function bytes(part: Buffer | string): Buffer {
  return typeof part === 'string' ? Buffer.from(part, 'utf8') : part
}
