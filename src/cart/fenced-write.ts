import type { CartCache } from '../cache/cart-cache.ts'
import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Transaction } from '../store/database.ts'
import type { Router, SlotGuard } from '../store/shard-router.ts'
import type { CacheModes } from './cache-mode.ts'

/**
 * A write transaction of a cart's owner under the cache mode of its shard: it does not commit while the mode is draining, and
 * while the mode is on it does not commit without an acknowledged fence. When the cache cannot be reached twice, the mode
 * is turned off, and the write goes on without the cache.
 */
export type FencedWrite = ReturnType<typeof createFencedWrite>

/** Sets the fence for a version, where the mode asks for one. To be called after the row's lock is held. */
export type SetFence = (version: number, token: string) => Promise<void>

class FenceFailed extends Error {}
class Draining extends Error {}

/** @throws AppError `overloaded` when the cache keeps failing; what `work` and the router throw */
export function createFencedWrite({ router, cache, modes }: { router: Router; cache: CartCache; modes: CacheModes }) {
  return async function fencedWrite<T>(
    userId: string,
    work: (tx: Transaction, guard: SlotGuard, setFence: SetFence) => Promise<T>,
  ): Promise<T> {
    let failures = 0
    for (let attempt = 1; attempt <= FIXED.writeAttemptsMax; attempt++) {
      let epoch = 0
      try {
        return await router.write(userId, async (tx, guard) => {
          epoch = guard.cache.epoch
          if (guard.cache.state === 'draining') throw new Draining()
          return work(tx, guard, async (version, token) => {
            if (guard.cache.state !== 'on') return
            await cache.fence([{ key: { userId, epoch }, minVersion: version, token }]).catch((error: unknown) => {
              throw new FenceFailed('the cache did not acknowledge the fence', { cause: error })
            })
          })
        })
      } catch (error) {
        const shard = router.of(userId)
        if (error instanceof Draining) await modes.settle(shard, epoch)
        else if (!(error instanceof FenceFailed)) throw error
        else if (++failures > 1) await modes.suspend(shard, epoch)
      }
    }
    throw new AppError('overloaded', 'The cart cache keeps going away.', { retryAfterS: 1 })
  }
}
