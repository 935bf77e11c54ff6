import type { CartCache } from '../cache/cart-cache.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { createRecent } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import { cartRows } from '../store/carts.ts'
import { slotOf } from '../sharding/slots.ts'
import { LockWaitError } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type CartWrite, type Committed, LostRace } from './commit.ts'
import type { OnCartStep } from './failpoints.ts'

/**
 * Writes of many carts of one shard in one transaction: the same steps as for one (cart/commit.ts), each step one statement for all. A
 * statement costs some 150 µs in client and server and a flushed commit as much again; a row more in it costs 20 (docs/performance.md).
 *
 * Each shard has a lane: while a group is under way, whatever arrives waits and goes together as the next. It is all or nothing,
 * and only a short way for the common case: when anything about one of them is not as expected (its cart has moved on, its key was used, its
 * row is locked, its slot is elsewhere, the cache mode is changing), nothing is written and each goes alone, on the way that knows
 * what to do. A cart that stopped a group goes alone for a while.
 */
export type GroupCommit = ReturnType<typeof createGroupCommit>

export interface GroupCommitDeps {
  readonly router: Router
  readonly cache: Pick<CartCache, 'fence' | 'newToken'>
  readonly metrics: Metrics
  readonly onStep: OnCartStep
}

type Changing = CartWrite & { readonly to: NonNullable<CartWrite['to']> }

interface Waiting {
  readonly write: Changing
  /** Commits it by itself. */
  readonly alone: () => Promise<Committed>
  resolve(committed: Committed): void
  reject(error: unknown): void
}

interface Lane {
  readonly waiting: Waiting[]
  groups: number
  isCalled: boolean
}

/** Nothing was written; each is to go alone. */
class GoAlone extends Error {}

export function createGroupCommit({ router, cache, metrics, onStep }: GroupCommitDeps) {
  const lanes = new Map<string, Lane>()
  /** Carts that are changed elsewhere too, and until when that is believed. */
  const contended = createRecent<number>(FIXED.contendedCartsMax)

  /** @throws what `alone` throws; of a group: AppError `overloaded`, `unavailable`, `outcome_unknown` */
  async function commit(write: CartWrite, alone: () => Promise<Committed>): Promise<Committed> {
    const { to, difference } = write
    const isSmall = difference.upserts.length + difference.removals.length <= FIXED.groupedLinesMax
    if (!to || !isSmall || !router.writeTogether || isContended(write.userId)) return alone()
    const lane = laneOf(router.of(write.userId).name)
    if (lane.waiting.length >= FIXED.groupWaitingMax) {
      throw new AppError('overloaded', 'Too many changes at once.', { retryAfterS: 1 })
    }
    return new Promise((resolve, reject) => {
      lane.waiting.push({ write: { ...write, to }, alone, resolve, reject })
      if (lane.isCalled) return
      lane.isCalled = true
      setImmediate(() => {
        lane.isCalled = false
        goOn(lane)
      })
    })
  }

  function laneOf(shard: string): Lane {
    const lane = lanes.get(shard) ?? { waiting: [], groups: 0, isCalled: false }
    lanes.set(shard, lane)
    return lane
  }

  function goOn(lane: Lane): void {
    if (lane.groups > 0 || lane.waiting.length === 0) return
    const group = lane.waiting.splice(0, FIXED.groupCartsMax)
    lane.groups++
    let isOver = false
    const leave = () => {
      if (isOver) return
      isOver = true
      clearTimeout(patience)
      lane.groups--
      goOn(lane)
    }
    // A group that waits for somebody (a lock, a server) holds up only itself.
    const patience = setTimeout(leave, FIXED.groupPatienceMs)
    void run(group).then(leave)
  }

  /** Never rejects. */
  async function run(group: Waiting[]): Promise<void> {
    metrics.cartGroups.observe(group.length)
    const [first] = group
    if (group.length === 1 && first) return goAlone(first)
    group.sort((a, b) => (BigInt(a.write.userId) < BigInt(b.write.userId) ? -1 : 1)) // everybody locks in the same order
    try {
      const committed = await together(group.map(({ write }) => ({ ...write, slot: slotOf(write.userId) })))
      for (const [at, waiting] of group.entries()) waiting.resolve(committed[at] as Committed)
    } catch (error) {
      if (isAppError(error)) for (const waiting of group) waiting.reject(error)
      else await Promise.all(group.map(goAlone))
    }
  }

  async function goAlone({ write, alone, resolve, reject }: Waiting): Promise<void> {
    try {
      resolve(await alone())
    } catch (error) {
      if (error instanceof LostRace || error instanceof LockWaitError)
        contended.set(write.userId, performance.now() + FIXED.contendedMs)
      reject(error)
    }
  }

  async function together(rows: readonly (Changing & { readonly slot: number })[]): Promise<Committed[]> {
    const claims = rows.flatMap(({ userId, slot, claim }) => (claim ? [{ userId, slot, ...claim }] : []))
    const claiming = claims.length === 0 ? [] : [idempotencyKeys.claimMany(claims)]
    const statements = [...claiming, cartRows.advanceMany(rows), ...cartRows.writeLinesOfMany(rows)]
    const keys = rows.map(({ userId }) => userId)
    const committed = await router.writeTogether?.(keys, statements, async (_, fences, outcomes) => {
      const mode = fences[0]?.cache
      if (mode?.state === 'draining') throw new GoAlone('the cache mode is changing')
      if (claims.length > 0) onStep('claimed')
      if (!cartRows.haveAdvanced(outcomes[claiming.length], rows.length))
        throw new GoAlone('one of the carts has moved on')
      onStep('locked')
      const all = fences.map(fence => ({ fence, token: cache.newToken() }))
      if (mode?.state === 'on') await setFences(mode.epoch, rows, all)
      onStep('fenced')
      return all
    })
    return committed ?? []
  }

  async function setFences(
    epoch: number,
    rows: readonly Changing[],
    committed: readonly Pick<Committed, 'token'>[],
  ): Promise<void> {
    const fences = rows.map(({ userId, to }, at) => {
      return { key: { userId, epoch }, minVersion: to.version, token: committed[at]?.token ?? '' }
    })
    await cache.fence(fences).catch((error: unknown) => {
      throw new GoAlone('the cache did not acknowledge the fences', { cause: error })
    })
  }

  function isContended(userId: string): boolean {
    const untilMs = contended.get(userId)
    if (untilMs === undefined) return false
    if (performance.now() < untilMs) return true
    contended.delete(userId)
    return false
  }

  return { commit }
}
