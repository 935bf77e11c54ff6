import type { Promotion, RuleSet } from '../../src/model/promotion.ts'
import { checkRuleSet } from '../../src/model/rule-set-check.ts'
import { split } from '../../src/pricing/engine/arithmetic.ts'
import { type Calculation, calculate } from '../../src/pricing/engine/calculate.ts'
import type { CartToPrice } from '../../src/pricing/engine/input.ts'
import { compileRules } from '../../src/pricing/engine/rules.ts'
import { NotExpressible, promotionsOf } from './promotions.ts'
import { inOrderOfCart, reading } from './reading.ts'
import type { ExpectedLine, Vector, VectorPromotion } from './vectors.ts'

/** Runs one vector through the engine, under the policy that the vector or its source names. */
export type Verdict =
  | {
      readonly kind: 'passed' /** Fields of the vector that were not read: it passed all the same. */
      readonly unread: readonly string[]
    }
  | { readonly kind: 'failed'; readonly differences: readonly string[] }
  | { readonly kind: 'not expressible'; readonly feature: string }

/** Far above what a vector needs: every combination is searched to the end. */
const WORK_MAX = 50_000_000

/** A vector that throws has failed; one that differs, and has a field that is not read here, is said not to be expressible. */
export function runVector(given: Vector): Verdict {
  const { vector, unread } = reading(inOrderOfCart(given))
  try {
    const differences = [...differencesOf(vector, price(vector)), ...stepDifferences(vector)]
    if (differences.length === 0) return { kind: 'passed', unread: unread() }
    const [field] = unread()
    if (field !== undefined) return { kind: 'not expressible', feature: `the field ${field} is not read` }
    return { kind: 'failed', differences }
  } catch (error) {
    if (error instanceof NotExpressible) return { kind: 'not expressible', feature: error.message }
    return { kind: 'failed', differences: [`throws ${String(error)}`] }
  }
}

interface Priced extends Calculation {
  /** What gifts are worth that were lines of the vector and are no lines of ours. */
  readonly giftsWorth: number
  readonly skus: readonly string[]
  /** Promotion ids in the order of the vector; one promotion of the vector may be several of ours. */
  readonly ids: readonly (readonly string[])[]
  /** What sale prices took off before, by sku. */
  readonly onSale: ReadonlyMap<string, number>
}

function price(vector: Vector): Priced {
  const isCatalogue = (promotion: VectorPromotion) => promotion['scope'] === 'catalogue price'
  const gifts = vector.cart.filter(line => line.gift)
  let cart = cartOf(vector)
  const onSale = new Map<string, number>()
  // Promotions on the catalogue's own price come first and make it the price that all others see.
  const catalogue = vector.promotions.filter(isCatalogue)
  if (catalogue.length > 0) {
    const sale = calculate(
      compileRules(ruleSetOf(vector, promotionsOf(catalogue, vector).flat(), 'price')),
      { ...cart, shippingFee: 0 },
      { workMax: WORK_MAX },
    )
    cart = {
      ...cart,
      lines: cart.lines.map((line, at) => {
        const discount = sale.lines[at]?.discount ?? 0
        onSale.set(line.sku, discount)
        return {
          ...line,
          listPrice: line.unitPrice,
          unitPrice: (line.unitPrice * line.quantity - discount) / line.quantity,
        }
      }),
    }
  }
  const own = promotionsOf(
    vector.promotions.filter(one => !isCatalogue(one)),
    vector,
  )
  const calculation = calculate(compileRules(ruleSetOf(vector, own.flat())), cart, { workMax: WORK_MAX })
  if (calculation.gap !== 0) throw new Error(`${vector.id} was not searched to the end`)
  const given = calculation.gifts.reduce((sum, gift) => {
    const line = gifts.find(one => one.sku === gift.sku)
    return sum + Math.min(gift.quantity, line?.qty ?? 0) * (line?.unit_price ?? 0)
  }, 0)
  const ids = own.map(promotions => promotions.map(({ id }) => id))
  return { ...calculation, giftsWorth: given, skus: cart.lines.map(line => line.sku), ids, onSale }
}

function cartOf(vector: Vector): CartToPrice {
  const orders = /(\d+) (?:placed )?orders/.exec(vector.note ?? '')
  const cancelled = /last one cancelled/.test(vector.note ?? '') ? 1 : 0
  return {
    currency: vector.currency,
    lines: vector.cart
      .filter(line => !line.gift)
      .map(line => ({
        sku: line.sku,
        quantity: line.qty,
        unitPrice: line.unit_price,
        listPrice: line.list_price,
        categories: line.category === undefined ? [] : [line.category],
        tags: [...(line.tags ?? []), ...(line.product === undefined ? [] : [`product:${line.product}`])],
        selected: true,
        floorPrice: line.min_unit_price,
        taxPercent: line.tax_rate_percent,
      })),
    codes: vector.promotions.flatMap((promotion, at) => (promotion['coupon'] ? [`code-${at}`] : [])).slice(0, 10),
    buyer: { ordersPlaced: orders ? Number(orders[1]) - cancelled : 0, groups: [] },
    shippingFee: vector.shipping_fee ?? 0,
    shippingMethod: vector.shipping_method,
    now: '2026-01-01T00:00:00Z',
    usage: {},
  }
}

/** Sources whose engine applies everything that applies, one after the other; the others promise the lowest total. */
const IN_ORDER = new Set(['sylius', 'vendure', 'medusa', 'solidus', 'spree', 'saleor', 'woo', 'ucpc', 'ucps', 'ct'])

