import type { Database, Transaction } from './database.ts'
import { statement } from './statement.ts'
import { isoTime, sqlTime } from './time.ts'

/**
 * Counted things: units of stock, uses of a promotion, minor units of a budget. An *item* is a key such as `s:P000001`; its rows
 * stand in the shard of that key.
 *
 *   stock          how many units there are in all, and how many one user may have
 *   stock_buckets  the counters free, held and sold, split over a few rows so that instances do not wait for one another
 *   stock_claims   what an order has of an item: `held`, then `sold`; a claim that is given up is deleted, one that is sold stays
 *   stock_buyers   units by user, of items with a limit by user
 *   stock_ledger   what else changes for good: `set` (units added or taken away) and `refund`; with the sold claims it is the ledger
 *
 * Each transaction keeps: units = free + held + sold; held and sold are the sums of the claims less refunds.
 */
type ClaimState = 'held' | 'sold'

export interface StockHead {
  readonly units: number
  readonly perUserMax: number | undefined
  readonly buckets: number
  /** Of the rules that set it; 0 for what operators set. */
  readonly termsVersion: number
  /** The server's clock: instances' clocks may be wrong. */
  readonly nowMs: number
}

export interface ClaimRow {
  readonly orderId: string
  readonly userId: string
  readonly bucket: number
  readonly units: number
  readonly state: ClaimState
}

export interface BucketRow {
  readonly bucket: number
  readonly free: number
  readonly held: number
  readonly sold: number
}

export interface StockLevels {
  readonly units: number
  readonly free: number
  readonly held: number
  readonly sold: number
  readonly perUserMax: number | undefined
}

/** What changes in one bucket; each member is a difference. */
export interface BucketChange {
  readonly bucket: number
  readonly free: number
  readonly held: number
  readonly sold: number
}

type LedgerKind = 'set' | 'refund'

const SELECT_HEAD = statement(
  'SELECT units, per_user_max, buckets, terms_version, UTC_TIMESTAMP(3) AS read_at FROM stock WHERE item = ? LOCK IN SHARE MODE',
)
const SELECT_HEAD_LOCKED = statement(
  'SELECT units, per_user_max, buckets, terms_version, UTC_TIMESTAMP(3) AS read_at FROM stock WHERE item = ? FOR UPDATE',
)
const SELECT_CLAIMS = statement(
  'SELECT order_id, user_id, bucket, units, state FROM stock_claims WHERE item = ? AND order_id IN (?) FOR UPDATE',
)
const SELECT_CLAIM = statement('SELECT state FROM stock_claims WHERE item = ? AND order_id = ?')
const SELECT_SOLD_TO = statement(`
  SELECT SUM(units) AS units FROM stock_claims WHERE item = ? AND order_id >= ? AND order_id < ? AND state = 'sold'`)
const SELECT_BUYERS = statement('SELECT user_id, units FROM stock_buyers WHERE item = ? AND user_id IN (?) FOR UPDATE')
const LOCK_BUCKETS = statement(
  'SELECT bucket, free, held, sold FROM stock_buckets WHERE item = ? ORDER BY bucket FOR UPDATE',
)
const INSERT_CLAIMS = statement(`
  INSERT INTO stock_claims (item, order_id, slot, user_id, bucket, units, state, look_at, created_at) VALUES ?`)
const SELL_CLAIMS = statement("UPDATE stock_claims SET state = 'sold' WHERE item = ? AND order_id IN (?)")
const DELETE_CLAIMS = statement("DELETE FROM stock_claims WHERE item = ? AND order_id IN (?) AND state = 'held'")
const PUT_OFF_CLAIM = statement(
  'UPDATE stock_claims SET look_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND WHERE item = ? AND order_id = ?',
)
const EXTEND_CLAIM = statement('UPDATE stock_claims SET look_at = ? WHERE item = ? AND order_id = ?')
const ADD_BUYERS = statement(`
  INSERT INTO stock_buyers (item, user_id, slot, units) VALUES ? ON DUPLICATE KEY UPDATE units = units + VALUES(units)`)
const TAKE_FROM_BUYER = statement(
  'UPDATE stock_buyers SET units = units - ? WHERE item = ? AND user_id = ? AND units >= ?',
)
const CHANGE_BUCKET = statement(`
  UPDATE stock_buckets SET free = free + ? - ?, held = held + ? - ?, sold = sold + ? - ?
  WHERE item = ? AND bucket = ? AND free + ? >= ? AND held + ? >= ? AND sold + ? >= ?`)
