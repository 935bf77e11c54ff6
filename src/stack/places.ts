import { join } from 'node:path'
import { type Config, type ServerAddresses, socketOf } from '../config/config.ts'
import type { StackSecrets } from './secrets.ts'
import { mysqlUrl, redisUrl } from './servers.ts'

/** Where the parts of the embedded stack are: folders, ports, sockets, and the addresses that follow. */
export const GLOBAL_DATABASE = 'cartload_global'
export const SHARD_DATABASE = 'cartload'

export function createPlaces(config: Config, secrets: () => StackSecrets) {
  const shardPort = (index: number) => config.shardPort + index
  const shardDir = (index: number) => join(config.dataDir, `shard-${index}`)
  const redisDir = (role: 'sessions' | 'cache') => join(config.dataDir, `redis-${role}`)
  const eachShard = <T>(make: (index: number) => T): T[] =>
    Array.from({ length: config.embeddedShards }, (_, index) => make(index))
  const shardUrls = (role: 'app' | 'migrations') =>
    eachShard(index => mysqlUrl(shardPort(index), SHARD_DATABASE, secrets(), role, shardDir(index)))
  const globalUrl = (role: 'app' | 'migrations') =>
    mysqlUrl(shardPort(0), GLOBAL_DATABASE, secrets(), role, shardDir(0))

  return {
    shardPort,
    shardDir,
    redisDir,
    eachShard,
    shardUrls,
    globalUrl,
    addresses: (): ServerAddresses => ({
      shards: shardUrls('app'),
      global: globalUrl('app'),
      sessionsRedis: redisUrl(config.redisPort, secrets(), redisDir('sessions')),
      cacheRedis: redisUrl(config.redisPort + 1, secrets(), redisDir('cache')),
    }),
    /** Where nginx finds each instance: a port, or the path of a socket. */
    instanceAddresses: Array.from({ length: config.instances }, (_, index) =>
      config.socketDir === undefined ? config.instancePort + index : socketOf(config.socketDir, index),
    ),
  }
}
