import type { Logins } from '../accounts/logins.ts'
import { type CartView, readCartCursor } from '../cart/cart-view.ts'
import type { Carts } from '../cart/carts.ts'
import type { Changed, ChangeRequest } from '../cart/funnel.ts'
import type { Glance, Glances } from '../cart/glances.ts'
import { AppError } from '../lib/errors.ts'
import type { LineChange } from '../model/cart.ts'
import { shownPrices } from './quote-routes.ts'
import { type Answer, type Call, idempotencyOf, json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** The cart. Each write answers with the cart as GET gives it. */
const PROBLEMS = [400, 401, 412, 422, 503]

export interface CartRoutesDeps {
  readonly carts: Carts
  readonly glances: Glances
  readonly logins: Logins
}

export function cartRoutes({ carts, glances, logins }: CartRoutesDeps, schemas: Schemas, currency: string): Route[] {
  const seen = { status: 200, description: 'The cart', schema: schemas.cart, headers: ['ETag'] } as const
  const answer = { ...seen, schema: schemas.cartChange, headers: ['ETag', 'X-Session-Token'] } as const
  const common = { tag: 'Cart', answer, session: 'optional', conditional: true, problems: PROBLEMS } as const

  /** A change by whoever calls: a first write without a session makes a guest. */
  async function change(
    call: Call,
    body: unknown,
    work: (request: ChangeRequest) => Promise<Changed>,
  ): Promise<Answer> {
    const known = await call.session()
    const session = known ?? (await logins.newGuest(call.address))
    const done = await work({ userId: session.userId, ifMatch: call.ifMatch, idempotency: idempotencyOf(call, body) })
    const headers: Record<string, string> = { ETag: etagOf(done.version) }
    if (done.replayed) headers['Idempotency-Replayed'] = 'true'
    if (known) return { status: 200, body: done.body, headers }
    const token = session.token.text
    headers['X-Session-Token'] = token
    return { status: 200, body: done.body, headers, cookie: { token, endsAtMs: session.endsAtMs } }
  }

  return [
    route({
      ...common,
      method: 'get',
      path: '/v1/cart',
      name: 'viewCart',
      summary: 'A page of the cart, with the totals of the whole cart',
      query: schemas.cartQuery,
      answer: seen,
      problems: [400, 401, 409, 503],
      conditional: false,
      async handle({ query: { limit, cursor } }, call) {
        const page = { limit, offset: 0, ...(cursor === undefined ? {} : readCartCursor(cursor)) }
        const { token, ifNoneMatch } = call
        const { session, peeked, unchanged } = token ? await glances.of(token, page, versionOf(ifNoneMatch)) : NOBODY
        const known = call.admit(session)
        if (known && unchanged !== undefined) {
          carts.countUnchanged()
          return { status: 304, headers: { ETag: etagOf(unchanged) } }
        }
        if (known && peeked) return shown(carts.show(peeked, page), call)
        return shown(known ? await carts.view(known.userId, page) : await carts.empty(page), call)
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/lines',
      name: 'addLines',
      summary: 'Adds one product or several, all or none, on top of what is there',
      body: schemas.addLines,
      query: schemas.noQuery,
      handle: ({ body }, call) => {
        const wanted = 'lines' in body ? body.lines : [body]
        const pointers = wanted.map((_, at) => ('lines' in body ? `#/lines/${at}/sku` : '#/sku'))
        return change(call, body, request => carts.addLines(request, wanted, pointers))
      },
    }),
    route({
      ...common,
      method: 'put',
      path: '/v1/cart/lines/:sku',
      name: 'setLine',
      summary: 'Sets quantity, selection or note of one line; with a quantity the line is made where it is missing',
      body: schemas.setLine,
      query: schemas.noQuery,
      params: schemas.skuParams,
      problems: [...PROBLEMS, 404],
      handle: ({ body, params }, call) =>
        change(call, body, request => carts.setLine(request, params.sku, body as LineChange)),
    }),
    route({
      ...common,
      method: 'put',
      path: '/v1/cart/lines',
      name: 'setLines',
      summary:
        'Sets, selects or removes several lines, all or none; a line is made where it is missing and has a quantity',
      body: schemas.setLines,
      query: schemas.noQuery,
      problems: [...PROBLEMS, 404],
      handle: ({ body }, call) =>
        change(call, body, request => carts.setLines(request, body.lines as (LineChange & { sku: string })[])),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart/lines/:sku',
      name: 'removeLine',
      summary: 'Removes a line; removing it again changes nothing',
      query: schemas.noQuery,
      params: schemas.skuParams,
      handle: ({ params }, call) => change(call, undefined, request => carts.removeLine(request, params.sku)),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart',
      name: 'clearCart',
      summary: 'Removes all lines',
      query: schemas.noQuery,
      handle: (_, call) => change(call, undefined, carts.clear),
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/codes',
      name: 'addCode',
      summary: 'Enters a promotion code; whether it is applied, and why not, is in the cart',
      body: schemas.addCode,
      query: schemas.noQuery,
      handle: ({ body }, call) => change(call, body, request => carts.addCode(request, body.code)),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart/codes/:code',
      name: 'removeCode',
      summary: 'Takes a promotion code out; taking it out again changes nothing',
      query: schemas.noQuery,
      params: schemas.codeParams,
      handle: ({ params }, call) => change(call, undefined, request => carts.removeCode(request, params.code)),
    }),
    route({
      method: 'get',
      path: '/v1/cart/explain',
      name: 'explainCart',
      summary: 'What became of every promotion: applied, beaten or refused, and why',
      tag: 'Cart',
      session: 'required',
      query: schemas.noQuery,
      answer: { status: 200, description: 'The explanation', schema: schemas.explanation },
      problems: [400, 401, 503],
      async handle(_, call) {
        const { userId } = await call.requireSession()
        const { version, ...priced } = await carts.explain(userId)
        return json(200, { version, ...shownPrices(priced, currency), outcomes: priced.outcomes })
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/merge/undo',
      name: 'undoMerge',
      summary: 'Takes back what the last login merged into the cart, except lines changed since',
      query: schemas.noQuery,
      session: 'required',
      problems: [...PROBLEMS, 404],
      handle: async (_, call) => {
        await call.requireSession()
        return change(call, undefined, carts.undoMerge)
      },
    }),
  ]
}

const NOBODY: Glance = { session: undefined, peeked: undefined }

function shown(view: CartView, { ifNoneMatch }: Call): Answer {
  const headers = { ETag: etagOf(view.version) }
  if (matches(ifNoneMatch, headers.ETag)) return { status: 304, headers }
  return { status: 200, body: view.body, headers }
}

export function etagOf(version: number): string {
  return `"${version}"`
}

/** The version that a client has, where it names one ETag of ours and nothing else, as nearly all do. */
function versionOf(etag: string | undefined): number | undefined {
  const version = etag === undefined ? undefined : /^"(0|[1-9]\d{0,14})"$/.exec(etag)?.[1]
  return version === undefined ? undefined : Number(version)
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch === '*' || ifNoneMatch.split(',').some(tag => tag.trim().replace(/^W\//, '') === etag)
}

/** The version in If-Match; `*` is no condition, since every cart exists. @throws AppError `invalid_request` */
export function readIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  const version = versionOf(header.trim())
  if (version !== undefined) return version
  const detail = 'must be the ETag of a cart, such as "7"'
  throw new AppError('invalid_request', `If-Match ${detail}`, {
    errors: [{ in: 'header', pointer: '#/If-Match', detail }],
  })
}
