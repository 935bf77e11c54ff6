/** Looking after stock: claims that are overdue, and whether counters, claims and ledger agree. */
import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'
import {
  type ClaimColumns,
  claimOf,
  type ClaimRow,
  type Counters,
  countersOf,
  type Numbers,
  type StockLevels,
  termsOf,
} from './stock.ts'

/** A claim whose maker has not finished within its time. */
export interface OverdueClaim {
  readonly item: string
  readonly orderId: string
}

/** Counters, and what claims and ledger say that they must be. */
export interface Sums extends Counters {
  readonly units: number
  readonly claims: { readonly held: number; readonly sold: number }
  readonly ledger: { readonly set: number; readonly refund: number }
}

const MOVE_CLAIMS = statement('UPDATE stock_claims SET bucket = ? WHERE item = ?')
const SELECT_OVERDUE = statement(`
  /* per shard */ SELECT item, order_id FROM stock_claims WHERE state = 'held' AND look_at <= UTC_TIMESTAMP(3) ORDER BY look_at LIMIT ?`)
const SELECT_OLDEST = statement(`
  /* per shard */ SELECT TIMESTAMPDIFF(MICROSECOND, look_at, UTC_TIMESTAMP(3)) AS age_us
  FROM stock_claims WHERE state = 'held' ORDER BY look_at LIMIT 1`)
const SELECT_ITEMS = statement('/* per shard */ SELECT item FROM stock WHERE item > ? ORDER BY item LIMIT ?')
const SELECT_BROKEN = statement(`
  /* per shard */ SELECT s.item, s.units, SUM(b.free) AS free, SUM(b.held) AS held, SUM(b.sold) AS sold
  FROM stock s JOIN stock_buckets b ON b.item = s.item WHERE s.item > ? AND s.item <= ? GROUP BY s.item, s.units
  HAVING s.units <> SUM(b.free) + SUM(b.held) + SUM(b.sold) LIMIT ?`)
const SELECT_SUMS = statement(`
  /* per shard */ SELECT COUNT(DISTINCT item) AS items, SUM(free) AS free, SUM(held) AS held, SUM(sold) AS sold
  FROM stock_buckets WHERE item > ? AND item <= ?`)
const COUNT_ITEMS = statement('/* per shard */ SELECT COUNT(*) AS items FROM stock')
const SELECT_CLAIMS_OF_ITEM = statement(`
  SELECT order_id, user_id, bucket, units, state FROM stock_claims WHERE item = ? AND order_id > ? ORDER BY order_id LIMIT ?`)

const SELECT_SUMS_OF_ITEM = statement(`
  SELECT s.units,
    (SELECT SUM(b.free) FROM stock_buckets b WHERE b.item = s.item) AS free,
    (SELECT SUM(b.held) FROM stock_buckets b WHERE b.item = s.item) AS held,
    (SELECT SUM(b.sold) FROM stock_buckets b WHERE b.item = s.item) AS sold,
    (SELECT SUM(c.units) FROM stock_claims c WHERE c.item = s.item AND c.state = 'held') AS claims_held,
    (SELECT SUM(c.units) FROM stock_claims c WHERE c.item = s.item AND c.state = 'sold') AS claims_sold,
    (SELECT SUM(l.units) FROM stock_ledger l WHERE l.item = s.item AND l.kind = 'set') AS ledger_set,
    (SELECT SUM(l.units) FROM stock_ledger l WHERE l.item = s.item AND l.kind = 'refund') AS ledger_refund
  FROM stock s WHERE s.item = ?`)
const SELECT_CLAIM = statement(
  'SELECT order_id, user_id, bucket, units, state FROM stock_claims WHERE item = ? AND order_id = ?',
)

/** Behind every item: items are ASCII. */
const LAST_ITEM = '\u007f'

export const stockAudit = {
  /** What counters, claims and ledger of an item say, in one snapshot; undefined when there is no such item. */
  async sums(of: Database | Transaction, item: string): Promise<Sums | undefined> {
    const [row] = await of.rows<Numbers>(SELECT_SUMS_OF_ITEM, [item])
    const n = (name: string) => Number(row?.[name] ?? 0)
    return (
      row && {
        units: n('units'),
        ...countersOf(row),
        claims: { held: n('claims_held'), sold: n('claims_sold') },
        ledger: { set: n('ledger_set'), refund: n('ledger_refund') },
      }
    )
  },

  async claimOf(database: Database, item: string, orderId: string): Promise<ClaimRow | undefined> {
    const [row] = await database.rows<ClaimColumns>(SELECT_CLAIM, [item, orderId])
    return row && claimOf(row)
  },

  moveClaims: (tx: Transaction, item: string, bucket: number) => tx.run(MOVE_CLAIMS, [bucket, item]),

  async overdue(shard: Database, limit: number): Promise<OverdueClaim[]> {
    const rows = await shard.background<{ item: string; order_id: string }>(SELECT_OVERDUE, [limitTo(limit)])
    return rows.map(row => ({ item: row.item, orderId: row.order_id }))
  },

  /** By how much the oldest held claim of a shard is overdue, in ms; 0 when none is. */
  async oldestOverdueMs(shard: Database): Promise<number> {
    const [row] = await shard.background<{ age_us: string | null }>(SELECT_OLDEST)
    return Math.max(0, Number(row?.age_us ?? 0) / 1000)
  },

  async *items(shard: Database, rows: number): AsyncGenerator<string> {
    for (let last = ''; ; ) {
      const page = await shard.background<{ item: string }>(SELECT_ITEMS, [last, limitTo(rows)])
      for (const { item } of page) yield item
      const end = page.at(-1)
      if (!end || page.length < rows) return
      last = end.item
    }
  },

  async countItems(shard: Database): Promise<number> {
    const [row] = await shard.background<{ items: string }>(COUNT_ITEMS)
    return Number(row?.items ?? 0)
  },

  /** The last of the `rows` items that follow `after`; undefined where there are fewer. */
  async endOfPage(shard: Database, after: string, rows: number): Promise<string | undefined> {
    return (await shard.background<{ item: string }>(SELECT_ITEMS, [after, limitTo(rows)]))[rows - 1]?.item
  },

  /** Items of a shard, those after `after` up to `until`: whose counters do not add up, and the sums. */
  async invariants(
    shard: Database,
    { after, until }: { readonly after: string; readonly until: string | undefined },
    limit: number,
  ): Promise<{ items: number; broken: ({ item: string } & StockLevels)[] } & Counters> {
    const range = [after, until ?? LAST_ITEM]
    const [sums] = await shard.background<Numbers>(SELECT_SUMS, range)
    const broken = await shard.background<Numbers & { item: string }>(SELECT_BROKEN, [...range, limitTo(limit)])
    return {
      items: Number(sums?.['items'] ?? 0),
      ...countersOf(sums ?? {}),
      broken: broken.map(row => ({ item: row.item, ...termsOf(row), ...countersOf(row) })),
    }
  },

  async claimsOfItem(shard: Database, item: string, after: string, limit: number): Promise<ClaimRow[]> {
    return (await shard.background<ClaimColumns>(SELECT_CLAIMS_OF_ITEM, [item, after, limitTo(limit)])).map(claimOf)
  },
}
