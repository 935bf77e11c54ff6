import { FIXED } from '../model/limits.ts'
import { type Minor, plus, amountOf, type UnitPrice } from '../model/money.ts'
import type { Product } from '../model/product.ts'
import { type Calculation, calculate, type Gift } from './engine/calculate.ts'
import type { LineToPrice, Usage } from './engine/input.ts'
import type { CodeFacts } from './engine/codes.ts'
import type { Outcome } from './engine/explain.ts'
import type { CompiledRules } from './engine/rules.ts'
import { codeForm } from '../model/code.ts'
import type { TaxOfRate } from './engine/taxes.ts'

/**
 * What a cart costs in a shop: its catalogue and the rules in force, around the engine. Pure, no clock, no I/O. Prices come
 * from the catalogue, never from the caller. Totals are of the selected lines; a product that is no longer sold stays in the
 * cart, costs nothing and is not counted.
 */
export interface CartRequest {
  readonly lines: readonly { readonly sku: string; readonly quantity: number; readonly selected: boolean }[]
  readonly codes: readonly string[]
  /** What is known of the codes, where a promotion has many (`inventory/code-uses.ts` asks). */
  readonly codeFacts?: CodeFacts | undefined
  readonly buyerGroup: string
  /** Orders that the buyer has placed; none where it is not said. */
  readonly ordersPlaced?: number
  /** How often the buyer has used promotions, by promotion. */
  readonly uses?: Readonly<Record<string, number>>
  /** Adds what became of every promotion. */
  readonly explain?: boolean
}

export interface PricedLine {
  /** The product's name; the sku where the product is not sold any more. */
  readonly name: string
  readonly unitPrice: UnitPrice
  /** Quantity times unit price. */
  readonly subtotal: Minor
  readonly discount: Minor
  readonly total: Minor
  /** Of a product with a tax rate: contained in the total, or to be added to it, as the policy says. */
  readonly tax?: Minor
  readonly taxPercent?: number
  readonly available: boolean
}

export interface Totals {
  readonly lines: number
  readonly units: number
  readonly subtotal: Minor
  readonly discount: Minor
  readonly shipping: Minor
  readonly tax: Minor
  /** The same by rate. */
  readonly taxes: readonly TaxOfRate[]
  readonly total: Minor
}

export interface PricedCart {
  readonly catalogVersion: number
  readonly rulesVersion: number
  /** When what the rules say last changed, in ms since 1970: grows with versions and with promotions that start or end. */
  readonly rulesStamp: number
  readonly lines: readonly PricedLine[]
  /** Products that it depends on beside those of its lines: what promotions give, or would give if it were sold. */
  readonly giftSkus: readonly string[]
  readonly totals: Totals
  readonly promotions: readonly { readonly promotion: string; readonly name: string; readonly amount: Minor }[]
  readonly gifts: readonly Gift[]
  readonly codes: readonly CodeState[]
  /** Which code has opened which promotion: what an order claims. */
  readonly opened: readonly { readonly promotion: string; readonly code: string }[]
  /** The nearest thresholds: what is missing, and for what. */
  readonly hints: readonly Hint[]
  /** By how much another combination could be cheaper; 0 when it is proved that none is. */
  readonly gap: Minor
  readonly outcomes?: readonly Outcome[]
}

export interface CodeState {
  readonly code: string
  readonly applied: boolean
  readonly reason?: string
  readonly detail?: string
}

interface Hint {
  readonly promotion: string
  readonly name: string
  readonly missing: number
  /** `units` where units are missing; minor units otherwise. */
  readonly unit?: 'units'
  readonly amount?: Minor
  readonly percent?: number
}

/** Products, as they are at a version; at least those that a request names and its rules give. */
export interface Catalog {
  readonly version: number
  readonly products: ReadonlyMap<string, Product>
}

/** The rules in force. */
export interface Rules {
  readonly version: number
  readonly stamp: number
  readonly compiled: CompiledRules
  readonly usage: GivenAway
}

/** What limited promotions have given away so far, as an instance last heard; orders count exactly (inventory/). */
export interface GivenAway {
  /** Changes with every change of the numbers. */
  readonly version: number
  readonly promotions: Readonly<Record<string, { readonly uses: number; readonly spent: Minor }>>
}

export const NOTHING_GIVEN: GivenAway = { version: 0, promotions: {} }

export interface Terms {
  readonly currency: string
  readonly shippingFee: Minor
}

const HINTS_MAX = 3

