import { check } from 'k6'
import http from 'k6/http'
import type { Options } from 'k6/options'
import { BASE_URL, viewCart } from './lib/client.ts'
import { allSkus, logInAll, pick } from './lib/data.ts'

/**
 * Plain cart views while others have heavy carts priced. HEAVY percent of the requests ask for the price of a cart of LINES lines
 * that was never asked for before; the rest look at a cart. What counts is the 99th percentile of the views, with HEAVY=0 and
 * with HEAVY=20, on threads and with CARTLOAD_PRICING_INLINE=always.
 */
const RATE = Number(__ENV['RATE'] ?? 200)
const HEAVY = Number(__ENV['HEAVY'] ?? 20)
const LINES = Number(__ENV['LINES'] ?? 100)
const heavyRate = Math.round((RATE * HEAVY) / 100)

const arrivals = (rate: number, exec: string) => ({
  executor: 'constant-arrival-rate' as const,
  exec,
  rate,
  timeUnit: '1s',
  duration: __ENV['DURATION'] ?? '30s',
  preAllocatedVUs: Math.max(20, Math.min(rate, 500)),
  maxVUs: Math.max(50, rate * 2),
})

export const options: Options = {
  scenarios: {
    views: arrivals(RATE - heavyRate, 'view'),
    ...(heavyRate > 0 ? { heavy: arrivals(heavyRate, 'priceHeavy') } : {}),
  },
  thresholds: {
    checks: ['rate==1'],
    dropped_iterations: ['count==0'],
    'http_req_duration{name:GET /v1/cart}': [],
    'http_req_duration{name:POST /v1/quotes}': [],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  setupTimeout: '5m',
}

interface Shop {
  readonly tokens: string[]
  readonly skus: string[]
}

export async function setup(): Promise<Shop> {
  const shop = { tokens: await logInAll(), skus: await allSkus(500) }
  for (const token of shop.tokens) await viewCart(token) // into the cache, under the rules in force
  return shop
}

export async function view({ tokens }: Shop): Promise<void> {
  await viewCart(pick(tokens))
}

export async function priceHeavy({ skus }: Shop): Promise<void> {
  const first = Math.floor(Math.random() * (skus.length - LINES))
  const lines = skus.slice(first, first + LINES).map(sku => ({ sku, quantity: 1 + Math.floor(Math.random() * 24) }))
  const response = await http.asyncRequest('POST', `${BASE_URL}/v1/quotes`, JSON.stringify({ lines }), {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'POST /v1/quotes' },
  })
  check(response, { 'quote answers 200': r => r.status === 200 })
}
