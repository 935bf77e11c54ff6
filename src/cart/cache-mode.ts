import type { RedisConnection } from '../lib/redis.ts'
import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'
import { cacheModes } from '../store/cache-modes.ts'
import { type Database, LockWaitError } from '../store/database.ts'
import type { CacheModeRow, Router } from '../store/shard-router.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { RestoreWatch } from '../store/restore-watch.ts'

/**
 * Whether carts of a shard may be read from the cache: lets writes go on when the cache cannot be reached.
 *
 * Each shard has one row (epoch, on | draining | off). An instance reads carts from the cache only while it holds a lease:
 * it saw `on` at most 1.5 s ago, counted on its monotonic clock from before it asked, and asks twice a second. A writer
 * reads the row share-locked in its transaction:
 *
 *   on        it must fence the cache before it commits
 *   draining  it must not commit yet: a writer could not fence, and others may still read the cache
 *   off       it commits without the cache; all readers use the database
 *
 *   on → draining   a writer that could not fence twice
 *   draining → off  any instance that has seen it for a whole lease: every lease has run out then
 *   off → on        any instance that can reach the cache again, after a pause, with a new epoch: all keys are new then
 *
 * A new epoch is not below the seconds since 1970: after a restore (store/restore-watch.ts) the row's own epoch says nothing about which were
 * used since. A shard that was restored is drained before an instance gets a lease on it.
 *
 * The row's share lock is held until the writer's commit, so a change of mode waits for the writers before it, and no
 * writer can commit under a mode that is over.
 */
export interface CacheModes {
  /** The epoch to read with, or undefined when this instance may not read the cache of that shard now. */
  lease(shard: Database): number | undefined
  /** Turns the cache off after a writer could not fence; returns when writes may go on. */
  suspend(shard: Database, epoch: number): Promise<void>
  /** Gives a shard a new epoch, so that nothing is read that was cached before; returns when no instance can read the old one. */
  renew(shard: Database): Promise<void>
  /** Waits until a draining shard is off; returns when writes may go on. */
  settle(shard: Database, epoch: number): Promise<void>
  stop(): void
}

interface CacheModeDeps {
  readonly router: Router
  readonly redis: RedisConnection
  readonly restores: RestoreWatch
  readonly metrics: Metrics
  readonly log: Log
}

export async function watchCacheModes({ router, redis, restores, metrics, log }: CacheModeDeps): Promise<CacheModes> {
  const leases = new Map<string, { epoch: number; until: number }>()
  const settling = new Map<string, Promise<void>>()
  const offSince = new Map<string, number>()

  async function poll(shard: Database): Promise<void> {
    const asked = performance.now()
    const mode = await cacheModes.read(shard)
    metrics.cacheMode.set({ shard: shard.name }, mode.state === 'on' ? 1 : 0)
    if (mode.state !== 'on' || (await wasRestored(shard, mode))) leases.delete(shard.name)
    else leases.set(shard.name, { epoch: mode.epoch, until: asked + FIXED.cacheModeLeaseMs })
    if (mode.state === 'draining') settle(shard, mode.epoch).catch(() => undefined)
    if (mode.state === 'off') await switchOnAfterPause({ redis, log }, offSince, shard, mode)
    else offSince.delete(shard.name)
  }

  const drain = (shard: Database, epoch: number) => patiently(() => cacheModes.drain(shard, epoch))

  /** A shard that was restored is drained here, and gets its new epoch as after an outage. */
  async function wasRestored(shard: Database, { epoch }: CacheModeRow): Promise<boolean> {
    const known = await restores.look(shard, epoch)
    if (!known) return false
    leases.delete(shard.name)
    log.warn(
      { shard: shard.name, ticks: known.ticks },
      'the shard was restored to an earlier state: its cached carts are dropped',
    )
    await drain(shard, epoch)
    await restores.settle(shard, known)
    await settle(shard, epoch)
    return true
  }

  function settle(shard: Database, epoch: number): Promise<void> {
    const key = `${shard.name}/${epoch}`
    const running = settling.get(key)
    if (running) return running
    leases.delete(shard.name)
    const settled = new Promise(resolve => setTimeout(resolve, FIXED.cacheModeLeaseMs))
      .then(() => patiently(() => cacheModes.switchOff(shard, epoch)))
      .then(() => undefined)
      .finally(() => settling.delete(key))
    settling.set(key, settled)
    return settled
  }

  // A shard that is away now gets no lease; the next poll asks again.
  await Promise.allSettled(router.shards.map(poll))
  const polls = router.shards.map(shard =>
    repeat(
      () => poll(shard),
      FIXED.cacheModePollMs,
      error => log.debug({ shard: shard.name, err: error }, 'the cache mode could not be checked'),
    ),
  )

  return {
    lease(shard) {
      const lease = leases.get(shard.name)
      return lease && performance.now() < lease.until ? lease.epoch : undefined
    },
    async suspend(shard, epoch) {
      leases.delete(shard.name)
      if ((await drain(shard, epoch)) === 1) {
        log.warn({ shard: shard.name, epoch }, 'the cart cache cannot be reached: turning it off')
      }
      await settle(shard, epoch)
    },
    async renew(shard) {
      const { epoch } = await cacheModes.read(shard)
      await drain(shard, epoch)
      await settle(shard, epoch)
    },
    settle,
    stop() {
      for (const one of polls) one.stop()
    },
  }
}

/** Turns the cache on again when it has been off for a while and can be reached. @throws AppError `unavailable` while it cannot */
async function switchOnAfterPause(
  { redis, log }: Pick<CacheModeDeps, 'redis' | 'log'>,
  offSince: Map<string, number>,
  shard: Database,
  mode: CacheModeRow,
): Promise<void> {
  const since = offSince.get(shard.name) ?? performance.now()
  offSince.set(shard.name, since)
  if (performance.now() - since < FIXED.cacheModeOffMsMin) return
  await redis.ping()
  if ((await cacheModes.switchOn(shard, mode.epoch, Math.floor(Date.now() / 1000))) === 1) {
    log.info({ shard: shard.name, epochBefore: mode.epoch }, 'the cart cache is on again')
  }
}

/** A change of mode waits for the writers before it; when they take longer than a lock wait, it waits again. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof LockWaitError) || attempt >= FIXED.transactionAttemptsMax) throw error
    }
  }
}
