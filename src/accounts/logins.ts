import type { GuestMerge, Merged } from '../cart/guest-merge.ts'
import { AppError, isAppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Session, Sessions, SessionToken } from '../sessions/sessions.ts'
import type { Throttle } from '../sessions/throttle.ts'
import { DuplicateKeyError } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Router } from '../store/shard-router.ts'
import { loginRows, type User, userRows } from '../store/users.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Passwords } from './passwords.ts'
import { canonicalAddress } from '../model/email.ts'
import type { Registrations } from './registration.ts'

/**
 * Logging in and out, guests, and the password. An unknown address and a wrong password get the same answer
 * after the same work. A password change ends all other sessions twice over: the session epoch in MySQL rises in the same
 * transaction, and the sessions are deleted from Redis.
 */
interface LoggedIn {
  readonly session: Session
  readonly expiresAtMs: number
  readonly merged: Merged | undefined
}

interface LoginsDeps {
  readonly router: Router
  readonly sessions: Sessions
  readonly throttle: Throttle
  readonly passwords: Passwords
  readonly registrations: Registrations
  readonly guestMerge: GuestMerge
  readonly metrics: Metrics
}

export type Logins = ReturnType<typeof createLogins>

/** Each function says what it throws. */
export function createLogins(deps: LoginsDeps) {
  const { sessions, throttle } = deps
  return {
    /**
     * Logs in; a guest's cart goes over into the user's, the guest's session ends, and the new session has a new token.
     * @throws AppError `credentials_invalid`, `too_many_attempts`
     */
    logIn: (email: string, password: string, from: { address: string; current: Session | undefined }) =>
      logIn(deps, email, password, from),

    /** Ends a session; one that is gone already stays gone then. @throws AppError `unavailable` */
    logOut: (token: SessionToken) => sessions.end(token),

    logOutEverywhere: (session: Session) => logOutEverywhere(deps, session),

    countAccount: (address: string) => throttle.count('accounts', address),

    /** @throws AppError `too_many_attempts` */
    newGuest: (address: string) => newGuest(deps, address),

    whoAmI: (session: Session) => whoAmI(deps, session),

    /**
     * Changes the password and ends all other sessions; this one goes on.
     * @throws AppError `credentials_invalid` when the current one is wrong, `session_ended` when this session was ended elsewhere
     */
    changePassword: (
      session: Session,
      change: { current: string; next: string; address: string },
      idempotency?: { key: string; fingerprint: string },
    ) => changePassword(deps, session, change, idempotency),

    expiresAtMs: sessions.expiresAtMs,
  }
}

async function logIn(
  deps: LoginsDeps,
  email: string,
  password: string,
  from: { address: string; current: Session | undefined },
): Promise<LoggedIn> {
  const { router, sessions, throttle, passwords, guestMerge, metrics } = deps
  const account = canonicalAddress(email)
  const check = async () => {
    try {
      await throttle.check(account, from.address)
    } catch (error) {
      metrics.logins.inc({ result: 'throttled' })
      throw error
    }
  }
  await check()
  const user = await findByAddress(deps, account)
  if (!(await passwords.verify(user?.passwordHash, password, check)) || !user) {
    await throttle.failed(account, from.address)
    metrics.logins.inc({ result: 'wrong' })
    throw wrongCredentials()
  }
  if (passwords.isOutdated(user.passwordHash)) await renewHash(deps, user, password)
  await throttle.succeeded(account)
  const guest = from.current?.kind === 'guest' ? from.current : undefined
  const merged = guest && (await guestMerge.mergeGuestCart(guest.userId, user.id))
  const session = await sessions.create(user.id, 'member', user.sessionEpoch)
  // A password change or a log-out everywhere may have passed while this login was under way: it must not outlive it.
  const now = await userRows.find(router.of(user.id), user.id)
  if (now?.sessionEpoch !== user.sessionEpoch) {
    await sessions.end(session.token)
    throw wrongCredentials()
  }
  if (from.current) await sessions.end(from.current.token)
  metrics.logins.inc({ result: 'ok' })
  return { session, expiresAtMs: sessions.expiresAtMs(session), merged }
}

