import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'

/**
 * What is counted, with Prometheus names. One registry per instance; each instance is scraped on its own operations
 * port. Labels are few and bounded: routes by pattern, never by path; shards by name.
 */
export type Metrics = ReturnType<typeof createMetrics>

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const loop = monitorEventLoopDelay({ resolution: 10 })
  loop.enable()

  const metrics = {
    registry,
    ...ofRequests(registers),
    ...ofCarts(registers),
    ...ofOrders(registers),
    ...ofDependencies(registers),
    /** A gauge whose value is read when it is scraped. */
    watch(name: string, help: string, read: () => number): void {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        },
      })
    },
  }
  metrics.watch(
    'cartload_event_loop_delay_p99_seconds',
    'Event-loop delay since the last scrape, 99th percentile',
    () => {
      const seconds = loop.percentile(99) / 1e9
      loop.reset()
      return seconds
    },
  )
  return metrics
}

function ofRequests(registers: Registry[]) {
  const requests = new Histogram({
    name: 'cartload_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last byte of its answer',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: SECONDS,
    registers,
  })
  return {
    requests,
    shed: new Counter({
      name: 'cartload_http_shed_total',
      help: 'Requests refused because too many were in flight',
      registers,
    }),
    logins: new Counter({
      name: 'cartload_logins_total',
      help: 'Logins by result: ok, wrong, throttled',
      labelNames: ['result'] as const,
      registers,
    }),
  }
}

function ofCarts(registers: Registry[]) {
  return {
    cartReads: new Counter({
      name: 'cartload_cart_reads_total',
      help: 'Cart reads by how they were answered: hit, filled, resolved, unfilled (database, no right to fill), degraded (cache off or away)',
      labelNames: ['result'] as const,
      registers,
    }),
    cartWrites: new Counter({
      name: 'cartload_cart_writes_total',
      help: 'Cart changes by result: saved, unchanged, replayed, conflict (retried), degraded (saved with the cache off)',
      labelNames: ['result'] as const,
      registers,
    }),
    cartGroups: new Histogram({
      name: 'cartload_cart_group_size',
      help: 'Changes of carts that one transaction wrote together',
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    }),
    audits: new Counter({
      name: 'cartload_cart_audits_total',
      help: 'Cached carts compared with the database, by result: same, moved (changed meanwhile); must stay 0: behind, ahead, differs',
      labelNames: ['result'] as const,
      registers,
    }),
    unpriced: new Counter({
      name: 'cartload_carts_unpriced_total',
      help: 'Carts that were answered with their last totals because no price could be calculated',
      registers,
    }),
    productReads: new Counter({
      name: 'cartload_product_reads_total',
      help: 'Products that were not in memory, by where they were read from',
      labelNames: ['from'] as const,
      registers,
    }),
    pageReads: new Counter({
      name: 'cartload_catalog_page_reads_total',
      help: 'Catalogue pages by how they were had: hit, filled (made and cached), unfilled (another was making it for too long), degraded (cache away); those who waited for another are not counted',
      labelNames: ['result'] as const,
      registers,
    }),
    cacheMode: new Gauge({
      name: 'cartload_cache_mode',
      help: '1 while carts of this shard are served from the cache, 0 while they are not',
      labelNames: ['shard'] as const,
      registers,
    }),
  }
}

function ofOrders(registers: Registry[]) {
  return {
    orders: new Counter({
      name: 'cartload_orders_total',
      help: 'Tries to order by result: confirmed, pending, replayed, out_of_stock, refused, failed (of a dependency)',
      labelNames: ['result'] as const,
      registers,
    }),
    settled: new Counter({
      name: 'cartload_claims_settled_total',
      help: 'Claims that were settled for a process that did not, by what became of them: sold, freed, waiting; missing (must stay 0): a confirmed order without a claim',
      labelNames: ['result'] as const,
      registers,
    }),
    stockBatches: new Histogram({
      name: 'cartload_stock_batch_size',
      help: 'Stock operations that one transaction did together',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
  }
}

function ofDependencies(registers: Registry[]) {
  return {
    statements: new Histogram({
      name: 'cartload_mysql_statement_duration_seconds',
      help: 'Time of one SQL statement, by shard',
      labelNames: ['shard'] as const,
      buckets: SECONDS,
      registers,
    }),
    poolWaits: new Histogram({
      name: 'cartload_pool_wait_seconds',
      help: 'Time waited for a place in a bounded pool (only those who had to wait)',
      labelNames: ['pool'] as const,
      buckets: SECONDS,
      registers,
    }),
    pricing: new Histogram({
      name: 'cartload_pricing_duration_seconds',
      help: 'Time of one price calculation, waiting included',
      buckets: SECONDS,
      registers,
    }),
    dependencyErrors: new Counter({
      name: 'cartload_dependency_errors_total',
      help: 'Calls to a database or Redis that found it away, slow or full',
      labelNames: ['dependency'] as const,
      registers,
    }),
    degraded: new Gauge({
      name: 'cartload_degraded',
      help: '1 for each dependency that is away or not as it must be; the instance serves what does not need it',
      labelNames: ['dependency'] as const,
      registers,
    }),
  }
}
