import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { MERGE_RULES } from '../model/merge.ts'
import { LIMIT_SETTINGS } from './limit-settings.ts'
import {
  address,
  derived,
  mysqlAddress,
  mysqlAddresses,
  oneOf,
  port,
  redisAddress,
  secret,
  sessionsAddress,
  set,
  type Setting,
  type ValueOf,
  text,
  whole,
} from './parsers.ts'

/**
 * Every setting: its variable, what it means, how its text is read, and its default. `.env.example` and docs/settings.md
 * are generated from this list, and defaults are read from it as if they had been set.
 */
export const SETTINGS = {
  node: derived(
    'CARTLOAD_NODE',
    'Path of the Node.js that runs everything (bin/node-path), 24 or newer; in production one of 24.22.1, 26.12.1 or newer.',
    text,
    'a newer fixed one on PATH, else the pinned one',
  ),
  port: set('CARTLOAD_PORT', 'Port of the embedded nginx. The other embedded ports follow from it.', port, '8080'),
  bind: set('CARTLOAD_BIND', 'Address on which the instances listen for nginx.', text, '127.0.0.1'),
  publicUrl: derived(
    'CARTLOAD_PUBLIC_URL',
    'Address under which browsers reach the shop. With https, cookies are Secure and carry the __Host- prefix.',
    address('http:', 'https:'),
    'http://localhost:<CARTLOAD_PORT>',
  ),
  instances: derived(
    'CARTLOAD_INSTANCES',
    'Express instances under PM2. At least 2, so that one serves while the other restarts.',
    whole(1, 64),
    'one per core, at least 2',
  ),
  instancePort: derived(
    'CARTLOAD_INSTANCE_PORT',
    'Port of the first instance; instance n listens on this + n.',
    port,
    'CARTLOAD_PORT + 100',
  ),
  socketDir: derived(
    'CARTLOAD_SOCKET_DIR',
    'Folder in which instance n also listens, as instance-n.sock, for an nginx on the same machine and in the same group: cheaper than a port. Each deployment has one of its own. none: ports only.',
    text,
    'run in the data folder with embedded servers, else none',
  ),
  opsPort: derived(
    'CARTLOAD_OPS_PORT',
    'Operations port (health, metrics) of the first instance; instance n: + n.',
    port,
    'CARTLOAD_PORT + 200',
  ),
  opsBind: set('CARTLOAD_OPS_BIND', 'Address of the operations ports. Keep it private.', text, '127.0.0.1'),
  trustedProxies: set(
    'CARTLOAD_TRUSTED_PROXIES',
    'Trusted proxies, comma-separated: the addresses of the nginx machines. X-Forwarded-For from any other address is ignored.',
    text.transform(value => value.split(',').map(part => part.trim())),
    'loopback',
  ),
  dataDir: set('CARTLOAD_DATA_DIR', 'Where the embedded servers keep their data, secrets and logs.', text, '.cartload'),
  shards: secret(
    'CARTLOAD_SHARDS',
    'Outside MySQL or MariaDB shards, comma-separated, in slot order. Set together with the next three; then nothing private is started.',
    mysqlAddresses,
  ),
  global: secret(
    'CARTLOAD_GLOBAL',
    'Outside MySQL or MariaDB database for the catalogue and the id blocks.',
    mysqlAddress,
  ),
  sessionsRedis: secret(
    'CARTLOAD_SESSIONS_REDIS',
    'Outside Redis for sessions: append-only file, noeviction. Also redis+sentinel://user:password@host:port,host:port/master-name.',
    sessionsAddress,
  ),
  sessionsReplicas: set(
    'CARTLOAD_SESSIONS_REPLICAS',
    'Replicas of the sessions Redis that must know of a logout before it is answered. With them, sessions are believed only while their Redis takes writes.',
    whole(0, 5),
    '0',
  ),
  cacheRedis: secret(
    'CARTLOAD_CACHE_REDIS',
    'Outside Redis for the cache: no persistence and no replica, LFU eviction.',
    redisAddress,
  ),
  router: set(
    'CARTLOAD_ROUTER',
    'slots: the shards above, each owning a range of slots. single: one endpoint that shards by itself or not at all (Vitess, one server).',
    oneOf(['slots', 'single']),
    'slots',
  ),
  embeddedShards: set(
    'CARTLOAD_EMBEDDED_SHARDS',
    'Number of embedded shard servers. Fixed by the first start.',
    whole(1, 16),
    '2',
  ),
  shardPort: derived(
    'CARTLOAD_SHARD_PORT',
    'Port of the first embedded shard server; shard n: + n.',
    port,
    'CARTLOAD_PORT + 300',
  ),
  redisPort: derived(
    'CARTLOAD_REDIS_PORT',
    'Port of the embedded sessions Redis; the cache Redis has the next one.',
    port,
    'CARTLOAD_PORT + 400',
  ),
  shardMemoryMb: set(
    'CARTLOAD_SHARD_MEMORY_MB',
    'InnoDB buffer pool of one embedded shard server, in MiB.',
    whole(32, 1_000_000),
    '256',
  ),
  sessionsMemoryMb: set(
    'CARTLOAD_SESSIONS_MEMORY_MB',
    'Memory limit of the embedded sessions Redis, in MiB.',
    whole(16, 1_000_000),
    '256',
  ),
  cacheMemoryMb: set(
    'CARTLOAD_CACHE_MEMORY_MB',
    'Memory limit of the embedded cache Redis, in MiB.',
    whole(16, 1_000_000),
    '256',
  ),
  currency: set(
    'CARTLOAD_CURRENCY',
    'ISO 4217 code of the one currency, with two decimals.',
    z.string().regex(/^[A-Z]{3}$/, 'must be three capital letters'),
    'GBP',
  ),
  pricingThreads: set('CARTLOAD_PRICING_THREADS', 'Threads that calculate prices, per instance.', whole(1, 64), '1'),
  pricingInline: set(
    'CARTLOAD_PRICING_INLINE',
    'Where prices are calculated. auto: small carts where they are asked for, others on the threads. always, never: for comparison.',
    oneOf(['auto', 'always', 'never']),
    'auto',
  ),
  repriceSpreadMs: set(
    'CARTLOAD_REPRICE_SPREAD_MS',
    'Over how long carts move to new rules and to the prices of a bulk change, each at its own moment, so that not all are priced at once; until then a cart shows its last totals, said to be old.',
    whole(0, 3_600_000),
    '5000',
  ),
  productsMemoryMb: set(
    'CARTLOAD_PRODUCTS_MEMORY_MB',
    'Memory for products, per instance, in MB. Those that carts hold should fit, about 800 bytes each; others are read when they are asked for.',
    whole(1, 4_096),
    '32',
  ),
  shippingFee: set(
    'CARTLOAD_SHIPPING_FEE',
    'Delivery of an order, in minor units, before promotions on it.',
    whole(0, 1_000_000),
    '0',
  ),
  payment: set(
    'CARTLOAD_PAYMENT',
    "none: an order is confirmed when it is placed. two-step: it holds its stock until the shop's server says that it was paid.",
    oneOf(['none', 'two-step']),
    'none',
  ),
  paymentMinutes: set(
    'CARTLOAD_PAYMENT_MINUTES',
    'How long an order waits for its payment; then what it holds is free again.',
    whole(1, 10_080),
    '15',
  ),
  saleProofKey: secret(
    'CARTLOAD_SALE_PROOF_KEY',
    'Key with which the shop signs proofs of human verification, for sales that require them (docs/orders.md).',
    z.string().min(16, 'must have at least 16 characters'),
  ),
  mergeRule: set(
    'CARTLOAD_MERGE_RULE',
    'Quantity of a line that stands in the cart of the guest and of the user at login.',
    oneOf(MERGE_RULES),
    'larger',
  ),
  sessionIdleMinutes: set(
    'CARTLOAD_SESSION_IDLE_MINUTES',
    'A login ends after this long without a request.',
    whole(1, 525_600),
    '1440',
  ),
  sessionMaxHours: set(
    'CARTLOAD_SESSION_MAX_HOURS',
    'A login ends after this long in any case.',
    whole(1, 87_600),
    '336',
  ),
  guestIdleMinutes: set(
    'CARTLOAD_GUEST_IDLE_MINUTES',
    'A guest and the way to its cart end after this long without a request.',
    whole(1, 525_600),
    '43200',
  ),
  cpuScheduling: set(
    'CARTLOAD_CPU_SCHEDULING',
    'batch: instances run under SCHED_BATCH (chrt of util-linux): they do not preempt other processes, and serve larger batches when cores are full. other: the scheduling policy is left unchanged.',
    oneOf(['batch', 'other']),
    'batch',
  ),
  auditPerSecond: set(
    'CARTLOAD_AUDIT_PER_SECOND',
    'Cached carts that each instance compares with the database, a second; 0: none. What it finds is counted in cartload_cart_audits_total.',
    whole(0, 1_000),
    '0',
  ),
  logLevel: set(
    'CARTLOAD_LOG_LEVEL',
    'trace, debug, info, warn, error or fatal.',
    oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
    'info',
  ),
  requestsPerAddress: set(
    'CARTLOAD_REQUESTS_PER_ADDRESS',
    'Requests a second that nginx lets one address make.',
    whole(1, 1_000_000),
    '10000',
  ),
  seedPassword: set(
    'CARTLOAD_SEED_PASSWORD',
    'Password of the users that the seed makes.',
    z.string().min(8, 'must have at least 8 characters'),
    'cartload-demo',
  ),
  ...LIMIT_SETTINGS,
} as const satisfies Record<string, Setting>

