import type { CartCache, CartKey, CartHit } from '../cache/cart-cache.ts'
import { batchPerTick } from '../lib/batch-per-tick.ts'
import { missIfUnavailable, sessionEnded } from '../lib/errors.ts'
import { createKeyedMutex } from '../lib/keyed-mutex.ts'
import { lineNotFound } from '../model/cart.ts'
import type { Limits } from '../model/limits.ts'
import type { PricedCart } from '../pricing/price.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { Sessions, SessionToken } from '../sessions/sessions.ts'
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
import type { CachePolicy } from './cache-policy.ts'

/**
 * Reading a cart, from token to page. The warm path looks the session up and reads the cached page at the same time, all requests
 * of one tick in one command to each Redis. A miss is read from the database (cart-filler.ts), one reader of a cart at a time.
 */
export type CartReader = ReturnType<typeof createCartReader>

interface CartReaderDeps {
  readonly sessions: Pick<Sessions, 'find' | 'findAll'>
  readonly cache: Pick<CartCache, 'read' | 'meta' | 'firstPages'>
  readonly filler: CartFiller
  readonly policy: CachePolicy
  readonly pricing: Pricing
  readonly limits: Limits
  readonly currency: string
  readonly metrics: Metrics
}

interface ReaderParts extends CartReaderDeps {
  /** Readers of one cart, one after the other. */
  readonly fills: ReturnType<typeof createKeyedMutex>
  readonly hits: { inc(): void }
}

const READ_ATTEMPTS_MAX = 3
const EMPTY_CART = { lines: [], codes: [], buyerGroup: 'guest' }

interface FirstPage {
  readonly token: SessionToken
  readonly key: CartKey
  readonly page: PageOfCart
}

/** Each function says what it throws. */
export function createCartReader(given: CartReaderDeps) {
  const hits = given.metrics.cartReads.labels({ result: 'hit' })
  const deps: ReaderParts = { ...given, fills: createKeyedMutex(), hits }
  const { sessions, cache, policy } = deps
  // One promise for the batch and one for the request: with promises of its own for each layer a view took 2.4 µs more of some 44
  // (docs/performance.md).
  const firstPage = batchPerTick(
    async (wanted: FirstPage[]) => {
      const [found, cached] = await Promise.all([
        sessions.findAll(wanted.map(({ token }) => token)),
        cache.firstPages(wanted.map(({ key }) => key)).catch(missIfUnavailable),
      ])
      return found.map((session, at) => ({ session, hit: cached?.[at] }))
    },
    ({ session, hit }, { token: { userId }, page }): CartView | Promise<CartView> => {
      if (!session) throw sessionEnded()
      return viewOfHit(deps, userId, hit, page) ?? view(deps, userId, page)
    },
  )

  return {
    /**
     * The page that a request asks for; without a token that of an empty cart. `known`: the version that the client has; the body of
     * such a view is not there to be asked for.
     * @throws AppError `session_ended` for a token that is not good; `unavailable`, `overloaded` of the dependencies
     */
    read(token: SessionToken | undefined, page: PageOfCart, known?: number): Promise<CartView> {
      if (!token) return emptyView(deps, page)
      const key = isFirstPage(page) ? policy.keyOf(token.userId) : undefined
      return key ? firstPage({ token, key, page }) : otherPage(deps, token, page, known)
    },

    view: (userId: string, page: PageOfCart) => view(deps, userId, page),

    /** One line as the cart shows it. @throws AppError `line_not_found`, and as `view` */
    line: (userId: string, sku: string) => line(deps, userId, sku),

    /** The outcome of every promotion, for the cart as it is. @throws AppError `session_ended`; `overloaded`, `unavailable` */
    explain: (userId: string) => explain(deps, userId),
  }
}

async function line(deps: ReaderParts, userId: string, sku: string): Promise<{ version: number; line: object }> {
  const { limits } = deps
  const limit = limits.pageLinesMax
  for (let offset = 0; ; offset += limit) {
    const { version, body } = await view(deps, userId, { offset, limit })
    const { lines, page } = JSON.parse(body.toString()) as {
      readonly lines: readonly { readonly sku: string }[]
      readonly page: { readonly next: string | null }
    }
    const found = lines.find(one => one.sku === sku)
    if (found) return { version, line: found }
    if (page.next === null) throw lineNotFound(sku)
  }
}

