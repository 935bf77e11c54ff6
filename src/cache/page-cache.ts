import type { RedisConnection } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'

/**
 * Ready answers of catalogue pages. The key carries the catalogue's version, so a page is never older than the version
 * its reader knows; nothing is ever invalidated, old versions just run out.
 */
export type PageCache = ReturnType<typeof createPageCache>

export function createPageCache(redis: RedisConnection) {
  return {
    async get(version: number, request: string): Promise<Buffer | undefined> {
      return (await redis.run(client => client.getBuffer(keyOf(version, request)))) ?? undefined
    },

    async set(version: number, request: string, page: string): Promise<void> {
      const jitter = 0.8 + 0.4 * Math.random() // pages filled together must not run out together
      await redis.run(client =>
        client.set(keyOf(version, request), page, 'PX', Math.round(FIXED.catalogPageMs * jitter)),
      )
    },
  }
}

function keyOf(version: number, request: string): string {
  return `catalog:${version}:${request}`
}
