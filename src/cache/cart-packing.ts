import { FIXED } from '../model/limits.ts'

/** What a cached cart is of. */
export interface CartMeta {
  readonly version: number
  readonly catalogVersion: number
  /** What the rules were, and when the totals were calculated: ms since 1970. */
  readonly rulesStamp: number
  readonly pricedAtMs: number
  readonly lines: number
}

/** A cart as it is cached: bytes ready to send. `head` ends just before the lines; a chunk holds `FIXED.chunkLines` of them. */
export interface CachedCart extends CartMeta {
  readonly head: Buffer | string
}

/** A cart to be cached: with what edits start from (cart/cart-codec.ts), so that a write need not load it from the database. */
export interface PublishedCart extends CachedCart {
  readonly contents: string
  /** Of its products (catalog/change-log.ts). */
  readonly fingerprint: string
  readonly chunks: Chunks
}

export interface Chunks {
  readonly count: number
  /** Made when it is asked for. */
  text(chunk: number): string
  /** Whether it is what it was in the version before. */
  isSame(chunk: number): boolean
}

/** A cart ready to be sent to the cache: some strings, since many carts wait for their commit at once. */
export interface Packed {
  readonly version: number
  /** The version that it stands on, whose chunks the fence must have kept; undefined when everything is sent. */
  readonly on: readonly [version: number, chunksThen: number, chunksNow: number] | undefined
  /** Meta, head, contents and fingerprint; then number and text of each chunk that is sent. */
  readonly parts: readonly (string | number)[]
}

/** With the version `before`, whose chunks a fence keeps, only the chunks that are not as they were then. */
export function pack(
  cart: PublishedCart,
  before?: { readonly version: number; readonly lines: readonly unknown[] },
): Packed {
  const { chunks, version } = cart
  const parts: (string | number)[] = [metaOf(cart), cart.head.toString(), cart.contents, cart.fingerprint]
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    if (!before || !chunks.isSame(chunk)) parts.push(chunk, chunks.text(chunk))
  }
  const on: Packed['on'] = before && [before.version, Math.ceil(before.lines.length / FIXED.chunkLines), chunks.count]
  return { version, on, parts }
}

/** What a value is of, in one field: each field of a reply costs both sides about a microsecond. */
export function metaOf({ version, catalogVersion, rulesStamp, pricedAtMs, lines }: CartMeta): string {
  return `${version}|${catalogVersion}|${rulesStamp}|${pricedAtMs}|${lines}`
}
