import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'
import { isoTime, sqlTime } from './time.ts'

/**
 * Orders, in the buyer's shard. The order's row is where a purchase is decided: what it says is so, and claims of stock follow
 * (orders/place-order.ts). `void` marks an order that must never come to be: the process that was making it was given up.
 */
export type OrderState = 'pending' | 'confirmed' | 'cancelled' | 'failed' | 'expired' | 'void'

export interface OrderRow {
  readonly orderId: string
  readonly userId: string
  readonly state: OrderState
  readonly fingerprint: string
  readonly cartVersion: number | undefined
  readonly total: number
  /** JSON: what was ordered, at which prices (model/order.ts). */
  readonly document: string
  readonly createdAt: string
  readonly expiresAt: string | undefined
  /** A pending order whose time is over; by the server's clock. */
  readonly isOver: boolean
}

export interface RefundRow {
  readonly userId: string
  readonly orderId: string
  readonly refundId: string
  readonly state: 'pending' | 'done'
  readonly document: string
}

const COLUMNS = `user_id, order_id, state, fingerprint, cart_version, total, document, created_at, expires_at,
  expires_at <= UTC_TIMESTAMP(3) AS is_over`
const INSERT_ORDER = statement(`
  INSERT INTO orders (user_id, order_id, slot, state, idempotency_key, fingerprint, cart_version, total, document,
    created_at, changed_at, expires_at, settled)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? SECOND, 1)`)
const SELECT_ORDER = statement(`SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND order_id = ?`)
const SELECT_ORDER_LOCKED = statement(`SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND order_id = ? FOR UPDATE`)
const SELECT_BY_KEY = statement(`SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND idempotency_key = ?`)
const SELECT_VOID = statement("SELECT order_id FROM orders WHERE user_id = ? AND order_id IN (?) AND state = 'void'")
const SELECT_PENDING = statement(`
  SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND state = 'pending' AND expires_at > UTC_TIMESTAMP(3)
  ORDER BY created_at LIMIT ?`)
const COUNT_PENDING = statement(
  "SELECT COUNT(*) AS pending FROM orders WHERE user_id = ? AND state = 'pending' AND expires_at > UTC_TIMESTAMP(3)",
)
const CHANGE_STATE = statement(
  'UPDATE orders SET state = ?, settled = 0, changed_at = UTC_TIMESTAMP(3) WHERE user_id = ? AND order_id = ? AND state = ?',
)
const CONFIRM_ORDER = statement(`
  UPDATE orders SET state = 'confirmed', settled = 0, changed_at = UTC_TIMESTAMP(3)
  WHERE user_id = ? AND order_id = ? AND state = 'pending' AND expires_at > UTC_TIMESTAMP(3)`)
const MARK_SETTLED = statement('UPDATE orders SET settled = 1 WHERE user_id = ? AND order_id = ? AND state = ?')
const PUT_OFF = statement('UPDATE orders SET changed_at = UTC_TIMESTAMP(3) WHERE user_id = ? AND order_id = ?')
const LIST = statement(`
  SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND state <> 'void' ORDER BY created_at DESC, order_id DESC LIMIT ?`)
const LIST_AFTER = statement(`
  SELECT ${COLUMNS} FROM orders WHERE user_id = ? AND state <> 'void'
    AND created_at <= ? AND (created_at < ? OR order_id < ?) ORDER BY created_at DESC, order_id DESC LIMIT ?`)
const INSERT_REFUND = statement(`
  INSERT INTO refunds (user_id, order_id, refund_id, slot, state, document, created_at)
  VALUES (?, ?, ?, ?, 'pending', ?, UTC_TIMESTAMP(3))`)
const SELECT_REFUNDS = statement(`
  SELECT user_id, order_id, refund_id, state, document FROM refunds WHERE user_id = ? AND order_id = ? ORDER BY created_at`)
const FINISH_REFUND = statement(
  "UPDATE refunds SET state = 'done' WHERE user_id = ? AND order_id = ? AND refund_id = ?",
)
const SELECT_CART_VERSION = statement('SELECT version FROM carts WHERE user_id = ? FOR UPDATE')

const SELECT_OVER = statement(`
  /* per shard */ SELECT ${COLUMNS} FROM orders WHERE state = 'pending' AND expires_at <= UTC_TIMESTAMP(3)
  ORDER BY expires_at LIMIT ?`)
const SELECT_UNSETTLED = statement(`
  /* per shard */ SELECT ${COLUMNS} FROM orders WHERE settled = 0 AND changed_at < UTC_TIMESTAMP(3) - INTERVAL 2 SECOND
  ORDER BY changed_at LIMIT ?`)
const SELECT_CONFIRMED = statement(`
  /* per shard */ SELECT ${COLUMNS} FROM orders WHERE user_id >= ? AND (user_id > ? OR order_id > ?) AND state = 'confirmed'
  ORDER BY user_id, order_id LIMIT ?`)
