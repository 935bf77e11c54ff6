import { createHmac, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { hash } from '@node-rs/argon2'
import { PARAMETERS } from '../../src/accounts/passwords.ts'
import { createConnection } from 'mysql2/promise'
import { Redis } from 'ioredis'
import { createGenerator } from '../../src/cli/generator.ts'
import { eachOf } from '../../src/cli/parallel.ts'
import type * as App from '../../src/app.ts'
import type * as Config from '../../src/config/config.ts'
import type { ServerAddresses } from '../../src/config/config.ts'
import type { Wanted } from '../../src/model/cart.ts'
import type { Product } from '../../src/model/product.ts'
import type * as Catalog from '../../src/store/catalog.ts'
import type * as Log from '../../src/telemetry/log.ts'
import { PROJECT } from '../../test/support/servers.ts'
import type { Servers } from './stacks.ts'

/** One shop, the same for every contender: products, and users with carts of 10 and of nearly 500 lines. */
export interface Shop {
  readonly products: readonly Product[]
  readonly users: readonly ShopUser[]
}

export interface ShopUser {
  readonly email: string
  readonly lines: readonly Wanted[]
  /** Products that a write adds: after the first five adds the cart keeps its size, and quantities grow. */
  readonly extra: readonly string[]
}

/** Each user's cookie at one contender, in the order of the users. */
export type Cookies = readonly string[]

export const SIZES = {
  products: 12_000,
  small: 2_000,
  large: 128,
  smallLines: 10,
  largeLines: 495,
  extra: 5,
  rung: 64,
  logins: 200,
}
export const PASSWORD = 'correct horse battery'

/** With `ladder`, more users whose carts have those many lines. */
export function makeShop(ladder: readonly number[] = []): Shop {
  const { products: count, small, large, smallLines, largeLines, extra, rung, logins } = SIZES
  const generator = createGenerator({ products: count, seed: 1, linesMax: 500, quantityMax: 999 })
  const products = Array.from({ length: count }, (_, index) => generator.product(index))
  const skuAt = (index: number) => products[index % count]?.sku ?? ''
  const others = small + large
  const linesOf = (user: number) => {
    if (user < small) return smallLines
    return user < others ? largeLines : (ladder[Math.floor((user - others) / rung)] ?? 1)
  }
  const users = Array.from({ length: others + rung * ladder.length + logins }, (_, user): ShopUser => {
    const lines = linesOf(user)
    const sku = (line: number) => skuAt(user * 37 + line * 23) // 23 and 12,000 share no factor: all different
    return {
      email: `user${user + 1}@example.com`,
      lines: Array.from({ length: lines }, (_unused, line) => ({ sku: sku(line), quantity: 1 + (line % 4) })),
      extra: Array.from({ length: extra }, (_unused, line) => sku(lines + line)),
    }
  })
  return { products, users }
}

/** Users with small carts: those who only look, and those whose carts are changed. */
export const lookers = <T>(all: readonly T[]): readonly T[] => all.slice(0, SIZES.small / 2)
export const changers = <T>(all: readonly T[]): readonly T[] => all.slice(SIZES.small / 2, SIZES.small)
export const largeUsers = <T>(all: readonly T[]): readonly T[] => all.slice(SIZES.small, SIZES.small + SIZES.large)
/** Those who log in again and again: of 100 logins of a user the oldest sessions end, so these have no others. */
export const loggers = <T>(all: readonly T[]): readonly T[] => all.slice(-SIZES.logins)
/** Those whose carts have so many lines. */
export const usersOf = <T>({ users }: Shop, all: readonly T[], lines: number): readonly T[] =>
  all.filter((_, index) => index >= SIZES.small && users[index]?.lines.length === lines)

const AT_ONCE = 16

/** The parts of cartload that fill a shop, of the version in `project`. */
async function codeOf(project: string) {
  const load = async <Module>(path: string) => (await import(join(project, 'src', path))) as Module
  return {
    ...(await load<typeof App>('app.ts')),
    ...(await load<typeof Config>('config/config.ts')),
    ...(await load<typeof Catalog>('store/catalog.ts')),
    ...(await load<typeof Log>('telemetry/log.ts')),
  }
}

/** Through the code of cartload in `project`, without a password check for each. */
export async function fillCartload(
  { products, users }: Shop,
  addresses: ServerAddresses,
  project = PROJECT,
): Promise<Cookies> {
  const { createApp, loadConfig, catalogRows, createLog } = await codeOf(project)
  const { config } = loadConfig(project)
  const app = await createApp({ ...config, pricingThreads: 1 }, addresses, createLog('silent'))
  try {
    await app.catalog.atLeast(await catalogRows.put(app.global, products))
    const passwordHash = await app.passwords.hash(PASSWORD)
    const cookies: string[] = []
    await eachOf([...users.entries()], AT_ONCE, async ([index, { email, lines }]) => {
      const added = await app.registrations.addMember({ email, name: '', passwordHash })
      const userId = 'id' in added ? added.id : added.takenBy
      await app.carts.addLines({ userId }, lines, [])
      cookies[index] = `sid=${(await app.sessions.create(userId, 'member', 1)).token.text}`
    })
    return cookies
  } finally {
    await app.close()
  }
}

const TYPICAL_TABLES = [
  `CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(254) NOT NULL UNIQUE, password_hash VARCHAR(200) NOT NULL)`,
  `CREATE TABLE products (id INT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(64) NOT NULL UNIQUE, name VARCHAR(200) NOT NULL,
    price INT NOT NULL, category VARCHAR(100) NOT NULL)`,
  `CREATE TABLE carts (user_id INT PRIMARY KEY, version INT NOT NULL DEFAULT 1)`,
  `CREATE TABLE cart_items (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL, product_id INT NOT NULL, quantity INT NOT NULL,
    UNIQUE KEY (user_id, product_id))`,
]

export async function fillTypical({ products, users }: Shop, servers: Servers, secret: string): Promise<Cookies> {
  const database = await createConnection(servers.database)
  const redis = new Redis(servers.sessions)
  try {
    for (const table of TYPICAL_TABLES) await database.query(table)
    await database.query('INSERT INTO products (sku, name, price, category) VALUES ?', [
      products.map(({ sku, name, price, category }) => [sku, name, price, category]),
    ])
    const idOf = new Map(products.map(({ sku }, index) => [sku, index + 1]))
    const passwordHash = await hash(PASSWORD, PARAMETERS)
    await database.query('INSERT INTO users (email, password_hash) VALUES ?', [
      users.map(({ email }) => [email, passwordHash]),
    ])
    await database.query('INSERT INTO carts (user_id) VALUES ?', [users.map((_, index) => [index + 1])])
    for (const [index, { lines }] of users.entries()) {
      const rows = lines.map(({ sku, quantity }) => [index + 1, idOf.get(sku), quantity])
      await database.query('INSERT INTO cart_items (user_id, product_id, quantity) VALUES ?', [rows])
    }
    return await Promise.all(
      users.map(async (_, index) => {
        const id = randomBytes(24).toString('base64url')
        const expires = new Date(Date.now() + 14 * 86_400_000).toISOString()
        const cookie = { originalMaxAge: 14 * 86_400_000, expires, httpOnly: true, path: '/', sameSite: 'lax' }
        await redis.set(`sess:${id}`, JSON.stringify({ cookie, userId: index + 1 }), 'EX', 14 * 86_400)
        const signature = createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')
        return `connect.sid=${encodeURIComponent(`s:${id}.${signature}`)}`
      }),
    )
  } finally {
    await database.end()
    redis.disconnect()
  }
}

/** The very bytes that cartload answers with. */
export async function fillFloor(servers: Servers, cookies: Cookies, answers: readonly string[]): Promise<Cookies> {
  const [sessions, cache] = [new Redis(servers.sessions), new Redis(servers.cache)]
  for (const [index, body] of answers.entries()) {
    const token = cookies[index]?.slice(4) ?? ''
    await sessions.set(token, `member|1|${Date.now()}|${Date.now() + 1e10}|${Date.now()}`)
    await cache.set(token.slice(0, token.indexOf('.')), body)
  }
  sessions.disconnect()
  cache.disconnect()
  return cookies
}
