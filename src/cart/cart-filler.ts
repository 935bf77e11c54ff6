import { setTimeout as sleep } from 'node:timers/promises'
import type { CartCache, CartKey } from '../cache/cart-cache.ts'
import { isAppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { LockWaitError } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CacheModes } from './cache-mode.ts'
import { encodeCart } from './cart-codec.ts'
import type { CartPricing } from './cart-pricing.ts'
import { type RenderedCart, renderCart, renderUnpriced } from './cart-rendering.ts'
import { type CartWriter, requireCart } from './cart-writer.ts'
import type { OnCartFailpoint } from './failpoints.ts'
import type { FreshnessOf } from './freshness.ts'

/** The miss path: reads a cart from its shard and fills the cache, in the ways that the cache protocol allows (cache/cart-cache.ts). */
export type CartFiller = ReturnType<typeof createCartFiller>

interface CartFillerDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly modes: Pick<CacheModes, 'lease'>
  readonly freshnessOf: FreshnessOf
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
  const { router, cache, modes, freshnessOf, prices, writer, currency, metrics, onFailpoint } = deps

  /** Undefined while the shard's cache may not be read. */
  function readableKey(userId: string): CartKey | undefined {
    const epoch = modes.lease(router.of(userId))
    return epoch === undefined ? undefined : { userId, epoch }
  }

  /** Reads the database as the cache's state allows; undefined: the cache has the cart now. */
  async function readThrough(userId: string): Promise<ReadCart | undefined> {
    const key = readableKey(userId)
    if (!key) return readPlain(userId, 'degraded')
    try {
      const cached = await cache.read(key, 0, 0)
      if (cached && freshnessOf(userId, cached) !== 'expired') return undefined // filled since this reader missed
      const token = cache.newToken()
      const lease = cached ? await cache.renew(key, token, cached) : await cache.lease(key, token)
      switch (lease.kind) {
        case 'leased':
          onFailpoint('leased')
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
        if (rendered.isOutdated) return undefined
        onFailpoint('filling')
        // An unavailable cache does not keep the reader from its answer.
        if (rendered.cart.isPriced) await fill(rendered.cart).catch(() => false)
        onFailpoint('filled')
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
    if (rendered.isOutdated) return reprice(userId)
    metrics.cartReads.inc({ result })
    return rendered.cart
  }

  async function render(stored: StoredCart): Promise<{ cart: ReadCart; isOutdated: boolean }> {
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

  async function reprice(userId: string): Promise<ReadCart> {
    await writer.reprice(userId)
    return (await render(await load(userId))).cart
  }

  /** @throws AppError `session_ended` */
  async function load(userId: string): Promise<StoredCart> {
    return requireCart(await cartRows.load(router.of(userId), userId))
  }

  return { readableKey, readThrough, readUncached: (userId: string) => readPlain(userId, 'unfilled'), load }
}
