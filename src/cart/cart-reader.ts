import { setTimeout as sleep } from 'node:timers/promises'
import type { CartCache, CartHit, CartKey, CartMeta } from '../cache/cart-cache.ts'
import { isAppError, unlessUnavailable } from '../lib/errors.ts'
import { createKeyedQueue } from '../lib/keyed-mutex.ts'
import { lineNotFound } from '../model/cart.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { PricedCart } from '../pricing/price.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { LockWaitError } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CacheModes } from './cache-mode.ts'
import {
  type CartView,
  chunksOf,
  offsetIn,
  type PageOfCart,
  pageOf,
  type RenderedCart,
  renderCart,
  renderUnpriced,
} from './cart-rendering.ts'
import { contentsOf } from './cart-codec.ts'
import { type Funnel, requireCart } from './cart-writer.ts'
import type { Prices } from './cart-pricing.ts'
import type { OnCartStep } from './failpoints.ts'

/** Reading a cart: a hit in the cache, or one of the ways to read the database that the cache protocol allows (cache/cart-cache.ts). */
export type CartReader = ReturnType<typeof createCartReader>

export interface CartReaderDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly modes: Pick<CacheModes, 'lease'>
  readonly pricing: Pricing
  readonly prices: Prices
  /** Over how long carts move to new rules, in ms. */
  readonly repriceSpreadMs: number
  /** Prices moved under a cart: what it shows changes, so its version does, as with every change. */
  readonly funnel: Pick<Funnel, 'reprice'>
  readonly limits: Limits
  readonly currency: string
  readonly metrics: Metrics
  readonly onStep: OnCartStep
}

/** What the cache said before anything else was known; see `peek`. */
export type Peeked = { readonly hit: CartHit; readonly isStale: boolean } | undefined

const READ_ATTEMPTS_MAX = 3
const NOTHING = { lines: [], codes: [], buyerGroup: 'guest' }

interface ReadCart extends RenderedCart {
  readonly contents: string
  /** False when only list prices and the last totals could be told. */
  readonly isPriced: boolean
}

