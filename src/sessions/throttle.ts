import { hash } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import type { RedisConnection } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'
import { SESSION_LIBRARY } from './sessions.ts'

/**
 * Slows down guessing, per account and per address: the first failures are free, then each one doubles the wait, up to a
 * ceiling. No account is locked for ever, and a right password clears its count.
 */
export type Throttle = ReturnType<typeof createThrottle>

/** Counters in the sessions Redis, shared by all instances. */
export function createThrottle(redis: RedisConnection, now: () => number = Date.now) {
  async function waitMs(key: string, freeFailures: number): Promise<number> {
    const [failures, at] = await redis.run(client => client.hmget(key, 'n', 'at'))
    return waitAfter(Number(failures ?? 0) - freeFailures, now() - Number(at ?? 0))
  }

  return {
    /** @throws AppError `too_many_attempts` with the seconds to wait */
    async check(account: string, address: string): Promise<void> {
      const waits = await Promise.all([
        waitMs(accountKey(account), FIXED.loginFreeFailures),
        waitMs(addressKey(address), FIXED.loginFreeFailuresPerAddress),
      ])
      const wait = Math.max(...waits)
      if (wait > 0) {
        throw new AppError('too_many_attempts', 'Too many failed logins. Try again later.', {
          retryAfterS: Math.ceil(wait / 1000),
        })
      }
    },

    async failed(account: string, address: string): Promise<void> {
      const args = [now(), FIXED.loginWindowS]
      await Promise.all(
        [accountKey(account), addressKey(address)].map(key => redis.call(SESSION_LIBRARY, 'failed', [key], args)),
      )
    },

    async succeeded(account: string): Promise<void> {
      await redis.run(client => client.del(accountKey(account)))
    },

    /** Bounds how many guests or accounts one address may make. @throws AppError `too_many_attempts` */
    async count(what: 'guests' | 'accounts', address: string): Promise<void> {
      const made = await redis.call(SESSION_LIBRARY, 'count', [`${what}:${short(address)}`], [60])
      if (Number(made) > FIXED.newPerAddressPerMinute[what]) {
        throw new AppError('too_many_attempts', `Too many new ${what} from this address.`, { retryAfterS: 60 })
      }
    },
  }
}

/** Milliseconds still to wait after `excess` failures beyond the free ones, `sinceMs` after the last. */
export function waitAfter(excess: number, sinceMs: number): number {
  if (excess < 0) return 0
  const delay = Math.min(1000 * 2 ** Math.min(excess, 30), FIXED.loginDelayMsMax)
  return Math.max(0, delay - sinceMs)
}

function accountKey(account: string): string {
  return `throttle:account:${short(account)}`
}

function addressKey(address: string): string {
  return `throttle:address:${short(address)}`
}

/** Keys must not hold addresses in the clear. */
function short(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22)
}
