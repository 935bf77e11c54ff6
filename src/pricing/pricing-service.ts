import { join } from 'node:path'
import { Piscina } from 'piscina'
import { createBatchQueue } from '../lib/batch-queue.ts'
import { AppError, unavailable } from '../lib/errors.ts'
import { createLruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import { NO_RULES, type RuleSet } from '../model/promotion.ts'
import type { Metrics } from '../telemetry/metrics.ts'
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
import type { CodeFacts } from './engine/codes.ts'
import { compileRules } from './engine/rules.ts'
import { packRules, packSnapshot, type RulesSnapshot, type Snapshot } from './snapshot.ts'
import { packCart, type PricingResult, type PricingTask } from './worker.ts'

/**
 * Prices carts on a pool of threads. Carts that are asked for while all threads are busy go over together, one batch a
 * thread. Small carts are priced at once where they are asked for, which is cheaper than the way to a thread and back
 * (docs/performance.md has the crossover). Results are remembered by what they were made from.
 *
 * Bounded: waiting carts, carts of a batch, time of a batch. A thread that dies or hangs is replaced; the carts that were on it
 * with others are tried once more, each alone, so that it costs one price and not sixteen.
 */
export interface Pricing {
  /** Switches to a catalogue; carts priced from now on carry its version. */
  useCatalog(version: number, products: readonly Product[]): void
  /** Switches to a rule set, or to another stamp of the same (promotions have started or ended). */
  useRules(version: number, stamp: number, ruleSet: RuleSet): void
  useStamp(stamp: number): void
  /** What limited promotions have given away. */
  useUsage(usage: GivenAway): void
  /** Looks up codes of promotions that have many. */
  useCodes(factsOf: (codes: readonly string[]) => Promise<CodeFacts>): void
  catalogVersion(): number
  rulesVersion(): number
  rulesStamp(): number
  ruleSet(): RuleSet
  product(sku: string): Product | undefined
  /** @throws AppError `overloaded` when too many wait, `unavailable` when a thread failed or the deadline passed */
  price(request: CartRequest): Promise<PricedCart>
  /** Without promotions, at once, whatever the threads do. @throws AppError `unavailable` without a catalogue */
  listPrices(request: CartRequest): PricedCart
  close(): Promise<void>
}

export type InlineMode = 'auto' | 'always' | 'never'

interface PricingOptions {
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
  const { threads, queueMax, currency, inline = 'auto', taskMsMax = FIXED.pricingMsMax } = options
  const terms = { currency, shippingFee: options.shippingFee ?? 0 }
  const piscina = new Piscina<PricingTask, PricingResult[]>({
    filename: options.workerFile ?? join(import.meta.dirname, 'worker.ts'),
    name: 'price',
    minThreads: 0, // a shop without promotions needs none: `start`
    maxThreads: threads,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
    niceIncrement: FIXED.pricingNice, // where cores are short, requests that wait for a price wait longer, not all requests
  })
  // A thread that fails outside a task must not take the process with it; another begins.
  piscina.on('error', start)
  const waits = metrics.poolWaits.labels({ pool: 'pricing' })
  metrics.watch('cartload_pricing_queue', 'Price calculations waiting for a thread', () => queue.waiting())
  metrics.watch('cartload_pricing_threads', 'Threads that calculate prices', () => piscina.threads.length)

  /** The catalogue, for this thread and, packed, for the others. */
  let sold: { readonly catalog: Catalog; readonly packed: Snapshot } | undefined
  let packedRules: RulesSnapshot = packRules(0, 0, NO_RULES(currency))
  let rules: Rules = { version: 0, stamp: 0, compiled: compileRules(NO_RULES(currency)), usage: NOTHING_GIVEN }
  let factsOf: ((codes: readonly string[]) => Promise<CodeFacts>) | undefined
  const memo = createLruCache<PricedCart>(FIXED.pricingMemoMax)
  const queue = createBatchQueue<CartRequest, PricedCart>({
    batchMax: FIXED.pricingBatchMax,
    waitingMax: queueMax,
    concurrency: threads,
    waitMsMax: taskMsMax,
    run: priceOnThread,
    isRetriedAlone: () => true,
    overloaded: tooBusy,
    onWait: waitedMs => waits.observe(waitedMs / 1000),
  })

  function requireSold() {
    // Without a catalogue every product would look as if it were not sold any more.
    if (!sold) throw unavailable('global', new Error('no catalogue has been loaded yet'))
    return sold
  }

  async function price(asked: CartRequest): Promise<PricedCart> {
    const request = await withCodeFacts(asked)
    const { catalog } = requireSold()
    const key = request.explain || isPlain() ? undefined : keyOf(request, catalog.version, rules)
    const known = key === undefined ? undefined : memo.get(key)
    if (known) return known
    const since = performance.now()
    try {
      const priced = isSmall(request) ? priceCart(request, catalog, rules, terms) : await queue.add(request)
      if (key !== undefined && priced.catalogVersion === catalog.version) memo.set(key, priced)
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

  function isSmall({ lines }: CartRequest): boolean {
    if (inline !== 'auto') return inline === 'always'
    return lines.length * rules.compiled.promotions.length <= FIXED.pricingInlineMax
  }

  /** Without promotions a price is a sum: quicker than looking whether it is known. */
  const isPlain = () => rules.compiled.promotions.length === 0

  const taskOf = (carts: PricingTask['carts']): PricingTask => {
    return { catalog: requireSold().packed, rules: packedRules, usage: rules.usage, terms, carts }
  }

  /** Threads begin with the first promotion, not with the first cart that needs one: that one should not wait for them. */
  function start(): void {
    if (!sold || (isPlain() && inline !== 'never')) return
    const task = taskOf([])
    for (let n = piscina.threads.length; n < threads; n++) void piscina.run(task).catch(() => undefined)
  }

  /** @throws AppError `unavailable` when the thread died or ran out of time */
  async function priceOnThread(requests: readonly CartRequest[]): Promise<readonly (PricedCart | Error)[]> {
    const task = taskOf(requests.map(packCart))
    try {
      const results = await piscina.run(task, { signal: AbortSignal.timeout(taskMsMax) })
      return requests.map((_, at) => {
        const result = results[at]
        if (result && 'lines' in result) return result
        return unavailable('pricing', new Error(result?.error ?? 'the thread gave no result'))
      })
    } catch (error) {
      start()
      throw unavailable('pricing', error)
    }
  }

  return {
    useCatalog(version, products) {
      const catalog = { version, products: new Map(products.map(product => [product.sku, product])) }
      sold = { catalog, packed: packSnapshot(version, products) }
      start()
    },
    useRules(version, stamp, ruleSet) {
      packedRules = packRules(version, stamp, ruleSet)
      rules = { ...rules, version, stamp, compiled: compileRules(ruleSet) }
      start()
    },
    useStamp(stamp) {
      packedRules = { ...packedRules, stamp }
      rules = { ...rules, stamp }
    },
    useUsage(usage) {
      rules = { ...rules, usage }
    },
    useCodes(ask) {
      factsOf = ask
    },
    catalogVersion: () => sold?.catalog.version ?? 0,
    rulesVersion: () => rules.version,
    rulesStamp: () => rules.stamp,
    ruleSet: () => rules.compiled.ruleSet,
    product: sku => sold?.catalog.products.get(sku),
    price,
    listPrices: request => listPriceCart(request, requireSold().catalog, rules),
    close: () => piscina.destroy(),
  }
}

function tooBusy(why: string): AppError {
  return new AppError('overloaded', `Too many carts wait for a price right now (${why}).`, {
    retryAfterS: 1,
    extra: { dependency: 'pricing' },
  })
}

/** Everything that a price depends on. */
function keyOf(request: CartRequest, catalogVersion: number, rules: Rules): string {
  const { lines, codes, codeFacts = {}, buyerGroup, ordersPlaced = 0, uses = {} } = request
  const versions = [catalogVersion, rules.version, rules.stamp, rules.usage.version]
  const parts = [...versions, buyerGroup, ordersPlaced, JSON.stringify(uses), JSON.stringify(codeFacts), ...codes].join(
    '\u0000',
  )
  return `${parts}\u0001${lines.map(line => `${line.sku}\u0000${line.quantity}${line.selected ? '' : '-'}`).join('\u0001')}`
}