export type SettingKey = keyof typeof SETTINGS
export type SettingValues = { readonly [Key in SettingKey]: ValueOf<(typeof SETTINGS)[Key]> }

/** One instance per core, but never one alone. */
export function defaultInstances(): number {
  return Math.max(2, availableParallelism())
}

/** The text of docs/settings.md. */
export function settingsDocument(): string {
  const rows = Object.values(SETTINGS).map(({ name, shown, doc }) => {
    const byDefault = shown === '' ? '–' : `\`${shown}\``
    return `| \`${name}\` | ${byDefault} | ${doc.replaceAll('|', '\\|')} |`
  })
  return [
    '# Settings',
    '',
    'From the environment or `.env`; checked at start, all mistakes named at once (test: `test/unit/config.test.ts`). `bin/cartload env` shows what is in',
    'force. Made by `bin/cartload env --markdown`.',
    '',
    '| variable | default | meaning |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

/** The text of `.env.example`. */
export function envExample(): string {
  const lines = [
    '# Settings of cartload. Copy to .env and change what you need; the environment wins over this file.',
    '# Generated by `cartload env --example`; a test keeps it equal to src/config/settings.ts.',
  ]
  for (const setting of Object.values(SETTINGS)) {
    lines.push('', `# ${setting.doc}`)
    if (setting.secret) lines.push(`# May be read from a file: ${setting.name}_FILE=/run/secrets/...`)
    lines.push(`#${setting.name}=${setting.shown}`)
  }
  return `${lines.join('\n')}\n`
}
