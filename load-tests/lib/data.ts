import { fail } from 'k6'
import { logIn, products } from './client.ts'

/** Who shops, and what. Both come from the running shop, before the clock starts. */
export const USERS = Number(__ENV['USERS'] ?? 200)
const PRODUCTS_MAX = 2_000
/** Exponent of the Zipf law of how often products are bought (src/cli/generator.ts, measured on 19,773 orders). */
const POPULARITY = 0.64

/** Seeded users, logged in. */
export async function logInAll(count = USERS): Promise<string[]> {
  const tokens: string[] = []
  for (let user = 1; user <= count; user++)
    tokens.push((await logIn(user)) ?? fail(`user ${user} could not log in: npm run seed`))
  return tokens
}

/** Product codes, the most popular first. */
export async function allSkus(max = PRODUCTS_MAX): Promise<string[]> {
  const skus: string[] = []
  let query = 'limit=100'
  while (skus.length < max) {
    const page = (await products(query)) ?? fail('the catalogue does not answer')
    skus.push(...page.data.map(({ sku }) => sku))
    if (page.page.next === null) break
    query = `limit=100&cursor=${encodeURIComponent(page.page.next)}`
  }
  if (skus.length === 0) fail('the shop has no products: npm run seed')
  return skus
}

export function pick<Item>(from: readonly Item[]): Item {
  return from[Math.floor(Math.random() * from.length)] ?? fail('there is nothing to pick from')
}

/** One of them by popularity. */
export function popular(skus: readonly string[]): string {
  // The inverse of the continuous law's distribution: exact enough for a load, and without a table.
  const power = 1 - POPULARITY
  const at = ((skus.length ** power - 1) * Math.random() + 1) ** (1 / power)
  return skus[Math.min(skus.length - 1, Math.floor(at) - 1)] ?? pick(skus)
}

/** By weight: what a table of shares says comes up as often. */
export function weighted<Item>(table: readonly (readonly [Item, number])[]): Item {
  let left = Math.random() * table.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [item, weight] of table) {
    left -= weight
    if (left < 0) return item
  }
  return (table.at(-1) ?? fail('the table is empty'))[0]
}
