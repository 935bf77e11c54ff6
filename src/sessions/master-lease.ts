import type { RedisConnection } from '../lib/redis.ts'
import { unavailable } from '../lib/errors.ts'
import { repeat } from '../lib/repeat.ts'
import { FIXED } from '../model/limits.ts'

/**
 * Whether what the sessions Redis says may be believed, where it has replicas. A master that was cut off from them may have been
 * replaced, and would go on accepting sessions that were ended at its successor. Such a master refuses writes after
 * `min-replicas-max-lag`; so an instance believes it only while a write was accepted a moment ago, counted on the instance's monotonic
 * clock from before it asked, on the connection that it was accepted on. Sentinel must wait longer than all that before it makes another
 * the master (decision 8).
 */
export interface MasterLease {
  /** @throws AppError `unavailable` */
  check(): void
  stop(): void
}

export const NO_LEASE: MasterLease = { check: () => undefined, stop: () => undefined }

export async function holdMasterLease(redis: RedisConnection): Promise<MasterLease> {
  let until = 0
  let connection = 0
  redis.client.on('close', () => {
    connection++ // the next one may lead to another server
    until = 0
  })

  async function renew(): Promise<void> {
    const asked = performance.now()
    const before = connection
    await redis.run(client => client.set('cartload:master', '1', 'PX', FIXED.masterLeaseMs))
    if (connection === before) until = asked + FIXED.masterLeaseMs
  }

  await renew().catch(() => undefined) // the next look finds it
  const renewing = repeat(renew, FIXED.masterLeasePollMs, () => undefined)
  return {
    check() {
      if (performance.now() >= until) throw unavailable(redis.name, new Error('it does not take writes'))
    },
    stop: renewing.stop,
  }
}
