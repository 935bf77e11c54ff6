import fc from 'fast-check'
import { type Promotion, type RuleSet } from '../../src/model/promotion.ts'
import { checkRuleSet } from '../../src/model/rule-set-check.ts'
import type { CartToPrice } from '../../src/pricing/engine/input.ts'

/** Random carts and rule sets: every kind of promotion, with everything that makes promotions compete. */
export interface Sizes {
  readonly lines: number
  readonly promotions: number
  readonly quantityMax: number
  /** Share of promotions that exclude others: in groups, alone, by stopping. */
  readonly competing: number
}

const CATEGORIES = ['c0', 'c1', 'c2']
const TAGS = ['t0', 't1']
const GROUPS = { g0: { scope: 'order' }, g1: { scope: 'order' }, l0: { scope: 'line' } }

/** Present in `percent` of a hundred cases. */
const optional = <T>(arbitrary: fc.Arbitrary<T>, percent = 50): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: percent, arbitrary }, { weight: 100 - percent, arbitrary: fc.constant(undefined) })

function scopes(skus: readonly string[]): fc.Arbitrary<object | undefined> {
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant(undefined) },
    {
      weight: 2,
      arbitrary: fc.subarray(CATEGORIES, { minLength: 1, maxLength: 2 }).map(categories => ({ categories })),
    },
    { weight: 1, arbitrary: fc.subarray(TAGS, { minLength: 1 }).map(tags => ({ tags })) },
    { weight: 1, arbitrary: fc.subarray([...skus], { minLength: 1 }).map(list => ({ skus: list })) },
    { weight: 1, arbitrary: fc.record({ priceMin: fc.integer({ min: 0, max: 900 }) }) },
  )
}

const percents = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(12.5, 33.33, 100))
const amounts = fc.oneof(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 9 }))
const units = fc.integer({ min: 1, max: 4 })

function rewards(): fc.Arbitrary<object> {
  return fc.oneof(
    percents.map(percent => ({ percent })),
    amounts.map(amount => ({ amount })),
    fc.integer({ min: 0, max: 900 }).map(price => ({ price })),
  )
}

function rising<T>(list: readonly T[], of: (item: T) => number): T[] {
  const sorted = [...list].sort((a, b) => of(a) - of(b))
  return sorted.filter((item, at) => at === 0 || of(item) > of(sorted[at - 1]!))
}

function kinds(skus: readonly string[]): fc.Arbitrary<Record<string, unknown>> {
  const choice = optional(
    fc.record({
      max: optional(units),
      take: optional(fc.constantFrom('dearest', 'cheapest')),
      groupsOf: optional(units),
    }),
  )
  const scope = scopes(skus)
  const tiers = fc
    .array(fc.record({ from: fc.integer({ min: 1, max: 6 }), reward: rewards() }), { minLength: 1, maxLength: 3 })
    .map(list => rising(list, tier => tier.from).map(({ from, reward }) => ({ from, ...reward })))
  const ladder = fc
    .array(fc.tuple(fc.integer({ min: 100, max: 4000 }), amounts), { minLength: 1, maxLength: 3 })
    .map(list => {
      const froms = rising(
        list.map(([from]) => from),
        from => from,
      )
      const offs = rising(
        list.map(([, amount]) => amount),
        amount => amount,
      )
      return froms.slice(0, offs.length).map((from, at) => ({ from, amount: offs[at]! }))
    })
  return fc.oneof(
    fc.record({
      kind: fc.constant('percent_off'),
      percent: percents,
      per: fc.constantFrom('line', 'order'),
      units: choice,
    }),
    fc.record({
      kind: fc.constant('amount_off'),
      amount: amounts,
      per: fc.constantFrom('unit', 'line', 'order'),
      units: choice,
    }),
    fc.record({
      kind: fc.constant('fixed_price'),
      price: fc.integer({ min: 0, max: 900 }),
      per: fc.constantFrom('unit', 'order'),
    }),
    fc.record({ kind: fc.constant('volume'), count: fc.constantFrom('line', 'group'), tiers, units: choice }),
    fc.record({
      kind: fc.constant('buy_get'),
      buy: fc.record({ scope, units }),
      get: fc.record({ scope, units }),
      percent: percents,
      take: fc.constantFrom('dearest', 'cheapest'),
      timesMax: optional(units),
    }),
    fc.tuple(units, rewards()).map(([n, reward]) => ({ kind: 'multi_buy', units: n, ...reward })),
    fc.tuple(fc.tuple(scope, scope), units, rewards()).map(([[a, b], n, reward]) => ({
      kind: 'bundle',
      items: [
        { scope: a ?? {}, units: n },
        { scope: b ?? {}, units: 1 },
      ],
      ...reward,
    })),
    fc.record({
      kind: fc.constant('set'),
      tiers: fc
        .array(fc.record({ distinct: fc.integer({ min: 2, max: 5 }), percent: percents }), {
          minLength: 1,
          maxLength: 3,
        })
        .map(list => rising(list, tier => tier.distinct)),
    }),
    ladder.map(list => ({ kind: 'threshold', tiers: list })),
    fc.record({
      kind: fc.constant('threshold'),
      every: fc.record({
        amount: fc.oneof(fc.integer({ min: 200, max: 2000 }), fc.integer({ min: 1, max: 9 })),
        off: fc.integer({ min: 1, max: 150 }),
        timesMax: optional(units),
      }),
    }),
    fc.record({ kind: fc.constant('gift'), sku: fc.constant('gift'), units }),
    rewards().map(reward => ({ kind: 'shipping', ...reward })),
  )
}

