import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type RedisConnection, readLibrary } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'
import { type CartHit, type CartMeta, PageHit, type Stamped, stampedOf } from './cart-hit.ts'

/**
 * THE CART CACHE PROTOCOL: fence before commit, fill under a share lock. A hit is linearizable: a read that starts after
 * a write was acknowledged sees it, on every instance, whichever process dies at any time.
 *
 * Truth is the row `carts(user_id, version)`; every change raises the version by one. A hash per cart has four states,
 * changed only by the short atomic functions of cart-functions.lua:
 *
 *   EMPTY            nothing known
 *   VALUE(v, body)   a hit; its first page is also a string of its own, made and deleted with the state
 *   LEASE(token)     one reader is filling
 *   FENCE(min, token) a writer is between its lock and its publish; nothing below version `min` may be shown. It keeps the chunks of
 *                    the VALUE that it replaces, so that a PUBLISH on top of that very version brings only what changed
 *
 * Writer (cart/cart-writer.ts)                           Reader (cart/cart-reader.ts)
 *   lock the row (compare-and-set on the version)     VALUE          → hit
 *   FENCE(v+1, T), acknowledged, or roll back         EMPTY → LEASE  → read under share lock, FILL(token)
 *   COMMIT                                            LEASE of other → wait, then read without filling
 *   answer the client                                 FENCE          → plain read, no fill
 *   PUBLISH(T, v+1, body), fire and forget            FENCE too old  → read under share lock, RESOLVE(that token)
 *
 * Invariant: while VALUE(v) is cached, no transaction with a higher version has committed. VALUE(v) comes (a) from
 * PUBLISH with the token of a fence set under the row lock for that very version; (b) from FILL with a LEASE under the
 * share lock: no writer is between lock and commit then, and a later one overwrites the LEASE first; (c) from RESOLVE of
 * one particular fence under the share lock, as (b). And a writer commits only after its FENCE has replaced VALUE(v).
 *
 * Races, each refused by a token or a version:
 *   R1 slow fill against a newer write: LEASE(t) · reader loads v5 · writer FENCE(6) COMMIT PUBLISH · FILL(t) → refused.
 *   R2 writer dies between COMMIT and PUBLISH, or
 *   R3 between FENCE and COMMIT: its fence stands, and readers read the row without filling; when the fence is older than any
 *      transaction may idle, one reads under the share lock and resolves it.
 *   R4 a fence left by a dead writer and a live writer of the same version: FENCE takes over at equal `min`. Keeping the
 *      old one would let a late RESOLVE of its token bring v5 back after v6 was acknowledged.
 *   R5 the key is evicted, or Redis restarts empty, between FENCE and COMMIT: a reader leases, but its share lock waits
 *      for the writer, so it can only fill what is committed.
 *   R6 the same, and a late FENCE of an older version lands on the empty key: a reader may not take its version for what is
 *      committed, and fill without a lock. (A draft did: the model in test/model found it.)
 *
 *   R7 the hash is evicted and the page is not: the page is what the hash was, and the next FENCE or LEASE deletes it before anything
 *      else can be committed or filled.
 *   R8 a fence keeps the chunks of v5, its writer commits v6 and dies, the next fences v7: what it changed is on top of v6, which the
 *      fence does not have. A publish that brings only what changed, on top of a version that was not kept (also where the hash was
 *      evicted since), leaves EMPTY, and the next reader fills it.
 *
 * What a total is of: VALUE carries the version that the catalogue had when the cart was priced, and a fingerprint of its products. The version of
 * the cart says nothing of prices, so the states above leave them out. Invariant: an instance shows a VALUE as new only if none of its products
 * has changed between that version and the one that the instance has reached (cart/cache-policy.ts, catalog/change-log.ts). So no total is older than
 * what its instance has heard of: milliseconds while the cache Redis passes news on, a second without, and for as long as the global database
 * is away. An order does not rely on it: it is decided only where none of its products has changed (store/catalog-watermark.ts).
 *
 * The proof needs a Redis without replica and persistence (a restart is then EMPTY, never old), and the key carries the
 * cache epoch of the shard, so that nothing from before an outage is read after it (cart/cache-mode.ts).
 */

const LIBRARY = readLibrary(join(import.meta.dirname, 'cart-functions.lua'))

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

type LeaseResult =
  | { readonly kind: 'leased'; readonly token: string }
  | { readonly kind: 'busy' }
  | { readonly kind: 'value' }
  | { readonly kind: 'fenced'; readonly minVersion: number; readonly token: string; readonly ageMs: number }

export interface CartKey {
  readonly userId: string
  readonly epoch: number
}

export interface WantedFence {
  readonly key: CartKey
  readonly minVersion: number
  readonly token: string
}

export type CartCache = ReturnType<typeof createCartCache>