const SELECT_OPEN_REFUNDS = statement(`
  /* per shard */ SELECT user_id, order_id, refund_id, state, document, created_at FROM refunds
  WHERE state = 'pending' AND created_at >= ? AND (created_at > ? OR refund_id > ?)
    AND created_at < UTC_TIMESTAMP(3) - INTERVAL 2 SECOND
  ORDER BY created_at, refund_id LIMIT ?`)
const SELECT_OLDEST_OVER = statement(`
  /* per shard */ SELECT TIMESTAMPDIFF(MICROSECOND, expires_at, UTC_TIMESTAMP(3)) AS age_us
  FROM orders WHERE state = 'pending' ORDER BY expires_at LIMIT 1`)
const TAKE_LEASE = statement(`
  INSERT INTO leases (name, holder, held_until) VALUES (?, ?, UTC_TIMESTAMP(3) + INTERVAL ? SECOND)
  ON DUPLICATE KEY UPDATE
    holder = IF(held_until < UTC_TIMESTAMP(3), VALUES(holder), holder),
    held_until = IF(holder = VALUES(holder), VALUES(held_until), held_until)`)
const SELECT_LEASE = statement('SELECT holder FROM leases WHERE name = ? AND held_until > UTC_TIMESTAMP(3)')

/** A place in a list by time of creation. */
export interface Place {
  readonly createdAt: string
  readonly id: string
}
const FIRST: Place = { createdAt: '1970-01-01 00:00:00.000', id: '' }

