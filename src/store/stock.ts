import type { Database, Transaction } from './database.ts'
import { statement } from './statement.ts'

/**
 * Counted things: units of stock, uses of a promotion, minor units of a budget. An *item* is a key such as `s:P000001`; its rows
 * stand in the shard of that key.
 *
 *   stock          how many units there are in all, and how many one user may have
 *   stock_buckets  the counters free, held and sold, split over a few rows so that instances do not wait for one another
 *   stock_claims   what an order has of an item: `held`, then `sold`; a claim that is given up is deleted
 *   stock_buyers   units by user, of items with a limit by user
 *   stock_ledger   every change for good: `set` (units added or taken away), `sold`, `refund`
 *
 * Each transaction keeps: units = free + held + sold; held and sold are the sums of the claims less refunds.
 */
export type ClaimState = 'held' | 'sold'

export interface StockHead {
  readonly units: number
  readonly perUserMax: number | undefined
  readonly buckets: number
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

/** A claim whose maker has not finished within its time. */
export interface OverdueClaim {
  readonly item: string
  readonly orderId: string
  readonly ageMs: number
}

/** What changes in one bucket; each member is a difference. */
export interface BucketChange {
  readonly bucket: number
  readonly free: number
  readonly held: number
  readonly sold: number
}

export type LedgerKind = 'set' | 'sold' | 'refund'

const SELECT_HEAD = statement(
  'SELECT units, per_user_max, buckets, UTC_TIMESTAMP(3) AS now FROM stock WHERE item = ? LOCK IN SHARE MODE',
)
const SELECT_HEAD_LOCKED = statement(
  'SELECT units, per_user_max, buckets, UTC_TIMESTAMP(3) AS now FROM stock WHERE item = ? FOR UPDATE',
)
const SELECT_CLAIMS = statement(
  'SELECT order_id, user_id, bucket, units, state FROM stock_claims WHERE item = ? AND order_id IN (?) FOR UPDATE',
)
const SELECT_CLAIM = statement('SELECT state FROM stock_claims WHERE item = ? AND order_id = ?')
const SELECT_BUYERS = statement('SELECT user_id, units FROM stock_buyers WHERE item = ? AND user_id IN (?) FOR UPDATE')
const LOCK_BUCKETS = statement(
  'SELECT bucket, free, held, sold FROM stock_buckets WHERE item = ? ORDER BY bucket FOR UPDATE',
)
const INSERT_CLAIMS = statement(`
  INSERT INTO stock_claims (item, order_id, slot, user_id, bucket, units, state, look_at, created_at) VALUES ?`)
const SELL_CLAIMS = statement("UPDATE stock_claims SET state = 'sold' WHERE item = ? AND order_id IN (?)")
const DELETE_CLAIMS = statement("DELETE FROM stock_claims WHERE item = ? AND order_id IN (?) AND state = 'held'")
const MOVE_CLAIMS = statement('UPDATE stock_claims SET bucket = ? WHERE item = ?')
const EXTEND_CLAIM = statement(
  'UPDATE stock_claims SET look_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND WHERE item = ? AND order_id = ?',
)
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
const UPSERT_STOCK = statement(`
  INSERT INTO stock (item, slot, units, per_user_max, buckets, changed_at) VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3))
  ON DUPLICATE KEY UPDATE units = VALUES(units), per_user_max = VALUES(per_user_max), changed_at = VALUES(changed_at)`)
const INSERT_BUCKETS = statement(`
  INSERT INTO stock_buckets (item, bucket, slot, free, held, sold) VALUES ? ON DUPLICATE KEY UPDATE free = free`)
const SET_BUCKET = statement('UPDATE stock_buckets SET free = ?, held = ?, sold = ? WHERE item = ? AND bucket = ?')

const SELECT_LEVELS = statement(`
  SELECT s.units, s.per_user_max, SUM(b.free) AS free, SUM(b.held) AS held, SUM(b.sold) AS sold
  FROM stock s JOIN stock_buckets b ON b.item = s.item WHERE s.item = ? GROUP BY s.item, s.units, s.per_user_max`)
const SELECT_LEDGER = statement(`
  SELECT kind, SUM(units) AS units FROM stock_ledger WHERE item = ? GROUP BY kind LOCK IN SHARE MODE`)
const SELECT_CLAIM_SUMS = statement(`
  SELECT state, SUM(units) AS units FROM stock_claims WHERE item = ? GROUP BY state LOCK IN SHARE MODE`)

// Of one shard, across items, on purpose.
const SELECT_OVERDUE = statement(`
  /* per shard */ SELECT item, order_id, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(3)) AS age_us
  FROM stock_claims WHERE state = 'held' AND look_at <= UTC_TIMESTAMP(3) ORDER BY look_at LIMIT ?`)
const SELECT_OLDEST = statement(`
  /* per shard */ SELECT TIMESTAMPDIFF(MICROSECOND, MIN(look_at), UTC_TIMESTAMP(3)) AS age_us
  FROM stock_claims WHERE state = 'held'`)
const SELECT_ITEMS = statement('/* per shard */ SELECT item FROM stock WHERE item > ? ORDER BY item LIMIT ?')
const SELECT_BROKEN = statement(`
  /* per shard */ SELECT s.item, s.units, SUM(b.free) AS free, SUM(b.held) AS held, SUM(b.sold) AS sold
  FROM stock s JOIN stock_buckets b ON b.item = s.item GROUP BY s.item, s.units
  HAVING s.units <> SUM(b.free) + SUM(b.held) + SUM(b.sold) LIMIT ?`)
const SELECT_SUMS = statement(`
  /* per shard */ SELECT COUNT(DISTINCT item) AS items, SUM(free) AS free, SUM(held) AS held, SUM(sold) AS sold FROM stock_buckets`)
const SELECT_CLAIMS_OF_ITEM = statement(`
  SELECT order_id, user_id, bucket, units, state FROM stock_claims WHERE item = ? AND order_id > ? ORDER BY order_id LIMIT ?`)

type Numbers = Record<string, string | number | null>

export const stockRows = {
  /** The item's terms, locked against change; undefined when there is no such item. */
  async head(tx: Transaction, item: string, exclusive = false): Promise<StockHead | undefined> {
    const [row] = await tx.rows<Numbers & { now: string }>(exclusive ? SELECT_HEAD_LOCKED : SELECT_HEAD, [item])
    return (
      row && { ...termsOf(row), buckets: Number(row['buckets']), nowMs: Date.parse(`${row.now.replace(' ', 'T')}Z`) }
    )
  },

  /** Claims of some orders, locked. */
  async claims(tx: Transaction, item: string, orderIds: readonly string[]): Promise<ClaimRow[]> {
    return (await tx.rows<ClaimColumns>(SELECT_CLAIMS, [item, [...orderIds]])).map(claimOf)
  },

  async hasClaim(database: Database, item: string, orderId: string): Promise<boolean> {
    return (await database.rows(SELECT_CLAIM, [item, orderId])).length > 0
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
      return [item, orderId, slot, userId, bucket, units, 'held', timeText(nowMs + lookMs), timeText(nowMs)]
    })
    await tx.run(INSERT_CLAIMS, [rows])
  },

  sellClaims: (tx: Transaction, item: string, orderIds: readonly string[]) =>
    tx.run(SELL_CLAIMS, [item, [...orderIds]]),
  deleteClaims: (tx: Transaction, item: string, orderIds: readonly string[]) =>
    tx.run(DELETE_CLAIMS, [item, [...orderIds]]),

  moveClaims: (tx: Transaction, item: string, bucket: number) => tx.run(MOVE_CLAIMS, [bucket, item]),

  /** Puts off the moment at which somebody looks after a claim. */
  async extendClaim(tx: Transaction, item: string, orderId: string, seconds: number): Promise<void> {
    await tx.run(EXTEND_CLAIM, [seconds, item, orderId])
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
    const rows = entries.map(({ entry, kind, units }) => [item, entry, slot, kind, units, timeText(nowMs)])
    await tx.run(INSERT_LEDGER, [rows])
  },

  async hasEntry(tx: Transaction, item: string, entry: string): Promise<boolean> {
    return (await tx.rows(SELECT_ENTRY, [item, entry])).length > 0
  },

  /** Makes or changes the item's terms; buckets stay as many as they were made. */
  async put(
    tx: Transaction,
    item: string,
    slot: number,
    terms: { units: number; perUserMax: number | undefined; buckets: number },
  ): Promise<void> {
    await tx.run(UPSERT_STOCK, [item, slot, terms.units, terms.perUserMax ?? null, terms.buckets])
    const buckets = Array.from({ length: terms.buckets }, (_, bucket) => [item, bucket, slot, 0, 0, 0])
    await tx.run(INSERT_BUCKETS, [buckets])
  },

  async levels(database: Database, item: string): Promise<StockLevels | undefined> {
    const [row] = await database.rows<Numbers>(SELECT_LEVELS, [item])
    return row && { ...termsOf(row), ...countersOf(row) }
  },

  /** What the ledger and the claims say that the counters must be. */
  async recount(
    tx: Transaction,
    item: string,
  ): Promise<{ set: number; sold: number; refund: number; heldClaims: number; soldClaims: number }> {
    const ledger = await tx.rows<{ kind: string; units: string }>(SELECT_LEDGER, [item])
    const claims = await tx.rows<{ state: string; units: string }>(SELECT_CLAIM_SUMS, [item])
    const of = (rows: readonly { units: string }[], at: number) => (at < 0 ? 0 : Number(rows[at]?.units ?? 0))
    const kind = (name: LedgerKind) =>
      of(
        ledger,
        ledger.findIndex(row => row.kind === name),
      )
    const state = (name: ClaimState) =>
      of(
        claims,
        claims.findIndex(row => row.state === name),
      )
    return {
      set: kind('set'),
      sold: kind('sold'),
      refund: kind('refund'),
      heldClaims: state('held'),
      soldClaims: state('sold'),
    }
  },

  async overdue(shard: Database, limit: number): Promise<OverdueClaim[]> {
    const rows = await shard.background<{ item: string; order_id: string; age_us: string }>(SELECT_OVERDUE, [
      String(limit),
    ])
    return rows.map(row => ({ item: row.item, orderId: row.order_id, ageMs: Number(row.age_us) / 1000 }))
  },

  /** By how much the oldest held claim of a shard is overdue, in ms; 0 when none is. */
  async oldestOverdueMs(shard: Database): Promise<number> {
    const [row] = await shard.background<{ age_us: string | null }>(SELECT_OLDEST)
    return Math.max(0, Number(row?.age_us ?? 0) / 1000)
  },

  async *items(shard: Database, rows: number): AsyncGenerator<string> {
    for (let last = ''; ; ) {
      const page = await shard.background<{ item: string }>(SELECT_ITEMS, [last, String(rows)])
      for (const { item } of page) yield item
      const end = page.at(-1)
      if (!end || page.length < rows) return
      last = end.item
    }
  },

  /** Items of a shard whose counters do not add up, and the sums over all. */
  async invariants(
    shard: Database,
    limit: number,
  ): Promise<{ items: number; broken: ({ item: string } & StockLevels)[] } & Counters> {
    const [sums] = await shard.background<Numbers>(SELECT_SUMS)
    const broken = await shard.background<Numbers & { item: string }>(SELECT_BROKEN, [String(limit)])
    return {
      items: Number(sums?.['items'] ?? 0),
      ...countersOf(sums ?? {}),
      broken: broken.map(row => ({ item: row.item, ...termsOf(row), ...countersOf(row) })),
    }
  },

  async claimsOfItem(shard: Database, item: string, after: string, limit: number): Promise<ClaimRow[]> {
    return (await shard.background<ClaimColumns>(SELECT_CLAIMS_OF_ITEM, [item, after, String(limit)])).map(claimOf)
  },
}

type Counters = Pick<StockLevels, 'free' | 'held' | 'sold'>

interface ClaimColumns {
  order_id: string
  user_id: string
  bucket: number
  units: string
  state: ClaimState
}

function claimOf(row: ClaimColumns): ClaimRow {
  return { orderId: row.order_id, userId: row.user_id, bucket: row.bucket, units: Number(row.units), state: row.state }
}

function bucketOf(row: Numbers): BucketRow {
  return { bucket: Number(row['bucket']), ...countersOf(row) }
}

function countersOf(row: Numbers): Counters {
  return { free: Number(row['free'] ?? 0), held: Number(row['held'] ?? 0), sold: Number(row['sold'] ?? 0) }
}

function termsOf(row: Numbers): { units: number; perUserMax: number | undefined } {
  return {
    units: Number(row['units']),
    perUserMax: row['per_user_max'] == null ? undefined : Number(row['per_user_max']),
  }
}

/** As DATETIME(3) takes it. */
function timeText(ms: number): string {
  return new Date(ms).toISOString().slice(0, -1).replace('T', ' ')
}