export function createCartCache(redis: RedisConnection) {
  const call = (name: string, key: CartKey, args: readonly (string | number)[]) =>
    redis.call(LIBRARY, name, [keyOf(key), pageKeyOf(key)], args)
  const valueOf = (token: string, { version, parts }: Packed) => [token, version, FIXED.cartValueMs, ...parts]

  const settle = async (name: 'fill' | 'resolve', key: CartKey, token: string, cart: PublishedCart) =>
    (await call(name, key, valueOf(token, pack(cart)))) === 1

  const own = `${randomBytes(12).toString('base64url')}.`
  let tokens = 0

  return {
    /** Unlike any other, ever; it is no secret. */
    newToken: () => `${own}${(++tokens).toString(36)}`,

    /** One GET for the first page, one HMGET for others. Undefined unless the state is VALUE: page and `m` are there only then. */
    async read(key: CartKey, firstChunk: number, lastChunk: number): Promise<CartHit | undefined> {
      if (lastChunk === 0) {
        const page = await redis.getBuffer(pageKeyOf(key))
        if (page) return new PageHit(page)
      }
      const fields = ['m', 'f', 'h']
      for (let chunk = firstChunk; chunk <= lastChunk; chunk++) fields.push(String(chunk))
      const [meta, of, head, ...chunks] = await redis.run(client => client.hmgetBuffer(keyOf(key), ...fields))
      if (!meta || !head) return undefined
      return { ...stampedOf(meta, of), head, firstChunk, chunks: chunks.filter(chunk => chunk !== null) }
    },

    /** First pages of many carts in one command; undefined where there is none, though `read` may find the cart all the same. */
    async firstPages(keys: readonly CartKey[]): Promise<(CartHit | undefined)[]> {
      const pages = await redis.getManyBuffers(keys.map(pageKeyOf))
      return pages.map(page => (page === null ? undefined : new PageHit(page)))
    },

    /** What a hit would be of, without its bytes. */
    async meta(key: CartKey): Promise<Stamped | undefined> {
      const [meta, of] = await redis.run(client => client.hmgetBuffer(keyOf(key), 'm', 'f'))
      return meta ? stampedOf(meta, of) : undefined
    },

    /** What the cart holds, of the version that a hit would show: undefined unless the state is VALUE. */
    async contents(key: CartKey): Promise<string | undefined> {
      return (await redis.run(client => client.hget(keyOf(key), 'd'))) ?? undefined
    },

    /** One of the cached carts, by chance; undefined when chance finds something else. */
    async sample(): Promise<CartKey | undefined> {
      const [, userId, epoch] = CART_KEY.exec((await redis.run(client => client.randomkey())) ?? '') ?? []
      return userId === undefined ? undefined : { userId, epoch: Number(epoch) }
    },

    /** Of one cart or many. @throws AppError `unavailable` when the fences are not known to stand: the writer must not commit then */
    async fence(fences: readonly WantedFence[]): Promise<void> {
      const keys = fences.flatMap(({ key }) => [keyOf(key), pageKeyOf(key)])
      const args = fences.flatMap(({ minVersion, token }) => [minVersion, token])
      await redis.call(LIBRARY, 'fence', keys, [FIXED.fenceMs, ...args])
    },

    /** False when the fence was not its own any more, or had not kept what the cart stands on. */
    async publish(key: CartKey, token: string, cart: Packed): Promise<boolean> {
      const value = valueOf(token, cart)
      const reply = cart.on ? call('patch', key, [...cart.on, ...value]) : call('publish', key, value)
      return (await reply) === 1
    },

    async lease(key: CartKey, token: string): Promise<LeaseResult> {
      return leaseOf((await call('lease', key, [token, FIXED.leaseMs])) as string[], token)
    },

    /** Turns a VALUE with old totals into a LEASE for one reader. */
    async renew(key: CartKey, token: string, old: CartHit): Promise<LeaseResult> {
      const [state] = (await call('renew', key, [token, FIXED.leaseMs, metaOf(old)])) as string[]
      return state === 'L' ? { kind: 'leased', token } : { kind: 'busy' }
    },

    fill: (key: CartKey, token: string, cart: PublishedCart) => settle('fill', key, token, cart),
    resolve: (key: CartKey, token: string, cart: PublishedCart) => settle('resolve', key, token, cart),
  }
}

function leaseOf([state = '', minVersion, fenceToken = '', ageMs]: readonly string[], token: string): LeaseResult {
  switch (state) {
    case 'L':
      return { kind: 'leased', token }
    case 'F':
      return { kind: 'fenced', minVersion: Number(minVersion), token: fenceToken, ageMs: Number(ageMs) }
    case 'V':
      return { kind: 'value' }
    default:
      return { kind: 'busy' }
  }
}

export function keyOf(key: CartKey): string {
  return `{u:${key.userId}}:cart:${key.epoch}`
}

const CART_KEY = /^\{u:(\d+)\}:cart:(\d+)$/

/** The first page, which nearly every request wants, is a value of its own: many carts' are read in one command. */
export function pageKeyOf(key: CartKey): string {
  return `{u:${key.userId}}:page:${key.epoch}`
}

/** What a value is of, in one field: each field of a reply costs both sides about a microsecond. */
function metaOf({ version, catalogVersion, rulesStamp, pricedAtMs, lines }: CartMeta): string {
  return `${version}|${catalogVersion}|${rulesStamp}|${pricedAtMs}|${lines}`
}
