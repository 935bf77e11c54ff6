import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type RedisConnection, readLibrary } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'
import { type CartMeta, metaOf, pack, type Packed, type PublishedCart } from './cart-packing.ts'

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

/** What is asked of a cached cart before it is shown. */
export interface Stamped extends CartMeta {
  /** Of its products; undefined where an older release has cached it. */
  readonly fingerprint: Uint8Array | undefined
}

/** A hit holds only the chunks that were asked for. */
export interface CartHit extends Stamped {
  readonly head: Buffer
  readonly firstChunk: number
  readonly chunks: readonly Buffer[]
  /** Head and first chunk in one, where that is what was asked for. */
  readonly page?: Buffer
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

/** `of`: version and fingerprint; those of another version were left behind by an older release. */
function stampedOf(meta: Buffer, of: Buffer | null | undefined): Stamped {
  const { numbers } = readNumbers(meta, 5)
  const [version = 0, catalogVersion = 0, rulesStamp = 0, pricedAtMs = 0, lines = 0] = numbers
  const found = of && readNumbers(of, 1)
  const fingerprint = of && found?.numbers[0] === version ? of.subarray(found.end) : undefined
  return { version, catalogVersion, rulesStamp, pricedAtMs, lines, fingerprint }
}

const BAR = 0x7c
const LINE_END = 0x0a

/** Reads ASCII decimals that bars separate, without making strings of them. `end`: the first byte after the last one and its bar. */
function readNumbers(bytes: Buffer, max: number): { numbers: number[]; end: number } {
  const numbers: number[] = []
  let value = 0
  let at = 0
  for (; at < bytes.length && numbers.length < max; at++) {
    const byte = bytes[at] as number
    if (byte === LINE_END) break
    if (byte === BAR) {
      numbers.push(value)
      value = 0
    } else value = value * 10 + (byte - 48)
  }
  if (numbers.length < max) numbers.push(value)
  return { numbers, end: at }
}

/**
 * A first page as it is cached: `m`, the number of bytes of the head, the fingerprint, a line end, head, first chunk (cart-functions.lua). The rest of it
 * is parsed only when it is asked for.
 */
class PageHit implements CartHit {
  readonly version: number
  readonly catalogVersion: number
  readonly rulesStamp: number
  readonly pricedAtMs: number
  readonly lines: number
  readonly firstChunk = 0
  readonly page: Buffer
  readonly #headBytes: number
  readonly #whole: Buffer
  readonly #numbersEnd: number
  readonly #lineEnd: number

  constructor(whole: Buffer) {
    const { numbers, end } = readNumbers(whole, 6)
    this.version = numbers[0] ?? 0
    this.catalogVersion = numbers[1] ?? 0
    this.rulesStamp = numbers[2] ?? 0
    this.pricedAtMs = numbers[3] ?? 0
    this.lines = numbers[4] ?? 0
    this.#headBytes = numbers[5] ?? 0
    this.#whole = whole
    this.#numbersEnd = end
    this.#lineEnd = whole.indexOf(LINE_END, end)
    this.page = whole.subarray(this.#lineEnd + 1)
  }

  get fingerprint(): Uint8Array | undefined {
    // An older release has ended the line after the last number.
    if (this.#whole[this.#numbersEnd - 1] !== BAR) return undefined
    return this.#whole.subarray(this.#numbersEnd, this.#lineEnd)
  }

  get head(): Buffer {
    return this.page.subarray(0, this.#headBytes)
  }

  get chunks(): Buffer[] {
    return [this.page.subarray(this.#headBytes)]
  }
}
