import type { RedisConnection } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'

/**
 * Ready answers: pages of the catalogue by what was asked for, each with the version it was made of and the time. Nothing is ever invalidated;
 * a reader decides how old a page may be.
 */
export type PageCache = ReturnType<typeof createPageCache>

export interface CachedPage {
  /** The page is as the catalogue was at this version, or newer. */
  readonly version: number
  /** ms since 1970 */
  readonly madeAtMs: number
  readonly etag: string
  readonly body: Buffer | string
}

const LINE_END = 0x0a

/** Each function throws AppError `unavailable`. */
export function createPageCache(redis: RedisConnection) {
  return {
    async get(request: string): Promise<CachedPage | undefined> {
      const page = await redis.getBuffer(keyOf(request))
      if (page === null) return undefined
      const end = page.indexOf(LINE_END)
      const [version, madeAtMs, etag] = JSON.parse(page.toString('utf8', 0, end)) as [number, number, string]
      return { version, madeAtMs, etag, body: page.subarray(end + 1) }
    },

    /** Whether the caller makes a missing page: one caller of all instances, until the page is there or the claim expires. */
    async claim(request: string): Promise<boolean> {
      const key = makingKeyOf(request)
      return (await redis.run(client => client.set(key, '1', 'PX', FIXED.catalogMakingMs, 'NX'))) !== null
    },

    async set(request: string, { version, madeAtMs, etag, body }: CachedPage): Promise<void> {
      const jitter = 0.8 + 0.4 * Math.random() // pages filled together must not run out together
      const text = `${JSON.stringify([version, madeAtMs, etag])}\n${body.toString()}`
      await redis.run(client => client.set(keyOf(request), text, 'PX', Math.round(FIXED.catalogPageMs * jitter)))
    },

    /** For others, when the page is there or could not be made. */
    async release(request: string): Promise<void> {
      await redis.run(client => client.del(makingKeyOf(request)))
    },
  }
}

function keyOf(request: string): string {
  return `listing:${request}`
}

function makingKeyOf(request: string): string {
  return `${keyOf(request)}:making`
}
