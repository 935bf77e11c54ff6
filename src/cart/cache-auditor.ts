import type { CartCache, CartKey } from '../cache/cart-cache.ts'
import { isAppError } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import type { Lines } from '../model/cart.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import { cartRows } from '../store/carts.ts'
import type { Router } from '../store/shard-router.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CacheModes } from './cache-mode.ts'
import { pageOf } from './cart-rendering.ts'

/**
 * Compares cached carts with the database while the shop is open, a few a second, and counts what it finds: so that the promise of
 * cache/cart-cache.ts is watched and not believed. Off by default.
 *
 * A cart is read from the cache, then from its shard, then from the cache again. Only when the cache showed the same version both times
 * is it judged, so a cart that changes meanwhile is no finding:
 *
 *   same     what the database has
 *   behind   the database had a newer version while the cache showed this one: stale
 *   ahead    the database has an older version: it has lost a commit, or an old state of it was restored
 *   differs  the same version, other lines: a row was changed by hand, or by something that does not raise the version
 *            (codes and totals are not compared)
 */
export type Finding = 'same' | 'moved' | 'behind' | 'ahead' | 'differs'

interface AuditorDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly modes: CacheModes
  readonly limits: Limits
  readonly perSecond: number
  readonly metrics: Metrics
  readonly log: Log
}

export function startAuditor({ router, cache, modes, limits, perSecond, metrics, log }: AuditorDeps) {
  const lastChunk = Math.ceil(limits.cartLinesMax / FIXED.chunkLines) - 1

  /** @throws AppError `unavailable`, `overloaded` of cache and database */
  async function audit(key: CartKey): Promise<Finding> {
    const before = await cache.read(key, 0, lastChunk)
    if (!before) return 'moved'
    const stored = await cartRows.load(router.of(key.userId), key.userId)
    const page = await cache.read(key, 0, 0)
    const after = await cache.read(key, 1, 1) // of the hash again
    // The cache was turned off meanwhile: what is left in it may be old, and no reader uses it.
    const isRead = modes.lease(router.of(key.userId)) === key.epoch
    if (after?.version !== before.version || !isRead) return 'moved'
    const version = stored?.version ?? 0
    const shown = [before.version, page?.version ?? before.version]
    if (version > Math.min(...shown)) return 'behind'
    if (version < Math.max(...shown)) return 'ahead'
    const { body } = pageOf(before, { offset: 0, limit: before.lines })
    const { lines } = JSON.parse(body.toString()) as { lines: Lines }
    return textOf(lines) === textOf(stored?.lines ?? []) ? 'same' : 'differs'
  }

  async function auditOne(): Promise<void> {
    const key = await cache.sample()
    // No reader uses keys of an epoch that is over.
    if (!key || modes.lease(router.of(key.userId)) !== key.epoch) return
    const finding = await audit(key)
    metrics.audits.inc({ result: finding })
    if (finding !== 'same' && finding !== 'moved')
      log.error({ userId: key.userId, epoch: key.epoch, finding }, 'a cached cart is not what the database has')
  }

  const auditing =
    perSecond === 0
      ? undefined
      : repeat(auditOne, 1_000 / perSecond, error => {
          if (!isAppError(error)) log.error({ err: error }, 'a cached cart could not be audited')
        })
  return { audit, stop: () => auditing?.stop() }
}

const textOf = (lines: Lines): string =>
  JSON.stringify(lines.map(({ sku, quantity, selected, note }) => [sku, quantity, selected, note]))
