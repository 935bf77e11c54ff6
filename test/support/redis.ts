import { connectRedis, type RedisConnection } from '../../src/lib/redis.ts'
import { eventually } from './client.ts'

/** A connection as the product makes it, ready to be used. */
export async function connectTo(url: string): Promise<RedisConnection> {
  const options = { name: 'test', url, commandMsMax: 2_000, connectMsMax: 2_000, failuresToOpen: 5, openMs: 100 }
  const redis = connectRedis(options, () => undefined)
  await eventually('Redis is connected', () => redis.client.status === 'ready')
  return redis
}
