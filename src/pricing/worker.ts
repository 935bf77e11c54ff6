import { messageOf } from '../lib/errors.ts'
import { createLruCache } from '../lib/lru-cache.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { CodeFacts } from './engine/codes.ts'
import {
  type CartRequest,
  type Catalog,
  type GivenAway,
  type PricedCart,
  priceCart,
  type Rules,
  type Terms,
} from './price.ts'
import { type RulesSnapshot, unpackRules } from './snapshot.ts'

/**
 * Thread entry: prices a batch of carts with the rules and the products it was sent. Keeps the newest rules compiled. A cart that cannot be
 * priced costs its own result, not the others'.
 */
export interface PricingTask extends PackedCarts {
  readonly rules: RulesSnapshot
  readonly terms: Terms
  readonly usage: GivenAway
}

interface PackedCarts {
  /** The products of all carts, as JSON: read faster than objects are copied. */
  readonly products: string
  readonly carts: readonly PackedCart[]
}

/** What crosses to a thread: codes and numbers. */
interface PackedCart {
  readonly skus: readonly string[]
  readonly quantities: readonly number[]
  readonly selected: readonly boolean[]
  /** Places of its products in the list of all. */
  readonly products: readonly number[]
  readonly catalogVersion: number
  readonly codes: readonly string[]
  readonly codeFacts: CodeFacts | undefined
  readonly buyerGroup: string
  readonly ordersPlaced: number
  readonly uses: Readonly<Record<string, number>>
  readonly explain: boolean
}

export type PricingResult = PricedCart | { readonly error: string }

let rules: Omit<Rules, 'usage'> | undefined
/** One object per product and version: what the rules have found out about it is remembered with it (engine/scope-index.ts). */
const known = createLruCache<Product>(FIXED.pricingProductsMax)

export function price(task: PricingTask): PricingResult[] {
  if (rules?.version !== task.rules.version) rules = unpackRules(task.rules)
  const inForce = { ...rules, stamp: task.rules.stamp, usage: task.usage }
  const products = (JSON.parse(task.products) as Product[]).map(asKnown)
  return task.carts.map(cart => {
    try {
      return priceCart(unpackCart(cart), catalogOf(cart, products), inForce, task.terms)
    } catch (error) {
      return { error: messageOf(error) }
    }
  })
}

function asKnown(product: Product): Product {
  if (product.version === undefined) return product
  const key = `${product.version}\u0000${product.sku}`
  const before = known.get(key)
  if (before) return before
  known.set(key, product)
  return product
}

function catalogOf({ products: places, catalogVersion }: PackedCart, all: readonly Product[]): Catalog {
  const products = new Map<string, Product>()
  for (const place of places) {
    const product = all[place]
    if (product) products.set(product.sku, product)
  }
  return { version: catalogVersion, products }
}

export function packCarts(carts: readonly { readonly request: CartRequest; readonly catalog: Catalog }[]): PackedCarts {
  const places = new Map<Product, number>()
  const placeOf = (product: Product) => {
    const place = places.get(product) ?? places.size
    places.set(product, place)
    return place
  }
  const packed = carts.map(({ request, catalog }) => packCart(request, catalog, placeOf))
  return { products: JSON.stringify([...places.keys()]), carts: packed }
}

function packCart(request: CartRequest, catalog: Catalog, placeOf: (product: Product) => number): PackedCart {
  const { lines, codes, codeFacts, buyerGroup, ordersPlaced = 0, uses = {}, explain = false } = request
  return {
    skus: lines.map(line => line.sku),
    quantities: lines.map(line => line.quantity),
    selected: lines.map(line => line.selected),
    products: [...catalog.products.values()].map(placeOf),
    catalogVersion: catalog.version,
    codes,
    codeFacts,
    buyerGroup,
    ordersPlaced,
    uses,
    explain,
  }
}

function unpackCart({ skus, quantities, selected, ...rest }: PackedCart): CartRequest {
  const lines = skus.map((sku, at) => ({ sku, quantity: quantities[at] ?? 0, selected: selected[at] ?? false }))
  return { lines, ...rest }
}
