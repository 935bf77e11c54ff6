import type { CartLine, LineDifference, Lines } from '../model/cart.ts'
import type { MergedLine } from '../model/merge.ts'
import { type Database, NOW, type Outcome, type Statement, type Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'

/** The rows of carts. A cart's row exists as long as its owner, so there is always a row to lock. */

export interface StoredCart {
  readonly version: number
  /** The catalogue version that the cart's totals were last calculated with. */
  readonly catalogVersion: number
  /** Digest of what the cart showed at this version; a different one at the same version would break the ETag. */
  readonly digest: string
  /** Set when a guest's cart has been handed to a user at login; such a cart changes no more. */
  readonly mergedInto: string | undefined
  readonly lines: Lines
  /** Promotion codes, in the order of entry. */
  readonly codes: readonly string[]
  /** What promotions may ask for: `guest` or `member`. */
  readonly buyerGroup: string
  readonly ordersPlaced: number
  /** How often the buyer has used promotions that count it, by promotion. */
  readonly uses: Readonly<Record<string, number>>
  /** What the rules were when totals were last calculated (pricing/price.ts). */
  readonly rulesStamp: number
  /** The last totals that were calculated, as JSON; empty before the first. */
  readonly totals: string
  /** When that was, in ms since 1970. */
  readonly pricedAtMs: number
}

/** The digest of a cart whose lines have changed since its totals were last calculated. */
export const UNPRICED = 'unpriced'

interface CartRow {
  version: string
  catalog_version: string
  digest: string
  merged_into: string | null
  codes: string
  buyer_group: string
  rules_stamp: string
  totals: string
  priced_at: string
  orders_placed: number
  promotion_uses: string | null
  sku: string | null
  position: number
  quantity: number
  selected: number
  note: string
  left_units: string | null
}

const CART_COLUMNS = `c.version, c.catalog_version, c.digest, c.merged_into, c.codes, c.buyer_group, c.rules_stamp,
  c.totals, c.priced_at, c.orders_placed, c.promotion_uses, l.sku, l.position, l.quantity, l.selected, l.note, l.left_units
  FROM carts c LEFT JOIN cart_lines l ON l.user_id = c.user_id WHERE c.user_id = ?`
const SELECT_CART = statement(`SELECT ${CART_COLUMNS}`)
const SELECT_CART_SHARED = statement(`SELECT ${CART_COLUMNS} LOCK IN SHARE MODE`)
const SELECT_CART_LOCKED = statement(`SELECT ${CART_COLUMNS} FOR UPDATE`)

const INSERT_CART = statement(`
  INSERT INTO carts (user_id, slot, version, catalog_version, digest, merged_into, changed_at, buyer_group)
  VALUES (?, ?, 0, 0, '', NULL, UTC_TIMESTAMP(3), ?)`)

const UPDATE_CART = statement(`
  UPDATE carts SET version = ?, catalog_version = ?, digest = ?, codes = ?, rules_stamp = ?, totals = ?, priced_at = ?,
    orders_placed = ?, promotion_uses = ?, changed_at = UTC_TIMESTAMP(3)
  WHERE user_id = ? AND version = ? AND merged_into IS NULL`)

/**
 * The rows exist. One that does not stand one version below makes the whole statement fail: its version would be more than a number can be,
 * which is an error in every sql_mode (below zero is not).
 */
const ADVANCE_CARTS = statement(`
  INSERT INTO carts (user_id, slot, version, catalog_version, digest, codes, rules_stamp, totals, priced_at,
    orders_placed, promotion_uses, buyer_group, changed_at) VALUES ?
  ON DUPLICATE KEY UPDATE catalog_version = VALUES(catalog_version), digest = VALUES(digest), codes = VALUES(codes),
    rules_stamp = VALUES(rules_stamp), totals = VALUES(totals), priced_at = VALUES(priced_at),
    orders_placed = VALUES(orders_placed), promotion_uses = VALUES(promotion_uses), changed_at = VALUES(changed_at),
    version = IF(version + 1 = VALUES(version) AND merged_into IS NULL, VALUES(version), version + 1 + ~0)`)

const HAND_OVER_CART = statement(`
  UPDATE carts SET merged_into = ?, version = version + 1, changed_at = UTC_TIMESTAMP(3)
  WHERE user_id = ? AND merged_into IS NULL`)

const UPSERT_LINE = statement(`
  INSERT INTO cart_lines (user_id, sku, slot, position, quantity, selected, note, left_units) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON DUPLICATE KEY UPDATE position = VALUES(position), quantity = VALUES(quantity), selected = VALUES(selected),
    note = VALUES(note), left_units = VALUES(left_units)`)

const UPSERT_LINES = statement(`
  INSERT INTO cart_lines (user_id, sku, slot, position, quantity, selected, note, left_units) VALUES ?
  ON DUPLICATE KEY UPDATE position = VALUES(position), quantity = VALUES(quantity), selected = VALUES(selected),
    note = VALUES(note), left_units = VALUES(left_units)`)

const DELETE_LINES = statement('DELETE FROM cart_lines WHERE user_id = ? AND sku IN (?)')

const INSERT_MERGE = statement(`
  INSERT INTO cart_merges (user_id, guest_id, slot, changes, left_out, merged_at, undone_at)
  VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), NULL)`)

const SELECT_MERGE = statement('SELECT guest_id FROM cart_merges WHERE user_id = ? AND guest_id = ?')

const SELECT_MERGED_GUEST = statement(
  'SELECT guest_id FROM cart_merges WHERE user_id = ? AND guest_id = ? AND undone_at IS NULL',
)
const LIST_MERGED_GUESTS = statement(
  'SELECT guest_id FROM cart_merges WHERE user_id = ? AND undone_at IS NULL ORDER BY merged_at DESC LIMIT ?',
)
const SELECT_LATEST_MERGE = statement(`
  SELECT guest_id, changes FROM cart_merges
  WHERE user_id = ? AND undone_at IS NULL AND merged_at > UTC_TIMESTAMP(3) - INTERVAL ? HOUR
  ORDER BY merged_at DESC LIMIT 1`)

const MARK_MERGE_UNDONE = statement(
  'UPDATE cart_merges SET undone_at = UTC_TIMESTAMP(3) WHERE user_id = ? AND guest_id = ? AND undone_at IS NULL',
)

/** What a change writes into the cart's row. */
export type CartState = Omit<StoredCart, 'mergedInto' | 'lines' | 'buyerGroup'>

export const cartRows = {
  /** Whether a guest's cart went to this user, and was not taken back. */
  async isGuestOf(database: Database, userId: string, guestId: string): Promise<boolean> {
    return (await database.rows(SELECT_MERGED_GUEST, [userId, guestId])).length > 0
  },

  /** The guests whose carts went to this user, the newest first. */
  async mergedGuests(database: Database, userId: string, limit: number): Promise<string[]> {
    const rows = await database.rows<{ guest_id: string | number }>(LIST_MERGED_GUESTS, [userId, limitTo(limit)])
    return rows.map(row => String(row.guest_id))
  },

  /** The cart as last committed, or undefined when there is no such owner. One statement, so never half a change. */
  async load(database: Database, userId: string): Promise<StoredCart | undefined> {
    return cartOf(await database.rows<CartRow>(SELECT_CART, [userId]))
  },

  /** The same under a share lock: no writer is between its lock and its commit while the transaction is open. */
  async loadShared(tx: Transaction, userId: string): Promise<StoredCart | undefined> {
    return cartOf(await tx.rows<CartRow>(SELECT_CART_SHARED, [userId]))
  },

  async loadLocked(tx: Transaction, userId: string): Promise<StoredCart | undefined> {
    return cartOf(await tx.rows<CartRow>(SELECT_CART_LOCKED, [userId]))
  },

  async insert(tx: Transaction, userId: string, slot: number, buyerGroup: 'guest' | 'member'): Promise<void> {
    await tx.run(INSERT_CART, [userId, slot, buyerGroup])
  },

  /** Compare-and-set on the version; takes the row's lock. False when the cart has moved on. */
  async advance(tx: Transaction, userId: string, fromVersion: number, to: CartState): Promise<boolean> {
    return (await tx.run(UPDATE_CART, [...valuesOf(to), userId, fromVersion])) === 1
  },

  /** The same for many carts, each from the version below; fails when one has moved on. Takes the locks in the order of the rows. */
  advanceMany(carts: readonly { userId: string; slot: number; buyerGroup: string; to: CartState }[]): Statement {
    const rows = carts.map(({ userId, slot, buyerGroup, to }) => [userId, slot, ...valuesOf(to), buyerGroup, NOW])
    return { sql: ADVANCE_CARTS, values: [rows] }
  },

  /** Whether all of them were there; if not, the transaction must be rolled back. */
  haveAdvanced(outcome: Outcome | undefined, carts: number): boolean {
    // The server counts 2 for a row that it changed, 1 for one that was not there.
    return outcome?.affected === 2 * carts
  },

  async writeLines(tx: Transaction, userId: string, slot: number, change: LineDifference): Promise<void> {
    const rows = rowsOf(userId, slot, change)
    if (rows.length === 1) await tx.run(UPSERT_LINE, rows[0])
    else if (rows.length > 1) await tx.run(UPSERT_LINES, [rows])
    if (change.removals.length > 0) await tx.run(DELETE_LINES, [userId, [...change.removals]])
  },

  writeLinesOfMany(carts: readonly { userId: string; slot: number; difference: LineDifference }[]): Statement[] {
    const rows = carts.flatMap(({ userId, slot, difference }) => rowsOf(userId, slot, difference))
    const removals = carts.flatMap(({ userId, difference }) =>
      difference.removals.length === 0 ? [] : [{ sql: DELETE_LINES, values: [userId, [...difference.removals]] }],
    )
    return [...(rows.length === 0 ? [] : [{ sql: UPSERT_LINES, values: [rows] }]), ...removals]
  },

  /** Freezes a guest's cart for the user it goes to. False when it was frozen already. */
  async mergeGuestCart(tx: Transaction, guestId: string, userId: string): Promise<boolean> {
    return (await tx.run(HAND_OVER_CART, [userId, guestId])) === 1
  },

  async insertMerge(
    tx: Transaction,
    merge: {
      userId: string
      guestId: string
      slot: number
      changes: readonly MergedLine[]
      leftOut: readonly CartLine[]
    },
  ): Promise<void> {
    const { userId, guestId, slot, changes, leftOut } = merge
    await tx.run(INSERT_MERGE, [userId, guestId, slot, JSON.stringify(changes), JSON.stringify(leftOut)])
  },

  /** True after a merge of this guest into this user, also one that was undone; `isGuestOf` leaves those out. */
  async isMerged(database: Database, userId: string, guestId: string): Promise<boolean> {
    return (await database.rows(SELECT_MERGE, [userId, guestId])).length > 0
  },

  /** The newest merge that can still be undone. */
  async latestMerge(
    database: Database,
    userId: string,
    undoHours: number,
  ): Promise<{ guestId: string; changes: readonly MergedLine[] } | undefined> {
    const [row] = await database.rows<{ guest_id: string; changes: string }>(SELECT_LATEST_MERGE, [userId, undoHours])
    return row && { guestId: row.guest_id, changes: JSON.parse(row.changes) as MergedLine[] }
  },

  async markMergeUndone(tx: Transaction, userId: string, guestId: string): Promise<boolean> {
    return (await tx.run(MARK_MERGE_UNDONE, [userId, guestId])) === 1
  },
}

function valuesOf(to: CartState): (string | number)[] {
  const { version, catalogVersion, digest, codes, rulesStamp, totals, pricedAtMs, ordersPlaced, uses } = to
  const priced = [version, catalogVersion, digest, JSON.stringify(codes), rulesStamp, totals, pricedAtMs]
  return [...priced, ordersPlaced, JSON.stringify(uses)]
}

function rowsOf(userId: string, slot: number, { upserts }: LineDifference): (string | number | null)[][] {
  return upserts.map(l => {
    return [userId, l.sku, slot, l.position, l.quantity, l.selected ? 1 : 0, l.note, l.left ?? null]
  })
}

function cartOf(rows: readonly CartRow[]): StoredCart | undefined {
  const [first] = rows
  if (!first) return undefined
  const lines: CartLine[] = []
  for (const { sku, quantity, selected, note, position, left_units } of rows) {
    if (sku === null) continue
    const line = { sku, quantity, selected: selected === 1, note, position }
    lines.push(left_units === null ? line : { ...line, left: Number(left_units) })
  }
  return {
    version: Number(first.version),
    catalogVersion: Number(first.catalog_version),
    digest: first.digest,
    mergedInto: first.merged_into ?? undefined,
    codes: JSON.parse(first.codes) as string[],
    buyerGroup: first.buyer_group,
    rulesStamp: Number(first.rules_stamp),
    totals: first.totals,
    pricedAtMs: Number(first.priced_at),
    ordersPlaced: first.orders_placed,
    uses: JSON.parse(first.promotion_uses ?? '{}') as Record<string, number>,
    lines: lines.sort((a, b) => a.position - b.position),
  }
}
