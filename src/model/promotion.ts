import { z } from 'zod'
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
  /** Only as many as make up whole groups of this size. */
  groupsOf: units.optional(),
  take: z.enum(['dearest', 'cheapest']).optional(),
})

const conditions = z.strictObject({
  from: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
  /** Amounts and units are of the promotion's own products, or of these. */
  of: scope.optional(),
  minAmount: amount.optional(),
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
})

const common = {
  id,
  name: z.string().min(1).max(FIXED.promotionNameCharsMax),
  stage: stage.optional(),
  /** Lower goes first within a stage. */
  priority: z.int().min(0).max(1_000_000).default(100),
  code: z
    .string()
    .min(1)
    .max(FIXED.codeCharsMax)
    .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII')
    .optional(),
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

const promotion = z.discriminatedUnion('kind', [
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
const policy = z.strictObject({
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
  /** Whether promotions for a few units of a line share the same units, or each takes units that no earlier one took. */
  units: z.enum(['shared', 'fresh-first']).default('shared'),
  /** What a discount is split by: what lines cost, or that with the tax to be added. */
  split: z.enum(['value', 'value-with-tax']).default('value'),
  tax: z
    .strictObject({
      prices: z.enum(['include-tax', 'exclude-tax']).default('include-tax'),
      at: z.enum(['line', 'unit']).default('line'),
      mode: rounding.default('half-up'),
      shippingPercent: z.number().min(0).max(100).multipleOf(0.01).default(0),
    })
    .prefault({}),
})

const ruleSet = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR'),
  policy: policy.prefault({}),
  /** Groups whose members exclude each other: in the whole order (the default), or on each line. */
  groups: z.record(z.string().min(1).max(64), z.strictObject({ scope: z.enum(['order', 'line']) })).default({}),
  promotions: z.array(promotion).max(FIXED.promotionsMax),
})

export type Scope = z.infer<typeof scope>
export type UnitChoice = z.infer<typeof unitChoice>
export type Promotion = z.infer<typeof promotion>
export type Policy = z.infer<typeof policy>
export type RuleSet = z.infer<typeof ruleSet>
export type RoundingMode = z.infer<typeof rounding>
export type PromotionOf<K extends Promotion['kind']> = Extract<Promotion, { kind: K }>

/** One thing wrong with a rule set: `path` is a JSON pointer into the document. */
export interface Mistake {
  readonly path: string
  readonly detail: string
}

export type CheckedRuleSet = { readonly ruleSet: RuleSet } | { readonly mistakes: readonly Mistake[] }

/** The rule set of a shop that has none. */
export const NO_RULES = (currency: string): RuleSet => ruleSet.parse({ currency, promotions: [] })

/** Reads a rule set; everything that is wrong with it is named, not only the first mistake. */
export function checkRuleSet(document: unknown): CheckedRuleSet {
  const read = ruleSet.safeParse(document)
  // The meaning of what could be read is checked even where another part could not, so that all mistakes come at once.
  const mistakes = read.success ? [] : read.error.issues.flatMap(issue => mistakesOf(issue, []))
  const found = [...mistakes, ...contradictionsOf(read.success ? read.data : readableParts(document))]
  if (read.success && found.length === 0) return { ruleSet: read.data }
  return { mistakes: found }
}

function mistakesOf(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): Mistake[] {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ path: pointerTo([...path, key]), detail: 'is not a known field' }))
  }
  return [{ path: pointerTo(path), detail: issue.message }]
}

