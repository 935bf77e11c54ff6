import type { CartCache } from '../cache/cart-cache.ts'
import type { ProductStore } from '../catalog/product-store.ts'
import { AppError, idempotencyMismatch, missIfUnavailable } from '../lib/errors.ts'
import { createKeyedMutex } from '../lib/keyed-mutex.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import { cartRows, type StoredCart } from '../store/carts.ts'
import { DuplicateKeyError, LockWaitError, type Transaction } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CachePolicy } from './cache-policy.ts'
import { decodeCart, type KnownCart } from './cart-codec.ts'
import type { CartPricing } from './cart-pricing.ts'
import type { ChangeRequest } from './change-request.ts'
import { type Committed, VersionConflict, writeCart } from './commit.ts'
import type { OnCartFailpoint } from './failpoints.ts'
import type { FencedWrite } from './fenced-write.ts'
import type { GroupCommit } from './group-commit.ts'
import { type EditCart, type PreparedWrite, prepareWrite } from './prepare-write.ts'

/**
 * The one function through which every cart changes, whatever the route: load, edit (pure), price, and one short
 * transaction in the owner's shard (cart/commit.ts), where possible together with changes of other carts
 * (cart/group-commit.ts). Then answer, and publish to the cache beside the answer.
 *
 * All branching and retrying of writes is here (optimistic concurrency). After a version conflict the cart is loaded and edited
 * again, so edits of two tabs are both kept; after a few conflicts the row is locked first, so that
 * every write gets through. Why the fence stands before the commit: cache/cart-cache.ts.
 */
export interface Changed {
  readonly version: number
  /** The first page of the cart after the change: JSON, ready to send. */
  readonly body: Buffer | string
  /** True when this is the stored answer of an earlier request with the same key. */
  readonly replayed: boolean
}

interface CartWriterDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly policy: Pick<CachePolicy, 'keyOf'>
  readonly fencedWrite: FencedWrite
  readonly groupCommit: GroupCommit
  readonly prices: CartPricing
  readonly products: Pick<ProductStore, 'anyChanged'>
  readonly limits: Limits
  readonly currency: string
  readonly metrics: Metrics
  readonly onFailpoint: OnCartFailpoint
}

const OPTIMISTIC_ATTEMPTS = 3

export class CartWriter {
  readonly #deps: CartWriterDeps
  readonly #queue = createKeyedMutex()

  constructor(deps: CartWriterDeps) {
    this.#deps = deps
  }

  /**
   * @throws AppError `version_mismatch`, `idempotency_mismatch`, `idempotency_in_flight`, `product_unknown`, whatever `edit`
   * throws, and `unavailable`, `overloaded`, `outcome_unknown` of the dependencies
   */
  change(request: ChangeRequest, edit: EditCart): Promise<Changed> {
    return this.#queue.run(
      request.userId,
      async () => (await this.#findAnswer(request)) ?? this.#attempt(request, edit),
    )
  }

  /** Prices the cart again; it changes only where what it shows does. @throws as `change` */
  reprice(userId: string): Promise<Changed> {
    return this.change({ userId }, ({ lines }) => ({ lines }))
  }

