import { type Config, type ServerAddresses, socketOf } from './config/config.ts'
import { createUnixListener } from './http/listeners.ts'
import { createOpsServer } from './http/ops-server.ts'
import { createServer } from './http/server.ts'
import { createStockKeeping } from './inventory/stock-admin.ts'
import { closeNow, listen } from './lib/http.ts'
import { createHealth } from './ops/health.ts'
import { checkServers, findingsOf } from './ops/server-check.ts'
import { createReconciler } from './orders/reconciliation.ts'
import type { Log } from './telemetry/log.ts'
import { type AccountParts, wireAccounts } from './wiring/accounts.ts'
import { wireCarts, wireReader } from './wiring/carts.ts'
import { wireOrders } from './wiring/orders.ts'
import { wirePricing } from './wiring/prices.ts'
import { type AppOptions, openStores, type Setup, type Stores } from './wiring/stores.ts'

/** The composition root: only here and in wiring/ things are opened and put together. `close` closes them, last first. */
export type App = Awaited<ReturnType<typeof createApp>>

export async function createApp(config: Config, servers: ServerAddresses, log: Log, options: AppOptions = {}) {
  await using opened = new AsyncDisposableStack()
  const { onFailpoint = () => undefined } = options
  const setup: Setup = { config, servers, log, options, onFailpoint, closing: opened }
  const { limits, currency } = config
  const stores = await openStores(setup)
  const { global, router, metrics, version } = stores
  const prices = await wirePricing(setup, stores)
  const carts = await wireCarts(setup, stores, prices)
  const accounts = await wireAccounts(setup, stores, carts)
  const reader = wireReader(setup, stores, prices, carts, accounts.authenticator)
  const orders = await wireOrders(setup, stores, prices, carts)
  const { catalog, catalogChanges, pricing, rules, stock, products: productStore } = prices
  const priced = { catalog, catalogChanges, pricing, productStore, rules, stock }
  const health = wireHealth(setup, stores, accounts)

  const routed = {
    ...accounts,
    ...orders,
    carts: carts.carts,
    products: carts.products,
    reader,
    stock,
    rulesVersion: pricing.rulesVersion,
  }
  const server = createServer(
    { ...routed, metrics, log },
    { ...config, version, currency, middleware: options.middleware },
  )
  const { socketDir, instanceIndex } = config
  const unixListener =
    socketDir === undefined ? undefined : createUnixListener(server, socketOf(socketDir, instanceIndex))
  const { inventory } = orders
  const opsServer = createOpsServer({ health, inventory, metrics, version, startedAt: new Date() })
  const closing = opened.move()

  return {
    server,
    /** The API on its port and, where there is one, on its Unix socket. */
    listeners: unixListener ? [server, unixListener.server] : [server],
    opsServer,
    drain: accounts.drain,
    carts: carts.carts,
    reader,
    registrations: accounts.registrations,
    promotions: orders.promotions,
    operators: accounts.operators,
    ...priced,
    modes: carts.modes,
    inventory,
    /** What the routes call, to mount them elsewhere (load-tests/compare). */
    routed,
    sessions: accounts.sessions,
    reconciler: createReconciler({ router, inventory }),
    stockKeeping: createStockKeeping({ global, catalogChanges, inventory, stock }),
    promotionLimits: orders.promotionLimits,
    sales: orders.sales,
    recovery: orders.recovery,
    passwords: accounts.passwords,
    global,
    router,
    metrics,
    limits,
    /** @throws Error when an address is taken */
    async listen() {
      await listen(server, { port: config.instancePort + instanceIndex, host: config.bind })
      closing.defer(() => closeNow(server))
      if (unixListener) {
        await unixListener.open()
        closing.defer(unixListener.close)
      }
      await listen(opsServer, { port: config.opsPort + instanceIndex, host: config.opsBind })
      closing.defer(() => closeNow(opsServer))
      closing.defer(prices.keepWarm().stop)
    },
    close: () => closing.disposeAsync(),
  }
}

function wireHealth({ servers, closing }: Setup, stores: Stores, { drain, sessions }: AccountParts) {
  const { sessionsRedis, cacheRedis, shards, global, router, metrics, version } = stores
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
  closing.defer(health.stop)
  return health
}
