import { fork } from 'node:child_process'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPricing, type InlineMode } from '../../../src/pricing/pricing-service.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { pricingCase } from './cases.ts'

/**
 * Light requests beside heavy prices, with nothing else in the way: a bare HTTP server in a process of its own, RATE requests a
 * second at fixed times, of which a fifth price 100 lines under 30 promotions. 99th percentile of the light ones, without the
 * heavy ones and with them, on a thread and inline (the control); rounds alternate, the median round counts.
 * `node load-tests/compare/pricing/light.ts`
 */
const RATE = 100
const HEAVY_SHARE = 0.2
const SECONDS = 4
const ROUNDS = 7

if (process.argv[2] === 'serve') serve()
else await compare()

function serve(): void {
  const { ruleSet, cart } = pricingCase(7, 100, 30)
  const products = cart.lines.map(({ sku, unitPrice, categories: [category = ''] }) => ({
    sku,
    name: sku,
    price: unitPrice,
    category,
  }))
  const make = (inline: InlineMode) => {
    const catalog = { version: 1, products: new Map(products.map(product => [product.sku, product])) }
    const pricing = createPricing(
      { products: { of: () => catalog }, threads: 1, queueMax: 1_000, currency: ruleSet.currency, inline },
      createMetrics(),
    )
    pricing.useRules(1, 1, ruleSet)
    return pricing
  }
  const byMode = { '/never': make('never'), '/always': make('always') }
  let asked = 0
  const server = createServer((incoming, response) => {
    const pricing = byMode[incoming.url as keyof typeof byMode] as ReturnType<typeof make> | undefined
    if (!pricing) {
      response.end('light')
      return
    }
    asked++
    const lines = cart.lines.map(({ sku, quantity }, at) => ({
      sku,
      quantity: at === 0 ? asked : quantity,
      selected: true,
    }))
    pricing.price({ lines, codes: [], buyerGroup: 'member' }).then(
      priced => response.end(String(priced.totals.total)),
      () => response.writeHead(503).end(),
    )
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
}

async function compare(): Promise<void> {
  const child = fork(import.meta.filename, ['serve'])
  const port = await new Promise<number>(resolve => child.once('message', message => resolve(Number(message))))
  const agent = new Agent({ keepAlive: true, maxSockets: 200 })
  const ask = (path: string) =>
    new Promise<number>((resolve, reject) => {
      const since = performance.now()
      request({ port, path, agent, host: '127.0.0.1' }, response => {
        response.resume()
        response.once('end', () =>
          response.statusCode === 200
            ? resolve(performance.now() - since)
            : reject(new Error(`${response.statusCode}`)),
        )
      })
        .once('error', reject)
        .end()
    })

  async function round(heavyPath: string | undefined): Promise<number> {
    const light: Promise<number>[] = []
    const heavy: Promise<number>[] = []
    const count = RATE * SECONDS
    const start = performance.now()
    for (let n = 0; n < count; n++) {
      const wait = start + (n * 1000) / RATE - performance.now()
      if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
      const isHeavy = n % Math.round(1 / HEAVY_SHARE) === 0
      if (!isHeavy) light.push(ask('/light'), ask('/light'))
      else if (heavyPath) heavy.push(ask(heavyPath), ask('/light'))
    }
    await Promise.all(heavy)
    const times = (await Promise.all(light)).sort((a, b) => a - b)
    return times[Math.floor(times.length * 0.99)] ?? 0
  }

  const results = { without: [] as number[], 'on a thread': [] as number[], inline: [] as number[] }
  for (let n = 0; n <= ROUNDS; n++) {
    const found = {
      without: await round(undefined),
      'on a thread': await round('/never'),
      inline: await round('/always'),
    }
    if (n > 0) for (const [name, p99] of Object.entries(found)) results[name as keyof typeof results].push(p99)
  }
  child.kill()
  agent.destroy()
  const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
  const base = median(results.without)
  console.table(
    Object.fromEntries(
      Object.entries(results).map(([name, list]) => [
        name,
        {
          'p99, median round': `${median(list).toFixed(2)} ms`,
          ratio: (median(list) / base).toFixed(2),
          rounds: list.map(x => x.toFixed(1)).join(' '),
        },
      ]),
    ),
  )
}
