import { check } from 'k6'
import http, { type RefinedResponse, type ResponseType } from 'k6/http'

/** The parts of the API that scenarios use, each with checks of what the answer says and not only of its status. */
export const BASE_URL = __ENV['BASE_URL'] ?? 'http://127.0.0.1:8080'
export const USERS = Number(__ENV['USERS'] ?? 200)
const PASSWORD = __ENV['PASSWORD'] ?? 'cartload-demo'

export interface CartBody {
  readonly version: number
  readonly lines: ReadonlyArray<{
    readonly sku: string
    readonly quantity: number
    readonly unitPrice: number
    readonly subtotal: number
    readonly discount: number
    readonly total: number
  }>
  readonly page: { readonly next: string | null }
  readonly totals: { readonly lines: number; readonly total: number }
}

const JSON_HEADERS = { 'Content-Type': 'application/json' }

/** Logs a seeded user in. Returns the token, or undefined when the login failed. */
export function logIn(user: number): string | undefined {
  const body = JSON.stringify({ email: `user${user}@example.com`, password: PASSWORD })
  const response = http.post(`${BASE_URL}/v1/sessions`, body, {
    headers: JSON_HEADERS,
    jar: new http.CookieJar(), // every shopper has a browser of their own: a login ends the session that came with it
    tags: { name: 'POST /v1/sessions' },
  })
  const good = check(response, {
    'login answers 201': r => r.status === 201,
    'login gives a token': r => typeof r.json('token') === 'string',
  })
  return good ? String(response.json('token')) : undefined
}

/** One page of the cart; `next` goes on where a page ended. */
export function viewCart(token: string, next?: string): CartBody | undefined {
  const query = next ? `?cursor=${encodeURIComponent(next)}` : ''
  const response = http.get(`${BASE_URL}/v1/cart${query}`, {
    headers: { Authorization: `Bearer ${token}` },
    tags: { name: 'GET /v1/cart' },
  })
  if (!check(response, { 'cart answers 200': r => r.status === 200 })) return undefined
  const cart = parse(response)
  check(cart, {
    'lines cost quantity times price, less what is off': c =>
      c.lines.every(
        line => line.subtotal === line.quantity * line.unitPrice && line.total === line.subtotal - line.discount,
      ),
    'the version is the ETag': c => response.headers['Etag'] === `"${c.version}"`,
    'a page is full unless it is the last': c => c.page.next === null || c.lines.length === 20,
  })
  return cart
}

function parse(response: RefinedResponse<ResponseType | undefined>): CartBody {
  return response.json() as unknown as CartBody
}
