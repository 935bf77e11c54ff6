import { check } from 'k6'
import http, { type RefinedResponse } from 'k6/http'
import { setTimeout } from 'k6/timers'

/** The API as scenarios use it. Every answer is checked for what it says, not only for its status. */
export const BASE_URL = __ENV['BASE_URL'] ?? 'http://127.0.0.1:8080'
const PASSWORD = __ENV['PASSWORD'] ?? 'cartload-demo'

export interface Line {
  readonly sku: string
  readonly quantity: number
  readonly unitPrice: number
  readonly subtotal: number
  readonly discount: number
  readonly total: number
}

export interface Cart {
  readonly version: number
  readonly lines: readonly Line[]
  readonly counts: { readonly lines: number; readonly units: number }
  readonly totals: { readonly total: number }
  readonly page: { readonly limit: number; readonly next: string | null }
}

export interface Product {
  readonly sku: string
  readonly name: string
  readonly price: number
  readonly category: string
}

export interface Page<Item> {
  readonly data: readonly Item[]
  readonly page: { readonly limit: number; readonly next: string | null }
}

export interface Order {
  readonly id: string
  readonly state: string
  readonly total: number
  readonly lines: readonly Line[]
}

export interface Place {
  readonly state: 'not_started' | 'absent' | 'waiting' | 'admitted' | 'sold_out'
  readonly admission?: string
  readonly pollAfterMs?: number
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  /** The route, as the report names it. */
  readonly name: string
  readonly token?: string | undefined
  readonly key?: string
  readonly body?: unknown
  /** Statuses that are no failure. */
  readonly expected?: readonly number[]
}

type Answer = RefinedResponse<'text'>

function requestOf({ method, path, name, token, key, body, expected = [200] }: Call) {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers['Authorization'] = `Bearer ${token}`
  if (key !== undefined) headers['Idempotency-Key'] = key
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  return {
    method,
    url: `${BASE_URL}${path}`,
    body: body === undefined ? null : JSON.stringify(body),
    params: {
      headers,
      tags: { name: `${method} ${name}` },
      jar: new http.CookieJar(), // every shopper has a browser of their own
      responseCallback: http.expectedStatuses(...expected),
      responseType: 'text' as const,
      timeout: '30s',
    },
  }
}

/** Sends a request. Asynchronous, as everything here: so the scenarios run in k6 and in Node.js (executor/). */
export async function send(call: Call): Promise<Answer> {
  const { method, url, body, params } = requestOf(call)
  return http.asyncRequest(method, url, body, params)
}

/** The body, when the answer is the one that was expected and says what it must. */
function told<Body>(
  answer: Answer,
  what: string,
  status: number,
  checks: Readonly<Record<string, (body: Body) => boolean>> = {},
): Body | undefined {
  if (!check(answer, { [`${what}: ${status}`]: ({ status: is }) => is === status })) return undefined
  const body = answer.json() as unknown as Body
  const all = Object.fromEntries(Object.entries(checks).map(([name, test]) => [`${what}: ${name}`, () => test(body)]))
  return check(answer, all) ? body : undefined
}

/** Logs a seeded user in; the token, unless it failed. */
export async function logIn(user: number): Promise<string | undefined> {
  const body = { email: `user${user}@example.com`, password: PASSWORD }
  const answer = await send({ method: 'POST', path: '/v1/sessions', name: '/v1/sessions', body, expected: [201] })
  return told<{ token: string }>(answer, 'login', 201, { 'gives a token': ({ token }) => token.length > 20 })?.token
}

export async function logOut(token: string): Promise<void> {
  const path = '/v1/sessions/current'
  const answer = await send({ method: 'DELETE', path, name: path, token, expected: [204] })
  check(answer, { 'logout: 204': ({ status }) => status === 204 })
}

/** A new account. */
export async function register(email: string): Promise<void> {
  const body = { email, password: `${PASSWORD}-of-${email}`, name: 'New Shopper' }
  const answer = await send({ method: 'POST', path: '/v1/accounts', name: '/v1/accounts', body, expected: [201] })
  told<{ email: string }>(answer, 'registration', 201, { 'is of the address': account => account.email === email })
}

export async function products(query = ''): Promise<Page<Product> | undefined> {
  const answer = await send({ method: 'GET', path: `/v1/products${query && `?${query}`}`, name: '/v1/products' })
  return told<Page<Product>>(answer, 'products', 200, {
    'are a page': ({ data, page }) => data.length <= page.limit && (page.next === null || data.length === page.limit),
    'have a name and a price': ({ data }) => data.every(({ name, price }) => name !== '' && price >= 0),
  })
}

export async function product(sku: string): Promise<Product | undefined> {
  const path = `/v1/products/${encodeURIComponent(sku)}`
  const answer = await send({ method: 'GET', path, name: '/v1/products/:sku' })
  return told<Product>(answer, 'product', 200, { 'is the one that was asked for': found => found.sku === sku })
}

const CART_CHECKS = {
  'lines cost quantity times price, less what is off': ({ lines }: Cart) =>
    lines.every(
      line => line.subtotal === line.quantity * line.unitPrice && line.total === line.subtotal - line.discount,
    ),
  'a page is full unless it is the last': ({ lines, page }: Cart) => page.next === null || lines.length === page.limit,
}

/** One page of the cart; `cursor` goes on where a page ended. */
export async function viewCart(token: string | undefined, cursor?: string, limit?: number): Promise<Cart | undefined> {
  const query = [cursor && `cursor=${encodeURIComponent(cursor)}`, limit && `limit=${limit}`].filter(Boolean).join('&')
  const answer = await send({ method: 'GET', path: `/v1/cart${query && `?${query}`}`, name: '/v1/cart', token })
  return told<Cart>(answer, 'cart', 200, {
    ...CART_CHECKS,
    'its version is the ETag': ({ version }) => answer.headers['Etag'] === `"${version}"`,
  })
}

