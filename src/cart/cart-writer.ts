import { type CartCache, pack, type Packed } from '../cache/cart-cache.ts'
import { AppError, idempotencyMismatch, unlessUnavailable } from '../lib/errors.ts'
import { createKeyedMutex } from '../lib/keyed-mutex.ts'
import { differenceOf, type Lines } from '../model/cart.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Purchases } from '../model/order.ts'
import type { CodeState } from '../pricing/price.ts'
import { cartRows, type StoredCart, UNPRICED } from '../store/carts.ts'
import { DuplicateKeyError, LockWaitError, type Transaction } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Fence, Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CacheModes } from './cache-mode.ts'
import {
  type CartContents,
  pageOf,
  type RenderedCart,
  renderCart,
  renderUnpriced,
  withChanged,
} from './cart-rendering.ts'
import { type CartWrite, type Committed, VersionConflict, writeCart } from './commit.ts'
import { encodeCart, type KnownCart, decodeCart } from './cart-codec.ts'
import type { FencedWrite } from './fenced-write.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Prices } from './cart-pricing.ts'
import type { OnCartFailpoint } from './failpoints.ts'

/**
 * The one function through which every cart changes, whatever the route: load, edit (pure), price, and one short
 * transaction in the owner's shard (cart/commit.ts), where possible together with changes of other carts
 * (cart/group-commit.ts). Then answer, and publish to the cache beside the answer.
 *
 * All branching and retrying of writes is here (optimistic concurrency). After a version conflict the cart is loaded and edited
 * again, so edits of two tabs are both kept; after a few conflicts the row is locked first, so that
 * every write gets through. Why the fence stands before the commit: cache/cart-cache.ts.
 */
export interface ChangeRequest {
  readonly userId: string
  /** The version that the client has seen, when it bypassesNegativeCache on it. */
  readonly ifMatch?: number | undefined
  readonly idempotency?: { readonly key: string; readonly fingerprint: string } | undefined
  /** Lines of the page that the answer shows after those that have changed. */
  readonly linesMax?: number
}

export interface Plan {
  readonly lines: Lines
  /** Without codes they stay as they are. */
  readonly codes?: readonly string[]
  /** What its owner has bought, where that changes too. */
  readonly purchases?: Purchases
  /** A code that must be one of the shop's for the plan to be accepted. */
  readonly mustKnow?: string
  /** Products that must be on sale for the plan to be accepted, with the place in the request that names each. */
  readonly mustExist?: readonly { readonly sku: string; readonly pointer: string }[]
  /** Rows to write in the same transaction. */
  readonly record?: (tx: Transaction, fence: Fence) => Promise<void>
}

/** From what the cart holds to what it should hold; run again after a version conflict. */
type EditCart = (cart: CartContents) => Plan | Promise<Plan>

export interface Changed {
  readonly version: number
  /** The first page of the cart after the change: JSON, ready to send. */
  readonly body: Buffer | string
  /** True when this is the stored answer of an earlier request with the same key. */
  readonly replayed: boolean
}

/** Thrown when a guest's cart has been handed to a user: it changes no more. */
export class CartMerged extends Error {
  override readonly name = 'CartMerged'
  readonly userId: string

  constructor(userId: string) {
    super('the cart has been handed over')
    this.userId = userId
  }
}

interface CartWriterDeps {
  readonly router: Router
  readonly cache: CartCache
  readonly modes: Pick<CacheModes, 'lease'>
  readonly fencedWrite: FencedWrite
  readonly groupCommit: GroupCommit
  readonly prices: Prices
  readonly limits: Limits
  readonly currency: string
  readonly metrics: Metrics
  readonly onFailpoint: OnCartFailpoint
}

/**
 * What one attempt wants to write on top of one stored version: of the cart itself some texts, and none of its lines but those that change. Many
 * wait for their commit at once, and what outlives the nursery meanwhile makes the heap grow.
 */
interface PreparedWrite {
  readonly write: CartWrite
  readonly version: number
  readonly answer: string
  readonly record: Plan['record']
  /** For the cache. What could not be priced is not cached: the fence keeps readers on the database until it is. */
  readonly packed: Packed | undefined
}

const OPTIMISTIC_ATTEMPTS = 3

export type CartWriter = ReturnType<typeof createCartWriter>

