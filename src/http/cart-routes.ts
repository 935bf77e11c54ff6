import type { Logins } from '../accounts/logins.ts'
import { readCartCursor } from '../cart/cart-rendering.ts'
import type { CartReader } from '../cart/cart-reader.ts'
import type { Carts } from '../cart/carts.ts'
import type { Changed } from '../cart/cart-writer.ts'
import type { ChangeRequest } from '../cart/change-request.ts'
import type { LineChange } from '../model/cart.ts'
import { etagOf, versionOf, viewAnswer } from './conditional.ts'
import { shownPrices } from './quote-routes.ts'
import { type Answer, type Call, idempotencyOf, json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** Of every change: a first one without a session creates a guest, and those are limited by address. */
const CHANGE = ['idempotency_mismatch', 'idempotency_in_flight', 'too_many_attempts'] as const
const CHANGE_OF_LINES = [...CHANGE, 'product_unknown', 'cart_lines_max', 'line_quantity_max'] as const

interface CartRoutesDeps {
  readonly carts: Carts
  readonly reader: CartReader
  readonly logins: Logins
}

export function cartRoutes(deps: CartRoutesDeps, schemas: Schemas, currency: string): Route[] {
  const changing = { ...deps, change: createChange(deps.logins), schemas }
  return [
    ...readingRoutes(deps.reader, schemas, currency),
    ...lineRoutes(changing),
    ...linesRoutes(changing),
    ...codeRoutes(changing),
  ]
}

const ofReading = (schemas: Schemas) =>
  ({
    tag: 'Cart',
    session: 'optional',
    answer: { status: 200, description: 'The cart', schema: schemas.cart, headers: ['ETag'] },
    problems: [],
  }) as const

const ofChange = (schemas: Schemas) =>
  ({
    tag: 'Cart',
    session: 'optional',
    conditional: true,
    query: schemas.cartChangeQuery,
    answer: { status: 200, description: 'The cart', schema: schemas.cartChange, headers: ['ETag', 'X-Session-Token'] },
    problems: CHANGE,
  }) as const

type Change = ReturnType<typeof createChange>

interface Changing {
  readonly carts: Carts
  readonly change: Change
  readonly schemas: Schemas
}

/** Changes the caller's cart; a first write without a session makes a guest. */
function createChange(logins: Logins) {
  return async (
    call: Call,
    { body, query }: { readonly body?: unknown; readonly query: { readonly limit: number } },
    work: (request: ChangeRequest) => Promise<Changed>,
  ): Promise<Answer> => {
    const known = await call.session()
    const session = known ?? (await logins.newGuest(call.address))
    const { userId } = session
    const { ifMatch } = call
    const done = await work({ userId, ifMatch, idempotency: idempotencyOf(call, body), linesMax: query.limit })
    const headers: Record<string, string> = { ETag: etagOf(done.version) }
    if (done.replayed) headers['Idempotency-Replayed'] = 'true'
    if (known) return { status: 200, body: done.body, headers }
    const token = session.token.text
    headers['X-Session-Token'] = token
    return { status: 200, body: done.body, headers, cookie: { token, endsAtMs: session.endsAtMs } }
  }
}

function readingRoutes(reader: CartReader, schemas: Schemas, currency: string): Route[] {
  const common = ofReading(schemas)
  return [
    route({
      ...common,
      method: 'get',
      path: '/v1/cart',
      name: 'viewCart',
      summary: 'A page of the cart, with the totals of the whole cart',
      query: schemas.cartQuery,
      async handle({ query: { limit, cursor } }, call) {
        const page = { limit, offset: 0, ...(cursor === undefined ? {} : readCartCursor(cursor)) }
        return viewAnswer(await reader.read(call.token(), page, versionOf(call.ifNoneMatch)), call)
      },
    }),
    route({
      ...common,
      method: 'get',
      path: '/v1/cart/lines/:line',
      name: 'viewLine',
      summary: 'One line of the cart',
      session: 'required',
      query: schemas.noQuery,
      params: schemas.lineParams,
      answer: {
        status: 200,
        description: 'The line; the ETag is that of the cart',
        schema: schemas.line,
        headers: ['ETag'],
      },
      problems: ['line_not_found'],
      async handle({ params }, call) {
        const { userId } = await call.requireSession()
        const { version, line } = await reader.line(userId, params.line)
        return viewAnswer({ version, body: JSON.stringify(line) }, call)
      },
    }),
    route({
      ...common,
      method: 'get',
      path: '/v1/cart/explain',
      name: 'explainCart',
      summary: 'What became of every promotion: applied, beaten or refused, and why',
      session: 'required',
      query: schemas.noQuery,
      answer: { status: 200, description: 'The explanation', schema: schemas.explanation },
      async handle(_, call) {
        const { userId } = await call.requireSession()
        const { version, ...priced } = await reader.explain(userId)
        return json(200, { version, ...shownPrices(priced, currency), outcomes: priced.outcomes })
      },
    }),
  ]
}

/** Changes of one line. */
function lineRoutes({ carts, change, schemas }: Changing): Route[] {
  const common = ofChange(schemas)
  return [
    route({
      ...common,
      method: 'put',
      path: '/v1/cart/lines/:line',
      name: 'setLine',
      summary: 'Sets quantity, selection or note of one line; with a quantity the line is made where it is missing',
      body: schemas.setLine,
      params: schemas.lineParams,
      problems: [...CHANGE_OF_LINES, 'line_not_found'],
      handle: ({ params, ...sent }, call) =>
        change(call, sent, request => carts.setLine(request, params.line, sent.body as LineChange)),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart/lines/:line',
      name: 'removeLine',
      summary: 'Removes a line; removing it again changes nothing',
      params: schemas.lineParams,
      handle: ({ params, query }, call) => change(call, { query }, request => carts.removeLine(request, params.line)),
    }),
  ]
}

/** Changes of several lines, all or none. */
function linesRoutes({ carts, change, schemas }: Changing): Route[] {
  const common = ofChange(schemas)
  return [
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/lines',
      name: 'addLines',
      problems: CHANGE_OF_LINES,
      summary: 'Adds one product or several, all or none, on top of what is there',
      body: schemas.addLines,
      handle: ({ body, query }, call) => {
        const wanted = 'lines' in body ? body.lines : [body]
        const pointers = wanted.map((_, at) => ('lines' in body ? `#/lines/${at}/sku` : '#/sku'))
        return change(call, { body, query }, request => carts.addLines(request, wanted, pointers))
      },
    }),
    route({
      ...common,
      method: 'put',
      path: '/v1/cart/lines',
      name: 'setLines',
      summary:
        'Sets, selects or removes several lines, all or none; a line is made where it is missing and has a quantity',
      body: schemas.setLines,
      problems: [...CHANGE_OF_LINES, 'line_not_found'],
      handle: (sent, call) =>
        change(call, sent, request => carts.setLines(request, sent.body.lines as (LineChange & { sku: string })[])),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart',
      name: 'clearCart',
      summary: 'Removes all lines',
      handle: ({ query }, call) => change(call, { query }, carts.clear),
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/merge/undo',
      name: 'undoMerge',
      summary: 'Takes back what the last login merged into the cart, except lines changed since',
      session: 'required',
      problems: [...CHANGE, 'merge_not_found'],
      handle: async ({ query }, call) => {
        await call.requireSession()
        return change(call, { query }, carts.undoMerge)
      },
    }),
  ]
}

function codeRoutes({ carts, change, schemas }: Changing): Route[] {
  const common = ofChange(schemas)
  return [
    route({
      ...common,
      method: 'post',
      path: '/v1/cart/codes',
      name: 'addCode',
      problems: [...CHANGE, 'code_unknown', 'codes_max'],
      summary: 'Enters a promotion code; whether it is applied, and why not, is in the cart',
      body: schemas.addCode,
      handle: (sent, call) => change(call, sent, request => carts.addCode(request, sent.body.code)),
    }),
    route({
      ...common,
      method: 'delete',
      path: '/v1/cart/codes/:code',
      name: 'removeCode',
      summary: 'Takes a promotion code out; taking it out again changes nothing',
      params: schemas.codeParams,
      handle: ({ params, query }, call) => change(call, { query }, request => carts.removeCode(request, params.code)),
    }),
  ]
}
