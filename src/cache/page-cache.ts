import type { RedisConnection } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'

/**
 * Ready answers of catalogue pages. The key carries the catalogue's version, so a page is never older than the version
 * its reader knows; nothing is ever invalidated, old versions just run out.
 */
export type PageCache = ReturnType<typeof createPageCache>

export function createPageCache(redis: RedisConnection) {
  return {
    get: (version: number, request: string): Promise<Buffer | null> => redis.getBuffer(keyOf(version, request)),

    /** Whether the caller makes a missing page: one caller of all instances, until the page is there or the claim expires. */
    async claim(version: number, request: string): Promise<boolean> {
      const key = makingKeyOf(version, request)
      return (await redis.run(client => client.set(key, '1', 'PX', FIXED.catalogMakingMs, 'NX'))) !== null
    },

    async set(version: number, request: string, page: string): Promise<void> {
      const jitter = 0.8 + 0.4 * Math.random() // pages filled together must not run out together
      await redis.run(client =>
        client.set(keyOf(version, request), page, 'PX', Math.round(FIXED.catalogPageMs * jitter)),
      )
    },

    /** For others, when the page is there or could not be made. */
    async release(version: number, request: string): Promise<void> {
      await redis.run(client => client.del(makingKeyOf(version, request)))
    },
  }
}

function keyOf(version: number, request: string): string {
  return `catalog:${version}:${request}`
}

function makingKeyOf(version: number, request: string): string {
  return `${keyOf(version, request)}:making`
}
