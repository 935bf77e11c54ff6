import { hash } from 'node:crypto'
import type { CartHit } from '../cache/cart-cache.ts'
import type { CachedCart } from '../cache/cart-packing.ts'
import { fingerprintOf } from '../catalog/change-log.ts'
import { Bytes } from '../lib/latin1-body.ts'
import { AppError } from '../lib/errors.ts'
import type { CartLine, Lines } from '../model/cart.ts'
import { decodeCursor, encodeCursor } from '../model/cursor.ts'
import { FIXED } from '../model/limits.ts'
import type { Purchases } from '../model/order.ts'
import type { PricedCart, PricedLine } from '../pricing/price.ts'
import { lineText, renderChunks, type RenderedChunks, SEPARATOR, type Shown } from './line-chunks.ts'

/**
 * A cart as clients see it. It is rendered once, when it changes, into a head and chunks of lines; any page of it is then
 * put together from those bytes, without parsing them. Lines of a chunk are separated by `,\n`, which JSON text never
 * holds inside a value, so a page that starts in the middle of a chunk can be cut out too.
 */
export interface RenderedCart extends CachedCart {
  readonly chunks: RenderedChunks
  /** Of its products (catalog/change-log.ts). */
  readonly fingerprint: string
  /** Of everything shown but the versions: equal digests mean equal answers. */
  readonly digest: string
  /** The totals as JSON: what is shown, marked stale, while nothing newer can be calculated. */
  readonly totals: string
}

export interface PageOfCart {
  readonly offset: number
  readonly limit: number
  /** The version that a cursor was made for; `offset` is a place in that version. */
  readonly version?: number | undefined
  /** The products of the lines before `offset` in that version, the nearest first. */
  readonly after?: readonly string[]
}

export interface CartView {
  readonly version: number
  /** Built when it is asked for: a client that has this version needs none. */
  readonly body: Bytes | string
}

/** What a cart holds: what edits change and prices are calculated from. */
export interface CartContents extends Purchases {
  readonly lines: Lines
  readonly codes: readonly string[]
}

/** The cart before a change: what it held, and what was shown of it where that is known. */
interface CartBefore {
  readonly lines: Lines
  readonly shown?: Shown
}

export function renderCart(
  version: number,
  currency: string,
  lines: Lines,
  priced: PricedCart,
  pricedAtMs: number,
  before?: CartBefore,
): RenderedCart {
  const { totals, promotions, gifts, codes, hints } = priced
  const more = [JSON.stringify(totals), JSON.stringify(promotions), JSON.stringify(gifts), JSON.stringify(codes)]
  const rendered = render(version, currency, lines, priced, more, JSON.stringify(hints), before)
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
  before?: CartBefore,
): Omit<RenderedCart, 'totals' | 'pricedAtMs'> {
  const chunks = renderChunks(lines, priced, before)
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
    fingerprint: fingerprintOf([...lines.map(({ sku }) => sku), ...priced.giftSkus]),
    digest: hash('sha1', [shown, ...chunks.shown.digests].join(SEPARATOR)),
  }
}

/** What a change answers: the lines that it has changed or made, wherever in the cart they stand, then the first page of the cart. */
export function withChanged(page: string, changed: readonly CartLine[], lines: Lines, priced: PricedCart): string {
  const texts = changed.map(line => {
    const at = lines.indexOf(line)
    return lineText(line, priced.lines[at] as PricedLine)
  })
  return `{"changed":[${texts.join(',')}],${page.slice(1)}`
}

/** Which chunks a page needs, first and last. */
export function chunksOf(page: PageOfCart): { first: number; last: number } {
  return {
    first: Math.floor(page.offset / FIXED.chunkLines),
    last: Math.floor((page.offset + page.limit - 1) / FIXED.chunkLines),
  }
}

/** Whether the first chunk is all that a page needs. */
export const isFirstPage = (page: PageOfCart): boolean => chunksOf(page).last === 0

/** With `staleAtMs`, the time of reading, the totals are said to be old, and how old. */
export function pageOf(cart: RenderedCart | CartHit, page: PageOfCart, staleAtMs?: number): CartView {
  return new PageView(cart, page, staleAtMs)
}

class PageView implements CartView {
  readonly version: number
  readonly #cart: RenderedCart | CartHit
  readonly #page: PageOfCart
  readonly #staleAtMs: number | undefined

