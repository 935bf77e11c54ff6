import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'
import { isoTime, sqlTime } from './time.ts'

/** Sales, in the global database. That server's clock says when one starts. */
export interface SaleRow {
  readonly id: string
  readonly sku: string
  /** 0 while they are still to be set: the sale does not start before. */
  readonly units: number
  readonly startsAt: string
  readonly endsAt: string | undefined
  /** How many places of the queue may be out for each unit that is left. */
  readonly factor: number
  readonly accountAgeS: number
  readonly needsProof: boolean
  readonly guests: boolean
}

export interface OpenSale extends SaleRow {
  /** Below zero when it has started. */
  readonly startsInMs: number
}

const COLUMNS = 'sale_id, sku, units, starts_at, ends_at, factor_percent, account_age_s, needs_proof, guests'
const INSERT = statement(`
  INSERT INTO sales (${COLUMNS}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))`)
const SELECT_OPEN = statement(`
  SELECT ${COLUMNS}, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), starts_at) AS starts_in_us FROM sales
  WHERE ends_at IS NULL OR ends_at > UTC_TIMESTAMP(3) ORDER BY starts_at LIMIT ?`)
const SET_UNITS = statement('UPDATE sales SET units = ? WHERE sale_id = ?')
const END = statement(
  'UPDATE sales SET ends_at = UTC_TIMESTAMP(3) WHERE sale_id = ? AND (ends_at IS NULL OR ends_at > UTC_TIMESTAMP(3))',
)
const LIST = statement(`SELECT ${COLUMNS} FROM sales ORDER BY starts_at DESC LIMIT ?`)

interface SaleColumns {
  sale_id: string
  sku: string
  units: string
  starts_at: string
  ends_at: string | null
  factor_percent: number
  account_age_s: number
  needs_proof: number
  guests: number
}

export const saleRows = {
  /** @throws DuplicateKeyError when there is a sale of that id */
  async insert(tx: Transaction, sale: SaleRow): Promise<void> {
    const { id, sku, units, startsAt, endsAt, factor, accountAgeS, needsProof, guests } = sale
    const times = [sqlTime(startsAt), endsAt === undefined ? null : sqlTime(endsAt)]
    const rules = [Math.round(factor * 100), accountAgeS, needsProof ? 1 : 0, guests ? 1 : 0]
    await tx.run(INSERT, [id, sku, units, ...times, ...rules])
  },

  /** From now on there is something to be had. */
  setUnits: (tx: Transaction, id: string, units: number) => tx.run(SET_UNITS, [units, id]),

  /** Those that have not ended, the next first. */
  async open(rowsOf: Transaction['rows'], limit: number): Promise<OpenSale[]> {
    const rows = await rowsOf<SaleColumns & { starts_in_us: string }>(SELECT_OPEN, [limitTo(limit)])
    return rows.map(row => ({ ...saleOf(row), startsInMs: Number(row.starts_in_us) / 1000 }))
  },

  /** False when there is no such sale, or it has ended. */
  async end(global: Database, id: string): Promise<boolean> {
    return (await global.transaction(tx => tx.run(END, [id]))) === 1
  },

  async list(global: Database, limit: number): Promise<SaleRow[]> {
    return (await global.rows<SaleColumns>(LIST, [limitTo(limit)])).map(saleOf)
  },
}

function saleOf(row: SaleColumns): SaleRow {
  return {
    id: row.sale_id,
    sku: row.sku,
    units: Number(row.units),
    startsAt: isoTime(row.starts_at),
    endsAt: row.ends_at === null ? undefined : isoTime(row.ends_at),
    factor: row.factor_percent / 100,
    accountAgeS: row.account_age_s,
    needsProof: row.needs_proof === 1,
    guests: row.guests === 1,
  }
}
