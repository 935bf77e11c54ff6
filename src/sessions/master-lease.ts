import { randomUUID } from 'node:crypto'
import type { RedisConnection } from '../lib/redis.ts'
import { unavailable, missIfUnavailable } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'

const BELIEVED = 'sessions-master-believed-by'

/**
 * Whether what the sessions Redis says may be believed, where it has replicas. A master that was cut off from them may have been
 * replaced, and would go on accepting sessions that were ended at its successor. Such a master refuses writes after
 * `min-replicas-max-lag`; so an instance believes it only while a write was accepted just before, counted on the instance's monotonic
 * clock from before it asked, on the connection that it was accepted on. Sentinel must wait longer than all that before it makes another
 * the master (decision 8).
 */
export interface MasterLease {
  /** @throws AppError `unavailable` */
  check(): void
  /** True while this instance has no valid lease and another one had one just before: that one can serve its requests. */
  isOnlyHere(): boolean
  stop(): void
}

/** `board`: another Redis that all instances share; each instance with a valid lease writes its id there. */
export async function holdMasterLease(redis: RedisConnection, board: RedisConnection): Promise<MasterLease> {
  const own = randomUUID()
  let isOnlyHere = false
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
    if (connection !== before) return
    until = asked + FIXED.masterLeaseMs
    isOnlyHere = false
    await board.run(client => client.set(BELIEVED, own, 'PX', 2 * FIXED.masterLeaseMs)).catch(missIfUnavailable)
  }

  async function compare(): Promise<void> {
    const last = await board.run(client => client.get(BELIEVED)).catch(missIfUnavailable)
    isOnlyHere = performance.now() >= until && typeof last === 'string' && last !== own
  }

  const look = () => renew().catch(compare)
  await look()
  const renewing = repeat(look, FIXED.masterLeasePollMs, () => undefined)
  return {
    check() {
      if (performance.now() >= until) throw unavailable(redis.name, new Error('it does not take writes'))
    },
    isOnlyHere: () => isOnlyHere,
    stop: renewing.stop,
  }
}