/** See `change`, which says what it throws. */
export function createCartWriter(deps: CartWriterDeps) {
  const { router, cache, modes, fencedWrite, groupCommit, prices, limits, currency, metrics, onFailpoint } = deps
  const queue = createKeyedMutex()

  /**
   * @throws AppError `version_mismatch`, `idempotency_mismatch`, `idempotency_in_flight`, `product_unknown`, whatever the
   * plan throws, and `unavailable`, `overloaded`, `outcome_unknown` of the dependencies
   */
  async function change(request: ChangeRequest, plan: EditCart): Promise<Changed> {
    return queue.run(request.userId, async () => {
      const stored = await findAnswer(request)
      if (stored) return stored
      for (let attempt = 1; attempt <= FIXED.writeAttemptsMax; attempt++) {
        try {
          return await attemptChange(request, plan, attempt)
        } catch (error) {
          if (error instanceof VersionConflict || error instanceof LockWaitError) groupCommit.leaveOut(request.userId)
          if (error instanceof VersionConflict) metrics.cartWrites.inc({ result: 'conflict' })
          else if (error instanceof DuplicateKeyError && request.idempotency) {
            const first = await findAnswer(request)
            if (first) return first
            throw error
          } else if (!(error instanceof LockWaitError)) throw error
        }
      }
      throw new AppError('overloaded', 'Too many changes at once to this cart.', { retryAfterS: 1 })
    })
  }

  async function attemptChange(request: ChangeRequest, plan: EditCart, attempt: number): Promise<Changed> {
    const { userId } = request
    if (attempt > OPTIMISTIC_ATTEMPTS) {
      const locked = async (tx: Transaction) =>
        prepare(request, requireCart(await cartRows.loadLocked(tx, userId)), plan)
      const written = await commitAlone(request, locked)
      return publish(userId, written.prepared, written.committed)
    }
    const seen = await look(request, plan, attempt)
    if (!seen.write.to && !seen.record && !request.idempotency) return answered(seen, 'unchanged')
    onFailpoint('planned')
    const grouped = seen.record ? undefined : await groupCommit.commit(seen.write)
    const committed = grouped ?? (await commitAlone(request, () => seen)).committed
    return publish(userId, seen, committed)
  }

  /** Without a lock. What was loaded is let go when it is done. */
  async function look(request: ChangeRequest, plan: EditCart, attempt: number): Promise<PreparedWrite> {
    const { userId } = request
    const cached = attempt === 1 ? await fromCache(userId) : undefined
    return prepare(request, cached ?? requireCart(await cartRows.load(router.of(userId), userId)), plan)
  }

  /** A transaction of its own. `ready` may read the cart under its lock. */
  async function commitAlone(
    request: ChangeRequest,
    ready: (tx: Transaction) => PreparedWrite | Promise<PreparedWrite>,
  ): Promise<{ prepared: PreparedWrite; committed: Committed }> {
    return fencedWrite(request.userId, async (tx, fence, setFence) => {
      const prepared = await ready(tx)
      // A new token for each run: a late command for the token of an earlier run must find nothing.
      const committed = { fence, token: cache.newToken() }
      await writeCart(tx, committed, setFence, prepared.write, onFailpoint)
      await prepared.record?.(tx, fence)
      return { prepared, committed }
    })
  }

  function publish(userId: string, prepared: PreparedWrite, { fence, token }: Committed): Changed {
    onFailpoint('committed')
    if (prepared.packed && fence.cache.state === 'on') {
      // Beside the answer: until it arrives, or for ever if it does not, the fence keeps readers on the database.
      const published = cache.publish({ userId, epoch: fence.cache.epoch }, token, prepared.packed)
      published.then(() => onFailpoint('published')).catch(() => undefined)
    }
    const result = fence.cache.state === 'off' ? 'degraded' : 'saved'
    return answered(prepared, prepared.write.to ? result : 'unchanged')
  }

  /** The cart as the cache has it: as good as the database's, and without its rows. */
  async function fromCache(userId: string): Promise<KnownCart | undefined> {
    const epoch = modes.lease(router.of(userId))
    if (epoch === undefined) return undefined
    const contents = await unlessUnavailable(cache.contents({ userId, epoch }))
    return contents === undefined ? undefined : decodeCart(contents)
  }

  async function prepare(request: ChangeRequest, current: KnownCart, plan: EditCart): Promise<PreparedWrite> {
    if (current.mergedInto !== undefined) throw new CartMerged(current.mergedInto)
    if (request.ifMatch !== undefined && request.ifMatch !== current.version) {
      throw new AppError('version_mismatch', `The cart is at version ${current.version} by now.`, {
        extra: { version: current.version },
      })
    }
    const planned = await plan(current)
    const { ordersPlaced, uses } = planned.purchases ?? current
    const contents = { lines: planned.lines, codes: planned.codes ?? current.codes, ordersPlaced, uses }
    const edited =
      contents.lines !== current.lines || contents.codes !== current.codes || planned.purchases !== undefined
    const priced = await prices.of(current, contents)
    if (!priced.isPriced) prices.later(request.userId)
    refuseUnknown(planned, priced.cart.lines)
    refuseUnknownCode(planned, priced.cart.codes)
    const render = (version: number) =>
      priced.isPriced
        ? renderCart(version, currency, contents.lines, priced.cart, Date.now(), current)
        : renderUnpriced(version, currency, contents, priced.cart, current)
    let rendered = render(edited ? current.version + 1 : current.version)
    // A price that moved changes what the cart shows, and what it shows must change with the version.
    const moved = !edited && priced.isPriced && current.digest !== '' && rendered.digest !== current.digest
    if (moved) rendered = render(current.version + 1)
    const changed = edited || moved
    const { version, catalogVersion, rulesStamp, totals, pricedAtMs } = rendered
    const digest = priced.isPriced ? rendered.digest : UNPRICED
    const { lines, codes } = contents
    const to = { version, catalogVersion, digest, rulesStamp, totals, pricedAtMs, codes, ordersPlaced, uses }
    const staleAtMs = priced.isPriced ? undefined : Date.now()
    const difference = differenceOf(current.lines, lines)
    const page = pageOf(
      rendered,
      { offset: 0, limit: request.linesMax ?? limits.pageLinesDefault },
      staleAtMs,
    ).body.toString()
    const answer = withChanged(page, difference.upserts, lines, priced.cart)
    return {
      write: {
        userId: request.userId,
        buyerGroup: current.buyerGroup,
        from: current.version,
        to: changed ? to : undefined,
        difference,
        claim: claimOf(request, version, answer),
      },
      version,
      answer,
      record: planned.record,
      packed: changed && priced.isPriced ? packOnTopOf(current, { ...current, ...to, lines }, rendered) : undefined,
    }
  }

  async function findAnswer({ userId, idempotency }: ChangeRequest): Promise<Changed | undefined> {
    if (!idempotency) return undefined
    const stored = await idempotencyKeys.find(router.of(userId), userId, idempotency.key)
    if (!stored) return undefined
    if (stored.fingerprint !== idempotency.fingerprint) {
      throw idempotencyMismatch()
    }
    metrics.cartWrites.inc({ result: 'replayed' })
    return { version: stored.version, body: stored.body, replayed: true }
  }

  function answered(prepared: PreparedWrite, result: 'saved' | 'unchanged' | 'degraded'): Changed {
    metrics.cartWrites.inc({ result })
    return { version: prepared.version, body: prepared.answer, replayed: false }
  }

  return {
    change,
    /** Prices the cart again; it changes only where what it shows does. @throws as `change` */
    reprice: (userId: string): Promise<Changed> => change({ userId }, ({ lines }) => ({ lines })),
  }
}

