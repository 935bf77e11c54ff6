import { amountOf } from '../../model/money.ts'
import {
  defaultStage,
  hasManyCodes,
  type Promotion,
  type RuleSet,
  STANDARD_DELIVERY,
  worksByLine,
} from '../../model/promotion.ts'

import type { CartToPrice } from './input.ts'
import { compileScopes, isOnSale, type Scopes, type ScopeIndex } from './scope-index.ts'

/**
 * A rule set made ready for pricing, once per version: promotions in the order in which they are applied, and for every scope
 * a test that looks a product up in sets. Then, per cart, which of them the buyer could have at all, and why not.
 */
export interface CompiledRules {
  readonly ruleSet: RuleSet
  /** By stage, priority, group of lines, id: the order of application. */
  readonly promotions: readonly CompiledPromotion[]
  readonly scopes: Scopes
  readonly hasManyCodes: boolean
  /** Place of the stage of a promotion. */
  stageOf(promotion: Promotion): number
  /** Name of the group that excludes by line, if it is in one. */
  lineGroupOf(promotion: Promotion): string | undefined
}

export interface CompiledPromotion {
  readonly promotion: Promotion
  readonly byLine: boolean
  readonly from: number
  readonly until: number
}

export function compileRules(ruleSet: RuleSet): CompiledRules {
  const { stages } = ruleSet.policy
  const promotions = ruleSet.promotions.map(promotion => ({
    promotion,
    byLine: worksByLine(promotion),
    from: promotion.when?.from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(promotion.when.from),
    until: promotion.when?.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(promotion.when.until),
  }))
  const stageOf = (one: Promotion) => stages.indexOf(one.stage ?? defaultStage(one, stages))
  // Members of a group that excludes by line stand together (line-groups.ts).
  const lineGroupOf = ({ group = '' }: Promotion) => (ruleSet.groups[group]?.scope === 'line' ? group : undefined)
  promotions.sort((a, b) => {
    const [p, q] = [a.promotion, b.promotion]
    return (
      stageOf(p) - stageOf(q) ||
      p.priority - q.priority ||
      compare(lineGroupOf(p) ?? '', lineGroupOf(q) ?? '') ||
      compare(p.id, q.id)
    )
  })
  return {
    ruleSet,
    promotions,
    scopes: compileScopes(ruleSet.promotions),
    hasManyCodes: ruleSet.promotions.some(hasManyCodes),
    stageOf,
    lineGroupOf,
  }
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

export type RefusalCode =
  | 'not_started'
  | 'ended'
  | 'no_matching_lines'
  | 'min_amount'
  | 'max_amount'
  | 'min_units'
  | 'min_line_units'
  | 'contains'
  | 'on_sale'
  | 'order_number'
  | 'buyer_group'
  | 'shipping_method'
  | 'uses_max'
  | 'uses_per_user_max'
  | 'budget_spent'
  | 'code_unknown'
  | 'code_used'
  | 'codes_max'

export interface Refusal {
  readonly code: RefusalCode
  readonly detail: string
  /** What is missing to the condition, in minor units or units. */
  readonly missing?: number
}

/** Whether a promotion is open to this buyer and cart before anything is calculated. Undefined when it is. */
export function refusalOf(compiled: CompiledPromotion, cart: CartToPrice, scopeIndex: ScopeIndex): Refusal | undefined {
  const { promotion } = compiled
  return refusedByTime(compiled, cart.now) ?? refusedByBuyer(promotion, cart) ?? refusedByLines(promotion, scopeIndex)
}

function refusedByTime({ from, until }: CompiledPromotion, now: string): Refusal | undefined {
  const at = Date.parse(now)
  if (at < from) return { code: 'not_started', detail: `It starts at ${new Date(from).toISOString()}.` }
  if (at >= until) return { code: 'ended', detail: `It ended at ${new Date(until).toISOString()}.` }
  return undefined
}

function refusedByBuyer(
  promotion: Promotion,
  { buyer, usage, shippingMethod = STANDARD_DELIVERY }: CartToPrice,
): Refusal | undefined {
  const { when, usesMax, usesPerUserMax, budget } = promotion
  if (when?.orderNumber !== undefined && buyer.ordersPlaced + 1 !== when.orderNumber)
    return { code: 'order_number', detail: `It is for order number ${when.orderNumber} of a buyer.` }
  if (when?.buyerGroups && !when.buyerGroups.some(group => buyer.groups.includes(group)))
    return { code: 'buyer_group', detail: `It is for: ${when.buyerGroups.join(', ')}.` }
  if (when?.shippingMethods && !when.shippingMethods.includes(shippingMethod))
    return { code: 'shipping_method', detail: `It is for delivery by: ${when.shippingMethods.join(', ')}.` }
  const used = usage[promotion.id]
  if (used && usesMax !== undefined && used.uses >= usesMax)
    return { code: 'uses_max', detail: 'It has been used as often as it can be.' }
  if (used && usesPerUserMax !== undefined && used.usesByBuyer >= usesPerUserMax)
    return { code: 'uses_per_user_max', detail: 'You have used it as often as you can.' }
  if (used && budget !== undefined && used.spent >= budget)
    return { code: 'budget_spent', detail: 'What it could give away has been given away.' }
  return undefined
}

function refusedByLines(promotion: Promotion, { lines, members }: ScopeIndex): Refusal | undefined {
  const { when } = promotion
  const counted = members(when?.of ?? promotion.scope)
  const sum = (of: readonly number[], pick: (quantity: number, price: number) => number) =>
    of.reduce((total, at) => total + pick(lines[at]!.quantity, lines[at]!.unitPrice), 0)
  const unitsOf = (of: readonly number[]) => sum(of, quantity => quantity)
  if (counted.length === 0) return { code: 'no_matching_lines', detail: 'No product in the cart is meant by it.' }
  if (!when) return undefined
  if (when.nothingOnSale && lines.some(isOnSale))
    return { code: 'on_sale', detail: 'It cannot be had with products that are on sale.' }
  if (when.minUnits !== undefined && unitsOf(counted) < when.minUnits)
    return shortOf('min_units', when.minUnits - unitsOf(counted), n => `${n} more of its products are needed.`)
  if (when.minLineUnits !== undefined) {
    const most = counted.reduce((max, at) => Math.max(max, lines[at]!.quantity), 0)
    if (most < when.minLineUnits)
      return shortOf('min_line_units', when.minLineUnits - most, n => `${n} more of one product are needed.`)
  }
  if (when.contains) {
    const there = unitsOf(members(when.contains.scope))
    if (there < when.contains.units)
      return shortOf('contains', when.contains.units - there, n => `${n} more of what goes with it are needed.`)
  }
  // What lines cost by the time of the promotion is at most this: below it the condition cannot be met.
  const amount = sum(counted, (quantity, price) => amountOf(price, quantity))
  if (when.maxAmount !== undefined && amount > when.maxAmount)
    return { code: 'max_amount', detail: `It is for at most ${when.maxAmount} (minor units).` }
  if (when.minAmount !== undefined) {
    if (amount < when.minAmount)
      return shortOf('min_amount', when.minAmount - amount, n => `${n} more (minor units) are needed.`)
  }
  return undefined
}

function shortOf(code: RefusalCode, missing: number, detail: (missing: number) => string): Refusal {
  return { code, missing, detail: detail(missing) }
}
