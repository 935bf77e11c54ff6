import type { CartWriter } from '../cart/cart-writer.ts'
import { AppError } from '../lib/errors.ts'
import { markShort } from '../model/cart.ts'
import { FIXED } from '../model/limits.ts'
import type { Demand, OrderDocument } from '../model/order.ts'
import type { PromotionLimits } from './promotion-limits.ts'
import type { Basket } from './order-draft.ts'
import type { OnOrderFailpoint } from './failpoints.ts'
import type { Sales } from '../sales/flash-sales.ts'
import type { Stock } from '../inventory/inventory.ts'

/**
 * All that an order claims, or nothing. One item after the other, in the one order that `demandsOf` gives. Only what this very
 * request has claimed may it free again: where it is unknown whether a claim was made, recovery resolves it.
 */
interface HoldingDeps {
  readonly stock: Stock
  readonly sales: Sales
  readonly promotionLimits: PromotionLimits
  readonly writer: CartWriter
  readonly onFailpoint: OnOrderFailpoint
}

export interface Draft {
  readonly orderId: string
  readonly userId: string
  readonly document: OrderDocument
}

/** A refusal that is explained when nothing is held any more: what the order had itself must not be counted as gone. */
class Refused extends Error {
  readonly explain: () => Promise<AppError>

  constructor(explain: () => Promise<AppError>) {
    super('refused')
    this.explain = explain
  }
}

/** See `reserveAll`, which says what it throws. */
export function createHolding(deps: HoldingDeps) {
  return {
    reserveAll: (draft: Draft, basket: Basket) => reserveAll(deps, draft, basket),
    freeAll: (orderId: string, held: readonly Demand[]) => freeAll(deps, orderId, held),
    showAnew: (userId: string) => showAnew(deps, userId),
  }
}

async function overLimit(
  { stock, promotionLimits, writer }: HoldingDeps,
  { userId, document }: Draft,
  basket: Basket,
  item: string,
  max: number,
): Promise<AppError> {
  const name = item.slice(2)
  if (item.startsWith('s:')) {
    const { sku = name } = document.lines.find(line => line.item === item) ?? {}
    return new AppError('purchase_limit', `A buyer can have at most ${max} of '${sku}'.`, { extra: { sku, max } })
  }
  const sold = await stock.soldTo(item, userId)
  if (sold === 0) {
    const detail = `Another order of yours has the promotion '${name}' just now: try again when that one is done.`
    return new AppError('purchase_limit', detail, { extra: { max }, retryAfterS: 1 })
  }
  // The cart did not know that this buyer has used the promotion: now it does, and shows what holds.
  const used = { [name]: sold }
  const learn = writer.change({ userId }, ({ lines, ordersPlaced, uses }) => ({
    lines,
    purchases: { ordersPlaced, uses: { ...uses, ...used } },
  }))
  await learn.catch(() => undefined)
  return promotionLimits.exhausted(basket.seen, { ...basket.request, uses: { ...basket.request.uses, ...used } })
}

/** Names every line of which too little is left, and marks them in the cart. */
async function shortOf(
  deps: HoldingDeps,
  { userId, document }: Draft,
  basket: Basket,
  first: string,
): Promise<AppError> {
  const { stock, sales, promotionLimits, writer } = deps
  if (!first.startsWith('s:')) {
    if (basket.cart) await showAnew(deps, userId)
    return promotionLimits.exhausted(basket.seen, basket.request)
  }
  const levels = await Promise.all(document.held.map(({ item }) => stock.levels(item)))
  const left = new Map(document.held.map(({ item }, at) => [item, levels[at]?.free ?? 0]))
  const short = new Set(document.held.flatMap(({ item, units }) => ((left.get(item) ?? 0) < units ? [item] : [])))
  short.add(first)
  const lines = document.lines.flatMap(({ sku, quantity, item }) =>
    item !== undefined && short.has(item) ? [{ sku, wanted: quantity, left: left.get(item) ?? 0 }] : [],
  )
  if (basket.cart && !(await sales.isOnSale(document.lines))) {
    const marks = new Map(lines.map(line => [line.sku, line.left]))
    const mark = writer.change({ userId }, current => ({ lines: markShort(marks)(current.lines) }))
    await mark.catch(() => undefined) // the answer says it all the same
  }
  const named = lines.map(line => `'${line.sku}': ${line.left} left, ${line.wanted} wanted`).join('; ')
  return new AppError('out_of_stock', `There is not enough in stock. ${named}`, { extra: { lines } })
}

/** Frees what this request has claimed. What cannot be freed now is freed by recovery. */
async function freeAll({ stock }: HoldingDeps, orderId: string, held: readonly Demand[]): Promise<void> {
  await Promise.allSettled(held.map(({ item }) => stock.free(item, orderId)))
}

/** Prices the cart anew: as it is cached it may still show what has just been refused. */
async function showAnew({ writer }: HoldingDeps, userId: string): Promise<void> {
  await writer.reprice(userId).catch(() => undefined)
}

/**
 * What was held: less than was asked only where a gift has run out.
 * @throws AppError `out_of_stock`, `purchase_limit`, `total_changed`, `idempotency_in_flight`, and of the dependencies
 */
async function reserveAll(deps: HoldingDeps, draft: Draft, basket: Basket): Promise<OrderDocument> {
  const { stock, onFailpoint } = deps
  const { orderId, userId } = draft
  let { document } = draft
  const lookMs = FIXED.orderMs + FIXED.orderPerItemMs * document.held.length
  const held: Demand[] = []
  try {
    for (const { item, units } of draft.document.held) {
      const hold = (wanted: number) => stock.hold(item, { orderId, userId, units: wanted, lookMs })
      let taken = units
      let outcome = await hold(taken)
      const isRefused = outcome.is === 'short' || outcome.is === 'limit' || outcome.is === 'unknown-item'
      const gifts = isRefused ? giftUnits(document, item) : 0
      if (gifts > 0) {
        // A gift is there while stocks last; it is no reason to refuse an order.
        document = { ...document, gifts: document.gifts.filter(gift => gift.item !== item) }
        taken = units - gifts
        if (taken === 0) continue
        outcome = await hold(taken)
      }
      if (outcome.is === 'done') held.push({ item, units: taken })
      else if (outcome.is === 'present') throw inFlight()
      else if (outcome.is === 'limit') {
        const { max } = outcome
        throw new Refused(() => overLimit(deps, draft, basket, item, max))
      } else throw new Refused(() => shortOf(deps, draft, basket, item))
      if (held.length === 1) onFailpoint('held-first')
    }
  } catch (error) {
    await freeAll(deps, orderId, held)
    throw error instanceof Refused ? await error.explain() : error
  }
  return { ...document, held }
}

/** What an order has of an item without paying for it. */
function giftUnits({ gifts }: OrderDocument, item: string): number {
  return gifts.reduce((sum, gift) => (gift.item === item ? sum + gift.quantity : sum), 0)
}

function inFlight(): AppError {
  return new AppError('idempotency_in_flight', 'An order with this Idempotency-Key is still being made.', {
    retryAfterS: 1,
  })
}
