import { messageOf } from '../lib/errors.ts'
import type { CodeFacts } from './engine/codes.ts'
import {
  type CartRequest,
  type Catalog,
  type GivenAway,
  type PricedCart,
  priceCart,
  type Rules,
  type Terms,
} from './price.ts'
import { type RulesSnapshot, type Snapshot, unpackRules, unpackSnapshot } from './snapshot.ts'

/**
 * Thread entry: prices a batch of carts with the catalogue and the rules it was sent. Keeps the newest of both unpacked and
 * compiled. A cart that cannot be priced costs its own result, not the others'.
 */
export interface PricingTask {
  readonly catalog: Snapshot
  readonly rules: RulesSnapshot
  readonly terms: Terms
  readonly usage: GivenAway
  readonly carts: readonly PackedCart[]
}

/** What crosses to a thread: codes and numbers. */
interface PackedCart {
  readonly skus: readonly string[]
  readonly quantities: readonly number[]
  readonly selected: readonly boolean[]
  readonly codes: readonly string[]
  readonly codeFacts: CodeFacts | undefined
  readonly buyerGroup: string
  readonly ordersPlaced: number
  readonly uses: Readonly<Record<string, number>>
  readonly explain: boolean
}

export type PricingResult = PricedCart | { readonly error: string }

let catalog: Catalog | undefined
let rules: Omit<Rules, 'usage'> | undefined

export function price(task: PricingTask): PricingResult[] {
  if (catalog?.version !== task.catalog.version) catalog = unpackSnapshot(task.catalog)
  if (rules?.version !== task.rules.version) rules = unpackRules(task.rules)
  const inForce = { ...rules, stamp: task.rules.stamp, usage: task.usage }
  const sold = catalog
  return task.carts.map(cart => {
    try {
      return priceCart(unpackCart(cart), sold, inForce, task.terms)
    } catch (error) {
      return { error: messageOf(error) }
    }
  })
}

export function packCart(request: CartRequest): PackedCart {
  const { lines, codes, codeFacts, buyerGroup, ordersPlaced = 0, uses = {}, explain = false } = request
  return {
    skus: lines.map(line => line.sku),
    quantities: lines.map(line => line.quantity),
    selected: lines.map(line => line.selected),
    codes,
    codeFacts,
    buyerGroup,
    ordersPlaced,
    uses,
    explain,
  }
}

function unpackCart({ skus, quantities, selected, ...rest }: PackedCart): CartRequest {
  const lines = skus.map((sku, at) => ({ sku, quantity: quantities[at] ?? 0, selected: selected[at] ?? false }))
  return { lines, ...rest }
}
