import { check } from 'k6'
import { Counter } from 'k6/metrics'
import { addLine, addLineCall, type Cart, newKey, pause, placeOrder, send, viewCart } from './lib/client.ts'
import { allSkus, popular } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * Clients and proxies that do not wait: every write is sent several times at once with its key, and again after its answer. It must
 * happen once, and every answer must be that of the one.
 */
const duplicates = new Counter('duplicated_writes')
const orders = new Counter('orders_asked_for_again')
export const options = shaped({
  rate: 20,
  secondsEach: 1,
  thresholds: { duplicated_writes: ['count==0'], orders_asked_for_again: ['count>0'] },
})

export async function setup(): Promise<string[]> {
  duplicates.add(0)
  return allSkus()
}

const AT_ONCE = 4
const TRIES_MAX = 20

export default async function retryStormScenario(skus: string[]): Promise<void> {
  const [first, second] = [popular(skus), popular(skus)]
  const begun = await addLine(undefined, first)
  if (!begun) return
  const { token } = begun
  const key = newKey()
  // 409: the first of them is still under way.
  const call = { ...addLineCall(token, second, 2, key), expected: [200, 409] }
  await Promise.all(Array.from({ length: AT_ONCE }, () => send(call)))
  let last = { status: 0, version: 0 }
  for (let tries = 0; tries < TRIES_MAX && last.status !== 200; tries++) {
    const answer = await send(call)
    if (answer.status === 200) last = { status: 200, version: (answer.json() as unknown as Cart).version }
    else await pause(200)
  }
  const cart = await viewCart(token)
  if (!check(last, { 'add again: 200 in the end': ({ status }) => status === 200 }) || !cart) return
  duplicates.add(Math.max(0, cart.counts.units - 3))
  check(cart, {
    'add again: happened': ({ counts }) => counts.units >= 3,
    'add again: is told as it was': ({ version }) => version === last.version,
  })
  const orderKey = newKey()
  const tried: Awaited<ReturnType<typeof placeOrder>>[] = []
  for (let n = 0; n < 3; n++) tried.push(await placeOrder(token, cart, orderKey))
  const ids = new Set(tried.flatMap(one => (one && 'order' in one ? [one.order.id] : [])))
  duplicates.add(Math.max(0, ids.size - 1))
  // Of a product whose units are counted there may be none left: refused once, refused each time.
  const isRefused = tried.every(one => one !== undefined && 'refused' in one)
  if (!isRefused) orders.add(1)
  check(ids, { 'order again: there is one': all => isRefused || all.size === 1 })
}
