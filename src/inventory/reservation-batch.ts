import type { Transaction } from '../store/database.ts'
import { type BucketChange, type ClaimRow, type StockHead, stockRows } from '../store/stock.ts'

/**
 * What orders do to one item, many of them in one transaction: this is how a single hot row serves thousands of buyers. The
 * operations of one batch are merged into one net change of the counters; each gets its own answer.
 *
 * Two ways. *Fast*: insert the claims, then take all units from one bucket with one conditional UPDATE, last before COMMIT, so that
 * the hot row is locked for the length of a commit and no longer. *Exact*: lock all buckets first, decide in the order of
 * arrival who still gets units, and bring units over from other buckets. Fast gives way to exact when its bucket has too few.
 *
 * An order has one claim on an item, whichever process makes it: the primary key is (item, order). Only the process that made all its claims may go on
 * to make the order; others find them present and leave them alone.
 */
export type Operation =
  | {
      readonly kind: 'hold'
      readonly orderId: string
      readonly userId: string
      readonly units: number
      readonly lookMs: number
    }
  /** Held units become sold. */
  | { readonly kind: 'sell'; readonly orderId: string }
  /** Held units become free. */
  | { readonly kind: 'free'; readonly orderId: string }
  /** Sold units become free again, once for each refund. */
  | { readonly kind: 'refund'; readonly orderId: string; readonly refundId: string; readonly units: number }

export type Outcome =
  | { readonly is: 'done' }
  /** Another process has made this claim: it makes the same order, or did when it died. */
  | { readonly is: 'present' }
  /** There is no such claim (any more). */
  | { readonly is: 'missing' }
  | { readonly is: 'short'; readonly left: number }
  | { readonly is: 'limit'; readonly max: number }
  | { readonly is: 'unknown-item' }

export interface Batch {
  readonly item: string
  readonly slot: number
  /** The bucket that this instance takes from. */
  readonly bucket: number
  readonly operations: readonly Operation[]
  readonly exact: boolean
  /** Look for claims of the same orders first, rather than find out when inserting: always when exact, or after that went wrong once. */
  readonly careful: boolean
}

/** The fast way found too few units in its bucket: nothing was done. */
export class InsufficientBucket extends Error {}
/** Something about the same buyer or order is there already: to be done again, carefully. */
export class DuplicateBuyer extends Error {}

const DONE: Outcome = { is: 'done' }
const MISSING: Outcome = { is: 'missing' }

/** @throws InsufficientBucket, DuplicateBuyer, DuplicateKeyError for a claim that is there already, and what the database throws; then nothing was done */
export async function applyBatch(
  tx: Transaction,
  batch: Batch,
): Promise<{ outcomes: Outcome[]; left: number | undefined }> {
  const { item, operations, exact } = batch
  const head = await stockRows.head(tx, item)
  if (!head) return { outcomes: operations.map(() => ({ is: 'unknown-item' })), left: undefined }
  const buckets = exact ? await stockRows.lockBuckets(tx, item) : undefined
  const looked = operations.filter(operation => operation.kind !== 'hold' || batch.careful)
  const orderIds = [...new Set(looked.map(operation => operation.orderId))].sort()
  const rows = orderIds.length > 0 ? await stockRows.claims(tx, item, orderIds) : []
  const claims = new Map(rows.map(claim => [claim.orderId, claim]))
  const own = batch.bucket % head.buckets
  const changes = createChanges()
  const outcomes = new Map<Operation, Outcome>()

  await applyEndings(tx, { ...batch, head, claims, changes, outcomes })

  // What was freed just now can be had just now.
  const freed = changes.list().reduce((sum, change) => sum + change.free, 0)
  const left = buckets && buckets.reduce((sum, bucket) => sum + bucket.free, freed)
  const granted = await grant(tx, { ...batch, head, claims, outcomes, left: left ?? Number.POSITIVE_INFINITY })
  const units = granted.reduce((sum, hold) => sum + hold.units, 0)
  if (granted.length > 0) {
    const made = granted.map(hold => ({ ...hold, bucket: own }))
    await stockRows.insertClaims(tx, item, batch.slot, head.nowMs, made)
    changes.add({ bucket: own, free: -units, held: units, sold: 0 })
  }
  if (buckets) bringOver(buckets, own, changes)
  for (const change of changes.list()) {
    if (!(await stockRows.changeBucket(tx, item, change))) throw new InsufficientBucket(item)
  }
  const result = operations.map(operation => outcomes.get(operation) ?? DONE)
  return { outcomes: result, left: left === undefined ? undefined : left - units }
}

interface Work extends Batch {
  readonly head: StockHead
  readonly claims: ReadonlyMap<string, ClaimRow>
  readonly outcomes: Map<Operation, Outcome>
}

