import { pack, type Packed } from '../cache/cart-packing.ts'
import type { ProductStore } from '../catalog/product-store.ts'
import { AppError } from '../lib/errors.ts'
import { differenceOf, type Lines } from '../model/cart.ts'
import type { Limits } from '../model/limits.ts'
import type { Purchases } from '../model/order.ts'
import type { CodeState } from '../pricing/price.ts'
import { type StoredCart, UNPRICED } from '../store/carts.ts'
import type { Transaction } from '../store/database.ts'
import type { SlotGuard } from '../store/shard-router.ts'
import { encodeCart, type KnownCart } from './cart-codec.ts'
import type { CartPricing } from './cart-pricing.ts'
import {
  type CartContents,
  pageOf,
  type RenderedCart,
  renderCart,
  renderUnpriced,
  withChanged,
} from './cart-rendering.ts'
import type { ChangeRequest } from './change-request.ts'
import type { CartWrite } from './commit.ts'

export interface CartEdit {
  readonly lines: Lines
  /** Without codes they stay as they are. */
  readonly codes?: readonly string[]
  /** What its owner has bought, where that changes too. */
  readonly purchases?: Purchases
  /** A code that must be one of the shop's for the edit to be accepted. */
  readonly mustKnow?: string
  /** Products that must be on sale for the edit to be accepted, with the place in the request that names each. */
  readonly mustExist?: readonly { readonly sku: string; readonly pointer: string }[]
  /** Rows to write in the same transaction. */
  readonly record?: (tx: Transaction, guard: SlotGuard) => Promise<void>
}

/** From what the cart holds to what it should hold; run again after a version conflict. */
export type EditCart = (cart: CartContents) => CartEdit | Promise<CartEdit>

/** Thrown when a guest's cart has been handed to a user: it changes no more. */
export class CartMerged extends Error {
  override readonly name = 'CartMerged'
  readonly userId: string

  constructor(userId: string) {
    super('the cart has been handed over')
    this.userId = userId
  }
}

/**
 * What one attempt writes on top of one stored version: of the cart itself some texts, and none of its lines but those that change.
 * Many wait for their commit at once, and objects that outlive the nursery meanwhile make the heap grow.
 */
export interface PreparedWrite {
  readonly write: CartWrite
  readonly version: number
  readonly answer: string
  readonly record: CartEdit['record']
  /** For the cache. What could not be priced is not cached: the fence keeps readers on the database until it is. */
  readonly packed: Packed | undefined
}

interface PrepareDeps {
  readonly products: Pick<ProductStore, 'anyChanged'>
  readonly prices: CartPricing
  readonly limits: Limits
  readonly currency: string
}

/**
 * One attempt at a change, on top of one stored version: edits, prices, renders. Writes nothing.
 * @throws CartMerged; AppError `version_mismatch`, `product_unknown`, `code_unknown`, what `edit` throws, `unavailable` of pricing
 */
export async function prepareWrite(
  { prices, products, limits, currency }: PrepareDeps,
  request: ChangeRequest,
  current: KnownCart,
  edit: EditCart,
): Promise<PreparedWrite> {
  if (current.mergedInto !== undefined) throw new CartMerged(current.mergedInto)
  refuseOtherVersion(request, current)
  const planned = await edit(current)
  const { ordersPlaced, uses } = planned.purchases ?? current
  const contents = { lines: planned.lines, codes: planned.codes ?? current.codes, ordersPlaced, uses }
  const edited = contents.lines !== current.lines || contents.codes !== current.codes || planned.purchases !== undefined
  const priced = await prices.of(current, contents)
  if (!priced.isPriced) prices.scheduleReprice(request.userId)
  refuseUnknown(planned, priced.cart.lines)
  refuseUnknownCode(planned, priced.cart.codes)
  const before = withShown(current, products)
  const render = (version: number) =>
    priced.isPriced
      ? renderCart(version, currency, contents.lines, priced.cart, Date.now(), before)
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
    packed: changed && priced.isPriced ? packOnTopOf(before, { ...current, ...to, lines }, rendered) : undefined,
  }
}

function refuseOtherVersion({ ifMatch }: ChangeRequest, { version }: KnownCart): void {
  if (ifMatch === undefined || ifMatch === version) return
  throw new AppError('version_mismatch', `The cart is at version ${version} by now.`, { extra: { version } })
}

function claimOf({ idempotency }: ChangeRequest, version: number, body: string): CartWrite['claim'] {
  return (
    idempotency && {
      key: idempotency.key,
      answer: { fingerprint: idempotency.fingerprint, status: 200, version, body },
    }
  )
}

/** What was shown of a cart says nothing once one of its products has changed. */
function withShown(current: KnownCart, products: PrepareDeps['products']): KnownCart {
  const { shown, lines } = current
  const skus = lines.map(({ sku }) => sku)
  if (!shown || !products.anyChanged(skus, shown.catalogVersion)) return current
  const { shown: _, ...rest } = current
  return rest
}

function packOnTopOf(current: KnownCart, next: StoredCart, rendered: RenderedCart): Packed {
  const contents = encodeCart({ ...next, shown: rendered.chunks.shown })
  return pack({ ...rendered, contents }, current.shown && current)
}

function refuseUnknown(edit: CartEdit, priced: readonly { readonly available: boolean }[]): void {
  if (!edit.mustExist) return
  const missing = new Set(edit.lines.filter((_, at) => priced[at]?.available === false).map(line => line.sku))
  const errors = edit.mustExist
    .filter(({ sku }) => missing.has(sku))
    .map(({ sku, pointer }) => ({ in: 'body' as const, pointer, detail: `There is no product '${sku}'.` }))
  if (errors.length > 0) throw new AppError('product_unknown', errors[0]?.detail ?? '', { errors })
}

function refuseUnknownCode(edit: CartEdit, codes: readonly CodeState[]): void {
  const state = codes.find(({ code }) => code === edit.mustKnow)
  if (state?.reason !== 'code_unknown') return
  const detail = `There is no code '${state.code}'.`
  throw new AppError('code_unknown', detail, { errors: [{ in: 'body', pointer: '#/code', detail }] })
}
