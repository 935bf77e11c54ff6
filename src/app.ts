import { createLogins } from './accounts/logins.ts'
import { createOperators } from './accounts/operators.ts'
import { createPasswords } from './accounts/passwords.ts'
import { createRegistrations } from './accounts/registration.ts'
import { createCartCache } from './cache/cart-cache.ts'
import { createPageCache } from './cache/page-cache.ts'
import { watchCacheModes } from './cart/cache-mode.ts'
import { startAuditor } from './cart/cache-auditor.ts'
import { createCartReader } from './cart/cart-reader.ts'
import { createCarts } from './cart/carts.ts'
import { createGlances } from './cart/warm-reads.ts'
import { createFencedWrite } from './cart/fenced-write.ts'
import { createGroupCommit } from './cart/group-commit.ts'
import { createFunnel } from './cart/cart-writer.ts'
import { createHandover } from './cart/guest-merge.ts'
import { createPrices } from './cart/cart-pricing.ts'
import { createQuotes } from './orders/quotes.ts'
import type { CartStep } from './cart/failpoints.ts'
import { watchCatalog } from './catalog/catalog-watch.ts'
import { createAllowances } from './orders/promotion-limits.ts'
import { createPlacing } from './orders/place-order.ts'
import { createCodes } from './inventory/code-uses.ts'
import { createInventory } from './inventory/stock-levels.ts'
import { createOrders } from './orders/orders.ts'
import { createReconciler } from './orders/reconciliation.ts'
import { watchSales } from './sales/flash-sales.ts'
import { startSettlement } from './orders/order-recovery.ts'
import type { CheckoutStep } from './orders/failpoints.ts'
import { createStock, type Stock } from './inventory/inventory.ts'
import { createStockKeeping } from './inventory/stock-admin.ts'
import { createPromotions } from './catalog/promotions.ts'
import { createProducts } from './catalog/products.ts'
import { watchRules } from './catalog/rules-watch.ts'
import { type Config, type ServerAddresses, socketOf } from './config/config.ts'
import { createOpsServer } from './http/ops-server.ts'
import { createSideDoor } from './http/listeners.ts'
import { createServer } from './http/server.ts'
import { createClosers } from './lib/closers.ts'
import { closeNow, listen } from './lib/http.ts'
import { releaseOf } from './lib/release.ts'
import { connectRedis, type RedisConnection } from './lib/redis.ts'
import { FIXED } from './model/limits.ts'
import { createDrain } from './ops/drain.ts'
import { createHealth } from './ops/health.ts'
import { checkServers, findingsOf } from './ops/server-check.ts'
import { startHousekeeping } from './ops/housekeeping.ts'
import { createPricing } from './pricing/pricing-service.ts'
import { holdMasterLease } from './sessions/master-lease.ts'
import { createSessions } from './sessions/sessions.ts'
import { shardName } from './sharding/slots.ts'
import { createThrottle } from './sessions/throttle.ts'
import { createWaitingRoom } from './sales/waiting-room.ts'
import { createRestoreWatch } from './store/restore-watch.ts'
import { openDatabase } from './store/database.ts'
import { createIds } from './store/ids.ts'
import { createSingleRouter, createSlotRouter, type Router, watchSlotMap } from './store/shard-router.ts'
import type { Log } from './telemetry/log.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createFailureLog, watchOutages } from './telemetry/outages.ts'

/** The composition root: the only place that opens and wires things. What it opens, `close` undoes, last first. */
export type App = Awaited<ReturnType<typeof createApp>>

export interface AppOptions {
  readonly saleProofKey?: string | undefined
  /** For tests that stop the process between two steps of a cart's write or of an order. */
  readonly onStep?: (step: CartStep | CheckoutStep) => void
  /** For tests that put something in the place of a part, such as a mistake that the checks must see. */
  readonly wrap?: {
    readonly cacheRedis?: (redis: RedisConnection) => RedisConnection
    readonly router?: (router: Router) => Router
    readonly stock?: (stock: Stock, router: Router) => Stock
  }
}

