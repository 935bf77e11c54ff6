import type { UnitPrice } from '../../model/money.ts'
import type { Promotion, Scope } from '../../model/promotion.ts'
import type { LineToPrice } from './input.ts'

/** A number of units of one line. */
export interface Piece {
  readonly line: number
  readonly units: number
  readonly price: UnitPrice
}

/** What costs nothing is never the cheapest of several: it would take the place of something that is paid for. */
export const paidFor = (pool: readonly Piece[]): readonly Piece[] => pool.filter(({ price }) => price > 0)

/** The lines of one cart as the scopes of promotions see them: looked up once per scope. */
export interface ScopeIndex {
  readonly lines: readonly LineToPrice[]
  /** Indexes of the lines of a scope, rising. */
  members(scope: Scope | undefined): readonly number[]
  /** The same as pieces by unit price, dearest first, ties by product code. */
  pool(scope: Scope | undefined): readonly Piece[]
  /** The same with fewer units of each line; lines without units are in no scope. */
  reduced(unitsOf: (line: number) => number): ScopeIndex
}

/** The distinct scopes of a rule set. Which of them a product is in is found out once per product of a catalogue. */
export interface Scopes {
  readonly count: number
  numberOf(scope: Scope | undefined): number
  /** Numbers of the scopes that a line is in, rising. */
  of(line: LineToPrice): readonly number[]
}

export function compileScopes(promotions: readonly Promotion[]): Scopes {
  const numbers = new Map<Scope | undefined, number>()
  const tests: Matcher[] = []
  const byText = new Map<string, number>()
  const add = (scope: Scope | undefined) => {
    const text = JSON.stringify(scope ?? {})
    const number = byText.get(text) ?? tests.push(matcherOf(scope)) - 1
    byText.set(text, number)
    numbers.set(scope, number)
  }
  add(undefined)
  for (const promotion of promotions) {
    add(promotion.scope)
    if (promotion.when?.of) add(promotion.when.of)
    if (promotion.when?.contains) add(promotion.when.contains.scope)
    if (promotion.kind === 'buy_get') for (const { scope } of [promotion.buy, promotion.get]) if (scope) add(scope)
    if (promotion.kind === 'bundle') for (const { scope } of promotion.items) add(scope)
  }
  const remembered = new WeakMap<object, readonly number[]>()
  return {
    count: tests.length,
    numberOf: scope => numbers.get(scope) ?? 0,
    of(line) {
      let found = line.product && remembered.get(line.product)
      if (!found) {
        found = tests.flatMap((test, at) => (test(line) ? [at] : []))
        if (line.product) remembered.set(line.product, found)
      }
      return found
    },
  }
}

/** `lines` must be in the order of their product codes. */
export function createScopeIndex(lines: readonly LineToPrice[], scopes: Scopes): ScopeIndex {
  const members: number[][] = Array.from({ length: scopes.count }, () => [])
  for (const [at, line] of lines.entries()) for (const scope of scopes.of(line)) members[scope]!.push(at)
  return shelfOf(lines, members, scopes)
}

function shelfOf(lines: readonly LineToPrice[], members: readonly (readonly number[])[], scopes: Scopes): ScopeIndex {
  const pools: (readonly Piece[] | undefined)[] = []
  const byPrice = (a: Piece, b: Piece) => b.price - a.price || a.line - b.line
  return {
    lines,
    members: scope => members[scopes.numberOf(scope)]!,
    pool(scope) {
      const number = scopes.numberOf(scope)
      pools[number] ??= members[number]!.map(line => ({
        line,
        units: lines[line]!.quantity,
        price: lines[line]!.unitPrice,
      })).sort(byPrice)
      return pools[number]
    },
    reduced(unitsOf) {
      const fewer = lines.map((line, at) => ({ ...line, quantity: unitsOf(at) }))
      const left = members.map(of => of.filter(at => fewer[at]!.quantity > 0))
      return shelfOf(fewer, left, scopes)
    },
  }
}

type Matcher = (line: LineToPrice) => boolean

/** True for the lines that a scope names. */
function matcherOf(scope: Scope | undefined): Matcher {
  if (!scope) return () => true
  const { priceMin = 0, priceMax = Number.POSITIVE_INFINITY, onSale, exclude } = scope
  const named = namedIn(scope)
  const excluded = exclude ? namedIn(exclude) : undefined
  return line =>
    named.every(test => test(line)) &&
    line.unitPrice >= priceMin &&
    line.unitPrice <= priceMax &&
    !(onSale === 'exclude' && isOnSale(line)) &&
    !excluded?.some(test => test(line))
}

type Names = Pick<Scope, 'skus' | 'categories' | 'tags'>

function namedIn({ skus, categories, tags }: Names): Matcher[] {
  const tests: Matcher[] = []
  if (skus) {
    const set = new Set(skus)
    tests.push(line => set.has(line.sku))
  }
  if (categories) {
    const set = new Set(categories)
    tests.push(line => line.categories.some(category => set.has(category)))
  }
  if (tags) {
    const set = new Set(tags)
    tests.push(line => line.tags.some(tag => set.has(tag)))
  }
  return tests
}

export function isOnSale(line: LineToPrice): boolean {
  return line.listPrice !== undefined && line.listPrice > line.unitPrice
}
