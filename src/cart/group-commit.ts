import type { CartCache } from '../cache/cart-cache.ts'
import { type BatchQueue, createBatchQueue } from '../lib/batch-queue.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { createLruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import { cartRows } from '../store/carts.ts'
import { slotOf } from '../sharding/slots.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CartWrite, Committed } from './commit.ts'
import type { OnCartFailpoint } from './failpoints.ts'

/**
 * Group commit: writes of many carts of one shard in one transaction, with the same steps as for one cart (cart/commit.ts), each
 * step one statement for all. A statement costs some 150 µs in client and server and a flushed commit as much again; a row more in it
 * costs 20 (docs/performance.md).
 *
 * The transaction is optimistic, all or nothing: on any conflict (a cart has moved on, its key was used, its row is locked, its slot is
 * elsewhere, the cache mode is changing) it rolls back, and each write is left to its caller to commit alone. A cart that had a conflict alone too is
 * left out of groups for `contendedMs`.
 */
export type GroupCommit = ReturnType<typeof createGroupCommit>

interface GroupCommitDeps {
  readonly router: Router
  readonly cache: Pick<CartCache, 'fence' | 'newToken'>
  readonly metrics: Metrics
  readonly onFailpoint: OnCartFailpoint
}

type Changing = CartWrite & { readonly to: NonNullable<CartWrite['to']> }

class GroupAborted extends Error {}

/** See `commit`, which says what it throws. */
export function createGroupCommit(deps: GroupCommitDeps) {
  const { router, metrics } = deps
  const queues = new Map<string, BatchQueue<Changing, Committed | undefined>>()
  /** Carts that are changed elsewhere too. */
  const contended = createLruCache<true>(FIXED.contendedCartsMax, FIXED.contendedMs)

  function queueOf(shard: string): BatchQueue<Changing, Committed | undefined> {
    const queue =
      queues.get(shard) ??
      createBatchQueue<Changing, Committed | undefined>({
        batchMax: FIXED.groupCartsMax,
        waitingMax: FIXED.groupWaitingMax,
        concurrency: 1,
        patienceMs: FIXED.groupPatienceMs, // a group that waits for a lock or a server does not hold up the next
        run: commitGroup,
        overloaded: () => new AppError('overloaded', 'Too many changes at once.', { retryAfterS: 1 }),
      })
    queues.set(shard, queue)
    return queue
  }

  async function commitGroup(writes: readonly Changing[]): Promise<readonly (Committed | undefined)[]> {
    metrics.cartGroups.observe(writes.length)
    // All groups lock in the same order.
    const sorted = writes.toSorted((a, b) => (BigInt(a.userId) < BigInt(b.userId) ? -1 : 1))
    try {
      const committed = await writeRows(
        deps,
        sorted.map(write => ({ ...write, slot: slotOf(write.userId) })),
      )
      const byUser = new Map(sorted.map(({ userId }, at) => [userId, committed[at]]))
      return writes.map(({ userId }) => byUser.get(userId))
    } catch (error) {
      if (isAppError(error)) throw error
      return writes.map(() => undefined)
    }
  }

  return {
    /**
     * Commits a write together with others. Undefined: nothing was written, and the write is to be committed alone.
     * @throws AppError `overloaded`, `unavailable`, `outcome_unknown`
     */
    async commit(write: CartWrite): Promise<Committed | undefined> {
      const { userId, to, difference } = write
      const isSmall = difference.upserts.length + difference.removals.length <= FIXED.groupedLinesMax
      if (!to || !isSmall || !router.writeGroup || contended.get(userId)) return undefined
      return queueOf(router.of(userId).name).add({ ...write, to })
    },
    /** Leaves a cart out of groups for a while: its write had a conflict alone. */
    leaveOut: (userId: string) => contended.set(userId, true),
  }
}

async function writeRows(
  deps: GroupCommitDeps,
  rows: readonly (Changing & { readonly slot: number })[],
): Promise<Committed[]> {
  const { router, cache, onFailpoint } = deps
  const claims = rows.flatMap(({ userId, slot, claim }) => (claim ? [{ userId, slot, ...claim }] : []))
  const claiming = claims.length === 0 ? [] : [idempotencyKeys.claimMany(claims)]
  const statements = [...claiming, cartRows.advanceMany(rows), ...cartRows.writeLinesOfMany(rows)]
  const keys = rows.map(({ userId }) => userId)
  const committed = await router.writeGroup?.(keys, statements, async (_, guards, outcomes) => {
    const mode = guards[0]?.cache
    if (mode?.state === 'draining') throw new GroupAborted('the cache mode is changing')
    if (claims.length > 0) onFailpoint('claimed')
    if (!cartRows.haveAdvanced(outcomes[claiming.length], rows.length))
      throw new GroupAborted('one of the carts has moved on')
    onFailpoint('locked')
    const all = guards.map(guard => ({ guard, token: cache.newToken() }))
    if (mode?.state === 'on') await setFences(deps, mode.epoch, rows, all)
    onFailpoint('fenced')
    return all
  })
  return committed ?? []
}

async function setFences(
  { cache }: GroupCommitDeps,
  epoch: number,
  rows: readonly Changing[],
  committed: readonly Pick<Committed, 'token'>[],
): Promise<void> {
  const fences = rows.map(({ userId, to }, at) => {
    return { key: { userId, epoch }, minVersion: to.version, token: committed[at]?.token ?? '' }
  })
  await cache.fence(fences).catch((error: unknown) => {
    throw new GroupAborted('the cache did not acknowledge the fences', { cause: error })
  })
}
