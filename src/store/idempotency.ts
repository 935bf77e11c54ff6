import { type Database, NOW, type Statement, type Transaction } from './database.ts'
import { statement } from './statement.ts'

/**
 * Idempotency keys, claimed in the owner's shard in the same transaction as their effect: the primary key makes a
 * duplicate in flight wait for the first, and a crash leaves either both or neither.
 */
export interface StoredAnswer {
  readonly fingerprint: string
  readonly status: number
  readonly version: number
  readonly body: string
}

const INSERT_KEY = statement(`
  INSERT INTO idempotency (user_id, idempotency_key, slot, fingerprint, status, version, body, created_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))`)

const INSERT_KEYS = statement(`
  INSERT INTO idempotency (user_id, idempotency_key, slot, fingerprint, status, version, body, created_at) VALUES ?`)

const SELECT_KEY = statement(
  'SELECT fingerprint, status, version, body FROM idempotency WHERE user_id = ? AND idempotency_key = ?',
)

/** Housekeeping of one shard by age; crosses users on purpose. */
const DELETE_OLD_KEYS = statement(
  '/* per shard */ DELETE FROM idempotency WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL ? HOUR LIMIT 1000',
)

export const idempotencyKeys = {
  /** @throws DuplicateKeyError when the key was used; LockWaitError when its first use is still under way */
  async claim(tx: Transaction, userId: string, slot: number, key: string, answer: StoredAnswer): Promise<void> {
    await tx.run(INSERT_KEY, [userId, key, slot, answer.fingerprint, answer.status, answer.version, answer.body])
  },

  /** The same for keys of several owners. */
  claimMany(claims: readonly { userId: string; slot: number; key: string; answer: StoredAnswer }[]): Statement {
    const rows = claims.map(({ userId, slot, key, answer }) => {
      const { fingerprint, status, version, body } = answer
      return [userId, key, slot, fingerprint, status, version, body, NOW]
    })
    return { sql: INSERT_KEYS, values: [rows] }
  },

  async find(database: Database, userId: string, key: string): Promise<StoredAnswer | undefined> {
    const [row] = await database.rows<{ fingerprint: string; status: number; version: string; body: string }>(
      SELECT_KEY,
      [userId, key],
    )
    return row && { ...row, version: Number(row.version) }
  },

  /** Forgets keys older than `hours`, at most 1,000 a call. Returns how many. */
  sweep: (database: Database, hours: number) => database.run(DELETE_OLD_KEYS, [hours]),
}
