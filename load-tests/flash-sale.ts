import { check, fail } from 'k6'
import { Counter } from 'k6/metrics'
import { addLine, enterQueue, newKey, pause, placeOrder, viewSale } from './lib/client.ts'
import { shaped } from './lib/profiles.ts'

/**
 * A few hundred units and a crowd: queue, claim, order. Each buyer is a guest and may have one. `npm run load` makes the sale, with fewer
 * units than buyers, so at the end all are sold, and not one more.
 */
const sold = new Counter('units_sold')
const turnedAway = new Counter('buyers_turned_away')

const SALE = __ENV['SALE'] ?? fail('SALE is missing: npm run load -- flash-sale makes one')
const SKU = __ENV['SKU'] ?? ''
const UNITS = Number(__ENV['UNITS'])

export const options = shaped({ rate: 50, secondsEach: 10, thresholds: { units_sold: [`count==${UNITS}`] } })

const WAIT_MAX_S = 25
const AGAIN = new Set(['idempotency_in_flight', 'order_given_up'])

export default async function flashSaleScenario(): Promise<void> {
  const added = await addLine(undefined, SKU)
  if (!added) return
  const { token, cart } = added
  const key = newKey()
  for (const until = Date.now() + WAIT_MAX_S * 1000; Date.now() < until; ) {
    const place = await enterQueue(token, SALE)
    if (place?.state === 'sold_out') return turnedAway.add(1)
    if (place?.admission) {
      const tried = await placeOrder(token, cart, key, place.admission)
      if (tried && 'order' in tried) return sold.add(1)
      if (tried && !AGAIN.has(tried.refused)) return turnedAway.add(1)
    }
    await pause(Math.min(2_000, place?.pollAfterMs ?? 500))
  }
  check(undefined, { 'buyer: has a clear answer in the end': () => false })
}

export async function teardown(): Promise<void> {
  const sale = await viewSale(SALE)
  check(sale, { 'sale: nothing is left': found => found?.left === 0 })
}
