import type { CartFailpoint } from '../cart/failpoints.ts'
import type { Config, ServerAddresses } from '../config/config.ts'
import type { Middleware } from '../http/pipeline.ts'
import type { Stock } from '../inventory/inventory.ts'
import { connectRedis, type RedisConnection } from '../lib/redis.ts'
import { releaseOf } from '../lib/release.ts'
import { FIXED } from '../model/limits.ts'
import type { OrderFailpoint } from '../orders/failpoints.ts'
import { shardName } from '../sharding/slots.ts'
import { openDatabase } from '../store/database.ts'
import { createSingleRouter, createSlotRouter, type Router, watchSlotMap } from '../store/shard-router.ts'
import type { Log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { watchOutages } from '../telemetry/outages.ts'

export interface AppOptions {
  readonly saleProofKey?: string | undefined
  /** The shop's own middleware: it sees every request (http/pipeline.ts). */
  readonly middleware?: readonly Middleware[]
  /** Failpoints: tests stop the process between two steps of a cart's write or of an order. */
  readonly onFailpoint?: (step: CartFailpoint | OrderFailpoint) => void
  /** Tests replace a part, for example by one with a planted mistake. */
  readonly wrap?: {
    readonly cacheRedis?: (redis: RedisConnection) => RedisConnection
    readonly router?: (router: Router) => Router
    readonly stock?: (stock: Stock, router: Router) => Stock
  }
}

/** What the whole app is made from. `closing`: closes what was opened, last first. */
export interface Setup {
  readonly config: Config
  readonly servers: ServerAddresses
  readonly log: Log
  readonly options: AppOptions
  readonly onFailpoint: NonNullable<AppOptions['onFailpoint']>
  readonly closing: AsyncDisposableStack
}

export type Stores = Awaited<ReturnType<typeof openStores>>

/** Connections to Redis and MySQL, and the router over the shards. @throws AppError `unavailable` */
export async function openStores({ config, servers, log, options, closing }: Setup) {
  const { limits } = config
  const { wrap = {} } = options
  const metrics = createMetrics()
  const version = releaseOf(config.projectDir)

  const redisTo = (name: string, url: string, commandMsMax: number): RedisConnection => {
    const redis = connectRedis(
      {
        name,
        url,
        commandMsMax,
        connectMsMax: FIXED.redisConnectMsMax,
        failuresToOpen: FIXED.breakerFailures,
        openMs: FIXED.breakerOpenMs,
        watch: watchOutages(name, metrics, log),
      },
      error => log.debug({ redis: name, err: error }, 'Redis connection'),
    )
    closing.defer(redis.close)
    return redis
  }
  const sessionsRedis = redisTo('sessions', servers.sessionsRedis, FIXED.redisSessionsMsMax)
  const ownCacheRedis = redisTo('cache', servers.cacheRedis, FIXED.redisCacheMsMax)
  const cacheRedis = wrap.cacheRedis?.(ownCacheRedis) ?? ownCacheRedis

  const databaseAt = (name: string, url: string) => {
    const database = openDatabase({ name, url, limits }, metrics, log)
    closing.defer(database.close)
    return database
  }
  const global = databaseAt('global', servers.global)
  const shards = servers.shards.map((url, index) => databaseAt(shardName(index), url))
  const [firstShard] = shards
  if (!firstShard) throw new Error('no shard is configured')
  const ownRouter: Router = config.router === 'single' ? createSingleRouter(firstShard) : await createSlotRouter(shards)
  const router = wrap.router?.(ownRouter) ?? ownRouter
  closing.defer(watchSlotMap(router).stop)
  return { metrics, version, redisTo, sessionsRedis, cacheRedis, global, shards, router }
}