export function priceCart(request: CartRequest, catalog: Catalog, rules: Rules, terms: Terms): PricedCart {
  const found = request.lines.map(line => catalog.products.get(line.sku))
  const nothingToCalculate =
    rules.compiled.promotions.length === 0 && request.codes.length === 0 && terms.shippingFee === 0
  if (nothingToCalculate && !found.some(product => product?.taxPercent)) {
    return { ...atListPrices(request, found, catalog, rules), ...(request.explain ? { outcomes: [] } : {}) }
  }
  const lines: LineToPrice[] = request.lines.map((line, at) => lineOf(line, found[at]))
  const calculation = calculate(
    rules.compiled,
    {
      currency: terms.currency,
      lines,
      codes: request.codes,
      codeFacts: request.codeFacts,
      buyer: { ordersPlaced: request.ordersPlaced ?? 0, groups: [request.buyerGroup] },
      shippingFee: terms.shippingFee,
      now: new Date(rules.stamp).toISOString(),
      usage: usageOf(rules.usage, request.uses ?? {}),
    },
    { workMax: FIXED.pricingWorkMax },
  )
  const { totals, gap } = calculation
  // What is not sold cannot be given.
  const gifts = calculation.gifts.filter(({ sku }) => catalog.products.has(sku))
  const outcomes = calculation.outcomes.map(outcome => withoutGift(outcome, calculation.gifts, gifts))
  const counted = lines.filter(line => line.selected)
  return {
    ...stampsOf(catalog, rules),
    lines: lines.map((line, at) => pricedLine(line, found[at], calculation, at)),
    giftSkus: calculation.gifts.map(({ sku }) => sku),
    totals: {
      lines: counted.length,
      units: counted.reduce((sum, line) => plus(sum, line.quantity), 0),
      subtotal: totals.subtotal,
      discount: totals.discount,
      shipping: totals.shipping,
      tax: totals.tax,
      taxes: totals.taxes,
      total: totals.total,
    },
    promotions: outcomes.flatMap(({ status, promotion, name, amount }) =>
      status === 'applied' ? [{ promotion, name, amount }] : [],
    ),
    gifts,
    codes: request.codes.map(code => codeState(code, outcomes)),
    opened: outcomes.flatMap(({ status, promotion, code }) =>
      status === 'applied' && code !== undefined ? [{ promotion, code }] : [],
    ),
    hints: hintsOf(outcomes),
    gap,
    ...(request.explain ? { outcomes } : {}),
  }
}

function usageOf({ promotions }: GivenAway, uses: Readonly<Record<string, number>>): Record<string, Usage> {
  const ids = new Set([...Object.keys(promotions), ...Object.keys(uses)])
  return Object.fromEntries(
    [...ids].map(id => [id, { uses: 0, spent: 0, ...promotions[id], usesByBuyer: uses[id] ?? 0 }]),
  )
}

function withoutGift(outcome: Outcome, wanted: readonly Gift[], given: readonly Gift[]): Outcome {
  const isOf = ({ promotion }: Gift) => promotion === outcome.promotion
  if (!wanted.some(isOf) || given.some(isOf)) return outcome
  return { ...outcome, status: 'refused', amount: 0, reason: 'gift_not_sold', detail: 'Its gift is not sold any more.' }
}

/** The cart at list prices, with no promotion at all: what can always be said. */
export function listPriceCart(request: CartRequest, catalog: Catalog, rules: Omit<Rules, 'usage'>): PricedCart {
  const found = request.lines.map(line => catalog.products.get(line.sku))
  return atListPrices(request, found, catalog, rules)
}

function atListPrices(
  request: CartRequest,
  found: readonly (Product | undefined)[],
  catalog: Catalog,
  rules: Omit<Rules, 'usage'>,
): PricedCart {
  const totals = { lines: 0, units: 0, subtotal: 0, discount: 0, shipping: 0, tax: 0, taxes: [], total: 0 }
  const lines = request.lines.map((line, at): PricedLine => {
    const product = found[at]
    if (!product) return { name: line.sku, unitPrice: 0, subtotal: 0, discount: 0, total: 0, available: false }
    const total = amountOf(product.price, line.quantity)
    if (line.selected) {
      totals.lines++
      totals.units = plus(totals.units, line.quantity)
      totals.subtotal = plus(totals.subtotal, total)
    }
    return { name: product.name, unitPrice: product.price, subtotal: total, discount: 0, total, available: true }
  })
  totals.total = totals.subtotal
  return {
    ...stampsOf(catalog, rules),
    lines,
    giftSkus: [],
    totals,
    promotions: [],
    gifts: [],
    codes: [],
    opened: [],
    hints: [],
    gap: 0,
  }
}

function stampsOf(catalog: Catalog, rules: Omit<Rules, 'usage'>) {
  return { catalogVersion: catalog.version, rulesVersion: rules.version, rulesStamp: rules.stamp }
}

function lineOf(line: CartRequest['lines'][number], product: Product | undefined): LineToPrice {
  return {
    sku: line.sku,
    quantity: line.quantity,
    unitPrice: product?.price ?? 0,
    listPrice: product?.listPrice,
    categories: product ? [product.category] : [],
    tags: product?.tags ?? [],
    // What is not sold any more is not counted.
    selected: line.selected && product !== undefined,
    floorPrice: product?.floorPrice,
    taxPercent: product?.taxPercent,
    ...(product ? { product } : {}),
  }
}

function pricedLine(line: LineToPrice, product: Product | undefined, { lines }: Calculation, at: number): PricedLine {
  const { subtotal = 0, discount = 0, total = 0, tax = 0 } = lines[at] ?? {}
  const { unitPrice, taxPercent } = line
  const name = product?.name ?? line.sku
  const taxed = taxPercent ? { tax, taxPercent } : {}
  return { name, unitPrice, subtotal, discount, total, ...taxed, available: product !== undefined }
}

function codeState(code: string, outcomes: readonly Outcome[]): CodeState {
  const own = outcomes.filter(outcome => outcome.code !== undefined && codeForm(outcome.code) === codeForm(code))
  if (own.some(outcome => outcome.status === 'applied')) return { code, applied: true }
  const { reason = 'code_unknown', detail = 'There is no such code.' } = own[0] ?? {}
  return { code, applied: false, reason, detail }
}

function hintsOf(outcomes: readonly Outcome[]): Hint[] {
  return outcomes
    .flatMap(({ promotion, name, next }) => (next && next.missing > 0 ? [{ promotion, name, ...next }] : []))
    .sort((a, b) => a.missing - b.missing)
    .slice(0, HINTS_MAX)
}