/** Sales, releases and refunds. */
async function applyEndings(tx: Transaction, work: Work & { changes: Changes }): Promise<void> {
  const { item, claims, changes, outcomes } = work
  const sold: ClaimRow[] = []
  const freed: ClaimRow[] = []
  const ended = new Set<string>()
  for (const operation of work.operations) {
    if (operation.kind === 'hold') continue
    const claim = claims.get(operation.orderId)
    if (operation.kind === 'refund') {
      outcomes.set(operation, claim?.state === 'sold' ? await refund(tx, work, operation, claim) : MISSING)
      continue
    }
    const isSold = claim?.state === 'sold'
    if (!claim || (operation.kind === 'free' && isSold)) outcomes.set(operation, MISSING)
    if (!claim || isSold || ended.has(claim.orderId)) continue
    ended.add(claim.orderId)
    if (operation.kind === 'sell') sold.push(claim)
    else freed.push(claim)
  }
  const idsOf = (rows: readonly ClaimRow[]) => rows.map(claim => claim.orderId)
  if (sold.length > 0) {
    await stockRows.sellClaims(tx, item, idsOf(sold))
    for (const { bucket, units } of sold) changes.add({ bucket, free: 0, held: -units, sold: units })
  }
  if (freed.length > 0) {
    await stockRows.deleteClaims(tx, item, idsOf(freed))
    for (const { bucket, units, userId } of freed) {
      changes.add({ bucket, free: units, held: -units, sold: 0 })
      await stockRows.takeFromBuyer(tx, item, userId, units)
    }
  }
}

async function refund(
  tx: Transaction,
  { item, slot, head, changes }: Work & { changes: Changes },
  { orderId, refundId, units }: Operation & { kind: 'refund' },
  claim: ClaimRow,
): Promise<Outcome> {
  const entry = `refund:${orderId}:${refundId}`
  if (await stockRows.hasEntry(tx, item, entry)) return DONE
  await stockRows.addLedger(tx, item, slot, head.nowMs, [{ entry, kind: 'refund', units }])
  changes.add({ bucket: claim.bucket, free: units, held: 0, sold: -units })
  await stockRows.takeFromBuyer(tx, item, claim.userId, units)
  return DONE
}

type Hold = Operation & { kind: 'hold' }

/** Allocates units in the order of arrival, and counts them to their buyers. */
async function grant(tx: Transaction, work: Work & { left: number }): Promise<Hold[]> {
  const { item, slot, head, claims, outcomes } = work
  const ended = new Set(work.operations.flatMap(({ kind, orderId }) => (kind === 'hold' ? [] : [orderId])))
  const seen = new Set<string>()
  const holds = work.operations.filter((operation): operation is Hold => {
    if (operation.kind !== 'hold') return false
    const { orderId } = operation
    const isNew = !claims.has(orderId) && !ended.has(orderId) && !seen.has(orderId)
    seen.add(orderId)
    if (!isNew) outcomes.set(operation, { is: 'present' })
    return isNew
  })
  if (holds.length === 0) return []
  const max = head.perUserMax
  const users = [...new Set(holds.map(hold => hold.userId))].sort()
  const had = max === undefined ? new Map<string, number>() : await stockRows.buyers(tx, item, users)
  const more = new Map<string, number>()
  let { left } = work
  const granted = holds.filter(hold => {
    const { userId, units } = hold
    const added = more.get(userId) ?? 0
    if (max !== undefined && (had.get(userId) ?? 0) + added + units > max) {
      // A retry must not be refused because of its own claim: look for it first.
      if (!work.careful) throw new DuplicateBuyer(item)
      outcomes.set(hold, { is: 'limit', max })
      return false
    }
    if (units > left) {
      outcomes.set(hold, { is: 'short', left })
      return false
    }
    left -= units
    more.set(userId, added + units)
    return true
  })
  // Counted also while there is no limit: there may be one later.
  if (more.size > 0) {
    const known = [...more.keys()].filter(userId => had.has(userId)).length
    const { present } = await stockRows.addBuyers(tx, item, slot, more)
    if (max !== undefined && present > known) throw new DuplicateBuyer(item)
  }
  return granted
}

/** In the exact way: units of other buckets come over when the own has too few. */
function bringOver(buckets: readonly { bucket: number; free: number }[], own: number, changes: Changes): void {
  const free = new Map(buckets.map(({ bucket, free: units }) => [bucket, units]))
  for (const change of changes.list()) free.set(change.bucket, (free.get(change.bucket) ?? 0) + change.free)
  for (const [bucket, units] of free) {
    const missing = -(free.get(own) ?? 0)
    if (missing <= 0) return
    const moved = Math.min(missing, units)
    if (bucket === own || moved <= 0) continue
    changes.add({ bucket, free: -moved, held: 0, sold: 0 })
    changes.add({ bucket: own, free: moved, held: 0, sold: 0 })
    free.set(own, (free.get(own) ?? 0) + moved)
  }
}

type Changes = ReturnType<typeof createChanges>

/** The net change of each bucket, in the order in which buckets are always locked. */
function createChanges() {
  const byBucket = new Map<number, BucketChange>()
  return {
    add({ bucket, free, held, sold }: BucketChange): void {
      const { free: f, held: h, sold: s } = byBucket.get(bucket) ?? { free: 0, held: 0, sold: 0 }
      byBucket.set(bucket, { bucket, free: f + free, held: h + held, sold: s + sold })
    },
    list: (): BucketChange[] =>
      [...byBucket.values()]
        .filter(c => c.free !== 0 || c.held !== 0 || c.sold !== 0)
        .sort((a, b) => a.bucket - b.bucket),
  }
}
