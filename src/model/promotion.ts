import { z } from 'zod'
import { CODE_FORM } from './code.ts'
import { FIXED } from './limits.ts'

/**
 * Promotions as a shop writes them down: a rule set is one JSON document, versioned as a whole. Money is in minor units of
 * the rule set's currency, percentages have at most two decimals. docs/promotions.md explains every kind with an example.
 */
const amount = z.int().min(1).max(FIXED.priceMinorMax)
const price = z.int().min(0).max(FIXED.priceMinorMax)
const units = z.int().min(1).max(FIXED.promotionUnitsMax)
const percent = z.number().gt(0).max(100).multipleOf(0.01)
const id = z
  .string()
  .min(1)
  .max(FIXED.promotionIdCharsMax)
  .regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower-case letters, digits, dots, dashes')
const stage = z.string().min(1).max(32)
const names = z.array(z.string().min(1).max(FIXED.categoryCharsMax)).min(1).max(FIXED.promotionNamesMax)

const selector = { skus: names.optional(), categories: names.optional(), tags: names.optional() }
/** Which products: all that are given must hold; within one list any. Nothing given means every product. */
const scope = z.strictObject({
  ...selector,
  priceMin: price.optional(),
  priceMax: price.optional(),
  /** Leaves out products that are on sale, i.e. that have a list price above their price. */
  onSale: z.enum(['include', 'exclude']).optional(),
  exclude: z.strictObject(selector).optional(),
})

/** How many of the units, and which of them, by unit price; ties by product code. */
const unitChoice = z.strictObject({
  max: units.optional(),
  maxPerLine: units.optional(),
  /** Only as many as make up whole groups of this size, of the products together or of each line. */
  groupsOf: units.optional(),
  groupsBy: z.enum(['products', 'line']).optional(),
  take: z.enum(['dearest', 'cheapest']).optional(),
})

const moment = z.iso.datetime({
  offset: true,
  error: 'must be a date and time with a zone such as 2030-12-31T23:59:59Z',
})

const conditions = z.strictObject({
  from: moment.optional(),
  until: moment.optional(),
  /** Amounts and units are of the promotion's own products, or of these. */
  of: scope.optional(),
  minAmount: amount.optional(),
  /** At list prices: a discount must not open what was too dear. */
  maxAmount: amount.optional(),
  minUnits: units.optional(),
  minLineUnits: units.optional(),
  /** Whether amounts are counted before any promotion, as buyers see them, or as what the lines cost by then. */
  basis: z.enum(['list', 'current']).default('list'),
  contains: z.strictObject({ scope, units: units.default(1) }).optional(),
  /** Not if any product in the cart is on sale. */
  nothingOnSale: z.boolean().optional(),
  /** Only the n-th order of the buyer; 1 is the first. */
  orderNumber: units.optional(),
  buyerGroups: names.optional(),
  /** Only with one of these ways of delivery; a cart's is `standard`. */
  shippingMethods: names.optional(),
})

const code = z.string().min(1).max(FIXED.codeCharsMax).regex(CODE_FORM, 'must be visible ASCII, and not . or ..')
export const codePoolName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be lower-case letters, digits, dots, dashes')

const common = {
  id,
  name: z.string().min(1).max(FIXED.promotionNameCharsMax),
  stage: stage.optional(),
  /** Lower goes first within a stage. */
  priority: z.int().min(0).max(1_000_000).default(100),
  code: code.optional(),
  /** Any of these opens it, each `usesPerCode` times. */
  codes: z.array(code).min(1).max(FIXED.codesOfPromotionMax).optional(),
  /** The same for the codes of a pool (`cartload codes`). */
  codePool: codePoolName.optional(),
  usesPerCode: units.optional(),
  scope: scope.optional(),
  when: conditions.optional(),
  group: z.string().min(1).max(64).optional(),
  exclusive: z.boolean().optional(),
  stops: z.boolean().optional(),
  amountMax: amount.optional(),
  budget: amount.optional(),
  usesMax: units.optional(),
  usesPerUserMax: units.optional(),
}