function ruleSetOf(vector: Vector, promotions: readonly object[], of: 'discount' | 'price' = 'discount'): RuleSet {
  const { stacking = '', rounding = '', tax = '', allocation = '' } = vector.policy ?? {}
  const words = `${stacking} ${rounding}`
  const textOf = (value: unknown) => (typeof value === 'string' ? value : '')
  const ofPromotions = vector.promotions.map(one => `${textOf(one['allocation'])} ${textOf(one.words)}`)
  const shares = [allocation, ...ofPromotions].join(' ')
  const shippingTax = vector.promotions.map(one => /shipping taxed (\d+)%/.exec(one.words ?? '')?.[1]).find(Boolean)
  const cut = /\bcut\b/.test(words) || (vector.source === 'woo' && vector.kinds.includes('rounding'))
  const perUnit = /per unit: round|unit price rounded/.test(rounding) || of === 'price'
  const checked = checkRuleSet({
    currency: vector.currency,
    policy: {
      choice: IN_ORDER.has(vector.source) ? 'in-order' : 'lowest-total',
      percentages: /parallel|taken from the original price/.test(stacking) ? 'parallel' : 'sequential',
      rounding: {
        mode: cut ? 'down' : 'half-up',
        at: perUnit ? 'unit' : 'line',
        of: perUnit ? 'price' : of,
      },
      units: vector.source === 'woo' || vector.source === 'medusa' ? 'fresh-first' : 'shared',
      split: splitOf(shares, vector),
      remainder: remainderOf(shares),
      tax: {
        prices: /include/.test(tax) || vector.kinds.includes('tax-inclusive') ? 'include-tax' : 'exclude-tax',
        at: /unit price before multiplying/.test(tax) ? 'unit' : 'line',
        shippingPercent: Number(shippingTax ?? 0),
      },
    },
    promotions: promotions as Promotion[],
  })
  if ('ruleSet' in checked) return checked.ruleSet
  throw new Error(`${vector.id}: ${checked.mistakes.map(({ path, detail }) => `${path} ${detail}`).join('; ')}`)
}

function stepDifferences(vector: Vector): string[] {
  const units = new Map<string, number>()
  return (vector.steps ?? []).flatMap(({ after, total }, at) => {
    units.set(after, (units.get(after) ?? 0) + 1)
    const cart = vector.cart.map(line => ({ ...line, qty: units.get(line.sku) ?? 0 })).filter(({ qty }) => qty > 0)
    const { totals } = price({ ...vector, cart })
    return totals.total === total ? [] : [`after step ${at + 1} total ${totals.total}, expected ${total}`]
  })
}

/** Words such as "split evenly over the lines", "equal amount per unit". */
function splitOf(words: string, { source }: Vector): RuleSet['policy']['split'] {
  const isEven = /even(ly)?\b|equal(ly)?\b|same amount/i.test(words)
  if (isEven) return /\bunits?\b|each piece|per piece/i.test(words) ? 'even-units' : 'even-lines'
  return source === 'vendure' ? 'value-with-tax' : 'value'
}

/** Words such as "the remainder goes to the first line". Units of a line that share its odd cents are another matter. */
function remainderOf(words: string): RuleSet['policy']['remainder'] {
  const [, to] =
    /(?:remainder|rest|left over|odd cents?|rounding difference)[^.;,]*? (?:goes? |given |added |is )*(?:to|on) the (first|last|largest|biggest|dearest|most expensive) (?:line|item|product)/i.exec(
      words,
    ) ?? []
  if (to === undefined) return 'largest-fraction'
  return to === 'first' || to === 'last' ? to : 'largest'
}

function differencesOf({ expected, shipping_fee = 0 }: Vector, priced: Priced): string[] {
  const { totals, giftsWorth } = priced
  const saved = [...priced.onSale.values()].reduce((sum, one) => sum + one, 0)
  const gross = totals.total - totals.shipping
  const got = {
    subtotal: totals.subtotal + saved + giftsWorth,
    items_discount: totals.discount + saved + giftsWorth,
    shipping: totals.shipping,
    tax: totals.tax,
    total: totals.total,
    net_subtotal: gross - totals.tax,
    gross_subtotal: gross,
  }
  if (shipping_fee === 0) got.shipping = expected.shipping ?? 0
  const differences = Object.entries(got)
    .filter(([field, value]) => {
      const wanted = expected[field as keyof typeof got]
      return wanted !== undefined && wanted !== value
    })
    .map(([field, value]) => `${field} ${value}, expected ${expected[field as keyof typeof got]}`)
  for (const [sku, line] of Object.entries(expected.lines ?? {}))
    differences.push(...lineDifferences(sku, line, priced))
  return differences
}

function lineDifferences(sku: string, expected: ExpectedLine, priced: Priced): string[] {
  const at = priced.skus.indexOf(sku)
  const line = priced.lines[at]
  if (!line) return [`no line ${sku}`]
  const discount = line.discount + (priced.onSale.get(sku) ?? 0)
  const got: { [K in keyof ExpectedLine]: ExpectedLine[K] | undefined } = {
    discount,
    total: line.total,
    tax: line.tax,
    unit_discounts:
      expected.unit_discounts &&
      split(
        discount,
        expected.unit_discounts.map(() => 1),
      ),
    by_promotion: priced.ids.map(ids =>
      line.discounts.filter(part => ids.includes(part.promotion)).reduce((sum, part) => sum + part.amount, 0),
    ),
  }
  return Object.entries(expected)
    .filter(([field, value]) => JSON.stringify(got[field as keyof ExpectedLine]) !== JSON.stringify(value))
    .map(
      ([field, value]) =>
        `${sku}.${field} ${JSON.stringify(got[field as keyof ExpectedLine])}, expected ${JSON.stringify(value)}`,
    )
}
