import { hash } from 'node:crypto'
import type { CachedCart, CartHit } from '../cache/cart-cache.ts'
import { Bytes } from '../lib/bytes.ts'
import { AppError } from '../lib/errors.ts'
import type { CartLine, Lines } from '../model/cart.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import type { Purchases } from '../model/order.ts'
import type { PricedCart, PricedLine } from '../pricing/price.ts'

/**
 * A cart as clients see it. It is rendered once, when it changes, into a head and chunks of lines; any page of it is then
 * put together from those bytes, without parsing them. Lines of a chunk are separated by `,\n`, which JSON text never
 * holds inside a value, so a page that starts in the middle of a chunk can be cut out too.
 */
export interface RenderedCart extends CachedCart {
  /** Of everything shown but the versions: equal digests mean equal answers. */
  readonly digest: string
  /** The totals as JSON: what is shown, marked stale, while nothing newer can be calculated. */
  readonly totals: string
}

export interface PageOfCart {
  readonly offset: number
  readonly limit: number
  /** The version that a cursor was made for. */
  readonly version?: number | undefined
}

export interface CartView {
  readonly version: number
  readonly body: Bytes | string
}

/** What a cart holds: what edits change and prices are calculated from. */
export interface CartContents extends Purchases {
  readonly lines: Lines
  readonly codes: readonly string[]
}

const SEPARATOR = ',\n'

export function renderCart(
  version: number,
  currency: string,
  lines: Lines,
  priced: PricedCart,
  pricedAtMs: number,
): RenderedCart {
  const { totals, promotions, gifts, codes, hints } = priced
  const more = [JSON.stringify(totals), JSON.stringify(promotions), JSON.stringify(gifts), JSON.stringify(codes)]
  const rendered = render(version, currency, lines, priced, more, JSON.stringify(hints))
  return { ...rendered, totals: more[0] ?? '', pricedAtMs }
}

/**
 * A cart that could not be priced: its lines at list prices, with the last totals that were calculated. To be shown as stale, and
 * never cached.
 */
export function renderUnpriced(
  version: number,
  currency: string,
  contents: Pick<CartContents, 'lines' | 'codes'>,
  listPrices: PricedCart,
  last: { readonly totals: string; readonly pricedAtMs: number },
): RenderedCart {
  const totals = last.totals === '' ? JSON.stringify(listPrices.totals) : last.totals
  const codes = contents.codes.map(code => ({ code, applied: false, reason: 'not_priced' }))
  const rendered = render(
    version,
    currency,
    contents.lines,
    listPrices,
    [totals, '[]', '[]', JSON.stringify(codes)],
    '[]',
  )
  return { ...rendered, totals, pricedAtMs: last.pricedAtMs }
}

function render(
  version: number,
  currency: string,
  lines: Lines,
  priced: PricedCart,
  [totals, promotions, gifts, codes]: readonly string[],
  hints: string,
): Omit<RenderedCart, 'totals' | 'pricedAtMs'> {
  const chunks: string[] = []
  for (let at = 0; at < lines.length; at += FIXED.chunkLines) {
    const chunk = lines.slice(at, at + FIXED.chunkLines)
    chunks.push(chunk.map((line, index) => lineText(line, priced.lines[at + index] as PricedLine)).join(SEPARATOR))
  }
  const units = lines.reduce((sum, line) => sum + line.quantity, 0)
  const shown =
    `"currency":${JSON.stringify(currency)},"totals":${totals},"promotions":${promotions},"gifts":${gifts},` +
    `"codes":${codes},"hints":${hints},"counts":{"lines":${lines.length},"units":${units}}`
  const versions = `"versions":{"rules":${priced.rulesVersion},"catalog":${priced.catalogVersion}}`
  return {
    version,
    catalogVersion: priced.catalogVersion,
    rulesStamp: priced.rulesStamp,
    lines: lines.length,
    head: `{"version":${version},${versions},${shown},"lines":[`,
    chunks,
    digest: hash('sha1', [shown, ...chunks].join(SEPARATOR)),
  }
}

/** JSON by hand: a third of what `JSON.stringify` of an object takes, 500 times for a long cart. */
function lineText({ sku, quantity, selected, note, left }: CartLine, price: PricedLine): string {
  const { name, unitPrice, subtotal, discount, total, available } = price
  const texts = `"sku":${JSON.stringify(sku)},"name":${JSON.stringify(name)}`
  const chosen = `"quantity":${quantity},"selected":${selected},"note":${note === '' ? '""' : JSON.stringify(note)}`
  const money = `"unitPrice":${unitPrice},"subtotal":${subtotal},"discount":${discount},"total":${total}`
  return `{${texts},${chosen},${money},"available":${available}${left === undefined ? '' : `,"left":${left}`}}`
}

/** Which chunks a page needs, first and last. */
export function chunksOf(page: PageOfCart): { first: number; last: number } {
  return {
    first: Math.floor(page.offset / FIXED.chunkLines),
    last: Math.floor((page.offset + page.limit - 1) / FIXED.chunkLines),
  }
}

/**
 * With `staleAtMs`, the time of reading, the totals are said to be old, and how old.
 * @throws AppError `cursor_stale` when the page was asked for another version of the cart
 */
export function pageOf(cart: CachedCart | CartHit, page: PageOfCart, staleAtMs?: number): CartView {
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
  const ageSeconds = staleAtMs === undefined ? 0 : Math.max(0, Math.round((staleAtMs - cart.pricedAtMs) / 1000))
  const stale = staleAtMs === undefined ? 'null' : `{"ageSeconds":${cart.pricedAtMs === 0 ? 'null' : ageSeconds}}`
  const tail = `],"page":{"limit":${page.limit},"next":${JSON.stringify(next)}},"stale":${stale}}`
  const isWhole = page.offset === 0 && page.limit >= FIXED.chunkLines
  if ('page' in cart && isWhole) return { version: cart.version, body: new Bytes(cart.page.toString('latin1') + tail) }
  const lines = cutLines(cart.chunks, page.offset - firstChunk * FIXED.chunkLines, page.limit)
  if (typeof cart.head === 'string') return { version: cart.version, body: cart.head + lines + tail }
  return { version: cart.version, body: new Bytes(cart.head.toString('latin1') + lines + tail) }
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

/** Of text as text; of bytes each as a character. */
function cutLines(all: CachedCart['chunks'], offset: number, limit: number): string {
  const textOf = (chunk: Buffer | string) => (typeof chunk === 'string' ? chunk : chunk.toString('latin1'))
  const first = Math.floor(offset / FIXED.chunkLines)
  const chunks = all.slice(first, Math.ceil((offset + limit) / FIXED.chunkLines))
  const start = offset - first * FIXED.chunkLines
  const [only] = chunks
  if (chunks.length <= 1 && start === 0 && limit >= FIXED.chunkLines) return only === undefined ? '' : textOf(only)
  const lines = chunks.flatMap(chunk => textOf(chunk).split(SEPARATOR))
  return lines.slice(start, start + limit).join(SEPARATOR)
}
