import type { Vector, VectorPromotion } from './vectors.ts'

/** The promotions of a vector in the words of our rule sets. */
export class NotExpressible extends Error {}

type Rule = { id: string } & Record<string, unknown>

/** By promotion of the vector: ours, in its order. @throws NotExpressible naming the missing feature */
export function promotionsOf(promotions: readonly VectorPromotion[], vector: Vector): Rule[][] {
  return promotions.map((promotion, at) => {
    const actions =
      promotion.kind === 'multi_action' ? (promotion['actions'] as Record<string, unknown>[]) : [promotion]
    return actions.map((action, part): Rule => {
      const whole =
        promotion.kind === 'multi_action' ? { ...promotion, ...action, kind: kindOfAction(action) } : promotion
      const rule = ruleOf(whole, vector)
      const coupon = promotion['coupon'] ? { code: `code-${vector.promotions.indexOf(promotion)}` } : {}
      return clean({
        id: `p${at}.${part}`,
        name: promotion.words ?? promotion.kind,
        priority: priorityOf(promotion, at, vector),
        stage: isOfOrder(rule) ? 'shop' : 'item',
        exclusive: promotion['exclusive'] === true ? true : undefined,
        amountMax: promotion['max_amount'],
        ...coupon,
        ...rule,
        when: clean({
          basis: isOfOrder(rule) && rule['kind'] !== 'gift' ? 'current' : undefined,
          ...whenOf(whole, vector),
          ...(rule['when'] as object | undefined),
        }),
      })
    })
  })
}

function kindOfAction(action: Record<string, unknown>): string {
  if ('free_shipping' in action) return 'free_shipping'
  if ('fixed_order' in action) return 'fixed_order'
  if ('fixed_each' in action) return 'fixed_each'
  if ('percent' in action) return 'percent_items'
  if ('percent_order' in action) return 'percent_order'
  throw new NotExpressible(`action ${Object.keys(action).join()}`)
}

function isOfOrder(rule: Record<string, unknown>): boolean {
  return rule['per'] === 'order' || ['threshold', 'gift', 'shipping'].includes(String(rule['kind']))
}

/** Sylius counts priorities downwards, UCP upwards; otherwise the order of the list counts. */
function priorityOf(promotion: VectorPromotion, at: number, { source }: Vector): number {
  const given = promotion['priority']
  if (typeof given !== 'number') return at
  return source === 'sylius' ? 100_000 - given : given
}

function clean<T extends Record<string, unknown>>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as T
}

const listOf = (value: unknown): string[] | undefined =>
  value === undefined || value === null ? undefined : Array.isArray(value) ? (value as string[]) : [value as string]

function scopeOf(promotion: VectorPromotion, prefix = ''): Record<string, unknown> | undefined {
  const product =
    promotion.kind === 'buy_x_get_x' ? listOf(promotion[`${prefix}sku`])?.map(one => `product:${one}`) : undefined
  const scope = clean({
    skus: product ? undefined : listOf(promotion[`${prefix}sku`]),
    categories: listOf(promotion[`${prefix}category`]),
    tags: product ?? listOf(promotion[`${prefix}tag`]),
    priceMin: prefix ? undefined : promotion['unit_price_min'],
    priceMax: prefix ? undefined : promotion['unit_price_max'],
    onSale: promotion['exclude_already_discounted'] === true && !prefix ? 'exclude' : undefined,
  })
  return Object.keys(scope).length === 0 ? undefined : scope
}

function whenOf(promotion: VectorPromotion, vector: Vector): Record<string, unknown> {
  const needs = listOf(promotion['requires_category'])
  return clean({
    minAmount: promotion['min_amount'] ?? netOf(promotion['min_amount_gross'], vector),
    minUnits: promotion['min_units'],
    minLineUnits: promotion['min_line_units'],
    of: excludedOf(promotion),
    shippingMethods: listOf(promotion['shipping_method'] ?? promotion['shipping_methods'] ?? promotion['method']),
    contains: needs ? { scope: { categories: needs } } : undefined,
    nothingOnSale: promotion['exclude_already_discounted'] === 'whole coupon invalid' ? true : undefined,
  })
}

