import { unavailable } from '../lib/errors.ts'
import { createLruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import { NO_RULES, type RuleSet } from '../model/promotion.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CodeFacts } from './engine/codes.ts'
import { compileRules } from './engine/rules.ts'
import {
  type CartRequest,
  type Catalog,
  type GivenAway,
  listPriceCart,
  NOTHING_GIVEN,
  type PricedCart,
  priceCart,
  type Rules,
} from './price.ts'
import { createPricingThreads } from './pricing-threads.ts'
import { packRules, type RulesSnapshot } from './snapshot.ts'

/**
 * Prices carts with the products as they are and the rules in force. Small carts are priced at once where they are asked for, which is
 * cheaper than the way to a thread and back (docs/performance.md has the crossover). Results are remembered by what they were made from.
 */
export interface Pricing {
  /** Switches to a rule set, or to another stamp of the same (promotions have started or ended). */
  useRules(version: number, stamp: number, ruleSet: RuleSet): void
  useStamp(stamp: number): void
  /** What limited promotions have given away. */
  useUsage(usage: GivenAway): void
  /** Looks up codes of promotions that have many. */
  useCodes(factsOf: (codes: readonly string[]) => Promise<CodeFacts>): void
  rulesVersion(): number
  rulesStamp(): number
  ruleSet(): RuleSet
  /**
   * @throws AppError `overloaded` when too many wait, `unavailable` when a thread failed, the deadline passed or a product could not be
   * read
   */
  price(request: CartRequest): Promise<PricedCart>
  /** Without promotions, whatever the threads do. @throws AppError `unavailable` when a product could not be read */
  listPrices(request: CartRequest): Promise<PricedCart>
  close(): Promise<void>
}

/** Where products come from (catalog/product-store.ts). */
export interface ProductSource {
  /**
   * The catalogue as far as these products go: at once where they are in memory.
   * @throws AppError `unavailable` when a product could not be read
   */
  of(skus: Iterable<string>): Catalog | Promise<Catalog>
}

export type InlineMode = 'auto' | 'always' | 'never'

interface PricingOptions {
  readonly products: ProductSource
  readonly threads: number
  readonly queueMax: number
  readonly currency: string
  readonly shippingFee?: number
  readonly inline?: InlineMode
  readonly taskMsMax?: number
  /** Tests put a thread entry here that misbehaves. */
  readonly workerFile?: string
}

/** `Pricing` says what its functions throw. */
export function createPricing(options: PricingOptions, metrics: Metrics): Pricing {
  const { products, threads, queueMax, currency, inline = 'auto', taskMsMax = FIXED.pricingMsMax } = options
  const terms = { currency, shippingFee: options.shippingFee ?? 0 }
  let packed: RulesSnapshot = packRules(0, 0, NO_RULES(currency))
  let rules: Rules = { version: 0, stamp: 0, compiled: compileRules(NO_RULES(currency)), usage: NOTHING_GIVEN }
  let gifts: readonly string[] = []
  let factsOf: ((codes: readonly string[]) => Promise<CodeFacts>) | undefined
  const memo = createLruCache<PricedCart>(FIXED.pricingMemoMax)
  const { workerFile } = options
  const pool = createPricingThreads(
    { threads, queueMax, taskMsMax, terms, workerFile, rules: () => ({ packed, usage: rules.usage }) },
    metrics,
  )

  async function price(asked: CartRequest): Promise<PricedCart> {
    const request = await withCodeFacts(asked)
    const catalog = await catalogOf(request)
    const key = request.explain || isPlain() ? undefined : keyOf(request, catalog, gifts, rules)
    const known = key === undefined ? undefined : memo.get(key)
    if (known) return { ...known, catalogVersion: catalog.version }
    const since = performance.now()
    try {
      const priced = isSmall(request)
        ? priceCart(request, catalog, rules, terms)
        : await pool.price({ request, catalog })
      if (key !== undefined) memo.set(key, priced)
      return priced
    } finally {
      metrics.pricing.observe((performance.now() - since) / 1000)
    }
  }

  async function withCodeFacts(request: CartRequest): Promise<CartRequest> {
    if (request.codes.length === 0 || !factsOf || !rules.compiled.hasManyCodes) return request
    try {
      return { ...request, codeFacts: await factsOf(request.codes) }
    } catch (error) {
      throw unavailable('pricing', error) // the cart keeps its change and its last totals until this is known
    }
  }

  const catalogOf = ({ lines }: CartRequest) => {
    const skus = lines.map(({ sku }) => sku)
    return products.of(gifts.length === 0 ? skus : [...skus, ...gifts])
  }

  function isSmall({ lines }: CartRequest): boolean {
    if (inline !== 'auto') return inline === 'always'
    return lines.length * rules.compiled.promotions.length <= FIXED.pricingInlineMax
  }

  /** Without promotions a price is a sum: quicker than looking whether it is known. */
  const isPlain = () => rules.compiled.promotions.length === 0

  return {
    useRules(version, stamp, ruleSet) {
      packed = packRules(version, stamp, ruleSet)
      rules = { ...rules, version, stamp, compiled: compileRules(ruleSet) }
      gifts = giftsOf(ruleSet)
      if (!isPlain() || inline === 'never') pool.start()
    },
    useStamp(stamp) {
      packed = { ...packed, stamp }
      rules = { ...rules, stamp }
    },
    useUsage(usage) {
      rules = { ...rules, usage }
    },
    useCodes(ask) {
      factsOf = ask
    },
    rulesVersion: () => rules.version,
    rulesStamp: () => rules.stamp,
    ruleSet: () => rules.compiled.ruleSet,
    price,
    listPrices: async request => listPriceCart(request, await catalogOf(request), rules),
    close: pool.close,
  }
}

/** The products that a rule set gives. */
const giftsOf = ({ promotions }: RuleSet): string[] => [
  ...new Set(promotions.flatMap(promotion => (promotion.kind === 'gift' ? [promotion.sku] : []))),
]

/** Everything that a price depends on; products by the version that changed them last. */
function keyOf(request: CartRequest, { products }: Catalog, gifts: readonly string[], rules: Rules): string {
  const { lines, codes, codeFacts = {}, buyerGroup, ordersPlaced = 0, uses = {} } = request
  const versionOf = (sku: string) => products.get(sku)?.version ?? (products.has(sku) ? '?' : '-')
  const versions = [rules.version, rules.stamp, rules.usage.version, ...gifts.map(versionOf)]
  const parts = [...versions, buyerGroup, ordersPlaced, JSON.stringify(uses), JSON.stringify(codeFacts), ...codes].join(
    '\u0000',
  )
  const of = ({ sku, quantity, selected }: CartRequest['lines'][number]) =>
    `${sku}\u0000${quantity}${selected ? '' : '-'}\u0000${versionOf(sku)}`
  return `${parts}\u0001${lines.map(of).join('\u0001')}`
}