const INSERT_LEDGER = statement('INSERT INTO stock_ledger (item, entry, slot, kind, units, created_at) VALUES ?')
const SELECT_ENTRY = statement('SELECT entry FROM stock_ledger WHERE item = ? AND entry = ? FOR UPDATE')
const MAKE_STOCK = statement(`
  INSERT INTO stock (item, slot, units, per_user_max, buckets, terms_version, changed_at)
  VALUES (?, ?, 0, NULL, ?, 0, UTC_TIMESTAMP(3))
  ON DUPLICATE KEY UPDATE item = VALUES(item)`)
const SET_STOCK = statement(
  'UPDATE stock SET units = ?, per_user_max = ?, terms_version = ?, changed_at = UTC_TIMESTAMP(3) WHERE item = ?',
)
const INSERT_BUCKETS = statement(`
  INSERT INTO stock_buckets (item, bucket, slot, free, held, sold) VALUES ? ON DUPLICATE KEY UPDATE free = free`)
const SET_BUCKET = statement('UPDATE stock_buckets SET free = ?, held = ?, sold = ? WHERE item = ? AND bucket = ?')

const SELECT_LEVELS = statement(`
  SELECT s.units, s.per_user_max, SUM(b.free) AS free, SUM(b.held) AS held, SUM(b.sold) AS sold
  FROM stock s JOIN stock_buckets b ON b.item = s.item WHERE s.item = ? GROUP BY s.item, s.units, s.per_user_max`)

export type Numbers = Record<string, string | number | null>