/** A threshold over everything but some products, which may have the discount all the same. */
function excludedOf(promotion: VectorPromotion): Record<string, unknown> | undefined {
  const exclude = clean({
    skus: listOf(promotion['exclude_sku'] ?? promotion['excluded_sku'] ?? promotion['excluded_skus']),
    categories: listOf(
      promotion['exclude_category'] ?? promotion['excluded_category'] ?? promotion['excluded_categories'],
    ),
    tags: listOf(promotion['exclude_tag'] ?? promotion['excluded_tag']),
  })
  return Object.keys(exclude).length === 0 ? undefined : { ...scopeOf(promotion), exclude }
}

const isComplete = ({ words = '', complete }: VectorPromotion) =>
  complete === true || /nothing (?:if|unless|when)|only (?:if|when) all|all or nothing/i.test(words)

/** A threshold with tax is one without tax where all lines have one rate. */
function netOf(gross: unknown, { cart }: Vector): number | undefined {
  if (typeof gross !== 'number') return undefined
  const rates = new Set(cart.map(line => line.tax_rate_percent ?? 0))
  if (rates.size > 1) throw new NotExpressible('a threshold with tax over several rates')
  const [rate = 0] = rates
  return Math.ceil((gross * 100) / (100 + rate))
}

function unitsOf(promotion: VectorPromotion): Record<string, unknown> | undefined {
  const units = clean({
    max: promotion['max_units_in_cart'],
    maxPerLine: promotion['max_units_per_line'],
    groupsOf: promotion['group'],
    groupsBy: promotion['group'] !== undefined && isByLine(promotion) ? 'line' : undefined,
  })
  return Object.keys(units).length === 0 ? undefined : units
}

/** Complete groups of each product by itself, rather than of the products together. */
function isByLine({ words = '', ...fields }: VectorPromotion): boolean {
  const by = fields['group_by'] ?? fields['per']
  if (typeof by === 'string') return /line|sku|product|item/.test(by)
  return /(of|within|per|by|on) (each|one|the same|a single|every) (line|product|item)|per line/i.test(words)
}

function tiersFrom(promotion: VectorPromotion, field: string): { from: number; percent: unknown }[] {
  const beyond = promotion['boundary'] === 'exclusive' ? 1 : 0
  const tiers = Object.entries(promotion[field] as Record<string, number>).map(([from, percent]) => ({
    from: Number(from) + beyond,
    percent,
  }))
  const base = promotion['base_percent']
  return [...(typeof base === 'number' && base > 0 ? [{ from: 0, percent: base }] : []), ...tiers]
}

