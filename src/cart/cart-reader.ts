import type { CartCache, CartHit, CartKey } from '../cache/cart-cache.ts'
import { batchPerTick } from '../lib/batch-per-tick.ts'
import { sessionEnded, unlessUnavailable } from '../lib/errors.ts'
import { createKeyedMutex } from '../lib/keyed-mutex.ts'
import { lineNotFound } from '../model/cart.ts'
import type { Limits } from '../model/limits.ts'
import type { PricedCart } from '../pricing/price.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { SessionToken } from '../sessions/token.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CartFiller, ReadCart } from './cart-filler.ts'
import {
  type CartView,
  chunksOf,
  isFirstPage,
  offsetIn,
  type PageOfCart,
  pageOf,
  renderCart,
} from './cart-rendering.ts'
import type { FreshnessOf } from './freshness.ts'

/**
 * Reading a cart, from token to page. The warm path looks the session up and reads the cached page at the same time, all requests
 * of one tick in one command to each Redis. A miss is read from the database (cart-filler.ts), one reader of a cart at a time.
 */
export type CartReader = ReturnType<typeof createCartReader>

interface CartReaderDeps {
  readonly sessions: Pick<Sessions, 'find' | 'findAll'>
  readonly cache: Pick<CartCache, 'read' | 'meta' | 'firstPages'>
  readonly filler: CartFiller
  readonly freshnessOf: FreshnessOf
  readonly pricing: Pricing
  readonly limits: Limits
  readonly currency: string
  readonly metrics: Metrics
}

const READ_ATTEMPTS_MAX = 3
const EMPTY_CART = { lines: [], codes: [], buyerGroup: 'guest' }

interface FirstPage {
  readonly token: SessionToken
  readonly key: CartKey
  readonly page: PageOfCart
}

/** Each function says what it throws. */
export function createCartReader(deps: CartReaderDeps) {
  const { sessions, cache, filler, freshnessOf, pricing, limits, currency, metrics } = deps
  const fills = createKeyedMutex()
  const hits = metrics.cartReads.labels({ result: 'hit' })

  // One promise for the batch and one for the request: with promises of its own for each layer a view took 2.4 µs more of some 44
  // (docs/performance.md).
  const firstPage = batchPerTick(
    async (wanted: FirstPage[]) => {
      const [found, cached] = await Promise.all([
        sessions.findAll(wanted.map(({ token }) => token)),
        unlessUnavailable(cache.firstPages(wanted.map(({ key }) => key))),
      ])
      return found.map((session, at) => ({ session, hit: cached?.[at] }))
    },
    ({ session, hit }, { token: { userId }, page }): CartView | Promise<CartView> => {
      if (!session) throw sessionEnded()
      return viewOfHit(userId, hit, page) ?? view(userId, page)
    },
  )

  /** A page of several chunks. The version is asked for first where the client says that it has one. */
  async function otherPage(token: SessionToken, page: PageOfCart, known?: number): Promise<CartView> {
    const { userId } = token
    const finding = sessions.find(token)
    if (known !== undefined && (page.version ?? known) === known) {
      const [session, isUnchanged] = await Promise.all([finding, isCurrent(userId, known)])
      if (!session) throw sessionEnded()
      if (isUnchanged) return unchanged(known)
    }
    const [session, hit] = await Promise.all([finding, cachedPage(userId, page)])
    if (!session) throw sessionEnded()
    return viewOfHit(userId, hit, page) ?? view(userId, page)
  }

  /** Safe before the session is known to be good: nothing is shown or changed. */
  async function cachedPage(userId: string, page: PageOfCart): Promise<CartHit | undefined> {
    const key = filler.readableKey(userId)
    if (!key) return undefined
    const { first, last } = chunksOf(page)
    return unlessUnavailable(cache.read(key, first, last))
  }

  /** Whether the cache has this very version, fresh; asks for no lines. False also when that cannot be known. */
  async function isCurrent(userId: string, version: number): Promise<boolean> {
    const key = filler.readableKey(userId)
    const meta = key && (await unlessUnavailable(cache.meta(key)))
    return meta?.version === version && freshnessOf(userId, meta) !== 'expired'
  }

  function unchanged(version: number): CartView {
    hits.inc()
    return new UnchangedView(version)
  }

  /** Undefined for a miss, and for a cursor of another version of the cart. */
  function viewOfHit(userId: string, hit: CartHit | undefined, page: PageOfCart): CartView | undefined {
    if (hit === undefined || (page.version ?? hit.version) !== hit.version) return undefined
    const freshness = freshnessOf(userId, hit)
    if (freshness === 'expired') return undefined
    hits.inc()
    return pageOf(hit, page, freshness === 'stale' ? Date.now() : undefined)
  }

  const viewOfRead = (cart: ReadCart, page: PageOfCart) => pageOf(cart, page, cart.isPriced ? undefined : Date.now())

  /**
   * A page of the cart as it is; a cursor of an earlier version goes on where it was.
   * @throws AppError `session_ended`; `unavailable`, `overloaded` of the dependencies
   */
  async function view(userId: string, page: PageOfCart): Promise<CartView> {
    let wanted = page
    for (let attempt = 1; ; attempt++) {
      const seen = await currentPage(userId, wanted)
      // The cart changes all the time: the place may be off by its last change.
      if (seen.version === (wanted.version ?? seen.version) || attempt > READ_ATTEMPTS_MAX) return seen
      const { version, lines } = await filler.load(userId)
      wanted = { ...page, version, offset: offsetIn(lines, page) }
    }
  }

  /** A page of whatever version there is. Single flight: the first reader of a cart fills the cache, the others then find it filled. */
  async function currentPage(userId: string, { offset, limit }: PageOfCart): Promise<CartView> {
    const page = { offset, limit }
    return fills.run(userId, async () => {
      for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt++) {
        const hit = viewOfHit(userId, await cachedPage(userId, page), page)
        if (hit) return hit
        const cart = await filler.readThrough(userId)
        if (cart) return viewOfRead(cart, page)
      }
      return viewOfRead(await filler.readUncached(userId), page)
    })
  }

  return {
    /**
     * The page that a request asks for; without a token that of an empty cart. `known`: the version that the client has; the body of
     * such a view is not there to be asked for.
     * @throws AppError `session_ended` for a token that is not good; `unavailable`, `overloaded` of the dependencies
     */
    read(token: SessionToken | undefined, page: PageOfCart, known?: number): Promise<CartView> {
      if (!token) return emptyView(page)
      const key = isFirstPage(page) ? filler.readableKey(token.userId) : undefined
      return key ? firstPage({ token, key, page }) : otherPage(token, page, known)
    },

    view,

    /** One line as the cart shows it. @throws AppError `line_not_found`, and as `view` */
    async line(userId: string, sku: string): Promise<{ version: number; line: object }> {
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
    },

    /** The outcome of every promotion, for the cart as it is. @throws AppError `session_ended`; `overloaded`, `unavailable` */
    async explain(userId: string): Promise<PricedCart & { readonly version: number }> {
      const stored = await filler.load(userId)
      return { ...(await pricing.price({ ...stored, explain: true })), version: stored.version }
    },
  }

  async function emptyView(page: PageOfCart): Promise<CartView> {
    return pageOf(renderCart(0, currency, [], await pricing.price(EMPTY_CART), 0), page)
  }
}

/** For a client that has this version: it gets no body. */
class UnchangedView implements CartView {
  readonly version: number
  constructor(version: number) {
    this.version = version
  }

  get body(): never {
    throw new Error('the body of an unchanged cart was not read')
  }
}