const reward = { percent: percent.optional(), amount: amount.optional(), price: price.optional() }
const tiers = <T extends z.ZodRawShape>(shape: T) => z.array(z.strictObject(shape)).min(1).max(FIXED.promotionTiersMax)
const timesMax = units.optional()

export const promotionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    ...common,
    kind: z.literal('percent_off'),
    percent,
    per: z.enum(['line', 'order']).default('line'),
    units: unitChoice.optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('amount_off'),
    amount,
    /** What the amount is taken off: each unit, each line once, or the products together. */
    per: z.enum(['unit', 'line', 'order']).default('order'),
    /** Off the first unit of a line, where that differs from the others. */
    first: amount.optional(),
    units: unitChoice.optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('fixed_price'),
    price,
    per: z.enum(['unit', 'order']).default('unit'),
    units: unitChoice.optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('volume'),
    /** Counts each line by itself, or all the products together. */
    count: z.enum(['line', 'group']).default('line'),
    measure: z.enum(['units', 'amount']).default('units'),
    tiers: tiers({ from: z.int().min(0), ...reward }),
    units: unitChoice.optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('buy_get'),
    buy: z.strictObject({ scope: scope.optional(), units }),
    get: z.strictObject({ scope: scope.optional(), units }),
    percent: percent.default(100),
    take: z.enum(['dearest', 'cheapest']).default('cheapest'),
    /** Only where all units that are given are in the cart; otherwise those that are there. */
    complete: z.boolean().optional(),
    timesMax,
  }),
  z.strictObject({ ...common, kind: z.literal('multi_buy'), units, ...reward, timesMax }),
  z.strictObject({
    ...common,
    kind: z.literal('bundle'),
    items: z.array(z.strictObject({ scope, units })).min(2).max(FIXED.promotionTiersMax),
    ...reward,
    timesMax,
  }),
  z.strictObject({ ...common, kind: z.literal('set'), tiers: tiers({ distinct: units, percent }) }),
  z.strictObject({
    ...common,
    kind: z.literal('threshold'),
    measure: z.enum(['amount', 'units']).default('amount'),
    tiers: tiers({ from: z.int().min(1), percent: percent.optional(), amount: amount.optional() }).optional(),
    every: z.strictObject({ amount, off: amount, timesMax }).optional(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('gift'),
    sku: z.string().min(1).max(FIXED.skuCharsMax),
    units: units.default(1),
    /** One gift for this many units of the scope; without it one gift per order. */
    perUnits: units.optional(),
    timesMax,
  }),
  z.strictObject({ ...common, kind: z.literal('shipping'), ...reward }),
])

const rounding = z.enum(['half-up', 'half-down', 'half-even', 'up', 'down'])

/** How amounts are rounded, combined and split: what systems differ in. Every default is explained in docs/promotions.md. */
export const policySchema = z.strictObject({
  /** `lowest-total` searches; `in-order` takes whatever applies, in order, exclusive ones first. */
  choice: z.enum(['lowest-total', 'in-order']).default('lowest-total'),
  stages: z.array(stage).min(1).max(8).default(['item', 'shop', 'platform', 'coupon']),
  percentages: z.enum(['sequential', 'parallel']).default('sequential'),
  codesMax: z.int().min(0).max(FIXED.codesMax).default(FIXED.codesMax),
  /** Of a discount; with `of: price` of what is left to pay. */
  rounding: z
    .strictObject({
      mode: rounding.default('half-up'),
      at: z.enum(['line', 'unit']).default('line'),
      of: z.enum(['discount', 'price']).default('discount'),
    })
    .prefault({}),
  /**
   * Whether promotions for a few units of a line share the same units; each takes units that no earlier one took, and shares when none is left (but
   * several units for a price are of fresh ones only); or a unit is in one offer only, so that later promotions have fewer.
   */
  units: z.enum(['shared', 'fresh-first', 'one-offer']).default('shared'),
  /** What a discount is split by: what lines cost, that with the tax to be added, or evenly over lines or units. */
  split: z.enum(['value', 'value-with-tax', 'even-lines', 'even-units']).default('value'),
  /** Which lines get the odd minor units of a split: the largest fractions, or all go to the first line by product code, the last, or the largest. */
  remainder: z.enum(['largest-fraction', 'first', 'last', 'largest']).default('largest-fraction'),
  tax: z
    .strictObject({
      prices: z.enum(['include-tax', 'exclude-tax']).default('include-tax'),
      /** Where tax is rounded: on each line, on each unit, or once on the whole order. */
      at: z.enum(['line', 'unit', 'order']).default('line'),
      mode: rounding.default('half-up'),
      shippingPercent: z.number().min(0).max(100).multipleOf(0.001).default(0),
    })
    .prefault({}),
})

