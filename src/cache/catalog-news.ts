import type { RedisConnection } from '../lib/redis.ts'

/**
 * Tells instances at once that the catalogue has a new version. Only a hint: what has changed is read from the database, and who hears
 * nothing asks once a second.
 */
export type CatalogNews = ReturnType<typeof createCatalogNews>

const CHANNEL = 'cartload:catalog'

/** @param connect makes the connection that listens: it can send no other commands */
export function createCatalogNews(redis: RedisConnection, connect: () => RedisConnection) {
  return {
    /** Never fails: without the cache Redis the news does not come. */
    async announce(version: number): Promise<void> {
      await redis.run(client => client.publish(CHANNEL, String(version))).catch(() => undefined)
    },

    listen(onVersion: (version: number) => void): void {
      const { client } = connect()
      const subscribe = () => void client.subscribe(CHANNEL).catch(() => undefined)
      client.on('ready', subscribe)
      if (client.status === 'ready') subscribe()
      client.on('message', (_: string, text: string) => onVersion(Number(text)))
    },
  }
}