async function explain(
  { filler, pricing }: ReaderParts,
  userId: string,
): Promise<PricedCart & { readonly version: number }> {
  const stored = await filler.load(userId)
  return { ...(await pricing.price({ ...stored, explain: true })), version: stored.version }
}

/** A page of several chunks. The version is asked for first where the client says that it has one. */
async function otherPage(deps: ReaderParts, token: SessionToken, page: PageOfCart, known?: number): Promise<CartView> {
  const { sessions } = deps
  const { userId } = token
  const finding = sessions.find(token)
  if (known !== undefined && (page.version ?? known) === known) {
    const [session, isUnchanged] = await Promise.all([finding, isCurrent(deps, userId, known)])
    if (!session) throw sessionEnded()
    if (isUnchanged) return unchanged(deps, known)
  }
  const [session, hit] = await Promise.all([finding, cachedPage(deps, userId, page)])
  if (!session) throw sessionEnded()
  return viewOfHit(deps, userId, hit, page) ?? view(deps, userId, page)
}

/** Safe before the session is known to be good: nothing is shown or changed. */
async function cachedPage(
  { cache, policy }: ReaderParts,
  userId: string,
  page: PageOfCart,
): Promise<CartHit | undefined> {
  const key = policy.keyOf(userId)
  if (!key) return undefined
  const { first, last } = chunksOf(page)
  return cache.read(key, first, last).catch(missIfUnavailable)
}

/** Whether the cache has this very version, fresh; asks for no lines. False also when that cannot be known. */
async function isCurrent({ cache, policy }: ReaderParts, userId: string, version: number): Promise<boolean> {
  const key = policy.keyOf(userId)
  const meta = key && (await cache.meta(key).catch(missIfUnavailable))
  return meta?.version === version && policy.freshnessOf(userId, meta) !== 'expired'
}

function unchanged({ hits }: ReaderParts, version: number): CartView {
  hits.inc()
  return new UnchangedView(version)
}

/** Undefined for a miss, and for a cursor of another version of the cart. */
function viewOfHit(
  { policy, hits }: ReaderParts,
  userId: string,
  hit: CartHit | undefined,
  page: PageOfCart,
): CartView | undefined {
  if (hit === undefined || (page.version ?? hit.version) !== hit.version) return undefined
  const freshness = policy.freshnessOf(userId, hit)
  if (freshness === 'expired') return undefined
  hits.inc()
  return pageOf(hit, page, freshness === 'stale' ? Date.now() : undefined)
}

function viewOfRead(cart: ReadCart, page: PageOfCart): CartView {
  return pageOf(cart, page, cart.isPriced ? undefined : Date.now())
}

/**
 * A page of the cart as it is; a cursor of an earlier version goes on where it was.
 * @throws AppError `session_ended`; `unavailable`, `overloaded` of the dependencies
 */
async function view(deps: ReaderParts, userId: string, page: PageOfCart): Promise<CartView> {
  const { filler } = deps
  let wanted = page
  for (let attempt = 1; ; attempt++) {
    const seen = await currentPage(deps, userId, wanted)
    // The cart changes all the time: the place may be off by its last change.
    if (seen.version === (wanted.version ?? seen.version) || attempt > READ_ATTEMPTS_MAX) return seen
    const { version, lines } = await filler.load(userId)
    wanted = { ...page, version, offset: offsetIn(lines, page) }
  }
}

/** A page of whatever version there is. Single flight: the first reader of a cart fills the cache, the others then find it filled. */
async function currentPage(deps: ReaderParts, userId: string, { offset, limit }: PageOfCart): Promise<CartView> {
  const { filler, fills } = deps
  const page = { offset, limit }
  return fills.run(userId, async () => {
    for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt++) {
      const hit = viewOfHit(deps, userId, await cachedPage(deps, userId, page), page)
      if (hit) return hit
      const cart = await filler.readThrough(userId)
      if (cart) return viewOfRead(cart, page)
    }
    return viewOfRead(await filler.readUncached(userId), page)
  })
}

async function emptyView({ pricing, currency }: ReaderParts, page: PageOfCart): Promise<CartView> {
  return pageOf(renderCart(0, currency, [], await pricing.price(EMPTY_CART), 0), page)
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