function claimOf({ idempotency }: ChangeRequest, version: number, body: string): CartWrite['claim'] {
  return (
    idempotency && {
      key: idempotency.key,
      answer: { fingerprint: idempotency.fingerprint, status: 200, version, body },
    }
  )
}

function packOnTopOf(current: KnownCart, next: StoredCart, rendered: RenderedCart): Packed {
  const contents = encodeCart({ ...next, shown: rendered.chunks.shown })
  return pack({ ...rendered, contents }, current.shown && current)
}

/** @throws AppError `session_ended` when there is no such owner */
export function requireCart(cart: StoredCart | undefined): StoredCart {
  if (!cart) throw new AppError('session_ended', 'The account of this session is gone.')
  return cart
}

function refuseUnknown(plan: Plan, priced: readonly { readonly available: boolean }[]): void {
  if (!plan.mustExist) return
  const missing = new Set(plan.lines.filter((_, at) => priced[at]?.available === false).map(line => line.sku))
  const errors = plan.mustExist
    .filter(({ sku }) => missing.has(sku))
    .map(({ sku, pointer }) => ({ in: 'body' as const, pointer, detail: `There is no product '${sku}'.` }))
  if (errors.length > 0) throw new AppError('product_unknown', errors[0]?.detail ?? '', { errors })
}

function refuseUnknownCode(plan: Plan, codes: readonly CodeState[]): void {
  const state = codes.find(({ code }) => code === plan.mustKnow)
  if (state?.reason !== 'code_unknown') return
  const detail = `There is no code '${state.code}'.`
  throw new AppError('code_unknown', detail, { errors: [{ in: 'body', pointer: '#/code', detail }] })
}
