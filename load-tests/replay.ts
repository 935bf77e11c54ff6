import { check, fail } from 'k6'
import { SharedArray } from 'k6/data'
import exec from 'k6/execution'
import type { Options } from 'k6/options'
import { addLine, type Cart, wholeCart } from './lib/client.ts'
import { allSkus } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * Baskets of a file (NDJSON, one each line: `{"t": time, "l": [[code, units], …]}`), replayed line by line in the order of their times, as guests.
 * The rhythm is theirs, speeded up so that the whole takes DURATION: rush hours stay rush hours. Codes that the shop does not have
 * are replaced by ones that it has, always the same.
 */
interface Basket {
  readonly t: string
  readonly l: readonly (readonly [string, number, ...unknown[]])[]
}

const isSmoke = __ENV['PROFILE'] === 'smoke'
const BASKETS_MAX = Number(__ENV['BASKETS'] ?? (isSmoke ? 20 : 2_000))
const LINES_MAX = 60

const baskets = new SharedArray('baskets', () => {
  const text = open(__ENV['FILE'] ?? fail('FILE is missing: npm run load -- replay --file baskets.ndjson'))
  return text
    .split('\n')
    .filter(line => line !== '')
    .slice(0, BASKETS_MAX)
    .map(line => JSON.parse(line) as Basket)
    .filter(({ l }) => l.some(([, units]) => units > 0))
    .sort((a, b) => (a.t < b.t ? -1 : 1))
})

const SLICES = 20

/** So many baskets in each slice of the time, as they came. */
function rhythm(seconds: number): { target: number; duration: string }[] {
  const timeOf = (at: number) => Date.parse(baskets[at]?.t ?? '')
  const [start, end] = [timeOf(0), timeOf(baskets.length - 1)]
  const counts = Array.from({ length: SLICES }, () => 0)
  for (let at = 0; at < baskets.length; at++) {
    const slice = end > start ? Math.floor(((timeOf(at) - start) / (end - start)) * SLICES) : 0
    const place = Math.min(SLICES - 1, slice)
    counts[place] = (counts[place] ?? 0) + 1
  }
  const each = seconds / SLICES
  return counts.flatMap(count => {
    const target = Math.ceil((count / each) * 60)
    return [
      { target, duration: '0s' },
      { target, duration: `${Math.max(1, Math.round(each * 1000))}ms` },
    ]
  })
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }
const [, length, unit = 's'] = /^(\d+)([smh])$/.exec(__ENV['DURATION'] ?? '') ?? []
const DURATION_S = length === undefined ? (isSmoke ? 4 : 60) : Number(length) * (SECONDS[unit] ?? 1)
const usual = shaped({ rate: 10, secondsEach: 3 })

export const options: Options = {
  ...usual,
  scenarios: {
    shoppers: {
      executor: 'ramping-arrival-rate',
      timeUnit: '60s',
      startRate: 0,
      stages: rhythm(DURATION_S),
      preAllocatedVUs: 50,
      maxVUs: 1_000,
    },
  },
}

export const setup = (): Promise<string[]> => allSkus()

export default async function replayScenario(skus: string[]): Promise<void> {
  const basket = baskets[exec.scenario.iterationInTest % baskets.length]
  if (!basket) return
  const known = new Set(skus)
  const wanted = new Map<string, number>()
  let last: { cart: Cart; token: string } | undefined
  for (const [code, units] of basket.l.filter(([, many]) => many > 0).slice(0, LINES_MAX)) {
    const sku = known.has(code) ? code : (skus[numberOf(code) % skus.length] ?? '')
    const quantity = Math.min(units, 99)
    if ((wanted.get(sku) ?? 0) + quantity > 900) continue
    last = (await addLine(last?.token, sku, quantity)) ?? last
    if (last) wanted.set(sku, (wanted.get(sku) ?? 0) + quantity)
  }
  if (!last) return
  const cart = await wholeCart(last.token)
  check(cart, {
    'replay: the cart holds what the basket held': whole =>
      whole?.lines.length === wanted.size && whole.lines.every(({ sku, quantity }) => wanted.get(sku) === quantity),
  })
}

function numberOf(code: string): number {
  let number = 7
  for (const letter of code) number = (number * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003
  return number
}