  async #attempt(request: ChangeRequest, edit: EditCart): Promise<Changed> {
    const { groupCommit, metrics } = this.#deps
    for (let attempt = 1; attempt <= FIXED.writeAttemptsMax; attempt++) {
      try {
        return attempt > OPTIMISTIC_ATTEMPTS
          ? await this.#changeLocked(request, edit)
          : await this.#changeOptimistically(request, edit, attempt)
      } catch (error) {
        if (error instanceof VersionConflict || error instanceof LockWaitError) groupCommit.leaveOut(request.userId)
        if (error instanceof VersionConflict) metrics.cartWrites.inc({ result: 'conflict' })
        else if (error instanceof DuplicateKeyError && request.idempotency) {
          const first = await this.#findAnswer(request)
          if (first) return first
          throw error
        } else if (!(error instanceof LockWaitError)) throw error
      }
    }
    throw new AppError('overloaded', 'Too many changes at once to this cart.', { retryAfterS: 1 })
  }

  async #changeOptimistically(request: ChangeRequest, edit: EditCart, attempt: number): Promise<Changed> {
    const { groupCommit, onFailpoint } = this.#deps
    const prepared = await this.#readAndPrepare(request, edit, attempt)
    if (!prepared.write.to && !prepared.record && !request.idempotency) return this.#answer(prepared, 'unchanged')
    onFailpoint('planned')
    const grouped = prepared.record ? undefined : await groupCommit.commit(prepared.write)
    const committed = grouped ?? (await this.#commitAlone(request, () => prepared)).committed
    return this.#publish(request.userId, prepared, committed)
  }

  /** With the row's lock from the first read on. */
  async #changeLocked(request: ChangeRequest, edit: EditCart): Promise<Changed> {
    const { userId } = request
    const { prepared, committed } = await this.#commitAlone(request, async tx =>
      prepareWrite(this.#deps, request, requireCart(await cartRows.loadLocked(tx, userId)), edit),
    )
    return this.#publish(userId, prepared, committed)
  }

  /** The loaded cart is garbage when this returns: it is not kept while the write waits. */
  async #readAndPrepare(request: ChangeRequest, edit: EditCart, attempt: number): Promise<PreparedWrite> {
    const { userId } = request
    const cached = attempt === 1 ? await this.#readCached(userId) : undefined
    const current = cached ?? requireCart(await cartRows.load(this.#deps.router.of(userId), userId))
    return prepareWrite(this.#deps, request, current, edit)
  }

  /** A transaction of its own. `prepare` may read the cart under its lock. */
  async #commitAlone(
    request: ChangeRequest,
    prepare: (tx: Transaction) => PreparedWrite | Promise<PreparedWrite>,
  ): Promise<{ prepared: PreparedWrite; committed: Committed }> {
    const { fencedWrite, cache, onFailpoint } = this.#deps
    return fencedWrite(request.userId, async (tx, guard, setFence) => {
      const prepared = await prepare(tx)
      // A new token for each run: a late command for the token of an earlier run must find nothing.
      const committed = { guard, token: cache.newToken() }
      await writeCart(tx, committed, setFence, prepared.write, onFailpoint)
      await prepared.record?.(tx, guard)
      return { prepared, committed }
    })
  }

  #publish(userId: string, prepared: PreparedWrite, { guard, token }: Committed): Changed {
    const { cache, onFailpoint } = this.#deps
    onFailpoint('committed')
    if (prepared.packed && guard.cache.state === 'on') {
      // Beside the answer: until it arrives, or for ever if it does not, the fence keeps readers on the database.
      const published = cache.publish({ userId, epoch: guard.cache.epoch }, token, prepared.packed)
      published.then(() => onFailpoint('published')).catch(() => undefined)
    }
    const result = guard.cache.state === 'off' ? 'degraded' : 'saved'
    return this.#answer(prepared, prepared.write.to ? result : 'unchanged')
  }

  /** The cart as the cache has it: as good as the database's, and without its rows. */
  async #readCached(userId: string): Promise<KnownCart | undefined> {
    const { policy, cache } = this.#deps
    const key = policy.keyOf(userId)
    const contents = key && (await cache.contents(key).catch(missIfUnavailable))
    return contents === undefined ? undefined : decodeCart(contents)
  }

  /** Of an earlier request with the same key. */
  async #findAnswer({ userId, idempotency }: ChangeRequest): Promise<Changed | undefined> {
    if (!idempotency) return undefined
    const { router, metrics } = this.#deps
    const stored = await idempotencyKeys.find(router.of(userId), userId, idempotency.key)
    if (!stored) return undefined
    if (stored.fingerprint !== idempotency.fingerprint) throw idempotencyMismatch()
    metrics.cartWrites.inc({ result: 'replayed' })
    return { version: stored.version, body: stored.body, replayed: true }
  }

  #answer(prepared: PreparedWrite, result: 'saved' | 'unchanged' | 'degraded'): Changed {
    this.#deps.metrics.cartWrites.inc({ result })
    return { version: prepared.version, body: prepared.answer, replayed: false }
  }
}

/** @throws AppError `session_ended` when there is no such owner */
export function requireCart(cart: StoredCart | undefined): StoredCart {
  if (!cart) throw new AppError('session_ended', 'The account of this session is gone.')
  return cart
}