export const orderRows = {
  /** @throws DuplicateKeyError when the order was made, or given up, or its key was used */
  async insert(
    tx: Transaction,
    slot: number,
    order: {
      userId: string
      orderId: string
      state: OrderState
      key?: string | undefined
      fingerprint: string
      cartVersion?: number | undefined
      total: number
      document: string
      expiresInS?: number | undefined
    },
  ): Promise<void> {
    const { userId, orderId, state, key, fingerprint, cartVersion, total, document, expiresInS } = order
    const values = [state, key ?? null, fingerprint, cartVersion ?? null, total, document, expiresInS ?? null]
    await tx.run(INSERT_ORDER, [userId, orderId, slot, ...values])
  },

  /** From here on the order cannot be made. @throws DuplicateKeyError as `insert` */
  insertVoid: (tx: Transaction, slot: number, userId: string, orderId: string): Promise<void> =>
    orderRows.insert(tx, slot, { userId, orderId, state: 'void', fingerprint: '', total: 0, document: '{}' }),

  async find(database: Database, userId: string, orderId: string): Promise<OrderRow | undefined> {
    return orderOf(await database.rows<OrderColumns>(SELECT_ORDER, [userId, orderId]))
  },

  async findLocked(tx: Transaction, userId: string, orderId: string): Promise<OrderRow | undefined> {
    return orderOf(await tx.rows<OrderColumns>(SELECT_ORDER_LOCKED, [userId, orderId]))
  },

  async findByKey(database: Database, userId: string, key: string): Promise<OrderRow | undefined> {
    return orderOf(await database.rows<OrderColumns>(SELECT_BY_KEY, [userId, key]))
  },

  /** Which of some orders must never come to be. */
  async voidOf(database: Database, userId: string, orderIds: readonly string[]): Promise<Set<string>> {
    const rows = await database.rows<{ order_id: string }>(SELECT_VOID, [userId, [...orderIds]])
    return new Set(rows.map(row => row.order_id))
  },

  /** Locks the cart, under which every pending order is made; its version, and how many orders wait for their payment. */
  async lockCart(tx: Transaction, userId: string): Promise<{ version: number; pending: number }> {
    const [cart] = await tx.rows<{ version: string }>(SELECT_CART_VERSION, [userId])
    const [orders] = await tx.rows<{ pending: string | number }>(COUNT_PENDING, [userId])
    return { version: Number(cart?.version ?? -1), pending: Number(orders?.pending ?? 0) }
  },

  /** Orders that wait for their payment, the oldest first. */
  async pending(database: Database, userId: string, limit: number): Promise<OrderRow[]> {
    return (await database.rows<OrderColumns>(SELECT_PENDING, [userId, limitTo(limit)])).map(rowOf)
  },

  /** Compare-and-set on the state. */
  async changeState(
    tx: Transaction,
    userId: string,
    orderId: string,
    from: OrderState,
    to: OrderState,
  ): Promise<boolean> {
    return (await tx.run(CHANGE_STATE, [to, userId, orderId, from])) === 1
  },

  /** Confirms a pending order within its time. */
  async confirm(tx: Transaction, userId: string, orderId: string): Promise<boolean> {
    return (await tx.run(CONFIRM_ORDER, [userId, orderId])) === 1
  },

  /** Newest first. */
  async list(
    database: Database,
    userId: string,
    after: { createdAt: string; orderId: string } | undefined,
    limit: number,
  ): Promise<OrderRow[]> {
    const time = after && sqlTime(after.createdAt)
    const rows = after
      ? await database.rows<OrderColumns>(LIST_AFTER, [userId, time, time, after.orderId, limitTo(limit)])
      : await database.rows<OrderColumns>(LIST, [userId, limitTo(limit)])
    return rows.map(rowOf)
  },

  /** Under the order's lock, after looking that there is none of that id. */
  async insertRefund(tx: Transaction, slot: number, refund: Omit<RefundRow, 'state'>): Promise<void> {
    await tx.run(INSERT_REFUND, [refund.userId, refund.orderId, refund.refundId, slot, refund.document])
  },

  async refunds(of: Database | Transaction, userId: string, orderId: string): Promise<RefundRow[]> {
    return (await of.rows<RefundColumns>(SELECT_REFUNDS, [userId, orderId])).map(refundOf)
  },

  async finishRefund(database: Database, userId: string, orderId: string, refundId: string): Promise<void> {
    await database.run(FINISH_REFUND, [userId, orderId, refundId])
  },

  async over(shard: Database, limit: number): Promise<OrderRow[]> {
    return (await shard.background<OrderColumns>(SELECT_OVER, [limitTo(limit)])).map(rowOf)
  },

  /** Decided some time ago, and stock has not followed as far as is known. */
  async unsettled(shard: Database, limit: number): Promise<OrderRow[]> {
    return (await shard.background<OrderColumns>(SELECT_UNSETTLED, [limitTo(limit)])).map(rowOf)
  },

  /** To be looked at again, but not before others. */
  async putOff(database: Database, { userId, orderId }: OrderRow): Promise<void> {
    await database.background(PUT_OFF, [userId, orderId])
  },

  /** Stock has followed what the order says. */
  async markSettled(database: Database, { userId, orderId, state }: OrderRow): Promise<void> {
    await database.run(MARK_SETTLED, [userId, orderId, state])
  },

  /** All confirmed orders of a shard, a page at a time. */
  async *confirmed(shard: Database, rows: number): AsyncGenerator<OrderRow[]> {
    let last = { userId: '0', orderId: '' }
    for (;;) {
      const values = [last.userId, last.userId, last.orderId, limitTo(rows)]
      const page = (await shard.background<OrderColumns>(SELECT_CONFIRMED, values)).map(rowOf)
      if (page.length > 0) yield page
      const end = page.at(-1)
      if (!end || page.length < rows) return
      last = end
    }
  },

  /** Refunds whose units are not back yet, a page after `after`; `next` is undefined at the end. */
  async openRefunds(
    shard: Database,
    limit: number,
    after: Place = FIRST,
  ): Promise<{ refunds: RefundRow[]; next?: Place }> {
    const rows = await shard.background<RefundColumns & { created_at: string }>(SELECT_OPEN_REFUNDS, [
      after.createdAt,
      after.createdAt,
      after.id,
      limitTo(limit),
    ])
    const last = rows.at(-1)
    const isEnd = !last || rows.length < limit
    return {
      refunds: rows.map(refundOf),
      ...(isEnd ? {} : { next: { createdAt: last.created_at, id: last.refund_id } }),
    }
  },

  /** By how much the oldest pending order of a shard is past its time, in ms. */
  async oldestOverMs(shard: Database): Promise<number> {
    const [row] = await shard.background<{ age_us: string | null }>(SELECT_OLDEST_OVER)
    return Math.max(0, Number(row?.age_us ?? 0) / 1000)
  },

  /** Takes or keeps a lease by the server's clock. It saves work and decides nothing: two holders would do no harm. */
  async lease(shard: Database, name: string, holder: string, seconds: number): Promise<boolean> {
    await shard.background(TAKE_LEASE, [name, holder, seconds])
    const [row] = await shard.background<{ holder: string }>(SELECT_LEASE, [name])
    return row?.holder === holder
  },
}

interface OrderColumns {
  user_id: string
  order_id: string
  state: OrderState
  fingerprint: string
  cart_version: string | null
  total: string
  document: string
  created_at: string
  expires_at: string | null
  is_over: string | number | null
}

interface RefundColumns {
  user_id: string
  order_id: string
  refund_id: string
  state: RefundRow['state']
  document: string
}

function orderOf(rows: readonly OrderColumns[]): OrderRow | undefined {
  return rows[0] && rowOf(rows[0])
}

function rowOf(row: OrderColumns): OrderRow {
  return {
    orderId: row.order_id,
    userId: row.user_id,
    state: row.state,
    fingerprint: row.fingerprint,
    cartVersion: row.cart_version === null ? undefined : Number(row.cart_version),
    total: Number(row.total),
    document: row.document,
    createdAt: isoTime(row.created_at),
    expiresAt: row.expires_at === null ? undefined : isoTime(row.expires_at),
    isOver: Number(row.is_over ?? 0) === 1,
  }
}

function refundOf(row: RefundColumns): RefundRow {
  return {
    userId: row.user_id,
    orderId: row.order_id,
    refundId: row.refund_id,
    state: row.state,
    document: row.document,
  }
}
