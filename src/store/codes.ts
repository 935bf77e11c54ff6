import { codeForm } from '../model/code.ts'
import type { Database } from './database.ts'
import { limitTo, statement } from './statement.ts'
import { isoTime } from './time.ts'

/** Codes of promotions that have many, in the global database: each is in one pool. */
interface CodeRow {
  /** As the shop wrote it. */
  readonly written: string
  readonly pool: string
}

interface PoolRow {
  readonly pool: string
  readonly codes: number
  readonly createdAt: string
}

const SELECT_CODES = statement('SELECT code, written, pool FROM promotion_codes WHERE code IN (?)')
const INSERT_CODES = statement('INSERT IGNORE INTO promotion_codes (code, written, pool, created_at) VALUES ?')
const LIST_CODES = statement(
  'SELECT code, written FROM promotion_codes WHERE pool = ? AND code > ? ORDER BY code LIMIT ?',
)
const COUNT_CODES = statement('SELECT COUNT(*) AS codes FROM promotion_codes WHERE pool = ?')
const LIST_POOLS = statement(
  'SELECT pool, COUNT(*) AS codes, MIN(created_at) AS created_at FROM promotion_codes GROUP BY pool ORDER BY pool LIMIT ?',
)
const DELETE_CODES = statement('DELETE FROM promotion_codes WHERE pool = ? ORDER BY code LIMIT ?')

export const codeRows = {
  /** By the form in which codes are compared; codes of no pool are left out. */
  async find(global: Database, forms: readonly string[]): Promise<ReadonlyMap<string, CodeRow>> {
    if (forms.length === 0) return new Map()
    const rows = await global.rows<CodeRow & { code: string }>(SELECT_CODES, [forms])
    return new Map(rows.map(({ code, written, pool }) => [code, { written, pool }]))
  },

  /** Adds codes to a pool; those that are in any pool already are passed over. How many were added. */
  async add(global: Database, pool: string, codes: readonly string[], now: string): Promise<number> {
    if (codes.length === 0) return 0
    const rows = codes.map(code => [codeForm(code), code, pool, now])
    return global.transaction(tx => tx.run(INSERT_CODES, [rows]))
  },

  /** As written, in the order of their forms, `rows` at a time. */
  async *all(global: Database, pool: string, rows: number): AsyncGenerator<string[]> {
    let last = ''
    for (;;) {
      const page = await global.rows<{ code: string; written: string }>(LIST_CODES, [pool, last, limitTo(rows)])
      if (page.length > 0) yield page.map(({ written }) => written)
      const end = page.at(-1)
      if (!end || page.length < rows) return
      last = end.code
    }
  },

  async count(global: Database, pool: string): Promise<number> {
    const [row] = await global.rows<{ codes: string | number }>(COUNT_CODES, [pool])
    return Number(row?.codes ?? 0)
  },

  async pools(global: Database, limit: number): Promise<PoolRow[]> {
    const rows = await global.rows<{ pool: string; codes: string | number; created_at: string }>(LIST_POOLS, [
      limitTo(limit),
    ])
    return rows.map(({ pool, codes, created_at }) => ({
      pool,
      codes: Number(codes),
      createdAt: isoTime(created_at),
    }))
  },

  /** Deletes up to `rows` codes of a pool; how many there were. */
  async remove(global: Database, pool: string, rows: number): Promise<number> {
    return global.transaction(tx => tx.run(DELETE_CODES, [pool, limitTo(rows)]))
  },
}
