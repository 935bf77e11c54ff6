import { join } from 'node:path'
import { type RedisConnection, readLibrary } from '../lib/redis.ts'
import { FIXED } from '../model/limits.ts'

/**
 * The queue in front of a sale, in the order of arrival. It stands with the sessions and not with the cache: a place in it must
 * survive a restart and must not be evicted. It decides which buyers may try; the stock decides what there is to buy.
 */
type QueueState = 'admitted' | 'waiting' | 'gone' | 'absent'

export interface QueueStatus {
  readonly state: QueueState
  /** 1 is next. */
  readonly position: number
  readonly admittedInAll: number
  readonly sinceFirstMs: number
  /** How long an admission still holds. */
  readonly holdsMs: number
}

export type WaitingRoom = ReturnType<typeof createWaitingRoom>

const LIBRARY = readLibrary(join(import.meta.dirname, 'waiting-room.lua'))

export function createWaitingRoom(redis: RedisConnection) {
  const keysOf = (sale: string) => ['waiting', 'admitted', 'state'].map(part => `{sale:${sale}}:${part}`)
  const call = (name: string, sale: string, args: readonly (string | number)[]) =>
    redis.call(LIBRARY, name, keysOf(sale), args)

  return {
    /** Takes a place at the end, or tells the one that the user has. @throws AppError `unavailable` */
    async enter(sale: string, userId: string): Promise<QueueStatus> {
      return statusOf(await call('queue_enter', sale, [userId, FIXED.admissionMs, FIXED.queueKeepS]))
    },
    async look(sale: string, userId: string): Promise<QueueStatus> {
      return statusOf(await call('queue_look', sale, [userId, FIXED.admissionMs, FIXED.queueKeepS]))
    },
    async leave(sale: string, userId: string): Promise<void> {
      await call('queue_leave', sale, [userId])
    },
    /** Lets the next ones in, so that at most `placesMax` places are out at once. Returns how many came in. */
    async admit(sale: string, placesMax: number, isGone: boolean): Promise<number> {
      const args = [placesMax, FIXED.admitAtOnceMax, FIXED.admissionUntakenMs, isGone ? '1' : '0', FIXED.queueKeepS]
      return Number(await call('queue_admit', sale, args))
    },
  }
}

function statusOf(reply: unknown): QueueStatus {
  const [state, position, admittedInAll, sinceFirstMs, holdsMs] = reply as [QueueState, ...number[]]
  return {
    state,
    position: Number(position),
    admittedInAll: Number(admittedInAll),
    sinceFirstMs: Number(sinceFirstMs),
    holdsMs: Number(holdsMs),
  }
}
