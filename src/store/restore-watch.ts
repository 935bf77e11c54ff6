import { missIfUnavailable } from '../lib/errors.ts'
import type { RedisConnection } from '../lib/redis.ts'
import type { Database } from './database.ts'
import { restoreClock } from './restore-clock.ts'

/**
 * Detects that a database was restored to an earlier state. What is cached of the lost time must not be shown then.
 *
 * Each database has a number that only grows: about once a second one of its instances adds one, and copies the number to the cache
 * Redis, beside the carts that it may be compared with. A database whose number is below the copy, or below what this instance has
 * seen, was restored. A restore that loses less than a second is not detected: it needs
 * `cartload cache invalidate`.
 */
export interface RestoreWatch {
  /**
   * Whether the database is behind what is known of it; then how far it has been. `mark`: a number of the caller that grows with the
   * database too, and of which the highest known is returned.
   * @throws AppError `unavailable` while that is unknown
   */
  look(database: Database, mark: number): Promise<Known | undefined>
  /** Ends the state of being behind, once nothing from the lost future can be shown. */
  settle(database: Database, known: Known): Promise<void>
}

interface Known {
  readonly ticks: number
  readonly mark: number
}

export function createRestoreWatch(redis: RedisConnection): RestoreWatch {
  const seen = new Map<string, Known>()

  async function copyOf(name: string): Promise<Known> {
    const [ticks = 0, mark = 0] = ((await redis.run(client => client.get(keyOf(name)))) ?? '').split(' ').map(Number)
    return { ticks, mark }
  }

  return {
    async look(database, mark) {
      const { name } = database
      const before = seen.get(name)
      const known = before ?? (await copyOf(name))
      const ticks = await restoreClock.read(database)
      if (ticks < known.ticks) return known
      const now = { ticks, mark: Math.max(mark, known.mark) }
      seen.set(name, now)
      // Where another instance has moved it since, that is enough.
      if (before?.ticks !== ticks || !(await restoreClock.tick(database, ticks))) return undefined
      seen.set(name, { ...now, ticks: ticks + 1 })
      await redis.run(client => client.set(keyOf(name), `${ticks + 1} ${now.mark}`)).catch(missIfUnavailable)
      return undefined
    },
    async settle(database, known) {
      await restoreClock.raise(database, known.ticks + 1)
    },
  }
}

const keyOf = (name: string): string => `restore-clock:${name}`
