import { randomBytes } from 'node:crypto'
import { createSingleFlight } from '../lib/single-flight.ts'
import type { Database } from './database.ts'
import { limitTo, statement } from './statement.ts'
import { isoTime } from './time.ts'

/** Operators, by the hash of their token, in the global database; and the keys that instances share. */
const SELECT_OPERATOR = statement('SELECT name FROM operators WHERE token_hash = ?')
const INSERT_OPERATOR = statement(
  'INSERT INTO operators (token_hash, name, created_at) VALUES (?, ?, UTC_TIMESTAMP(3))',
)
const DELETE_OPERATOR = statement('DELETE FROM operators WHERE name = ?')
const LIST_OPERATORS = statement('SELECT name, created_at FROM operators ORDER BY name LIMIT ?')
const OFFER_KEY = statement(
  'INSERT INTO shop_keys (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE name = VALUES(name)',
)
const SELECT_KEY = statement('SELECT value FROM shop_keys WHERE name = ?')

export const operatorRows = {
  async find(global: Database, tokenHash: string): Promise<string | undefined> {
    const [row] = await global.rows<{ name: string }>(SELECT_OPERATOR, [tokenHash])
    return row?.name
  },

  /** @throws DuplicateKeyError when there is an operator of that name */
  async insert(global: Database, tokenHash: string, name: string): Promise<void> {
    await global.transaction(tx => tx.run(INSERT_OPERATOR, [tokenHash, name]))
  },

  /** False when there was none of that name. */
  async remove(global: Database, name: string): Promise<boolean> {
    return (await global.transaction(tx => tx.run(DELETE_OPERATOR, [name]))) === 1
  },

  async list(global: Database, limit: number): Promise<{ name: string; createdAt: string }[]> {
    const rows = await global.rows<{ name: string; created_at: string }>(LIST_OPERATORS, [limitTo(limit)])
    return rows.map(({ name, created_at }) => ({ name, createdAt: isoTime(created_at) }))
  },
}

/** The key of a name, 256 bits: the first one that any instance offered. Asked for once, when it is needed. */
export function sharedKey(global: Database, name: string): () => Promise<Buffer> {
  const flight = createSingleFlight<Buffer>()
  let known: Buffer | undefined
  return async () => {
    known ??= await flight.run(name, async () => {
      const offer = randomBytes(32).toString('base64url')
      await global.transaction(tx => tx.run(OFFER_KEY, [name, offer]))
      const [row] = await global.rows<{ value: string }>(SELECT_KEY, [name])
      return Buffer.from(row?.value ?? offer, 'base64url')
    })
    return known
  }
}
