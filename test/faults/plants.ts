import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { AppOptions } from '../../src/wiring/stores.ts'
import { type RedisConnection, type RedisLibrary, libraryOf } from '../../src/lib/redis.ts'
import type { Statement, Transaction } from '../../src/store/database.ts'
import { createNaiveStock } from '../sale/naive.ts'
import { PROJECT } from '../support/servers.ts'

/** Mistakes as they are made in many shops, put in the place of a part: the checks must see each of them. */
export const PLANTS = {
  'delete-after-commit': 'the cached cart is deleted after the commit, instead of fenced before it',
  'read-modify-write': 'a cart is written back without comparing its version',
  'publish-without-token': 'a writer publishes over whatever fence is there',
  'decrement-resent': 'stock is a counter in Redis, and a decrement whose reply is lost is sent again',
  'expiry-without-compare': 'what an order holds runs out by a timer, without asking the order',
  /** The controls: what is done when nothing is thought of. */
  'cache-aside': 'readers fill the cache as they please, writers delete after the commit',
  'naive-stock': 'stock is read, checked and written back',
} as const
export type Plant = keyof typeof PLANTS

type Wrap = NonNullable<AppOptions['wrap']>

export function plantOf(name: string | undefined): Wrap {
  switch (name as Plant | undefined) {
    case undefined:
      return {}
    case 'delete-after-commit':
      return { cacheRedis: redis => calling(redis, deletingAfterCommit(redis)) }
    case 'cache-aside': {
      const careless = libraryWithout("if s ~= 'L' or t ~= args[1] then return 0 end", '')
      return {
        cacheRedis: redis =>
          calling(redis, {
            ...deletingAfterCommit(redis),
            lease: async () => ['L'],
            fill: (keys, args) => redis.call(careless, 'fill', keys, args),
          }),
      }
    }
    case 'publish-without-token': {
      const careless = libraryWithout("if s ~= 'F' or t ~= args[1] then return 0 end", "if s ~= 'F' then return 0 end")
      return {
        cacheRedis: redis => calling(redis, { publish: (keys, args) => redis.call(careless, 'publish', keys, args) }),
      }
    }
    case 'read-modify-write':
      return {
        router: router => ({
          ...router,
          write: (key, work) => router.write(key, (tx, guard) => work(withoutCompare(tx), guard)),
          writeGroup: (keys, statements, work) =>
            router.writeGroup?.(keys, statements.map(withoutLook), work) as ReturnType<typeof work>,
        }),
      }
    case 'naive-stock':
      return { stock: (_, router) => createNaiveStock(router) }
    case 'decrement-resent':
      return { stock: decrementResent }
    case 'expiry-without-compare':
      return {
        stock: stock => ({
          ...stock,
          async hold(item, claim) {
            const outcome = await stock.hold(item, claim)
            if (outcome.is === 'done')
              setTimeout(() => void stock.free(item, claim.orderId).catch(() => undefined), HOLD_MS)
            return outcome
          },
        }),
      }
    default:
      throw new Error(`there is no plant '${name}'`)
  }
}

const HOLD_MS = 150

type Call = (keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>

/** The connection, with some functions done in another way. */
function calling(redis: RedisConnection, instead: Readonly<Record<string, Call>>): RedisConnection {
  return {
    ...redis,
    call: (library, name, keys, args) => instead[name]?.(keys, args) ?? redis.call(library, name, keys, args),
  }
}

function deletingAfterCommit(redis: RedisConnection): Record<string, Call> {
  return {
    fence: async () => 1,
    publish: ([key = '']) => redis.run(client => client.del(key)),
  }
}

/** The functions of the cart cache with one guard replaced everywhere. */
function libraryWithout(guard: string, replacement: string): RedisLibrary {
  const source = readFileSync(join(PROJECT, 'src/cache/cart-functions.lua'), 'utf8')
  if (!source.includes(guard)) throw new Error(`the functions have no guard: ${guard}`)
  return libraryOf(source.replaceAll(guard, replacement))
}

function withoutCompare(tx: Transaction): Transaction {
  return { ...tx, run: (sql, values) => tx.run(withoutLook({ sql, values: values ?? [] }).sql, values) }
}

/** The statement without its look at the version. */
function withoutLook({ sql, values }: Statement): Statement {
  if (sql.includes('UPDATE carts SET version = ?'))
    return { sql: sql.replace(' AND version = ?', ' AND version >= 0 * ?'), values }
  if (sql.includes('INSERT INTO carts'))
    return { sql: sql.replaceAll('version + 1 = VALUES(version) AND ', ''), values }
  return { sql, values }
}

const decrementResent: NonNullable<Wrap['stock']> = stock => {
  const url = process.env['CARTLOAD_CACHE_REDIS'] ?? ''
  const redis = new Redis(url, { maxRetriesPerRequest: 20, retryStrategy: () => 20 })
  redis.on('error', () => undefined)
  /** Again until an answer comes: the mistake. */
  const patiently = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work()
      } catch {
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }
  return {
    ...stock,
    async hold(item, claim) {
      const counter = `plant:${item}`
      const free = (await stock.levels(item))?.free ?? 0
      await patiently(() => redis.set(counter, free, 'NX'))
      if ((await patiently(() => redis.decrby(counter, claim.units))) < 0) return { is: 'short', left: 0 }
      return stock.hold(item, claim)
    },
  }
}
