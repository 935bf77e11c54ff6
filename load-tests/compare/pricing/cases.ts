import { createGenerator } from '../../../src/cli/generator.ts'
import { type RuleSet } from '../../../src/model/promotion.ts'
import type { Product } from '../../../src/model/product.ts'
import { checkRuleSet } from '../../../src/model/rule-set-check.ts'
import type { CartToPrice, LineToPrice } from '../../../src/pricing/engine/input.ts'

/**
 * Random carts and rule sets as a busy shop has them, made from a seed: products of the seeded shop, promotions of every kind,
 * most of which compete: for a line, for the order, for the number of codes. `currentShare` is the part of thresholds that
 * count what goods cost by then; those are the hard ones, because leaving a promotion out may reach one.
 */
export interface PricingCase {
  readonly ruleSet: RuleSet
  readonly cart: CartToPrice
}

export function pricingCase(seed: number, lines: number, promotions: number, currentShare = 0): PricingCase {
  const random = randomFrom(seed)
  const shop = createGenerator({ seed: 1, products: 5_000, linesMax: 500, quantityMax: 999 })
  const cart = {
    ...emptyCart(),
    lines: Array.from({ length: lines }, (_, at) => lineOf(shop.product((seed * 37 + at) % 5_000), random)),
  }
  const value = cart.lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0)
  const document = {
    currency: 'GBP',
    policy: { codesMax: 2 },
    groups: {
      offers: { scope: 'line' },
      weekend: { scope: 'order' },
      vip: { scope: 'order' },
      ladder: { scope: 'order' },
    },
    promotions: Array.from({ length: promotions }, (_, at) => promotionOf(at, random, cart.lines, value, currentShare)),
  }
  const checked = checkRuleSet(document)
  if ('mistakes' in checked) throw new Error(JSON.stringify(checked.mistakes))
  return { ruleSet: checked.ruleSet, cart }
}

export type Random = () => number

/** mulberry32: small, seeded, good enough for test data. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function emptyCart(): CartToPrice {
  return {
    currency: 'GBP',
    lines: [],
    codes: ['CODE-A', 'CODE-B', 'CODE-C', 'CODE-D'],
    buyer: { ordersPlaced: 0, groups: ['member'] },
    shippingFee: 590,
    now: '2026-06-01T00:00:00Z',
    usage: {},
  }
}

function lineOf(product: Product, random: Random): LineToPrice {
  const whole = (max: number) => Math.floor(random() * max)
  return {
    sku: product.sku,
    quantity: [1, 1, 2, 3, 4, 6, 6, 12, 12, 24][whole(10)]!,
    unitPrice: product.price,
    categories: [product.category],
    tags: random() < 0.2 ? ['clearance'] : random() < 0.3 ? ['new'] : [],
    selected: true,
    floorPrice: random() < 0.15 ? Math.floor(product.price * 0.7) : undefined,
    product,
  }
}

function promotionOf(
  at: number,
  random: Random,
  lines: readonly LineToPrice[],
  value: number,
  currentShare: number,
): Record<string, unknown> {
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1))
  const pick = <T>(list: readonly T[]): T => list[whole(0, list.length - 1)]!
  const some = () => Array.from({ length: whole(2, Math.max(2, Math.floor(lines.length / 4))) }, () => pick(lines).sku)
  const categories = () => [...new Set(Array.from({ length: whole(1, 3) }, () => pick(lines).categories[0]!))]
  const scope = pick([
    () => ({ categories: categories() }),
    () => ({ categories: categories() }),
    () => ({ skus: [...new Set(some())] }),
    () => ({ tags: [pick(['clearance', 'new'])] }),
    () => ({ priceMin: whole(100, 500) }),
  ])()
  const part = (from: number, to: number) => Math.max(1, Math.round(value * (from + random() * (to - from))))
  const start = part(0.3, 0.7)
  const off = part(0.01, 0.03)
  const step = part(0.01, 0.03)
  const basis = random() < currentShare ? 'current' : 'list'
  const onLines = (): Record<string, unknown> =>
    pick<Record<string, unknown>>([
      { kind: 'percent_off', percent: whole(5, 20), scope },
      { kind: 'percent_off', percent: whole(5, 20), scope },
      { kind: 'percent_off', percent: whole(5, 20), scope },
      { kind: 'amount_off', per: 'unit', amount: whole(5, 25), scope },
      {
        kind: 'volume',
        tiers: [
          { from: 3, percent: 5 },
          { from: 6, percent: 10 },
          { from: 12, percent: 15 },
        ],
        scope,
      },
      { kind: 'buy_get', buy: { units: 5 }, get: { units: 1 }, scope },
      { kind: 'multi_buy', units: 3, percent: whole(5, 15), scope },
      {
        kind: 'bundle',
        items: [
          { scope, units: 1 },
          { scope: { tags: ['new'] }, units: 1 },
        ],
        percent: 15,
        timesMax: 3,
      },
      {
        kind: 'set',
        tiers: [
          { distinct: 2, percent: 5 },
          { distinct: 4, percent: 10 },
        ],
        scope,
      },
    ])
  const onOrder = (): Record<string, unknown> =>
    pick<Record<string, unknown>>([
      { kind: 'percent_off', percent: whole(2, 8), per: 'order' },
      { kind: 'amount_off', amount: off, scope, when: { minAmount: off * 4 } },
      {
        kind: 'threshold',
        tiers: [
          { from: start, amount: step },
          { from: start * 2, amount: step * 2 + 1 },
        ],
        when: { basis },
      },
      { kind: 'threshold', tiers: [{ from: start, percent: 4 }], when: { basis } },
      { kind: 'threshold', tiers: [{ from: Math.ceil(start / 4), percent: 6 }], scope },
      { kind: 'threshold', every: { amount: start, off: part(0.01, 0.02), timesMax: 3 }, when: { basis } },
      { kind: 'amount_off', amount: part(0.01, 0.04), when: { minAmount: start, basis } },
      { kind: 'shipping', percent: pick([50, 100]), when: { minAmount: start, basis } },
    ])
  // Four codes are entered, of which two can be used; then: one offer a line, one ladder, one of each campaign.
  const what =
    at < 4
      ? { ...pick([onLines, onOrder])(), code: `CODE-${'ABCD'[at]}` }
      : pick<() => Record<string, unknown>>([
          () => ({ ...onLines(), group: 'offers' }),
          () => ({ ...onLines(), group: 'offers' }),
          () => ({ ...onLines(), group: 'offers' }),
          () => ({ ...onOrder(), group: 'ladder' }),
          () => ({ ...pick([onLines, onOrder])(), group: pick(['weekend', 'vip']) }),
          () => ({ ...onLines(), ...(random() < 0.2 ? { exclusive: true } : {}) }),
          () => ({ ...onOrder(), ...(random() < 0.2 ? { stops: true } : {}) }),
        ])()
  // The members of a group by line share one place.
  const place = random() < 0.3 && what['group'] !== 'offers' ? { priority: whole(90, 110) } : {}
  return { id: `p${at}`, name: `promotion ${at}`, ...place, ...what }
}