  constructor(cart: RenderedCart | CartHit, page: PageOfCart, staleAtMs: number | undefined) {
    this.version = cart.version
    this.#cart = cart
    this.#page = page
    this.#staleAtMs = staleAtMs
  }

  get body(): Bytes | string {
    return bodyOf(this.#cart, this.#page, this.#staleAtMs)
  }
}

function bodyOf(cart: RenderedCart | CartHit, page: PageOfCart, staleAtMs: number | undefined): Bytes | string {
  const ageSeconds = staleAtMs === undefined ? 0 : Math.max(0, Math.round((staleAtMs - cart.pricedAtMs) / 1000))
  const stale = staleAtMs === undefined ? 'null' : `{"ageSeconds":${cart.pricedAtMs === 0 ? 'null' : ageSeconds}}`
  const whole = (lines: string) =>
    `${lines}],"page":{"limit":${page.limit},"next":${JSON.stringify(nextOf(cart, page, lines))}},"stale":${stale}}`
  const isWhole = page.offset === 0 && page.limit >= FIXED.chunkLines
  if ('page' in cart && isWhole) return new Bytes(whole(cart.page.toString('latin1')))
  if ('firstChunk' in cart) {
    const { chunks, firstChunk, head } = cart
    const lines = cutLines(page, cart.lines, chunk => chunks[chunk - firstChunk]?.toString('latin1') ?? '')
    return new Bytes(head.toString('latin1') + whole(lines))
  }
  return cart.head.toString() + whole(cutLines(page, cart.lines, cart.chunks.text))
}

/** The cursor of the page that follows `lines`. */
function nextOf({ version, lines: count }: RenderedCart | CartHit, page: PageOfCart, lines: string): string | null {
  const end = page.offset + page.limit
  return end < count ? encodeCursor(['cart', version, end, lastSkus(lines).join('\n')]) : null
}

/** With this many lines before it, a page is found again unless all of them are removed. */
const CURSOR_LINES = 3
const LINE_START = '{"sku":'

/** The products of the last lines of a text, the last first. Product codes are ASCII, so that bytes read as Latin-1 do. */
function lastSkus(lines: string): string[] {
  const skus: string[] = []
  for (let end = lines.length; skus.length < CURSOR_LINES; ) {
    const start = end <= 0 ? -1 : lines.lastIndexOf(LINE_START, end - 1)
    if (start < 0) break
    skus.push(JSON.parse(lines.slice(start + LINE_START.length, lines.indexOf(',"name":', start))) as string)
    end = start
  }
  return skus
}

/** @throws AppError `invalid_request` for a cursor that is not one of a cart */
export function readCartCursor(text: string): { version: number; offset: number; after: readonly string[] } {
  const [kind, version, offset, skus] = decodeCursor(text, ['string', 'number', 'number', 'string']) ?? []
  if (kind !== 'cart' || !Number.isSafeInteger(version) || !Number.isSafeInteger(offset) || Number(offset) < 0) {
    const detail = 'This is not a cursor of a cart.'
    throw new AppError('invalid_request', detail, { errors: [{ in: 'query', pointer: '#/cursor', detail }] })
  }
  return { version: Number(version), offset: Number(offset), after: String(skus).split('\n') }
}

/**
 * Where a page begins in a version of the cart that its cursor was not made for: after the nearest line before it that is still there.
 * Lines keep their order and new ones come last, so no line that stays is shown twice or left out; where all of the cursor's lines are
 * gone, the place is that of the cursor.
 */
export function offsetIn(lines: Lines, { offset, after = [] }: PageOfCart): number {
  for (const sku of after) {
    const at = lines.findIndex(line => line.sku === sku)
    if (at >= 0) return at + 1
  }
  return Math.min(offset, lines.length)
}

function cutLines({ offset, limit }: PageOfCart, lines: number, textOf: (chunk: number) => string): string {
  const end = Math.min(offset + limit, lines)
  if (offset >= end) return ''
  const first = Math.floor(offset / FIXED.chunkLines)
  const start = offset - first * FIXED.chunkLines
  const texts: string[] = []
  for (let chunk = first; chunk * FIXED.chunkLines < end; chunk++) texts.push(textOf(chunk))
  const isWhole = start === 0 && (end === lines || end % FIXED.chunkLines === 0)
  if (isWhole) return texts.join(SEPARATOR)
  const all = texts.flatMap(text => text.split(SEPARATOR))
  return all.slice(start, start + limit).join(SEPARATOR)
}
