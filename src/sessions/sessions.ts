import { hash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { unavailable } from '../lib/errors.ts'
import { type RedisConnection, readLibrary } from '../lib/redis.ts'
import { batchPerTick } from '../lib/batch-per-tick.ts'
import { FIXED } from '../model/limits.ts'
import type { MasterLease } from './master-lease.ts'

/**
 * Sessions. One GET per request; the idle limit is moved along at most once a minute, beside the request.
 * Ending a session is final at once on every instance, because every request asks the one Redis. That Redis may lose the
 * last second in a crash: the user's session epoch in MySQL, carried by every session, is what a route that matters
 * (changing the password, checkout) compares. Where it has replicas, an end is answered only when they know of it, so that none of
 * them brings the session back when it becomes the master.
 */
export interface Session {
  readonly token: SessionToken
  readonly userId: string
  readonly kind: 'member' | 'guest'
  readonly epoch: number
  readonly createdAtMs: number
  readonly endsAtMs: number
}

/** Of a sessions Redis that has replicas. */
export interface Replicas {
  /** How many must know of the end of a session. */
  readonly count: number
  /** A connection of its own: waiting for replicas holds up whatever is behind it. */
  readonly redis: RedisConnection
  readonly lease: MasterLease
}

interface SessionOptions {
  readonly replicas?: Replicas | undefined
  readonly idleMs: number
  readonly guestIdleMs: number
  readonly maxMs: number
}

export type Sessions = ReturnType<typeof createSessions>

export const SESSION_LIBRARY = readLibrary(join(import.meta.dirname, 'session-functions.lua'))

/** `now`: the clock in ms, for tests. */
export function createSessions(redis: RedisConnection, options: SessionOptions, now: () => number = Date.now) {
  const { replicas } = options
  const lease = replicas?.lease
  const idleMs = (kind: Session['kind']) => (kind === 'guest' ? options.guestIdleMs : options.idleMs)

  /** What the Redis has of a token: the session, unless it is over; its idle limit is moved along. */
  function read(token: SessionToken, value: string | null): Session | undefined {
    if (value === null) return undefined
    const at = now()
    const { session, touchedAtMs } = decode(token, value)
    if (at >= session.endsAtMs) return undefined
    if (at - touchedAtMs >= Math.min(FIXED.touchEveryMs, idleMs(session.kind) / 2)) {
      const ttl = Math.min(idleMs(session.kind), session.endsAtMs - at)
      // Beside the request: if it fails, the next request does it.
      redis
        .call(SESSION_LIBRARY, 'session_touch', [sessionKey(token)], [value, encode(session, at), Math.ceil(ttl)])
        .catch(() => undefined)
    }
    return session
  }

  async function findAll(tokens: readonly SessionToken[]): Promise<(Session | undefined)[]> {
    const values = await redis.getMany(tokens.map(sessionKey))
    lease?.check()
    return values.map((value, index) => read(tokens[index] as SessionToken, value))
  }

  return {
    /** @throws AppError `unavailable` while what the Redis says may not be believed */
    check: () => lease?.check(),

    /** @throws AppError `unavailable` */
    async create(userId: string, kind: Session['kind'], epoch: number): Promise<Session> {
      const token = newToken(userId)
      const at = now()
      const endsAtMs = at + (kind === 'guest' ? options.guestIdleMs * 3 : options.maxMs)
      const session: Session = { token, userId, kind, epoch, createdAtMs: at, endsAtMs }
      const ttl = Math.min(idleMs(kind), endsAtMs - at)
      const keys = [sessionKey(token), indexKey(userId)]
      await redis.call(SESSION_LIBRARY, 'session_create', keys, [
        encode(session, at),
        ttl,
        endsAtMs,
        at,
        FIXED.sessionsPerUserMax,
      ])
      return session
    },

    /** The session of a token, or undefined when there is none (any more). @throws AppError `unavailable` */
    find: batchPerTick(findAll),
    /** The same of many, in one command. */
    findAll,

    async end(token: SessionToken): Promise<void> {
      await endForGood(redis, replicas, 'session_end', [sessionKey(token), indexKey(token.userId)], [])
    },

    /** Ends all sessions of a user, except `keep`. Returns how many. */
    async endAll(userId: string, keep?: SessionToken): Promise<number> {
      const kept = keep ? sessionKey(keep) : ''
      return Number(await endForGood(redis, replicas, 'session_end_all', [indexKey(userId)], [kept]))
    },

    /** Carries a session over to a new epoch; does nothing when it has ended meanwhile. */
    async setEpoch(session: Session, epoch: number): Promise<void> {
      const value = encode({ ...session, epoch }, now())
      await redis.run(client => client.call('SET', sessionKey(session.token), value, 'XX', 'KEEPTTL'))
    },

    expiresAtMs: (session: Session) => Math.min(session.endsAtMs, now() + idleMs(session.kind)),
  }
}

/** Ends sessions, for good. @throws AppError `unavailable` when a replica may not know: then the session may not be taken for ended */
async function endForGood(
  redis: RedisConnection,
  replicas: Replicas | undefined,
  name: string,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  const connection = replicas?.redis ?? redis
  const ended = await connection.call(SESSION_LIBRARY, name, keys, args)
  if (replicas) {
    const copies = await connection.run(client => client.wait(replicas.count, FIXED.sessionsReplicaMsMax))
    if (copies < replicas.count) {
      throw unavailable(redis.name, new Error(`${copies} of ${replicas.count} replicas know of the end of a session`))
    }
  }
  return ended
}

function encode(session: Session, touchedAtMs: number): string {
  return [session.kind, session.epoch, session.createdAtMs, session.endsAtMs, touchedAtMs].join('|')
}

function decode(token: SessionToken, value: string): { session: Session; touchedAtMs: number } {
  const [kind, epoch, createdAtMs, endsAtMs, touchedAtMs] = value.split('|')
  return {
    session: {
      token,
      userId: token.userId,
      kind: kind === 'guest' ? 'guest' : 'member',
      epoch: Number(epoch),
      createdAtMs: Number(createdAtMs),
      endsAtMs: Number(endsAtMs),
    },
    touchedAtMs: Number(touchedAtMs),
  }
}

/**
 * A session token: the user id, so that nothing has to be looked up to know whose it claims to be, and 256 random bits,
 * which are what counts. Redis only ever holds a hash of the token, so a dump of it opens nothing.
 */
export interface SessionToken {
  readonly text: string
  readonly userId: string
}

const FORM = /^([1-9]\d{0,18})\.[A-Za-z0-9_-]{43}$/

export function newToken(userId: string): SessionToken {
  return { text: `${userId}.${randomBytes(32).toString('base64url')}`, userId }
}

/** The token in a cookie or header, or undefined when it cannot be one of ours. */
export function parseToken(text: string): SessionToken | undefined {
  const userId = FORM.exec(text)?.[1]
  return userId === undefined ? undefined : { text, userId }
}

export function sessionKey(token: SessionToken): string {
  return `{u:${token.userId}}:session:${hash('sha256', token.text, 'base64url')}`
}

function indexKey(userId: string): string {
  return `{u:${userId}}:sessions`
}
