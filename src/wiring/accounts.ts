import { createLogins } from '../accounts/logins.ts'
import { createOperators } from '../accounts/operators.ts'
import { createPasswords } from '../accounts/passwords.ts'
import { createRegistrations } from '../accounts/registration.ts'
import { createAuthenticator } from '../http/authenticator.ts'
import { FIXED } from '../model/limits.ts'
import { createDrain } from '../ops/drain.ts'
import { holdMasterLease } from '../sessions/master-lease.ts'
import { createSessions } from '../sessions/sessions.ts'
import { createThrottle } from '../sessions/throttle.ts'
import { createIds } from '../store/ids.ts'
import type { CartParts } from './carts.ts'
import type { Setup, Stores } from './stores.ts'

export type AccountParts = Awaited<ReturnType<typeof wireAccounts>>

/** Sessions, accounts and operators. */
export async function wireAccounts(
  { config, servers, log, closing }: Setup,
  stores: Stores,
  { guestMerge }: Pick<CartParts, 'guestMerge'>,
) {
  const { router, global, sessionsRedis, cacheRedis, redisTo, metrics } = stores
  if (config.sessionsReplicas === 0 && servers.sessionsRedis.startsWith('redis+sentinel:'))
    log.warn(
      'sessions are behind Sentinel without CARTLOAD_SESSIONS_REPLICAS: a fail-over may bring back what was ended',
    )
  const replicasOf = async (count: number) => {
    const lease = await holdMasterLease(sessionsRedis, cacheRedis)
    closing.defer(lease.stop)
    return { count, lease, redis: redisTo('sessions', servers.sessionsRedis, FIXED.redisSessionsMsMax) }
  }
  const replicas = config.sessionsReplicas > 0 ? await replicasOf(config.sessionsReplicas) : undefined
  const sessions = createSessions(sessionsRedis, {
    replicas,
    idleMs: config.sessionIdleMs,
    guestIdleMs: config.guestIdleMs,
    maxMs: config.sessionMaxMs,
  })
  const passwords = createPasswords(config.limits, metrics)
  const registrations = createRegistrations({ router, ids: createIds(global, 'user', FIXED.userIdBlock), passwords })
  const throttle = createThrottle(sessionsRedis)
  return {
    drain: createDrain(replicas?.lease.isOnlyHere),
    sessions,
    authenticator: createAuthenticator(sessions, config),
    passwords,
    registrations,
    logins: createLogins({ router, sessions, throttle, passwords, registrations, guestMerge, metrics }),
    operators: createOperators(global),
  }
}
