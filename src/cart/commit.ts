import { AppError } from '../lib/errors.ts'
import type { LineDifference } from '../model/cart.ts'
import { type CartState, cartRows } from '../store/carts.ts'
import { LockWaitError, type Transaction } from '../store/database.ts'
import { idempotencyKeys, type StoredAnswer } from '../store/idempotency.ts'
import type { SlotGuard } from '../store/shard-router.ts'
import type { SetFence } from './fenced-write.ts'
import type { OnCartFailpoint } from './failpoints.ts'

/** What one change leaves in the database, on top of one stored version. */
export interface CartWrite {
  readonly userId: string
  readonly buyerGroup: string
  /** The version that it stands on. */
  readonly from: number
  /** Undefined when the cart stays as it is, and only a key is claimed. */
  readonly to: CartState | undefined
  readonly difference: LineDifference
  readonly claim: { readonly key: string; readonly answer: StoredAnswer } | undefined
}

/** Under which guard it was committed, and with which token the cart may be published. */
export interface Committed {
  readonly guard: SlotGuard
  readonly token: string
}

/** The cart has moved on. */
export class VersionConflict extends Error {}

/**
 * Key, version, fence, lines: in this order, because the version's compare-and-set takes the row's lock, and the fence may only be set
 * under it (cache/cart-cache.ts). Of many carts at once: cart/group-commit.ts.
 * @throws VersionConflict; AppError `idempotency_in_flight`; DuplicateKeyError when the key was used; what `setFence` and the database throw
 */
export async function writeCart(
  tx: Transaction,
  { guard, token }: Committed,
  setFence: SetFence,
  { userId, from, to, difference, claim }: CartWrite,
  onFailpoint: OnCartFailpoint,
): Promise<void> {
  if (claim) {
    try {
      await idempotencyKeys.claim(tx, userId, guard.slot, claim.key, claim.answer)
    } catch (error) {
      throw error instanceof LockWaitError ? inFlight(error) : error
    }
    onFailpoint('claimed')
  }
  if (!to) return
  if (!(await cartRows.advance(tx, userId, from, to))) throw new VersionConflict()
  onFailpoint('locked')
  // Both are waited for: a connection may be given back only when nothing is under way on it any more.
  const [fenced, written] = await Promise.allSettled([
    setFence(to.version, token),
    cartRows.writeLines(tx, userId, guard.slot, difference),
  ])
  if (written.status === 'rejected') throw written.reason
  if (fenced.status === 'rejected') throw fenced.reason
  onFailpoint('fenced')
}

function inFlight(cause: unknown): AppError {
  return new AppError('idempotency_in_flight', 'A request with this Idempotency-Key is still under way.', {
    retryAfterS: 1,
    cause,
  })
}
