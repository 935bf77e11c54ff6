import { parseArgs } from 'node:util'
import { Bench } from 'tinybench'
import { type WantedFence, createCartCache } from '../../src/cache/cart-cache.ts'
import { renderCart, type RenderedCart, pageOf } from '../../src/cart/cart-rendering.ts'
import { encodeCart, decodeCart } from '../../src/cart/cart-codec.ts'
import { createGenerator } from '../../src/cli/generator.ts'
import type { CartLine } from '../../src/model/cart.ts'
import { createPricing } from '../../src/pricing/pricing-service.ts'
import type { PricedCart } from '../../src/pricing/price.ts'
import { slotOf, xxhash64 } from '../../src/sharding/slots.ts'
import { sessionKey } from '../../src/sessions/sessions.ts'
import type { StoredCart } from '../../src/store/carts.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { connectTo } from '../../test/support/redis.ts'
import { startServers } from './stacks.ts'

/** Time per operation of the small steps of a request. */
const HELP = `npm run bench:micro -- [--ms N]

slot, session key, fence script (a real Redis, of one cart and of 64), price, serialisation: time per operation, each for --ms
milliseconds (default 500) after a warm-up. Prints a table; the figures are of this machine.`

const { values } = parseArgs({
  options: { ms: { type: 'string', default: '500' }, help: { type: 'boolean', default: false } },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}

const generator = createGenerator({ seed: 1, products: 5_000, linesMax: 500, quantityMax: 999 })
const products = Array.from({ length: 5_000 }, (_, index) => generator.product(index))
const catalog = { version: 1, products: new Map(products.map(product => [product.sku, product])) }
const pricing = createPricing(
  { products: { of: () => catalog }, threads: 1, queueMax: 64, currency: 'GBP', inline: 'always' },
  createMetrics(),
)
const servers = await startServers('no database')
const redis = await connectTo(servers.cache)
const cache = createCartCache(redis)
const bench = new Bench({ time: Number(values.ms), warmupTime: Number(values.ms) / 2 })

let turn = 0
const next = () => ++turn % 10_000
const token = { text: `12345.${'a'.repeat(43)}`, userId: '12345' }
bench
  .add('slot of a user id, known', () => void slotOf(String(next() % 100)))
  .add('slot of a user id, hashed', () => void xxhash64(String(next())))
  .add('key of a session from its token', () => void sessionKey(token))

const wanted = (): WantedFence => ({ key: { userId: String(next()), epoch: 1 }, minVersion: 2, token: 'token' })
bench
  .add('fence script, one cart', () => cache.fence([wanted()]))
  .add('fence script, 64 carts', () => cache.fence(Array.from({ length: 64 }, wanted)))

for (const count of [10, 100, 500]) {
  const cart = cartOf(count)
  const priced = await pricing.price({ ...cart, lines: cart.lines })
  const rendered = render(cart, priced)
  const contents = encodeCart(cart)
  bench
    .add(`price ${count} lines, no promotion`, async () => {
      // Another quantity each time, so that no result is remembered.
      const [first, ...rest] = cart.lines
      if (first) await pricing.price({ ...cart, lines: [{ ...first, quantity: 1 + next() }, ...rest] })
    })
    .add(`render ${count} lines`, () => void render(cart, priced))
    .add(
      `first page of ${count} lines, from what is rendered`,
      () => void pageOf(rendered, { offset: 0, limit: 20 }).body,
    )
    .add(`contents of ${count} lines, written`, () => void encodeCart(cart))
    .add(`contents of ${count} lines, read`, () => void decodeCart(contents))
}

try {
  await bench.run()
  console.table(
    bench.tasks.map(({ name, result }) => {
      if (result.state !== 'completed') return { operation: name, failed: result.state }
      const at = (ms: number) => `${(ms * 1000).toPrecision(3)} µs`
      const { latency } = result
      return {
        operation: name,
        median: at(latency.p50),
        mean: at(latency.mean),
        p99: at(latency.p99),
        runs: latency.samplesCount,
      }
    }),
  )
} finally {
  await redis.close()
  await servers.stop()
  await pricing.close()
}

function cartOf(count: number): StoredCart {
  const lines = Array.from({ length: count }, (_, position): CartLine => {
    const { sku } = generator.product(position * 7)
    return { sku, quantity: 1 + (position % 4), selected: true, note: '', position }
  })
  const nothing = { codes: [], buyerGroup: 'member', ordersPlaced: 0, uses: {}, mergedInto: undefined }
  return { version: 7, catalogVersion: 1, digest: 'x', rulesStamp: 0, totals: '{}', pricedAtMs: 0, lines, ...nothing }
}

function render(cart: StoredCart, priced: PricedCart): RenderedCart {
  return renderCart(cart.version, 'GBP', cart.lines, priced, 0)
}