export async function createApp(config: Config, servers: ServerAddresses, log: Log, options: AppOptions = {}) {
  const closers = createClosers()
  try {
    const { limits, currency } = config
    const { onStep = () => undefined, wrap = {} } = options
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
      closers.push(redis.close)
      return redis
    }
    const sessionsRedis = redisTo('sessions', servers.sessionsRedis, FIXED.redisSessionsMsMax)
    const ownCacheRedis = redisTo('cache', servers.cacheRedis, FIXED.redisCacheMsMax)
    const cacheRedis = wrap.cacheRedis?.(ownCacheRedis) ?? ownCacheRedis

    const databaseAt = (name: string, url: string) => {
      const database = openDatabase({ name, url, limits }, metrics, log)
      closers.push(database.close)
      return database
    }
    const global = databaseAt('global', servers.global)
    const shards = servers.shards.map((url, index) => databaseAt(shardName(index), url))
    const [firstShard] = shards
    if (!firstShard) throw new Error('no shard is configured')
    const ownRouter: Router =
      config.router === 'single' ? createSingleRouter(firstShard) : await createSlotRouter(shards)
    const router = wrap.router?.(ownRouter) ?? ownRouter
    closers.push(watchSlotMap(router).stop)

    const pricing = createPricing(
      {
        threads: config.pricingThreads,
        queueMax: limits.pricingQueueMax,
        currency,
        shippingFee: config.shippingFee,
        inline: config.pricingInline,
      },
      metrics,
    )
    closers.push(pricing.close)
    const restores = createRestoreWatch(cacheRedis)
    const watch = await watchCatalog({ global, pricing, restores, log })
    closers.push(watch.stop)
    const rules = await watchRules(global, pricing, log)
    closers.push(rules.stop)
    const prices = createPrices({ pricing, catalog: watch, rules, metrics })
    closers.push(prices.stop)
    const modes = await watchCacheModes({ router, redis: cacheRedis, restores, metrics, log })
    closers.push(modes.stop)
    closers.push(startHousekeeping(shards, log).stop)

    const cache = createCartCache(cacheRedis)
    const fencedWrite = createFencedWrite({ router, cache, modes })
    const groupCommit = createGroupCommit({ router, cache, metrics, onStep })
    const funnel = createFunnel({
      router,
      cache,
      modes,
      fencedWrite,
      groupCommit,
      prices,
      limits,
      currency,
      metrics,
      onStep,
    })
    const handover = createHandover({ router, cache, funnel, fencedWrite, limits, rule: config.mergeRule })
    const ownStock = createStock({ router, instance: config.instanceIndex, metrics })
    const stock = wrap.stock?.(ownStock, router) ?? ownStock
    const codes = createCodes({ global, stock, pricing })
    pricing.useCodes(codes.factsOf)
    const reader = createCartReader({
      router,
      cache,
      modes,
      pricing,
      prices,
      repriceSpreadMs: config.repriceSpreadMs,
      funnel,
      limits,
      currency,
      metrics,
      onStep,
    })
    prices.onLater(funnel.reprice)
    const carts = createCarts({ funnel, handover, limits, codeAsWritten: codes.asWritten })
    const auditor = startAuditor({ router, cache, modes, limits, perSecond: config.auditPerSecond, metrics, log })
    closers.push(auditor.stop)
    const products = createProducts({ global, pages: createPageCache(cacheRedis), watch, currency, metrics })
    const passwords = createPasswords(limits, metrics)
    const ids = createIds(global, 'user', FIXED.userIdBlock)
    const registrations = createRegistrations({ router, ids, passwords })
    if (config.sessionsReplicas === 0 && servers.sessionsRedis.startsWith('redis+sentinel:'))
      log.warn(
        'sessions are behind Sentinel without CARTLOAD_SESSIONS_REPLICAS: a fail-over may bring back what was ended',
      )
    const replicasOf = async (count: number) => {
      const lease = await holdMasterLease(sessionsRedis, cacheRedis)
      closers.push(lease.stop)
      return { count, lease, redis: redisTo('sessions', servers.sessionsRedis, FIXED.redisSessionsMsMax) }
    }
    const replicas = config.sessionsReplicas > 0 ? await replicasOf(config.sessionsReplicas) : undefined
    const drain = createDrain(replicas?.lease.isOnlyHere)
    const sessions = createSessions(sessionsRedis, {
      replicas,
      idleMs: config.sessionIdleMs,
      guestIdleMs: config.guestIdleMs,
      maxMs: config.sessionMaxMs,
    })
    const glances = createGlances({ sessions, cache, reader })
    const throttle = createThrottle(sessionsRedis)
    const logins = createLogins({ router, sessions, throttle, passwords, registrations, handover, metrics })
    const quotes = createQuotes({ global, router, pricing, currency })
    const promotions = createPromotions(global, currency)
    const operators = createOperators(global)

    const inventory = createInventory({ router })
    const settlement = startSettlement({ router, stock, metrics, log })
    closers.push(settlement.stop)
    const allowances = createAllowances({ stock, inventory, pricing, log })
    closers.push(allowances.stop)
    const room = createWaitingRoom(sessionsRedis)
    const sales = watchSales({ global, router, stock, room, pricing, proofKey: options.saleProofKey, log })
    closers.push(sales.stop)
    await sales.refresh().catch(createFailureLog(log, 'the sales could not be loaded yet'))
    const paymentS = config.payment === 'two-step' ? config.paymentMinutes * 60 : undefined
    const placing = createPlacing({
      router,
      catalog: watch,
      stock,
      settlement,
      sales,
      allowances,
      funnel,
      pricing,
      prices,
      quotes,
      currency,
      paymentS,
      metrics,
      onStep,
    })
    const orders = createOrders({ router, stock, settlement, funnel, onStep })
    const health = createHealth({
      drain,
      checkSessions: sessions.check,
      sessions: sessionsRedis,
      cache: cacheRedis,
      shards,
      global,
      router,
      checkSettings: async () => findingsOf(await checkServers(servers, version), 'wrong'),
      metrics,
    })
    closers.push(health.stop)

    const routed = {
      carts,
      reader,
      glances,
      products,
      logins,
      registrations,
      quotes,
      promotions,
      operators,
      placing,
      orders,
      stock,
      sales,
      productOf: pricing.product,
      rulesVersion: pricing.rulesVersion,
    }
    const { publicUrl, secureCookies, trustedProxies } = config
    const server = createServer(
      { ...routed, drain, metrics, log },
      { limits, version, currency, publicUrl, secureCookies, trustedProxies },
    )
    const { socketDir, instanceIndex } = config
    const sideDoor = socketDir === undefined ? undefined : createSideDoor(server, socketOf(socketDir, instanceIndex))
    const opsServer = createOpsServer({ health, inventory, metrics, version, startedAt: new Date() })

    return {
      server,
      /** Wherever the API is reached: the port, and the Unix socket where there is one. */
      doors: sideDoor ? [server, sideDoor.server] : [server],
      opsServer,
      drain,
      carts,
      reader,
      registrations,
      promotions,
      operators,
      catalog: watch,
      modes,
      stock,
      inventory,
      /** What the routes call, for whoever mounts them elsewhere (load-tests/compare). */
      routed,
      sessions,
      reconciler: createReconciler({ router, inventory }),
      stockKeeping: createStockKeeping({ global, router, inventory, stock }),
      allowances,
      sales,
      settlement,
      rules,
      passwords,
      global,
      router,
      pricing,
      metrics,
      limits,
      async listen() {
        await listen(server, { port: config.instancePort + config.instanceIndex, host: config.bind })
        closers.push(() => closeNow(server))
        if (sideDoor) {
          await sideDoor.open()
          closers.push(sideDoor.close)
        }
        await listen(opsServer, { port: config.opsPort + config.instanceIndex, host: config.opsBind })
        closers.push(() => closeNow(opsServer))
      },
      close: closers.closeAll,
    }
  } catch (error) {
    await closers.closeAll().catch(() => undefined)
    throw error
  }
}
