import { AppError } from '../lib/errors.ts'
import { canonicalAddress } from '../model/email.ts'
import { FIXED } from '../model/limits.ts'
import { cartRows } from '../store/carts.ts'
import { DuplicateKeyError } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Ids } from '../store/ids.ts'
import type { Router } from '../store/shard-router.ts'
import { loginRows, userRows } from '../store/users.ts'
import type { Passwords } from './passwords.ts'

/**
 * New accounts and new guests. An address is unique over all shards through the login directory, which is sharded by the
 * address; the user lives on a shard of its own. So a registration is three transactions, in this order:
 *
 *   1. address's shard: reserve (address → new user id)
 *   2. user's shard:    insert user, cart and idempotency key
 *   3. address's shard: confirm
 *
 * A crash after 1 leaves an orphan: a reserved address whose user does not exist. The next registration of the address
 * recovers it once it is old enough: it inserts a `void` row under the orphan's user id. If that works, the id can never
 * become a user any more (a late step 2 of the first process finds its id taken), and the address is taken over; if the
 * id is there already, it is a user, and the address is taken. A crash after 2 leaves a user that can log in as it is.
 */
export interface Registration {
  readonly email: string
  readonly password: string
  readonly name: string
}

interface Registered {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly replayed: boolean
}

interface RegistrationDeps {
  readonly router: Router
  readonly ids: Ids
  readonly passwords: Passwords
}

export type Registrations = ReturnType<typeof createRegistrations>

/** Each function says what it throws. */
export function createRegistrations(deps: RegistrationDeps) {
  const { router, ids } = deps
  return {
    register: (wanted: Registration, idempotency?: { key: string; fingerprint: string }) =>
      register(deps, wanted, idempotency),
    addMember: (
      member: { email: string; name: string; passwordHash: string },
      idempotency?: { key: string; fingerprint: string },
    ) => addMember(deps, member, idempotency),

    /** A user without a name, with a cart. */
    async newGuest(): Promise<string> {
      const id = await ids.next()
      await router.write(id, async (tx, { slot }) => {
        await userRows.insert(tx, { id, slot, kind: 'guest', email: '', name: '', passwordHash: '' })
        await cartRows.insert(tx, id, slot, 'guest')
      })
      return id
    },
  }
}

/** @throws AppError `email_taken`, `idempotency_mismatch` */
async function register(
  deps: RegistrationDeps,
  wanted: Registration,
  idempotency?: { key: string; fingerprint: string },
): Promise<Registered> {
  const { passwords } = deps
  const member = { email: wanted.email, name: wanted.name, passwordHash: await passwords.hash(wanted.password) }
  const added = await addMember(deps, member, idempotency)
  if ('id' in added) return { ...added, replayed: false }
  const replay = idempotency && (await findReplay(deps, added.takenBy, wanted, idempotency))
  if (!replay) throw emailTaken()
  return replay
}

/** The three steps. `takenBy` is the user whom the address belongs to already. */
async function addMember(
  deps: RegistrationDeps,
  member: { email: string; name: string; passwordHash: string },
  idempotency?: { key: string; fingerprint: string },
): Promise<{ id: string; email: string; name: string } | { takenBy: string }> {
  const { router, ids } = deps
  const address = canonicalAddress(member.email)
  if (address.length > FIXED.emailCharsMax) {
    const detail = `must have at most ${FIXED.emailCharsMax} characters`
    throw new AppError('invalid_request', `E-mail ${detail}`, {
      errors: [{ in: 'body', pointer: '#/email', detail }],
    })
  }
  const id = await ids.next()
  const takenBy = await reserve(deps, address, id)
  if (takenBy !== undefined) {
    const other = await userRows.find(router.of(takenBy), takenBy)
    if (other || !idempotency) return { takenBy }
    throw new AppError('idempotency_in_flight', 'This address is being registered right now.', { retryAfterS: 1 })
  }
  const account = { id, email: address, name: member.name }
  try {
    await router.write(id, async (tx, { slot }) => {
      await userRows.insert(tx, { ...account, slot, kind: 'member', passwordHash: member.passwordHash })
      await cartRows.insert(tx, id, slot, 'member')
      if (!idempotency) return
      const stored = { fingerprint: idempotency.fingerprint, status: 201, version: 0, body: JSON.stringify(account) }
      await idempotencyKeys.claim(tx, id, slot, idempotency.key, stored)
    })
  } catch (error) {
    if (error instanceof DuplicateKeyError) throw emailTaken() // our reservation was given up and taken over
    throw error
  }
  await router.write(address, tx => loginRows.confirm(tx, address, id)).catch(() => undefined) // only saves others a look
  return account
}

/** Step 1. Returns the id of the user whom the address belongs to already, or undefined when it is ours now. */
async function reserve(deps: RegistrationDeps, address: string, id: string): Promise<string | undefined> {
  const { router } = deps
  try {
    await router.write(address, (tx, { slot }) => loginRows.reserve(tx, address, slot, id))
    return undefined
  } catch (error) {
    if (!(error instanceof DuplicateKeyError)) throw error
  }
  const entry = await loginRows.find(router.of(address), address, FIXED.reservationAbandonedS)
  if (!entry) throw emailTaken() // gone again: a rare race, the client may simply retry
  if (entry.state === 'confirmed' || !entry.abandoned || !(await giveUp(deps, entry.userId))) return entry.userId
  const taken = await router.write(address, tx => loginRows.takeOver(tx, address, entry.userId, id))
  if (!taken) throw emailTaken()
  return undefined
}

/** Makes sure that an id never becomes a user. False when it is one. */
async function giveUp({ router }: RegistrationDeps, userId: string): Promise<boolean> {
  try {
    await router.write(userId, (tx, { slot }) =>
      userRows.insert(tx, { id: userId, slot, kind: 'void', email: '', name: '', passwordHash: '' }),
    )
    return true
  } catch (error) {
    if (!(error instanceof DuplicateKeyError)) throw error
    return (await userRows.find(router.of(userId), userId))?.kind === 'void'
  }
}

async function findReplay(
  { router, passwords }: RegistrationDeps,
  userId: string,
  wanted: Registration,
  { key, fingerprint }: { key: string; fingerprint: string },
): Promise<Registered | undefined> {
  const stored = await idempotencyKeys.find(router.of(userId), userId, key)
  if (!stored) return undefined
  const user = await userRows.find(router.of(userId), userId)
  // The fingerprint leaves the password out, so that no fast hash of it is ever stored; argon2 compares it instead.
  if (stored.fingerprint !== fingerprint || !(await passwords.verify(user?.passwordHash, wanted.password))) {
    throw new AppError('idempotency_mismatch', 'This Idempotency-Key was used for another request.')
  }
  return { ...(JSON.parse(stored.body) as { id: string; email: string; name: string }), replayed: true }
}

function emailTaken(): AppError {
  const detail = 'There is an account with this e-mail address already.'
  return new AppError('email_taken', detail, { errors: [{ in: 'body', pointer: '#/email', detail }] })
}
