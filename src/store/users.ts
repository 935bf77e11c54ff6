import type { Database, Transaction } from './database.ts'
import { statement } from './statement.ts'
import { isoTime } from './time.ts'

/**
 * Users and guests, and the login directory that keeps addresses unique across shards. The order in which the two are
 * written, and how an orphan is recovered, stands in accounts/registration.ts.
 */

/** `void` marks an id that can never become a user: its registration was given up. */
type UserKind = 'member' | 'guest' | 'void'

export interface User {
  readonly id: string
  readonly kind: UserKind
  readonly email: string
  readonly name: string
  readonly passwordHash: string
  readonly sessionEpoch: number
  readonly createdAt: string
}

interface LoginEntry {
  readonly userId: string
  readonly state: 'reserved' | 'confirmed'
  /** True when it was reserved so long ago that its process must have ended. */
  readonly abandoned: boolean
}

const INSERT_USER = statement(`
  INSERT INTO users (user_id, slot, kind, email, name, password_hash, session_epoch, created_at)
  VALUES (?, ?, ?, ?, ?, ?, 1, UTC_TIMESTAMP(3))`)

const USER_COLUMNS = 'user_id, kind, email, name, password_hash, session_epoch, created_at'
const SELECT_USER = statement(`SELECT ${USER_COLUMNS} FROM users WHERE user_id = ?`)
const SELECT_USER_LOCKED = statement(`SELECT ${USER_COLUMNS} FROM users WHERE user_id = ? FOR UPDATE`)

const SELECT_AGE = statement(
  'SELECT TIMESTAMPDIFF(SECOND, created_at, UTC_TIMESTAMP(3)) AS age FROM users WHERE user_id = ?',
)

const SELECT_OTHER_MEMBER = statement(
  "/* per shard */ SELECT user_id FROM users WHERE kind = 'member' AND email NOT LIKE ? AND email NOT LIKE ? LIMIT 1",
)

const SELECT_EPOCH = statement('SELECT session_epoch FROM users WHERE user_id = ?')

const UPDATE_PASSWORD = statement(
  'UPDATE users SET password_hash = ?, session_epoch = session_epoch + 1 WHERE user_id = ? AND session_epoch = ?',
)
const REPLACE_HASH = statement('UPDATE users SET password_hash = ? WHERE user_id = ? AND password_hash = ?')
const NEXT_SESSION_EPOCH = statement('UPDATE users SET session_epoch = session_epoch + 1 WHERE user_id = ?')

const RESERVE_LOGIN = statement(`
  INSERT INTO logins (address, slot, user_id, state, reserved_at) VALUES (?, ?, ?, 'reserved', UTC_TIMESTAMP(3))`)

const SELECT_LOGIN = statement(`
  SELECT user_id, state, reserved_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND AS abandoned FROM logins WHERE address = ?`)

const TAKE_OVER_LOGIN = statement(`
  UPDATE logins SET user_id = ?, state = 'reserved', reserved_at = UTC_TIMESTAMP(3)
  WHERE address = ? AND user_id = ? AND state = 'reserved'`)

const CONFIRM_LOGIN = statement("UPDATE logins SET state = 'confirmed' WHERE address = ? AND user_id = ?")

interface UserRow {
  user_id: string
  kind: UserKind
  email: string
  name: string
  password_hash: string
  session_epoch: string
  created_at: string
}

export const userRows = {
  /** @throws DuplicateKeyError when the id is there already */
  async insert(
    tx: Transaction,
    user: { id: string; slot: number; kind: UserKind; email: string; name: string; passwordHash: string },
  ): Promise<void> {
    await tx.run(INSERT_USER, [user.id, user.slot, user.kind, user.email, user.name, user.passwordHash])
  },

  async find(database: Database, userId: string): Promise<User | undefined> {
    return userOf(await database.rows<UserRow>(SELECT_USER, [userId]))
  },

  /** Whether a shard has a member whose address is like neither of these. */
  async hasOther(database: Database, like: readonly [string, string]): Promise<boolean> {
    return (await database.rows(SELECT_OTHER_MEMBER, like)).length > 0
  },

  /** How long ago the account was made, by the server's clock; 0 when there is none. */
  async ageS(database: Database, userId: string): Promise<number> {
    const [row] = await database.rows<{ age: string | number }>(SELECT_AGE, [userId])
    return Number(row?.age ?? 0)
  },

  /** The epoch that sessions must be of; undefined when there is no such user. */
  async sessionEpoch(database: Database, userId: string): Promise<number | undefined> {
    const [row] = await database.rows<{ session_epoch: string }>(SELECT_EPOCH, [userId])
    return row && Number(row.session_epoch)
  },

  async findLocked(tx: Transaction, userId: string): Promise<User | undefined> {
    return userOf(await tx.rows<UserRow>(SELECT_USER_LOCKED, [userId]))
  },

  /** Sets the password and ends all sessions in MySQL. False when another change came first. */
  async changePassword(tx: Transaction, userId: string, passwordHash: string, sessionEpoch: number): Promise<boolean> {
    return (await tx.run(UPDATE_PASSWORD, [passwordHash, userId, sessionEpoch])) === 1
  },

  /** The same password under newer hashing parameters. */
  rehash: (database: Database, userId: string, from: string, to: string) =>
    database.run(REPLACE_HASH, [to, userId, from]),

  endSessions: (tx: Transaction, userId: string) => tx.run(NEXT_SESSION_EPOCH, [userId]),
}

export const loginRows = {
  /** @throws DuplicateKeyError when the address is there already */
  async reserve(tx: Transaction, address: string, slot: number, userId: string): Promise<void> {
    await tx.run(RESERVE_LOGIN, [address, slot, userId])
  },

  async find(database: Database, address: string, abandonedAfterS: number): Promise<LoginEntry | undefined> {
    const [row] = await database.rows<{ user_id: string; state: LoginEntry['state']; abandoned: number | string }>(
      SELECT_LOGIN,
      [abandonedAfterS, address],
    )
    return row && { userId: row.user_id, state: row.state, abandoned: Number(row.abandoned) === 1 }
  },

  async takeOver(tx: Transaction, address: string, fromUserId: string, toUserId: string): Promise<boolean> {
    return (await tx.run(TAKE_OVER_LOGIN, [toUserId, address, fromUserId])) === 1
  },

  async confirm(tx: Transaction, address: string, userId: string): Promise<boolean> {
    return (await tx.run(CONFIRM_LOGIN, [address, userId])) === 1
  },
}

function userOf(rows: readonly UserRow[]): User | undefined {
  const [row] = rows
  return (
    row && {
      id: row.user_id,
      kind: row.kind,
      email: row.email,
      name: row.name,
      passwordHash: row.password_hash,
      sessionEpoch: Number(row.session_epoch),
      createdAt: isoTime(row.created_at),
    }
  )
}