/** Every page of it. */
export async function wholeCart(token: string): Promise<Cart | undefined> {
  const first = await viewCart(token, undefined, 100)
  if (!first) return undefined
  const lines = [...first.lines]
  for (let next = first.page.next; next !== null; ) {
    const page = await viewCart(token, next, 100)
    if (!page) return undefined // changed meanwhile, or failed: the checks have it
    lines.push(...page.lines)
    next = page.page.next
  }
  check(first, { 'cart: its pages hold all of its lines': ({ counts }) => counts.lines === lines.length })
  return { ...first, lines }
}

export const addLineCall = (token: string | undefined, sku: string, quantity: number, key: string): Call => ({
  method: 'POST',
  path: '/v1/cart/lines',
  name: '/v1/cart/lines',
  token,
  key,
  body: { sku, quantity },
})

export interface Added {
  readonly cart: Cart
  /** Of the guest that the first write made. */
  readonly token: string
}

/** Adds a line; without a token as a new guest. */
export async function addLine(
  token: string | undefined,
  sku: string,
  quantity = 1,
  key = newKey(),
): Promise<Added | undefined> {
  return added(addLineCall(token, sku, quantity, key), quantity)
}

/** Adds many lines at once; without a token as a new guest. */
export async function addLines(token: string | undefined, lines: readonly Wanted[]): Promise<Added | undefined> {
  const units = lines.reduce((sum, { quantity }) => sum + quantity, 0)
  return added({ ...addLineCall(token, '', 0, newKey()), body: { lines } }, units)
}

export interface Wanted {
  readonly sku: string
  readonly quantity: number
}

async function added(call: Call, units: number): Promise<Added | undefined> {
  const answer = await send(call)
  const cart = told<Cart>(answer, 'add', 200, {
    ...CART_CHECKS,
    'the cart has changed': ({ version }) => version > 0,
    'there is at least what was added': ({ counts }) => counts.units >= units,
  })
  const session = call.token ?? answer.headers['X-Session-Token']
  return cart && session !== undefined ? { cart, token: session } : undefined
}

export async function setLine(token: string, sku: string, quantity: number): Promise<Cart | undefined> {
  const path = `/v1/cart/lines/${encodeURIComponent(sku)}`
  const answer = await send({
    method: 'PUT',
    path,
    name: '/v1/cart/lines/:line',
    token,
    key: newKey(),
    body: { quantity },
  })
  return told<Cart>(answer, 'set', 200, CART_CHECKS)
}

export async function removeLine(token: string, sku: string): Promise<Cart | undefined> {
  const path = `/v1/cart/lines/${encodeURIComponent(sku)}`
  const answer = await send({ method: 'DELETE', path, name: '/v1/cart/lines/:line', token, key: newKey() })
  return told<Cart>(answer, 'remove', 200, CART_CHECKS)
}

export async function clearCart(token: string): Promise<void> {
  const answer = await send({ method: 'DELETE', path: '/v1/cart', name: '/v1/cart', token, key: newKey() })
  told<Cart>(answer, 'clear', 200, { 'nothing is left': ({ counts }) => counts.lines === 0 })
}

/** What a try to order came to: an order, or the code of the problem document. */
export type Tried = { readonly order: Order } | { readonly refused: string }

export async function placeOrder(
  token: string,
  cart: Cart,
  key = newKey(),
  admission?: string,
): Promise<Tried | undefined> {
  const body = { cartVersion: cart.version, total: cart.totals.total, ...(admission ? { admission } : {}) }
  const expected = [200, 201, 403, 409]
  const answer = await send({ method: 'POST', path: '/v1/orders', name: '/v1/orders', token, key, body, expected })
  if (answer.status === 403 || answer.status === 409) return { refused: String(answer.json('code')) }
  const made = told<Order>(answer, 'order', answer.status === 200 ? 200 : 201, {
    'is for the total that was seen': ({ total }) => total === cart.totals.total,
  })
  return made && { order: made }
}

export async function orders(token: string): Promise<Page<Order> | undefined> {
  const answer = await send({ method: 'GET', path: '/v1/orders', name: '/v1/orders', token })
  return told<Page<Order>>(answer, 'orders', 200)
}

export async function order(token: string, id: string): Promise<Order | undefined> {
  const answer = await send({ method: 'GET', path: `/v1/orders/${id}`, name: '/v1/orders/:id', token })
  return told<Order>(answer, 'order seen', 200, { 'is the one that was asked for': found => found.id === id })
}

export async function enterQueue(token: string, sale: string): Promise<Place | undefined> {
  const path = `/v1/sales/${sale}/queue`
  const answer = await send({ method: 'POST', path, name: '/v1/sales/:id/queue', token, body: {} })
  return told<Place>(answer, 'queue', 200, {
    'who is admitted has an admission': ({ state, admission }) => state !== 'admitted' || admission !== undefined,
  })
}

export async function viewSale(sale: string): Promise<{ readonly state: string; readonly left: number } | undefined> {
  const answer = await send({ method: 'GET', path: `/v1/sales/${sale}`, name: '/v1/sales/:id' })
  return told<{ state: string; left: number }>(answer, 'sale', 200)
}

/** Waits without holding up other iterations of the thread, as k6's sleep() would in Node.js. */
export const pause = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms))

/** Used once: by one iteration of one virtual user. */
export function newKey(): string {
  const random = () => Math.random().toString(36).slice(2, 12)
  return `load-${random()}${random()}`
}