export const ruleSetSchema = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR'),
  policy: policySchema.prefault({}),
  /** Groups whose members exclude each other: in the whole order (the default), or on each line. */
  groups: z.record(z.string().min(1).max(64), z.strictObject({ scope: z.enum(['order', 'line']) })).default({}),
  promotions: z.array(promotionSchema).max(FIXED.promotionsMax),
})

/** How carts are delivered. */
export const STANDARD_DELIVERY = 'standard'

/** Groups that a buyer can be in. */
export const BUYER_GROUPS: readonly string[] = ['guest', 'member']

export type Scope = z.infer<typeof scope>
export type UnitChoice = z.infer<typeof unitChoice>
export type Promotion = z.infer<typeof promotionSchema>
export type Policy = z.infer<typeof policySchema>
export type RuleSet = z.infer<typeof ruleSetSchema>
export type Remainder = Policy['remainder']
export type RoundingMode = z.infer<typeof rounding>
export type PromotionOf<K extends Promotion['kind']> = Extract<Promotion, { kind: K }>

/** The rule set of a shop that has none. */
export const NO_RULES = (currency: string): RuleSet => ruleSetSchema.parse({ currency, promotions: [] })

/** True for a promotion that changes each line by itself, whatever the other lines cost by then. */
export function worksByLine(one: Promotion): boolean {
  switch (one.kind) {
    case 'percent_off':
      return one.per === 'line'
    case 'amount_off':
    case 'fixed_price':
      return one.per !== 'order'
    case 'volume':
    case 'buy_get':
    case 'multi_buy':
    case 'bundle':
    case 'set':
      return true
    case 'threshold':
      return one.scope !== undefined && one.tiers?.some(tier => tier.percent !== undefined) === true
    case 'gift':
    case 'shipping':
      return false
  }
}

/** True for a promotion that only a code opens. */
export const needsCode = (one: Promotion): boolean => one.code !== undefined || hasManyCodes(one)
/** True where any of many codes opens it, each of which can be used a number of times. */
export const hasManyCodes = (one: Promotion): boolean => one.codes !== undefined || one.codePool !== undefined

/** True for a promotion that may take some units of a line and not others, by what else is in the cart. */
export function choosesUnits(one: Promotion): boolean {
  const byCount = ['buy_get', 'multi_buy', 'bundle', 'set'].includes(one.kind)
  return byCount || ('units' in one && typeof one.units === 'object')
}

/** Codes go into the last stage; what works line by line into the first; the rest into the second. */
export function defaultStage(one: Promotion, stages: readonly string[]): string {
  const [first = 'item', second = first] = stages
  if (needsCode(one)) return stages.at(-1) ?? first
  return worksByLine(one) ? first : second
}

/** The times at which promotions of a rule set start or end, in ms since 1970. */
export function boundariesOf({ promotions }: RuleSet): number[] {
  return promotions.flatMap(({ when }) =>
    [when?.from, when?.until].flatMap(time => (time === undefined ? [] : [Date.parse(time)])),
  )
}
