import createClient from 'openapi-fetch'
import type { components, paths } from './api.ts'

/**
 * A journey whose every request and answer is typed by the OpenAPI document: guest, add, codes, merge at login, pages, quote, order,
 * refund of the order by nobody, errors. Run against a server: `node journey.ts URL SKU EMAIL PASSWORD`; prints what it saw as JSON.
 */
const [baseUrl = '', sku = '', email = '', password = ''] = process.argv.slice(2)
const seen: Record<string, unknown> = {}
const key = () => ({ 'Idempotency-Key': crypto.randomUUID() })

function must<T>(what: string, { data, error }: { data?: T; error?: components['schemas']['Problem'] }): T {
  if (data === undefined) throw new Error(`${what}: ${error?.status} ${error?.code} ${error?.detail}`)
  return data
}

const anonymous = createClient<paths>({ baseUrl })
const products = must('products', await anonymous.GET('/v1/products', { params: { query: { limit: 3 } } }))
seen['products'] = products.data.map(product => product.price).length

const added = await anonymous.POST('/v1/cart/lines', { params: { header: key() }, body: { sku, quantity: 2 } })
const cart = must('add', added)
const guest = added.response.headers.get('X-Session-Token') ?? ''
seen['guest'] = {
  token: guest.length > 20,
  units: cart.counts.units,
  etag: added.response.headers.get('ETag') !== null,
}

const asGuest = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${guest}` } })
const unknown = await asGuest.POST('/v1/cart/codes', { params: { header: {} }, body: { code: 'NO-SUCH-CODE' } })
seen['unknown code'] = unknown.error?.code
const quote = must(
  'quote',
  await asGuest.POST('/v1/quotes', { params: { header: {} }, body: { lines: [{ sku, quantity: 1 }], codes: [] } }),
)
const first: number | undefined = quote.lines[0]?.total
seen['quote'] = { total: quote.totals.total, first }

must(
  'register',
  await anonymous.POST('/v1/accounts', { params: { header: key() }, body: { email, password, name: 'Typed' } }),
)
const session = must('login', await asGuest.POST('/v1/sessions', { params: { header: {} }, body: { email, password } }))
const me = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${session.token}` } })
const merged = must('cart', await me.GET('/v1/cart', { params: { query: { limit: 1 }, header: {} } }))
seen['merged'] = merged.lines.map(line => [line.sku, line.quantity])

const changed = must(
  'set',
  await me.PUT('/v1/cart/lines/{sku}', {
    params: { path: { sku }, header: { ...key(), 'If-Match': `"${merged.version}"` } },
    body: { quantity: 3 },
  }),
)
const stale = await me.DELETE('/v1/cart/lines/{sku}', {
  params: { path: { sku }, header: { 'If-Match': `"${merged.version}"` } },
})
seen['stale'] = stale.error?.code

const order = must(
  'order',
  await me.POST('/v1/orders', { params: { header: key() }, body: { cartVersion: changed.version } }),
)
const shown = must('order', await me.GET('/v1/orders/{id}', { params: { path: { id: order.id } } }))
seen['order'] = { state: order.state, total: shown.total, lines: shown.lines.length, refunds: shown.refunds.length }
const other = await anonymous.GET('/v1/orders/{id}', { params: { path: { id: order.id } } })
seen['order of another'] = other.error?.code

console.log(JSON.stringify(seen))
