import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { DEFAULT_LIMITS, type Limits } from '../model/limits.ts'
import { MERGE_RULES } from '../model/merge.ts'
import { address, mysqlAddress, mysqlAddresses, oneOf, port, redisAddress, text, whole } from './readers.ts'

/**
 * Every setting: its variable, what it means, how its text is read, and its default. `.env.example` and the table in
 * the README are generated from this list. A default of `undefined` means that it follows from other settings.
 */
export interface Setting {
  readonly name: string
  readonly doc: string
  readonly schema: z.ZodType<unknown, string>
  /** The default as a person would write it; shown in documents. */
  readonly shown: string
  /** True where the value is or contains a password; such a variable also has a `<NAME>_FILE` form. */
  readonly secret?: boolean
}

export const SETTINGS = {
  port: set('CARTLOAD_PORT', 'Port of the embedded nginx. The other embedded ports follow from it.', port, '8080'),
  bind: set('CARTLOAD_BIND', 'Address on which the instances listen for nginx.', text, '127.0.0.1'),
  publicUrl: set(
    'CARTLOAD_PUBLIC_URL',
    'Address under which browsers reach the shop. With https, cookies are Secure and carry the __Host- prefix.',
    address('http:', 'https:'),
    'http://localhost:<CARTLOAD_PORT>',
  ),
  instances: set(
    'CARTLOAD_INSTANCES',
    'Express instances under PM2. At least 2, so that a reload never leaves nobody.',
    whole(1, 64),
    'one per core, at least 2',
  ),
  instancePort: set(
    'CARTLOAD_INSTANCE_PORT',
    'Port of the first instance; instance n listens on this + n.',
    port,
    'CARTLOAD_PORT + 100',
  ),
  opsPort: set(
    'CARTLOAD_OPS_PORT',
    'Operations port (health, metrics) of the first instance; instance n: + n.',
    port,
    'CARTLOAD_PORT + 200',
  ),
  opsBind: set('CARTLOAD_OPS_BIND', 'Address of the operations ports. Keep it private.', text, '127.0.0.1'),
  trustedProxies: set(
    'CARTLOAD_TRUSTED_PROXIES',
    'Addresses whose X-Forwarded-For is believed, comma-separated: the nginx machines and nobody else.',
    text.transform(value => value.split(',').map(part => part.trim())),
    'loopback',
  ),
  dataDir: set('CARTLOAD_DATA_DIR', 'Where the embedded servers keep their data, secrets and logs.', text, '.cartload'),
  shards: set(
    'CARTLOAD_SHARDS',
    'Outside MySQL or MariaDB shards, comma-separated, in slot order. Set together with the next three; then nothing private is started.',
    mysqlAddresses,
    '',
    true,
  ),
  global: set(
    'CARTLOAD_GLOBAL',
    'Outside MySQL or MariaDB database for the catalogue and the id blocks.',
    mysqlAddress,
    '',
    true,
  ),
  sessionsRedis: set(
    'CARTLOAD_SESSIONS_REDIS',
    'Outside Redis for sessions: append-only file, noeviction.',
    redisAddress,
    '',
    true,
  ),
  cacheRedis: set(
    'CARTLOAD_CACHE_REDIS',
    'Outside Redis for the cache: no persistence and no replica, LFU eviction.',
    redisAddress,
    '',
    true,
  ),
  router: set(
    'CARTLOAD_ROUTER',
    'slots: the shards above, each owning a range of slots. single: one endpoint that shards by itself or not at all (Vitess, TiDB, one server).',
    oneOf(['slots', 'single']),
    'slots',
  ),
  embeddedShards: set(
    'CARTLOAD_EMBEDDED_SHARDS',
    'Number of embedded shard servers. Fixed by the first start.',
    whole(1, 16),
    '2',
  ),
  shardPort: set(
    'CARTLOAD_SHARD_PORT',
    'Port of the first embedded shard server; shard n: + n.',
    port,
    'CARTLOAD_PORT + 300',
  ),
  redisPort: set(
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
    'Over how long carts move to new rules, each at its own moment, so that not all are priced at once; until then a cart shows its last totals, said to be old.',
    whole(0, 3_600_000),
    '5000',
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
  saleProofKey: set(
    'CARTLOAD_SALE_PROOF_KEY',
    'With it the shop signs proofs that somebody is a person, for sales that ask for one (docs/orders.md).',
    z.string().min(16, 'must have at least 16 characters'),
    '',
    true,
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
  cartLinesMax: limit('CARTLOAD_CART_LINES_MAX', 'Most lines in a cart.', 'cartLinesMax', 1, 5000),
  lineQuantityMax: limit(
    'CARTLOAD_LINE_QUANTITY_MAX',
    'Most units of one product in a cart.',
    'lineQuantityMax',
    1,
    1_000_000,
  ),
  pageLinesDefault: limit(
    'CARTLOAD_PAGE_DEFAULT',
    'Items of a page when the request does not say.',
    'pageLinesDefault',
    1,
    1000,
  ),
  pageLinesMax: limit('CARTLOAD_PAGE_MAX', 'Most items of a page.', 'pageLinesMax', 1, 1000),
  bodyBytesMax: limit('CARTLOAD_BODY_BYTES_MAX', 'Largest request body, in bytes.', 'bodyBytesMax', 1024, 10_485_760),
  mysqlConnectionsMax: limit(
    'CARTLOAD_MYSQL_CONNECTIONS_MAX',
    'Connections of one instance to one shard.',
    'mysqlConnectionsMax',
    1,
    1000,
  ),
  mysqlQueueMax: limit(
    'CARTLOAD_MYSQL_QUEUE_MAX',
    'Callers of one instance that may wait for a connection to one shard.',
    'mysqlQueueMax',
    1,
    100_000,
  ),
  mysqlWaitMsMax: limit(
    'CARTLOAD_MYSQL_WAIT_MS_MAX',
    'Longest wait for a connection, in milliseconds.',
    'mysqlWaitMsMax',
    10,
    60_000,
  ),
  statementMsMax: limit(
    'CARTLOAD_STATEMENT_MS_MAX',
    'Longest single SQL statement, in milliseconds.',
    'statementMsMax',
    1100,
    60_000,
  ),
  loginsWaitingMax: limit(
    'CARTLOAD_LOGINS_WAITING_MAX',
    'Password checks that may wait in one instance.',
    'loginsWaitingMax',
    1,
    100_000,
  ),
  pricingQueueMax: limit(
    'CARTLOAD_PRICING_QUEUE_MAX',
    'Price calculations that may wait in one instance.',
    'pricingQueueMax',
    1,
    100_000,
  ),
  inFlightMax: limit(
    'CARTLOAD_IN_FLIGHT_MAX',
    'Requests that one instance works on at once; more are told to come back.',
    'inFlightMax',
    1,
    1_000_000,
  ),
} as const satisfies Record<string, Setting>

export type SettingKey = keyof typeof SETTINGS
export type SettingValues = { [Key in SettingKey]?: z.output<(typeof SETTINGS)[Key]['schema']> }

/** One instance per core, but never one alone. */
export function defaultInstances(): number {
  return Math.max(2, availableParallelism())
}

function set<S extends z.ZodType<unknown, string>>(
  name: string,
  doc: string,
  schema: S,
  shown: string,
  secret = false,
) {
  return { name, doc, schema, shown, secret }
}

function limit(name: string, doc: string, key: keyof Limits, min: number, max: number) {
  return set(name, doc, whole(min, max), String(DEFAULT_LIMITS[key]))
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
