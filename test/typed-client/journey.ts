import createClient from 'openapi-fetch'
import type { paths } from './api.ts'

/**
 * A journey whose every request and answer is typed by the OpenAPI document: guest, add, codes, merge at login, pages, quote, order,
 * cancel, errors with their own members. Run against a server: `node journey.ts URL SKU EMAIL PASSWORD`; prints what it saw as JSON.
 */
const [baseUrl = '', sku = '', email = '', password = ''] = process.argv.slice(2)
const seen: Record<string, unknown> = {}
const key = () => ({ 'Idempotency-Key': crypto.randomUUID() })

function must<T>(
  what: string,
  { data, error }: { data?: T; error?: { status: number; code: string; detail: string } },
): T {
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
  await me.PUT('/v1/cart/lines/{line}', {
    params: { path: { line: sku }, header: { ...key(), 'If-Match': `"${merged.version}"` } },
    body: { quantity: 3 },
  }),
)
const stale = await me.DELETE('/v1/cart/lines/{line}', {
  params: { path: { line: sku }, header: { 'If-Match': `"${merged.version}"` } },
})
seen['stale'] = stale.error?.code

seen['version now'] = stale.error?.code === 'version_mismatch' ? stale.error.version === changed.version : undefined

const other = products.data.find(product => product.sku !== sku)?.sku ?? ''
must('second line', await me.POST('/v1/cart/lines', { params: { header: key() }, body: { sku: other, quantity: 1 } }))
const page = must('page', await me.GET('/v1/cart', { params: { query: { limit: 1 }, header: {} } }))
const cursor = page.page.next ?? ''
const rest = must('next page', await me.GET('/v1/cart', { params: { query: { limit: 1, cursor }, header: {} } }))
seen['pages'] = [page, rest].map(({ lines }) => lines.length)
const line = must('line', await me.GET('/v1/cart/lines/{line}', { params: { path: { line: other }, header: {} } }))
seen['line'] = line.quantity
const removed = must(
  'remove',
  await me.DELETE('/v1/cart/lines/{line}', { params: { path: { line: other }, query: { limit: 0 }, header: key() } }),
)

const order = must(
  'order',
  await me.POST('/v1/orders', { params: { header: key() }, body: { cartVersion: removed.version } }),
)
const shown = must('order', await me.GET('/v1/orders/{id}', { params: { path: { id: order.id } } }))
seen['order'] = { state: order.state, total: shown.total, lines: shown.lines.length, refunds: shown.refunds.length }
const foreign = await anonymous.GET('/v1/orders/{id}', { params: { path: { id: order.id } } })
seen['order of another'] = foreign.error?.code
const cancelled = await me.POST('/v1/orders/{id}/cancel', { params: { path: { id: order.id }, header: key() } })
seen['cancel'] = cancelled.error?.code === 'order_state' ? cancelled.error.state : cancelled.error?.code

console.log(JSON.stringify(seen))