function ruleOf(promotion: VectorPromotion, vector: Vector): Record<string, unknown> {
  const { kind } = promotion
  const scope = scopeOf(promotion)
  const { percent, amount } = promotion
  const offOrder = (over: Record<string, unknown> | undefined) =>
    percent === undefined
      ? clean({ kind: 'amount_off', per: 'order', amount: promotion['fixed_order'] ?? amount, scope: over })
      : clean({ kind: 'percent_off', per: over ? 'line' : 'order', percent, scope: over })
  switch (kind) {
    case 'percent_items':
    case 'quantity_group_percent':
      return clean({ kind: 'percent_off', percent, scope, units: unitsOf(promotion) })
    case 'percent_order':
    case 'fixed_order':
    case 'fixed_across':
      return offOrder(scope)
    case 'fixed_each':
    case 'quantity_group_fixed':
      return clean({
        kind: 'amount_off',
        per: 'unit',
        amount: promotion['fixed_each'] ?? amount,
        scope,
        units: unitsOf(promotion),
      })
    case 'fixed_line':
      return clean({ kind: 'amount_off', per: 'line', amount, scope })
    case 'fixed_price_order':
      if (scope) throw new NotExpressible('a fixed price of some products together')
      return clean({ kind: 'fixed_price', per: 'order', price: promotion['price'] })
    case 'fixed_price':
    case 'fixed_price_items':
      return clean({ kind: 'fixed_price', price: promotion['price'], scope })
    case 'threshold_amount':
    case 'threshold_quantity':
      // "off the order if products of X total …" measures X and discounts everything.
      return /off (the|every) order/.test(promotion.words ?? '') && scope
        ? { ...offOrder(undefined), when: { of: scope } }
        : offOrder(scope)
    case 'every_amount':
      return clean({ kind: 'threshold', every: { amount: promotion['every'], off: amount }, scope })
    case 'contains_product':
    case 'contains_category':
      return { ...offOrder(undefined), when: { contains: { scope } } }
    case 'nth_order':
      return { ...offOrder(scope), when: { orderNumber: promotion['n'] } }
    case 'n_for_price':
      return clean({ kind: 'multi_buy', units: promotion['n'], price: promotion['price'], scope })
    case 'set_tier':
      if (promotion['optimise'] === false) throw new NotExpressible('sets that are not looked for')
      return {
        kind: 'set',
        scope: { skus: promotion['members'] },
        tiers: Object.entries(promotion['tiers'] as Record<string, number>).map(([distinct, off]) => ({
          distinct: Number(distinct),
          percent: off,
        })),
      }
    case 'bundle_percent':
    case 'bundle_price':
      return clean({
        kind: 'bundle',
        items: Object.entries(promotion['bundle'] as Record<string, number>).map(([sku, units]) => ({
          scope: { skus: [sku] },
          units,
        })),
        percent,
        price: promotion['price'],
      })
    case 'buy_x_get_y':
    case 'buy_x_get_x': {
      if (vector.promotions.filter(one => one.kind === 'buy_x_get_x').length > 1)
        throw new NotExpressible('several buy-x-get-x on one product that look for units no other has given')
      const buy = scopeOf(promotion, 'buy_')
      const once = vector.source === 'medusa' || /once per order/.test(promotion.words ?? '')
      return clean({
        kind: 'buy_get',
        buy: clean({ scope: buy, units: promotion['buy_min'] }),
        get: clean({ scope: scopeOf(promotion, 'get_') ?? buy, units: promotion['get_units'] }),
        percent,
        take: /most expensive/.test(promotion.words ?? '') ? 'dearest' : 'cheapest',
        timesMax: once ? 1 : undefined,
        complete: isComplete(promotion) ? true : undefined,
      })
    }
    case 'first_then_additional':
      return clean({
        kind: 'amount_off',
        per: 'unit',
        first: promotion['first'],
        amount: promotion['additional'],
        units: promotion['max_units'] === 0 ? undefined : { maxPerLine: promotion['max_units'] },
        scope,
      })
    case 'quantity_group_tiered_percent':
    case 'tiered_percent':
      return clean({
        kind: 'volume',
        count: 'group',
        measure: 'amount',
        tiers: tiersFrom(promotion, 'tiers'),
        units: unitsOf(promotion),
        scope,
      })
    case 'tiered_percent_by_quantity':
      return clean({
        kind: 'volume',
        count: 'group',
        measure: 'units',
        tiers: tiersFrom(promotion, 'tiers_units'),
        scope,
      })
    case 'percent_cheapest_unit':
      return clean({ kind: 'percent_off', percent, scope, units: { max: 1, take: 'cheapest' } })
    case 'fixed_cheapest_unit':
      return clean({ kind: 'amount_off', per: 'unit', amount, scope, units: { max: 1, take: 'cheapest' } })
    case 'gift':
      return { kind: 'gift', sku: promotion['gift_sku'], perUnits: 1, scope: { skus: listOf(promotion['per_sku']) } }
    case 'free_shipping':
      return { kind: 'shipping', price: 0 }
    case 'percent_shipping':
      return { kind: 'shipping', percent }
    case 'fixed_shipping':
      return { kind: 'shipping', amount }
    default:
      throw new NotExpressible(`kind ${kind}`)
  }
}