function promotions(skus: readonly string[], { competing }: Sizes): fc.Arbitrary<Record<string, unknown>> {
  const of = (share: number) => Math.max(1, Math.round(share * 100))
  const competition = fc.oneof(
    { weight: of(1 - competing), arbitrary: fc.constant({}) },
    { weight: of(competing * 0.7), arbitrary: fc.constantFrom('g0', 'g1', 'l0').map(group => ({ group })) },
    { weight: of(competing * 0.15), arbitrary: fc.constant({ exclusive: true }) },
    { weight: of(competing * 0.15), arbitrary: fc.constant({ stops: true }) },
  )
  return fc
    .record({
      what: kinds(skus),
      competition,
      scope: scopes(skus),
      priority: fc.integer({ min: 0, max: 3 }),
      stage: optional(fc.constantFrom('item', 'shop', 'platform'), 25),
      basis: fc.constantFrom('list', 'current'),
      minAmount: optional(fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 40 })), 35),
      code: optional(fc.constantFrom('A', 'B', 'C', 'D'), 25),
      amountMax: optional(fc.integer({ min: 50, max: 2000 }), 15),
    })
    .map(({ what, competition: rivals, minAmount, basis, ...rest }) => ({
      ...rest,
      ...what,
      ...rivals,
      ...(minAmount === undefined ? {} : { when: { minAmount, basis } }),
    }))
}

export interface Case {
  readonly ruleSet: RuleSet
  readonly cart: CartToPrice
}

export function cases(sizes: Sizes, currency = 'EUR'): fc.Arbitrary<Case> {
  const skus = Array.from({ length: sizes.lines }, (_, at) => `sku-${String(at).padStart(3, '0')}`)
  const line = (sku: string) =>
    fc.record({
      sku: fc.constant(sku),
      quantity: fc.integer({ min: 1, max: sizes.quantityMax }),
      unitPrice: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: 1, max: 1200 }) },
        { weight: 1, arbitrary: fc.constant(0) },
      ),
      categories: fc.subarray(CATEGORIES, { minLength: 1, maxLength: 1 }),
      tags: fc.subarray(TAGS),
      selected: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
      taxPercent: fc.constantFrom(undefined, 7, 20),
      floorPrice: optional(fc.integer({ min: 0, max: 800 }), 20),
    })
  return fc
    .record({
      lines: fc.tuple(...skus.map(line)),
      promotions: fc.array(promotions(skus, sizes), {
        minLength: Math.ceil(sizes.promotions * 0.75),
        maxLength: sizes.promotions,
        size: 'max',
      }),
      codesMax: fc.integer({ min: 0, max: 3 }),
      policy: fc.record({
        percentages: fc.constantFrom('sequential', 'sequential', 'parallel'),
        rounding: fc.record({
          mode: fc.constantFrom('half-up', 'half-up', 'half-down', 'half-even', 'up', 'down'),
          at: fc.constantFrom('line', 'line', 'unit'),
          of: fc.constantFrom('discount', 'price'),
        }),
        split: fc.constantFrom('value', 'value', 'value-with-tax'),
      }),
      /** Prices of a few cents make every rounding count. */
      cheap: fc.constantFrom(false, false, true),
      shippingFee: fc.constantFrom(0, 500),
    })
    .map(({ lines, promotions: list, codesMax, policy, cheap, shippingFee }) => ({
      ruleSet: ruleSetOf({ currency, policy: { codesMax, ...policy }, groups: GROUPS, promotions: list.map(named) }),
      cart: {
        currency,
        lines: cheap ? lines.map(one => ({ ...one, unitPrice: one.unitPrice % 7, floorPrice: undefined })) : lines,
        codes: ['A', 'B', 'C'],
        buyer: { ordersPlaced: 0, groups: [] },
        shippingFee,
        now: '2026-06-01T00:00:00Z',
        usage: {},
      },
    }))
}

/** Gives a random promotion an id, and takes away what cannot go together. */
function named(promotion: Record<string, unknown>, at: number): Record<string, unknown> {
  const clean = JSON.parse(JSON.stringify(promotion)) as Record<string, unknown>
  const ofOrder = clean['per'] === 'order'
  const byLine = !ofOrder && !['threshold', 'gift', 'shipping'].includes(String(clean['kind']))
  if (clean['group'] === 'l0' && !byLine) delete clean['group']
  if (clean['group'] === 'l0') Object.assign(clean, { stage: 'item', priority: 1 })
  if ((byLine || clean['kind'] === 'gift') && clean['when']) clean['when'] = { ...clean['when'], basis: 'list' }
  if (ofOrder && clean['kind'] !== 'amount_off') delete clean['scope']
  return { id: `p${String(at).padStart(2, '0')}`, name: `promotion ${at}`, ...clean }
}

export function ruleSetOf(document: unknown): RuleSet {
  const checked = checkRuleSet(document)
  if ('ruleSet' in checked) return checked.ruleSet
  throw new Error(checked.mistakes.map(({ path, detail }) => `${path} ${detail}`).join('; '))
}

export function promotionOf(fields: Record<string, unknown>): Promotion {
  return ruleSetOf({ currency: 'EUR', groups: GROUPS, promotions: [{ id: 'p', name: 'p', ...fields }] }).promotions[0]!
}
