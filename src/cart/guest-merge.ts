import { AppError } from '../lib/errors.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import { addPurchases } from '../model/order.ts'
import { type MergeRule, mergeCodes, mergeLines, undoMerge } from '../model/merge.ts'
import type { CartCache } from '../cache/cart-cache.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { DuplicateKeyError } from '../store/database.ts'
import { orderRows } from '../store/orders.ts'
import type { Router } from '../store/shard-router.ts'
import type { FencedWrite } from './fenced-write.ts'
import type { Changed, CartWriter } from './cart-writer.ts'
import type { ChangeRequest } from './change-request.ts'

/**
 * What happens to a guest's cart at login. Guest and user may live on different shards, so it is two transactions, each
 * whole in itself, in an order that loses nothing:
 *
 *   1. guest's shard: the cart is frozen and marked with the user it goes to. No line is added to it from here on.
 *   2. user's shard: the frozen lines are merged in, and the merge is recorded in the same transaction; the record's
 *      primary key (user, guest) makes a second merge of the same guest impossible.
 *
 * A crash between 1 and 2 leaves a marked cart without a record: the next request that meets it (the guest's next change, the next
 * login with that guest) finishes step 2 for the user it is marked with.
 */
export interface Merged {
  readonly guestId: string
  /** Lines of the user's cart that the merge changed or added. */
  readonly lines: number
  /** Guest lines for which the cart had no room; they are kept in the record of the merge. */
  readonly leftOut: number
}

export type GuestMerge = ReturnType<typeof createGuestMerge>

interface GuestMergeDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly writer: CartWriter
  readonly fencedWrite: FencedWrite
  readonly limits: Limits
  readonly rule: MergeRule
}

/** Each function says what it throws. */
export function createGuestMerge({ router, cache, writer, fencedWrite, limits, rule }: GuestMergeDeps) {
  /** Merges a guest's cart into a user's. Undefined when there was nothing to merge, or it was merged into another's before. */
  async function mergeGuestCart(guestId: string, userId: string): Promise<Merged | undefined> {
    await freeze(guestId, userId)
    const guest = await cartRows.load(router.of(guestId), guestId)
    if (!guest?.mergedInto) return undefined
    const merged = await finish(guestId, guest.mergedInto)
    return guest.mergedInto === userId ? merged : undefined
  }

  async function freeze(guestId: string, userId: string): Promise<void> {
    await fencedWrite(guestId, async (tx, _, setFence) => {
      if (!(await cartRows.mergeGuestCart(tx, guestId, userId))) return
      const guest = await cartRows.loadLocked(tx, guestId)
      await setFence(guest?.version ?? 1, cache.newToken())
    })
  }

  /** Step 2; does nothing when it has been done. */
  async function finish(guestId: string, userId: string): Promise<Merged | undefined> {
    if (await cartRows.isMerged(router.of(userId), userId, guestId)) return undefined
    const guest = await cartRows.load(router.of(guestId), guestId)
    if (!guest || !(await bringsSomething(guestId, guest))) return undefined
    let merged: Merged | undefined
    try {
      await writer.change({ userId }, ({ lines, codes, ...purchases }) => {
        const merge = mergeLines(lines, guest.lines, rule, limits)
        merged = { guestId, lines: merge.changes.length, leftOut: merge.leftOut.length }
        return {
          lines: merge.lines,
          codes: mergeCodes(codes, guest.codes),
          ...(guest.ordersPlaced > 0 ? { purchases: addPurchases(purchases, guest) } : {}),
          record: (tx, { slot }) =>
            cartRows.insertMerge(tx, { userId, guestId, slot, changes: merge.changes, leftOut: merge.leftOut }),
        }
      })
    } catch (error) {
      if (error instanceof DuplicateKeyError) return undefined // another login finished it first
      throw error
    }
    return merged
  }

  /** Codes alone are something to bring along, and so are orders, which are the account's from here on. */
  async function bringsSomething(guestId: string, { lines, codes }: StoredCart): Promise<boolean> {
    if (lines.length > 0 || codes.length > 0) return true
    return (await orderRows.list(router.of(guestId), guestId, undefined, 1)).length > 0
  }

  /** Takes the newest merge back. @throws AppError `merge_not_found` when there is none within the time for it */
  async function undo(request: ChangeRequest): Promise<Changed> {
    const { userId } = request
    return writer.change(request, async ({ lines, ...purchases }) => {
      const merge = await cartRows.latestMerge(router.of(userId), userId, FIXED.mergeUndoHours)
      if (!merge) throw nothingToUndo()
      const guest = await cartRows.load(router.of(merge.guestId), merge.guestId)
      return {
        lines: undoMerge(lines, merge.changes),
        ...(guest && guest.ordersPlaced > 0 ? { purchases: addPurchases(purchases, guest, -1) } : {}),
        async record(tx) {
          if (!(await cartRows.markMergeUndone(tx, userId, merge.guestId))) throw nothingToUndo()
        },
      }
    })
  }

  return { mergeGuestCart, finish, undo }
}

function nothingToUndo(): AppError {
  return new AppError('merge_not_found', `No cart was merged in the last ${FIXED.mergeUndoHours} hours.`)
}