export const stockRows = {
  /** The item's terms, locked against change; undefined when there is no such item. */
  async head(tx: Transaction, item: string, exclusive = false): Promise<StockHead | undefined> {
    const [row] = await tx.rows<Numbers & { read_at: string }>(exclusive ? SELECT_HEAD_LOCKED : SELECT_HEAD, [item])
    return (
      row && {
        ...termsOf(row),
        buckets: Number(row['buckets']),
        termsVersion: Number(row['terms_version']),
        nowMs: Date.parse(isoTime(row.read_at)),
      }
    )
  },

  /** Claims of some orders, locked. */
  async claims(tx: Transaction, item: string, orderIds: readonly string[]): Promise<ClaimRow[]> {
    return (await tx.rows<ClaimColumns>(SELECT_CLAIMS, [item, [...orderIds]])).map(claimOf)
  },

  async hasClaim(database: Database, item: string, orderId: string): Promise<boolean> {
    return (await database.rows(SELECT_CLAIM, [item, orderId])).length > 0
  },

  /** Units of sold claims of a user, whose orders all begin with the user's id. */
  async soldTo(database: Database, item: string, userId: string): Promise<number> {
    // In ASCII the full stop follows the hyphen.
    const [row] = await database.rows<{ units: string | null }>(SELECT_SOLD_TO, [item, `${userId}-`, `${userId}.`])
    return Number(row?.units ?? 0)
  },

  /** Units of some users, locked where there are any. */
  async buyers(tx: Transaction, item: string, userIds: readonly string[]): Promise<Map<string, number>> {
    const rows = await tx.rows<{ user_id: string; units: string }>(SELECT_BUYERS, [item, [...userIds]])
    return new Map(rows.map(row => [row.user_id, Number(row.units)]))
  },

  async lockBuckets(tx: Transaction, item: string): Promise<BucketRow[]> {
    return (await tx.rows<Numbers>(LOCK_BUCKETS, [item])).map(bucketOf)
  },

  async insertClaims(
    tx: Transaction,
    item: string,
    slot: number,
    nowMs: number,
    claims: readonly { orderId: string; userId: string; bucket: number; units: number; lookMs: number }[],
  ): Promise<void> {
    const rows = claims.map(({ orderId, userId, bucket, units, lookMs }) => {
      return [item, orderId, slot, userId, bucket, units, 'held', sqlTime(nowMs + lookMs), sqlTime(nowMs)]
    })
    await tx.run(INSERT_CLAIMS, [rows])
  },

  sellClaims: (tx: Transaction, item: string, orderIds: readonly string[]) =>
    tx.run(SELL_CLAIMS, [item, [...orderIds]]),
  deleteClaims: (tx: Transaction, item: string, orderIds: readonly string[]) =>
    tx.run(DELETE_CLAIMS, [item, [...orderIds]]),

  /** Postpones the recovery of a claim. */
  async putOffClaim(tx: Transaction, item: string, orderId: string, seconds: number): Promise<void> {
    await tx.run(PUT_OFF_CLAIM, [seconds, item, orderId])
  },

  /** The same, until a time. */
  async extendClaim(tx: Transaction, item: string, orderId: string, untilMs: number): Promise<void> {
    await tx.run(EXTEND_CLAIM, [sqlTime(untilMs), item, orderId])
  },

  /** How many rows were there before: adding to a row counts twice. */
  async addBuyers(
    tx: Transaction,
    item: string,
    slot: number,
    units: ReadonlyMap<string, number>,
  ): Promise<{ present: number }> {
    // In one order, so that two transactions never wait for one another in a circle.
    const rows = [...units].sort(([a], [b]) => (a < b ? -1 : 1)).map(([userId, count]) => [item, userId, slot, count])
    return { present: (await tx.run(ADD_BUYERS, [rows])) - rows.length }
  },

  async takeFromBuyer(tx: Transaction, item: string, userId: string, units: number): Promise<void> {
    await tx.run(TAKE_FROM_BUYER, [units, item, userId, units])
  },

  /** Moves units between the counters of a bucket. False, and nothing done, when one of them would fall below zero. */
  async changeBucket(tx: Transaction, item: string, { bucket, free, held, sold }: BucketChange): Promise<boolean> {
    const halves = [free, held, sold].flatMap(change => [Math.max(0, change), Math.max(0, -change)])
    return (await tx.run(CHANGE_BUCKET, [...halves, item, bucket, ...halves])) === 1
  },

  async setBucket(tx: Transaction, item: string, { bucket, free, held, sold }: BucketRow): Promise<void> {
    await tx.run(SET_BUCKET, [free, held, sold, item, bucket])
  },

  async addLedger(
    tx: Transaction,
    item: string,
    slot: number,
    nowMs: number,
    entries: readonly { entry: string; kind: LedgerKind; units: number }[],
  ): Promise<void> {
    const rows = entries.map(({ entry, kind, units }) => [item, entry, slot, kind, units, sqlTime(nowMs)])
    await tx.run(INSERT_LEDGER, [rows])
  },

  async hasEntry(tx: Transaction, item: string, entry: string): Promise<boolean> {
    return (await tx.rows(SELECT_ENTRY, [item, entry])).length > 0
  },

  /** Makes an item of no units, where there is none. From here on there is a row to lock. */
  async make(tx: Transaction, item: string, slot: number, buckets: number): Promise<void> {
    await tx.run(MAKE_STOCK, [item, slot, buckets])
    await tx.run(INSERT_BUCKETS, [Array.from({ length: buckets }, (_, bucket) => [item, bucket, slot, 0, 0, 0])])
  },

  /** Changes the item's terms; buckets stay as many as they were made. */
  async set(
    tx: Transaction,
    item: string,
    { units, perUserMax, termsVersion }: Pick<StockHead, 'units' | 'perUserMax' | 'termsVersion'>,
  ): Promise<void> {
    await tx.run(SET_STOCK, [units, perUserMax ?? null, termsVersion, item])
  },

  async levels(database: Database, item: string): Promise<StockLevels | undefined> {
    const [row] = await database.rows<Numbers>(SELECT_LEVELS, [item])
    return row && { ...termsOf(row), ...countersOf(row) }
  },
}

export type Counters = Pick<StockLevels, 'free' | 'held' | 'sold'>

export interface ClaimColumns {
  order_id: string
  user_id: string
  bucket: number
  units: string
  state: ClaimState
}

export function claimOf(row: ClaimColumns): ClaimRow {
  return { orderId: row.order_id, userId: row.user_id, bucket: row.bucket, units: Number(row.units), state: row.state }
}

function bucketOf(row: Numbers): BucketRow {
  return { bucket: Number(row['bucket']), ...countersOf(row) }
}

export function countersOf(row: Numbers): Counters {
  return { free: Number(row['free'] ?? 0), held: Number(row['held'] ?? 0), sold: Number(row['sold'] ?? 0) }
}

export function termsOf(row: Numbers): { units: number; perUserMax: number | undefined } {
  return {
    units: Number(row['units']),
    perUserMax: (row['per_user_max'] ?? null) === null ? undefined : Number(row['per_user_max']),
  }
}