async function changePassword(
  deps: LoginsDeps,
  session: Session,
  change: { current: string; next: string; address: string },
  idempotency?: { key: string; fingerprint: string },
): Promise<{ replayed: boolean }> {
  const { router, sessions, throttle, passwords } = deps
  const { userId } = session
  const user = await userRows.find(router.of(userId), userId)
  const earlier = idempotency && (await idempotencyKeys.find(router.of(userId), userId, idempotency.key))
  if (earlier) return replay(deps, user, session, change, earlier.fingerprint === idempotency.fingerprint)
  if (!user || user.sessionEpoch !== session.epoch) {
    throw new AppError('session_ended', 'This session was ended elsewhere. Log in again.')
  }
  const account = user.email
  await throttle.check(account, change.address)
  if (!(await passwords.verify(user.passwordHash, change.current))) {
    await throttle.failed(account, change.address)
    const detail = 'The current password is wrong.'
    throw new AppError('credentials_invalid', detail, { errors: [{ in: 'body', pointer: '#/current', detail }] })
  }
  const passwordHash = await passwords.hash(change.next)
  // Ended before the change as well as after it: if this process dies in between, no other session lives on.
  await sessions.endAll(userId, session.token)
  try {
    await router.write(userId, async (tx, { slot }) => {
      if (idempotency) {
        const stored = { fingerprint: idempotency.fingerprint, status: 204, version: 0, body: '' }
        await idempotencyKeys.claim(tx, userId, slot, idempotency.key, stored)
      }
      if (!(await userRows.changePassword(tx, userId, passwordHash, user.sessionEpoch))) {
        throw new AppError('session_ended', 'The password was changed elsewhere at the same time. Log in again.')
      }
    })
  } catch (error) {
    if (error instanceof DuplicateKeyError) {
      return replay(deps, await userRows.find(router.of(userId), userId), session, change, true)
    }
    throw error
  }
  await keepOnly(deps, session, user.sessionEpoch + 1)
  return { replayed: false }
}

async function whoAmI({ router, sessions }: LoginsDeps, session: Session) {
  const user = await userRows.find(router.of(session.userId), session.userId)
  if (!user || user.sessionEpoch !== session.epoch)
    throw new AppError('session_ended', 'This session was ended elsewhere.')
  const { id, kind, email, name, createdAt } = user
  const expiresAt = new Date(sessions.expiresAtMs(session)).toISOString()
  return kind === 'guest' ? { id, guest: true, expiresAt } : { id, guest: false, email, name, createdAt, expiresAt }
}

async function newGuest({ sessions, throttle, registrations }: LoginsDeps, address: string): Promise<Session> {
  await throttle.count('guests', address)
  return sessions.create(await registrations.newGuest(), 'guest', 1)
}

async function logOutEverywhere({ router, sessions }: LoginsDeps, session: Session): Promise<void> {
  await router.write(session.userId, tx => userRows.endSessions(tx, session.userId))
  await sessions.endAll(session.userId)
}

async function findByAddress({ router }: LoginsDeps, address: string): Promise<User | undefined> {
  const entry = await loginRows.find(router.of(address), address, FIXED.reservationAbandonedS)
  // For an unknown address a user that cannot exist is looked up, so that both take as long.
  const userId = entry?.userId ?? '0'
  const user = await userRows.find(router.of(userId), userId)
  return user?.kind === 'member' ? user : undefined
}

/** Ends all sessions but this one, which goes on in the user's new epoch. */
async function keepOnly({ sessions }: LoginsDeps, session: Session, epoch: number): Promise<void> {
  await sessions.endAll(session.userId, session.token)
  await sessions.setEpoch(session, epoch)
}

/** A password change that was sent again: finishes what the first may have left undone. The password is compared by argon2. */
async function replay(
  deps: LoginsDeps,
  user: User | undefined,
  session: Session,
  change: { next: string },
  sameRequest: boolean,
): Promise<{ replayed: boolean }> {
  const { passwords } = deps
  if (!user || !sameRequest || !(await passwords.verify(user.passwordHash, change.next))) {
    throw new AppError('idempotency_mismatch', 'This Idempotency-Key was used for another request.')
  }
  await keepOnly(deps, session, user.sessionEpoch)
  return { replayed: true }
}

/** Best effort: where the hashing queue is full, the next login does it. */
async function renewHash(
  { router, passwords }: LoginsDeps,
  { id, passwordHash }: User,
  password: string,
): Promise<void> {
  try {
    await userRows.rehash(router.of(id), id, passwordHash, await passwords.hash(password))
  } catch (error) {
    if (!isAppError(error, 'overloaded')) throw error
  }
}

/** The same for every reason: the answer does not tell whether the account exists. */
function wrongCredentials(): AppError {
  return new AppError('credentials_invalid', 'The e-mail address or the password is wrong.')
}
