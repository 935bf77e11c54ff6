import { createPasswords } from '../../src/accounts/passwords.ts'
import { createRegistrations } from '../../src/accounts/registration.ts'
import { connectRedis } from '../../src/lib/redis.ts'
import { DEFAULT_LIMITS, FIXED } from '../../src/model/limits.ts'
import { createSessions } from '../../src/sessions/sessions.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createIds } from '../../src/store/ids.ts'
import { shardName } from '../../src/sharding/slots.ts'
import { createSlotRouter } from '../../src/store/shard-router.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { Shop } from './shop.ts'

/** Databases of a shop, as an instance opens them. */
export async function databasesOf({ addresses }: Pick<Shop, 'addresses'>) {
  const [metrics, log] = [createMetrics(), createLog('silent')]
  const open = (name: string, url: string) => openDatabase({ name, url, limits: DEFAULT_LIMITS }, metrics, log)
  const global = open('global', addresses.global)
  const shards = addresses.shards.map((url, index) => open(shardName(index), url))
  const router = await createSlotRouter(shards)
  return { global, shards, router, close: () => Promise.all([global, ...shards].map(database => database.close())) }
}

/** Makes members and sessions without a password check each. */
export async function registrationsOf(shop: Pick<Shop, 'addresses'>) {
  const { global, router, close } = await databasesOf(shop)
  const redis = connectRedis(
    {
      name: 'sessions',
      url: shop.addresses.sessionsRedis,
      commandMsMax: 5_000,
      connectMsMax: 5_000,
      failuresToOpen: 5,
      openMs: 500,
    },
    () => undefined,
  )
  const passwords = createPasswords({ passwordChecksMax: 2, loginsWaitingMax: 10 }, createMetrics())
  const registrations = createRegistrations({ router, ids: createIds(global, 'user', FIXED.userIdBlock), passwords })
  const passwordHash = await passwords.hash('correct horse battery')
  const day = 86_400_000
  const sessions = createSessions(redis, { idleMs: day, guestIdleMs: day, maxMs: day })
  await redis.client.ping().catch(() => undefined)
  return {
    async addMember(email: string): Promise<string> {
      const added = await registrations.addMember({ email, name: '', passwordHash })
      return 'id' in added ? added.id : added.takenBy
    },
    session: async (userId: string) => (await sessions.create(userId, 'member', 1)).token.text,
    async close() {
      await redis.close()
      await close()
    },
  }
}