function pointerTo(path: readonly PropertyKey[]): string {
  return path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

interface Readable {
  readonly groups: RuleSet['groups']
  readonly policy: Policy
  readonly promotions: readonly (Promotion | undefined)[]
}

function readableParts(document: unknown): Readable {
  const parts = (typeof document === 'object' && document !== null ? document : {}) as Record<string, unknown>
  const list = Array.isArray(parts['promotions']) ? parts['promotions'].slice(0, FIXED.promotionsMax) : []
  return {
    groups: ruleSet.shape.groups.safeParse(parts['groups']).data ?? {},
    policy: policy.safeParse(parts['policy'] ?? {}).data ?? policy.parse({}),
    promotions: list.map(one => promotion.safeParse(one).data),
  }
}

/** Mistakes that no single field shows. */
function contradictionsOf({ groups, policy: { stages }, promotions }: Readable): Mistake[] {
  const mistakes: Mistake[] = []
  const seen = new Map<string, number>()
  for (const [at, one] of promotions.entries()) {
    if (!one) continue
    const wrong = (part: string, detail: string) => mistakes.push({ path: `/promotions/${at}${part}`, detail })
    const first = seen.get(one.id)
    if (first === undefined) seen.set(one.id, at)
    else wrong('/id', `is the id of /promotions/${first} too`)
    if (one.stage !== undefined && !stages.includes(one.stage)) wrong('/stage', `is not one of ${stages.join(', ')}`)
    if (one.when?.from && one.when.until && Date.parse(one.when.from) >= Date.parse(one.when.until))
      wrong('/when/until', 'must be after from')
    if (one.group !== undefined && groups[one.group]?.scope === 'line' && !worksByLine(one))
      wrong('/group', 'excludes by line, which only a promotion that works line by line can do')
    if (one.when?.basis === 'current' && worksByLine(one))
      wrong('/when/basis', 'must be list: it works line by line, before anything is taken off the order')
    if (one.scope && isOfWholeOrder(one))
      wrong(
        '/scope',
        'must be left out: this works on the order as a whole; off some products use per: line, multi_buy or bundle',
      )
    if (one.exclusive && one.group !== undefined) wrong('/exclusive', 'is more than a group: leave one of them out')
    for (const detail of rewardMistakes(one)) wrong(detail.part, detail.detail)
  }
  return mistakes
}

function rewardMistakes(one: Promotion): { part: string; detail: string }[] {
  const exactlyOne = (part: string, reward: object, of: readonly string[]) => {
    const given = of.filter(key => key in reward && (reward as Record<string, unknown>)[key] !== undefined)
    return given.length === 1 ? [] : [{ part, detail: `must have exactly one of ${of.join(', ')}` }]
  }
  const rewards = ['percent', 'amount', 'price']
  switch (one.kind) {
    case 'multi_buy':
    case 'bundle':
    case 'shipping':
      return exactlyOne('', one, rewards)
    case 'volume':
      return [
        ...one.tiers.flatMap((tier, at) => exactlyOne(`/tiers/${at}`, tier, rewards)),
        ...rising('/tiers', one.tiers, tier => tier.from),
      ]
    case 'set':
      return rising('/tiers', one.tiers, tier => tier.distinct)
    case 'threshold':
      if (!one.tiers || one.every) return exactlyOne('', one, ['tiers', 'every'])
      return [
        ...one.tiers.flatMap((tier, at) => exactlyOne(`/tiers/${at}`, tier, ['percent', 'amount'])),
        ...rising('/tiers', one.tiers, tier => tier.from),
        ...rising('/tiers', one.tiers, tier => tier.amount ?? tier.percent ?? 0),
        ...(new Set(one.tiers.map(tier => tier.amount === undefined)).size > 1
          ? [{ part: '/tiers', detail: 'must be all amounts or all percentages' }]
          : []),
      ]
    default:
      return []
  }
}

function rising<T>(part: string, list: readonly T[], of: (item: T) => number): { part: string; detail: string }[] {
  const at = list.findIndex((item, index) => index > 0 && of(item) <= of(list[index - 1] ?? item))
  return at < 0 ? [] : [{ part: `${part}/${at}`, detail: 'must be above the one before' }]
}

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

/** What takes a share of what it finds, once, does so of the whole order. */
function isOfWholeOrder(one: Promotion): boolean {
  if (one.kind === 'percent_off' || one.kind === 'fixed_price') return one.per === 'order'
  const takesPercent = one.kind === 'threshold' && one.tiers?.some(tier => tier.percent !== undefined)
  return takesPercent === true && one.when?.basis === 'current'
}

/** Codes go into the last stage; what works line by line into the first; the rest into the second. */
export function defaultStage(one: Promotion, stages: readonly string[]): string {
  const [first = 'item', second = first] = stages
  if (one.code !== undefined) return stages.at(-1) ?? first
  return worksByLine(one) ? first : second
}

/** The times at which promotions of a rule set start or end, in ms since 1970. */
export function boundariesOf({ promotions }: RuleSet): number[] {
  return promotions.flatMap(({ when }) =>
    [when?.from, when?.until].flatMap(time => (time === undefined ? [] : [Date.parse(time)])),
  )
}
