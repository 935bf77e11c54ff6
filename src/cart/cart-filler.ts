import { setTimeout as sleep } from 'node:timers/promises'
import type { CartCache } from '../cache/cart-cache.ts'
import { isAppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { LockWaitError } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CachePolicy } from './cache-policy.ts'
import { encodeCart } from './cart-codec.ts'
import type { CartPricing } from './cart-pricing.ts'
import { type RenderedCart, renderCart, renderUnpriced } from './cart-rendering.ts'
import { type CartWriter, requireCart } from './cart-writer.ts'
import type { OnCartFailpoint } from './failpoints.ts'

/** The miss path: reads a cart from its shard and fills the cache, in the ways that the cache protocol allows (cache/cart-cache.ts). */
export type CartFiller = ReturnType<typeof createCartFiller>

interface CartFillerDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly policy: CachePolicy
  readonly prices: CartPricing
  /** Where prices have moved under a cart, its version changes as with every change. */
  readonly writer: Pick<CartWriter, 'reprice'>
  readonly currency: string
  readonly metrics: Metrics
  readonly onFailpoint: OnCartFailpoint
}

export interface ReadCart extends RenderedCart {
  readonly contents: string
  /** False where pricing was not available: list prices and the last totals are shown. */
  readonly isPriced: boolean
}

/** Its functions throw AppError `session_ended`, and `unavailable`, `overloaded` of the dependencies. */
export function createCartFiller(deps: CartFillerDeps) {
  return {
    readThrough: (userId: string) => readThrough(deps, userId),
    readUncached: (userId: string) => readPlain(deps, userId, 'unfilled'),
    load: (userId: string) => load(deps, userId),
  }
}

/** Reads the database as the cache's state allows; undefined: the cache has the cart now. */
async function readThrough(deps: CartFillerDeps, userId: string): Promise<ReadCart | undefined> {
  const { cache, policy, onFailpoint } = deps
  const key = policy.keyOf(userId)
  if (!key) return readPlain(deps, userId, 'degraded')
  try {
    const cached = await cache.read(key, 0, 0)
    if (cached && policy.freshnessOf(userId, cached) !== 'expired') return undefined // filled since this reader missed
    const token = cache.newToken()
    const lease = cached ? await cache.renew(key, token, cached) : await cache.lease(key, token)
    switch (lease.kind) {
      case 'leased':
        onFailpoint('leased')
        return await readShared(deps, userId, 'filled', cart => cache.fill(key, lease.token, cart))
      case 'value':
        return undefined
      case 'busy':
        for (const waitMs of FIXED.busyWaitsMs) {
          await sleep(waitMs)
          if (await cache.read(key, 0, 0)) return undefined
        }
        return await readPlain(deps, userId, 'unfilled')
      case 'fenced': {
        if (lease.ageMs > FIXED.fenceAbandonedMs) {
          return await readShared(deps, userId, 'resolved', cart => cache.resolve(key, lease.token, cart))
        }
        return await readPlain(deps, userId, 'unfilled')
      }
    }
  } catch (error) {
    if (isAppError(error, 'unavailable') && error.extra['dependency'] === 'cache')
      return readPlain(deps, userId, 'degraded')
    throw error
  }
}

/** Reads and fills while no writer is between its lock and its commit. */
async function readShared(
  deps: CartFillerDeps,
  userId: string,
  result: 'filled' | 'resolved',
  fill: (cart: ReadCart) => Promise<boolean>,
): Promise<ReadCart> {
  const { router, metrics, onFailpoint } = deps
  try {
    const cart = await router.of(userId).transaction(async tx => {
      const rendered = await render(deps, requireCart(await cartRows.loadShared(tx, userId)))
      if (rendered.isOutdated) return undefined
      onFailpoint('filling')
      // An unavailable cache does not keep the reader from its answer.
      if (rendered.cart.isPriced) await fill(rendered.cart).catch(() => false)
      onFailpoint('filled')
      return rendered.cart
    })
    if (!cart) return await reprice(deps, userId)
    metrics.cartReads.inc({ result })
    return cart
  } catch (error) {
    if (error instanceof LockWaitError) return readPlain(deps, userId, 'unfilled')
    throw error
  }
}

async function readPlain(deps: CartFillerDeps, userId: string, result: 'unfilled' | 'degraded'): Promise<ReadCart> {
  const { metrics } = deps
  const rendered = await render(deps, await load(deps, userId))
  if (rendered.isOutdated) return reprice(deps, userId)
  metrics.cartReads.inc({ result })
  return rendered.cart
}

async function render(
  { prices, currency }: CartFillerDeps,
  stored: StoredCart,
): Promise<{ cart: ReadCart; isOutdated: boolean }> {
  const { cart: priced, isPriced } = await prices.of(stored, stored)
  if (!isPriced) {
    const rendered = renderUnpriced(stored.version, currency, stored, priced, stored)
    return { cart: { ...rendered, contents: '', isPriced }, isOutdated: false }
  }
  const rendered = renderCart(stored.version, currency, stored.lines, priced, Date.now())
  const cart = { ...rendered, contents: encodeCart({ ...stored, shown: rendered.chunks.shown }), isPriced }
  const isCurrent = stored.digest === '' || stored.mergedInto !== undefined || stored.digest === cart.digest
  return { cart, isOutdated: !isCurrent }
}

async function reprice(deps: CartFillerDeps, userId: string): Promise<ReadCart> {
  const { writer } = deps
  await writer.reprice(userId)
  return (await render(deps, await load(deps, userId))).cart
}

/** @throws AppError `session_ended` */
async function load({ router }: CartFillerDeps, userId: string): Promise<StoredCart> {
  return requireCart(await cartRows.load(router.of(userId), userId))
}
