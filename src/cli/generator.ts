import type { Wanted } from '../model/cart.ts'
import type { Product } from '../model/product.ts'

/**
 * A plausible shop, made from one number: the same seed gives the same shop. The shapes (lines per cart, units per line,
 * prices, how popular products are) are those measured on 19,773 orders of a real shop (UCI Online Retail,
 * doi:10.24432/C5BW33): histograms and quantiles, no rows.
 */
export interface Generator {
  product(index: number): Product
  /** The cart of one user: distinct products, popular ones more often. */
  cart(index: number): Wanted[]
}

/** [up to so many lines, carts]. */
const LINES_PER_CART = [
  [1, 1492],
  [2, 816],
  [4, 1370],
  [9, 3108],
  [19, 5053],
  [29, 3059],
  [49, 2547],
  [99, 1654],
  [199, 435],
  [499, 190],
] as const

/** [units, lines]; the rarer ones are spread between their neighbours. */
const UNITS_PER_LINE = [
  [1, 146_415],
  [2, 81_372],
  [3, 36_826],
  [4, 38_328],
  [5, 11_655],
  [6, 40_782],
  [8, 13_079],
  [10, 22_261],
  [12, 61_028],
  [16, 4258],
  [20, 5000],
  [24, 24_003],
  [25, 5117],
  [36, 3811],
  [48, 6051],
  [72, 1942],
  [96, 1808],
  [100, 1807],
  [300, 2000],
] as const

/** Quantiles of catalogue prices, in minor units. */
const PRICES = [
  [0, 4],
  [0.01, 19],
  [0.05, 39],
  [0.1, 42],
  [0.25, 85],
  [0.5, 208],
  [0.75, 413],
  [0.9, 795],
  [0.95, 995],
  [0.99, 1979],
  [1, 16_500],
] as const

/** Exponent of the finite Zipf law that fits how many carts hold a product. */
const POPULARITY = 0.64

const ADJECTIVES = [
  'Ivory',
  'Vintage',
  'Rustic',
  'Enamel',
  'Woodland',
  'Striped',
  'Glass',
  'Cotton',
  'Wicker',
  'Zinc',
  'Retro',
  'Painted',
  'Folding',
  'Scented',
  'Polkadot',
  'Copper',
  'Felt',
  'Porcelain',
  'Floral',
  'Nordic',
]
const NOUNS: Readonly<Record<string, readonly string[]>> = {
  bags: ['Jumbo Bag', 'Lunch Bag', 'Shopper', 'Charlotte Bag', 'Picnic Tote'],
  'candles-lighting': ['T-Light Holder', 'Lantern', 'Candle Plate', 'Fairy Lights', 'Hurricane Lamp'],
  kitchen: ['Cake Stand', 'Mixing Bowl', 'Tea Towel', 'Measuring Jug', 'Recipe Box'],
  'tea-coffee': ['Teapot', 'Mug', 'Tea Set', 'Coffee Press', 'Sugar Bowl'],
  christmas: ['Bauble', 'Stocking', 'Advent Calendar', 'Wreath', 'Tree Star'],
  garden: ['Watering Can', 'Plant Pot', 'Bird Feeder', 'Seed Tin', 'Garden Sign'],
  stationery: ['Notebook', 'Pencil Case', 'Card Set', 'Wrapping Paper', 'Sketchbook'],
  toys: ['Spinning Top', 'Skipping Rope', 'Jigsaw', 'Paper Doll', 'Toy Train'],
  'wall-decor': ['Wall Clock', 'Picture Frame', 'Metal Sign', 'Bunting', 'Mirror'],
  storage: ['Storage Tin', 'Drawer Knob', 'Trinket Box', 'Basket', 'Peg Rail'],
}
const MATERIALS = [
  'Small',
  'Medium',
  'Large',
  'Set of 3',
  'Set of 6',
  'Blue',
  'Red',
  'Green',
  'Pink',
  'Cream',
  'Charcoal',
  'Natural',
]
const CATEGORIES = Object.keys(NOUNS)

export function createGenerator(options: {
  seed: number
  products: number
  linesMax: number
  quantityMax: number
}): Generator {
  const popularity = cumulative(Array.from({ length: options.products }, (_, rank) => (rank + 1) ** -POPULARITY))

  return {
    product(index) {
      const random = randomOf(options.seed, 1, index)
      const category = pick(CATEGORIES, random())
      const noun = pick(NOUNS[category] ?? [], random())
      const name = `${pick(ADJECTIVES, random())} ${noun} ${pick(MATERIALS, random())} No. ${index + 1}`
      return { sku: skuOf(index), name, price: Math.round(quantile(PRICES, random())), category }
    },

    cart(index) {
      const random = randomOf(options.seed, 2, index)
      const lines = Math.min(linesOf(random), options.linesMax, options.products)
      const skus = new Set<string>()
      while (skus.size < lines) skus.add(skuOf(search(popularity, random())))
      return [...skus].map(sku => ({ sku, quantity: Math.min(unitsOf(random), options.quantityMax) }))
    },
  }
}

function skuOf(index: number): string {
  return `P${String(index + 1).padStart(6, '0')}`
}

function linesOf(random: () => number): number {
  const index = search(LINES, random())
  const most = LINES_PER_CART[index]?.[0] ?? 1
  const least = (LINES_PER_CART[index - 1]?.[0] ?? 0) + 1
  return least + Math.floor(random() * (most - least + 1))
}

function unitsOf(random: () => number): number {
  return UNITS_PER_LINE[search(UNITS, random())]?.[0] ?? 1
}

const LINES = cumulative(LINES_PER_CART.map(([, count]) => count))
const UNITS = cumulative(UNITS_PER_LINE.map(([, count]) => count))

/** Running sums, scaled to end at 1. */
function cumulative(weights: readonly number[]): Float64Array {
  const sums = new Float64Array(weights.length)
  let sum = 0
  for (const [index, weight] of weights.entries()) sums[index] = sum += weight
  return sums.map(value => value / sum)
}

/** The first place whose running sum is above `at`. */
function search(sums: Float64Array, at: number): number {
  let [low, high] = [0, sums.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sums[middle] ?? 1) > at) high = middle
    else low = middle + 1
  }
  return low
}

function quantile(table: readonly (readonly [number, number])[], at: number): number {
  const above = table.findIndex(([share]) => share >= at)
  const [highShare, high] = table[Math.max(above, 1)] ?? [1, 0]
  const [lowShare, low] = table[Math.max(above, 1) - 1] ?? [0, 0]
  return low + ((at - lowShare) / (highShare - lowShare)) * (high - low)
}

function pick<T>(items: readonly T[], at: number): T {
  return items[Math.floor(at * items.length)] as T
}

/** mulberry32: a stream of its own for every (seed, kind, index), so that any product or cart can be made alone. */
function randomOf(seed: number, kind: number, index: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(kind, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
