import type { CatalogWatch } from '../catalog/catalog-watch.ts'
import type { RulesWatch } from '../catalog/rules-watch.ts'
import { isAppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { PricedCart } from '../pricing/price.ts'
import type { StoredCart } from '../store/carts.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CartContents } from './cart-rendering.ts'

/**
 * Prices of carts, never older than those shown before. Graceful degradation: while pricing is overloaded or unavailable, a cart keeps
 * its last totals, marked stale, and is priced again in the background.
 */
export interface CartPricing {
  /** @throws AppError `unavailable` when it is unknown whether prices are new enough */
  of(current: StoredCart, contents: CartContents): Promise<{ readonly cart: PricedCart; readonly isPriced: boolean }>
  /** Prices a cart in the background, soon and until it works. */
  scheduleReprice(userId: string): void
  /** Sets what `scheduleReprice` runs, once. */
  onReprice(reprice: (userId: string) => Promise<unknown>): void
  stop(): void
}

interface CartPricingDeps {
  readonly pricing: Pricing
  readonly catalog: Pick<CatalogWatch, 'atLeast'>
  readonly rules: Pick<RulesWatch, 'atLeast'>
  readonly metrics: Metrics
}

/** Each function says what it throws. */
export function createCartPricing({ pricing, catalog, rules, metrics }: CartPricingDeps): CartPricing {
  const waiting = new Map<string, NodeJS.Timeout>()
  let reprice: (userId: string) => Promise<unknown> = async () => undefined
  let stopped = false
  metrics.watch('cartload_carts_unpriced', 'Carts that wait for a price in the background', () => waiting.size)

  function schedule(userId: string, delayMs: number): void {
    // A cart that does not fit is priced by its next read.
    if (stopped || waiting.has(userId) || waiting.size >= FIXED.repriceWaitingMax) return
    const work = () => {
      waiting.delete(userId) // so that a cart that cannot be priced again is put back
      reprice(userId).catch(() => schedule(userId, Math.min(delayMs * 2, FIXED.repriceRetryMsMax)))
    }
    const timer = setTimeout(work, delayMs * (0.5 + Math.random()))
    timer.unref()
    waiting.set(userId, timer)
  }

  return {
    async of(current, { lines, codes, ordersPlaced, uses }) {
      await catalog.atLeast(current.catalogVersion)
      await rules.atLeast(current.rulesStamp)
      const request = { lines, codes, buyerGroup: current.buyerGroup, ordersPlaced, uses }
      try {
        return { cart: await pricing.price(request), isPriced: true }
      } catch (error) {
        const inTrouble = isAppError(error, 'overloaded') || isAppError(error, 'unavailable')
        if (!inTrouble || error.extra['dependency'] !== 'pricing') throw error
        metrics.unpriced.inc()
        return { cart: await pricing.listPrices(request), isPriced: false }
      }
    },
    scheduleReprice: userId => schedule(userId, FIXED.repriceRetryMs),
    onReprice(work) {
      reprice = work
    },
    stop() {
      stopped = true
      for (const timer of waiting.values()) clearTimeout(timer)
      waiting.clear()
    },
  }
}