export function createCartReader(deps: CartReaderDeps) {
  const { router, cache, modes, pricing, prices, funnel, limits, currency, metrics, onStep } = deps
  const fills = createKeyedQueue()
  const hits = metrics.cartReads.labels({ result: 'hit' })

  /** Asks the cache for a page. Safe to do before the session is known to be good: nothing is shown or changed by it. */
  async function peek(userId: string, page: PageOfCart): Promise<Peeked> {
    const key = readableKey(userId)
    if (!key) return undefined
    const { first, last } = chunksOf(page)
    const hit = await unlessUnavailable(cache.read(key, first, last))
    return hit && showable(userId, hit)
  }

  /** Whether what is cached may be shown, and how; undefined when it is to be calculated anew. */
  function showable(userId: string, hit: CartHit): Peeked {
    if (!isCurrent(userId, hit)) return undefined
    return { hit, isStale: hit.rulesStamp < pricing.rulesStamp() }
  }

  function isCurrent(userId: string, { catalogVersion, rulesStamp }: CartMeta): boolean {
    if (catalogVersion < pricing.catalogVersion()) return false
    return rulesStamp >= pricing.rulesStamp() || !isItsTurn(userId)
  }

  /** Whether a hit would be of this version: the cache is not asked for its bytes. False also when that cannot be known. */
  async function isUnchanged(userId: string, version: number): Promise<boolean> {
    const key = readableKey(userId)
    const meta = key && (await unlessUnavailable(cache.meta(key)))
    return meta?.version === version && isCurrent(userId, meta)
  }

  /**
   * New rules would have every cart priced anew at once. Instead each has its own moment within the spread, and shows its last
   * totals until then, said to be old.
   */
  function isItsTurn(userId: string): boolean {
    const since = Date.now() - pricing.rulesStamp()
    return since < 0 || since >= (Number(BigInt(userId) % 1000n) / 1000) * deps.repriceSpreadMs
  }

  const shownHit = ({ hit, isStale }: NonNullable<Peeked>, page: PageOfCart) => {
    hits.inc()
    return pageOf(hit, page, isStale ? Date.now() : undefined)
  }

  /** Undefined for a cursor of another version of the cart: `view` finds its place. */
  const show = (peeked: NonNullable<Peeked>, page: PageOfCart) => {
    if (page.version !== undefined && page.version !== peeked.hit.version) return undefined
    return shownHit(peeked, page)
  }

  /**
   * A page of the cart as it is; a cursor of an earlier version goes on where it was.
   * @throws AppError `session_ended`; `unavailable`, `overloaded` of the dependencies
   */
  async function view(userId: string, page: PageOfCart): Promise<CartView> {
    let wanted = page
    for (let attempt = 1; ; attempt++) {
      const seen = await viewPage(userId, wanted)
      // A cart that changes all the time: the place may be off by its last change.
      if (seen.version === (wanted.version ?? seen.version) || attempt > READ_ATTEMPTS_MAX) return seen
      const { version, lines } = await load(userId)
      wanted = { ...page, version, offset: offsetIn(lines, page) }
    }
  }

  async function viewPage(userId: string, page: PageOfCart): Promise<CartView> {
    // Readers of one cart queue up here: the first fills the cache, the others find it filled when their turn comes.
    return fills.run(userId, async () => {
      for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt++) {
        const hit = await peek(userId, page)
        if (hit) return shownHit(hit, page)
        const cart = await readThrough(userId)
        if (cart) return pageOf(cart, page, cart.isPriced ? undefined : Date.now())
      }
      const cart = await readPlain(userId, 'unfilled')
      return pageOf(cart, page, cart.isPriced ? undefined : Date.now())
    })
  }

  /** Reads the database in the way the cache's state allows; undefined means: look at the cache again. */
  async function readThrough(userId: string): Promise<ReadCart | undefined> {
    const key = readableKey(userId)
    if (!key) return readPlain(userId, 'degraded')
    try {
      const stale = await cache.read(key, 0, 0)
      if (stale && showable(userId, stale)) return undefined // somebody has filled it since this reader looked
      const token = cache.newToken()
      const lease = stale ? await cache.renew(key, token, stale) : await cache.lease(key, token)
      switch (lease.kind) {
        case 'leased':
          onStep('leased')
          return await readShared(userId, 'filled', cart => cache.fill(key, lease.token, cart))
        case 'value':
          return undefined
        case 'busy':
          for (const waitMs of FIXED.busyWaitsMs) {
            await sleep(waitMs)
            if (await cache.read(key, 0, 0)) return undefined
          }
          return await readPlain(userId, 'unfilled')
        case 'fenced': {
          if (lease.ageMs > FIXED.fenceAbandonedMs) {
            return await readShared(userId, 'resolved', cart => cache.resolve(key, lease.token, cart))
          }
          return await readPlain(userId, 'unfilled')
        }
      }
    } catch (error) {
      if (isAppError(error, 'unavailable') && error.extra['dependency'] === 'cache')
        return readPlain(userId, 'degraded')
      throw error
    }
  }

  /** Reads and fills while no writer is between its lock and its commit. */
  async function readShared(
    userId: string,
    result: 'filled' | 'resolved',
    fill: (cart: ReadCart) => Promise<boolean>,
  ): Promise<ReadCart> {
    try {
      const cart = await router.of(userId).transaction(async tx => {
        const rendered = await render(requireCart(await cartRows.loadShared(tx, userId)))
        if (rendered.outdated) return undefined
        onStep('filling')
        // The cache may go away here: the reader has its answer all the same.
        if (rendered.cart.isPriced) await fill(rendered.cart).catch(() => false)
        onStep('filled')
        return rendered.cart
      })
      if (!cart) return await reprice(userId)
      metrics.cartReads.inc({ result })
      return cart
    } catch (error) {
      if (error instanceof LockWaitError) return readPlain(userId, 'unfilled')
      throw error
    }
  }

  async function readPlain(userId: string, result: 'unfilled' | 'degraded'): Promise<ReadCart> {
    const rendered = await render(await load(userId))
    if (rendered.outdated) return reprice(userId)
    metrics.cartReads.inc({ result })
    return rendered.cart
  }

  async function render(stored: StoredCart): Promise<{ cart: ReadCart; outdated: boolean }> {
    const { cart: priced, isPriced } = await prices.of(stored, stored)
    if (!isPriced) {
      return {
        cart: { ...renderUnpriced(stored.version, currency, stored, priced, stored), contents: '', isPriced },
        outdated: false,
      }
    }
    const rendered = renderCart(stored.version, currency, stored.lines, priced, Date.now())
    const cart = { ...rendered, contents: contentsOf({ ...stored, shown: rendered.chunks.shown }), isPriced }
    return { cart, outdated: stored.digest !== '' && stored.mergedInto === undefined && stored.digest !== cart.digest }
  }

  /** Prices moved under the cart: what it shows changes, so its version does, through the funnel as every change. */
  async function reprice(userId: string): Promise<ReadCart> {
    await funnel.reprice(userId)
    return (await render(await load(userId))).cart
  }

  /** @throws AppError `session_ended` */
  async function load(userId: string): Promise<StoredCart> {
    return requireCart(await cartRows.load(router.of(userId), userId))
  }

  /** One line as the cart shows it. @throws AppError `line_not_found`, and as `view` */
  async function line(userId: string, sku: string): Promise<{ version: number; line: object }> {
    const limit = limits.pageLinesMax
    for (let offset = 0; ; offset += limit) {
      const { version, body } = await view(userId, { offset, limit })
      const { lines, page } = JSON.parse(body.toString()) as {
        readonly lines: readonly { readonly sku: string }[]
        readonly page: { readonly next: string | null }
      }
      const found = lines.find(one => one.sku === sku)
      if (found) return { version, line: found }
      if (page.next === null) throw lineNotFound(sku)
    }
  }

  function readableKey(userId: string): CartKey | undefined {
    const epoch = modes.lease(router.of(userId))
    return epoch === undefined ? undefined : { userId, epoch }
  }

  return {
    peek,
    readableKey,
    showable,
    isUnchanged,
    /** Of a client that was told so. */
    countUnchanged: () => hits.inc(),
    show,
    view,
    line,
    /** What became of every promotion, for the cart as it is. @throws AppError `session_ended`; `overloaded`, `unavailable` */
    async explain(userId: string): Promise<PricedCart & { readonly version: number }> {
      const stored = await load(userId)
      return { ...(await pricing.price({ ...stored, explain: true })), version: stored.version }
    },
    /** What somebody without a session sees. */
    empty: async (page: PageOfCart): Promise<CartView> =>
      pageOf(renderCart(0, currency, [], await pricing.price(NOTHING), 0), page),
  }
}
