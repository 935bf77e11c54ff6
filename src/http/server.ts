import { randomBytes } from 'node:crypto'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import express, { type Express, type RequestHandler, type Router } from 'express'
import type { Logins, Session } from '../accounts/logins.ts'
import type { Operators } from '../accounts/operators.ts'
import type { Registrations } from '../accounts/registration.ts'
import type { Carts } from '../cart/carts.ts'
import type { Quotes } from '../cart/quotes.ts'
import type { Promotions } from '../catalog/promotions.ts'
import type { Products } from '../catalog/products.ts'
import type { Placing } from '../checkout/checkout.ts'
import type { Orders } from '../checkout/orders.ts'
import type { Sales } from '../checkout/sales.ts'
import type { Stock } from '../checkout/stock.ts'
import { AppError } from '../lib/errors.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Drain } from '../ops/drain.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { accountRoutes } from './account-routes.ts'
import { cartRoutes, readIfMatch } from './cart-routes.ts'
import { catalogRoutes } from './catalog-routes.ts'
import { clearCookie, readCredentials, refuseForeignOrigin, setCookie } from './cookies.ts'
import { documentationRouter } from './documentation.ts'
import { errorHandler } from './errors.ts'
import { openApiDocument } from './openapi.ts'
import { orderRoutes } from './order-routes.ts'
import { promotionRoutes } from './promotion-routes.ts'
import { quoteRoutes } from './quote-routes.ts'
import { type Answer, type Call, readInput, type Route } from './route.ts'
import { createSchemas } from './schemas.ts'
import { stockRoutes } from './stock-routes.ts'

/** Owns Express. Middleware and routes in the order in which a request meets them, on one screen. */
export interface ServerDeps {
  readonly carts: Carts
  readonly products: Products
  readonly logins: Logins
  readonly registrations: Registrations
  readonly quotes: Quotes
  readonly promotions: Promotions
  readonly operators: Operators
  readonly placing: Placing
  readonly orders: Orders
  readonly stock: Stock
  readonly sales: Sales
  productOf(sku: string): Product | undefined
  rulesVersion(): number
  readonly drain: Drain
  readonly metrics: Metrics
  readonly log: Log
}

export interface ServerOptions {
  readonly limits: Limits
  readonly publicUrl: string
  readonly secureCookies: boolean
  readonly trustedProxies: readonly string[]
  readonly version: string
  readonly currency: string
}

export function createServer(deps: ServerDeps, options: ServerOptions): Server {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.set('trust proxy', [...options.trustedProxies])
  app.set('case sensitive routing', true)

  const routes = allRoutes(deps, options.limits, options.currency)
  app.use(begin(deps, options.limits))
  mount(app, routes, deps, options)
  app.use(documentationRouter(openApiDocument(routes, options)))
  app.use(nothingThere(routes))
  app.use(errorHandler(deps.log))

  const server = createHttpServer(app)
  server.keepAliveTimeout = FIXED.keepAliveMs // longer than nginx keeps its side, so that nginx is the one who closes
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.maxRequestsPerSocket = 0
  return server
}

/** Every route of the API. */
export function allRoutes(
  deps: Omit<ServerDeps, 'drain' | 'metrics' | 'log'>,
  limits: Limits,
  currency: string,
): Route[] {
  const schemas = createSchemas(limits)
  return [
    ...cartRoutes(deps.carts, deps.logins, schemas, currency),
    ...quoteRoutes(deps.quotes, schemas, currency),
    ...orderRoutes(deps, schemas),
    ...stockRoutes(deps, schemas),
    ...catalogRoutes(deps.products, schemas),
    ...accountRoutes(deps.registrations, deps.logins, schemas),
    ...promotionRoutes(deps, schemas),
  ]
}

/** Trace id, load shedding, drain, timing: what every request passes. */
function begin({ drain, metrics }: ServerDeps, limits: Limits): RequestHandler {
  let inFlight = 0
  metrics.watch('cartload_http_in_flight', 'Requests being worked on', () => inFlight)
  return (request, response, next) => {
    const since = performance.now()
    response.setHeader('X-Trace-Id', traceIdOf(request))
    if (drain.isDraining()) {
      response.setHeader('Connection', 'close')
      // nginx passes a request that was not begun on to the next instance, and stops asking this one.
      if (drain.refuses(request.method, request.headers['idempotency-key'] !== undefined))
        throw new AppError('draining', 'This instance is going away.')
    }
    if (inFlight >= limits.inFlightMax) {
      metrics.shed.inc()
      throw new AppError('overloaded', 'Too many requests at once.', { retryAfterS: 1 })
    }
    inFlight++
    response.once('close', () => {
      inFlight--
      const route = routeOf.get(response) ?? 'none'
      const labels = { method: request.method, route, status: `${Math.floor(response.statusCode / 100)}xx` }
      metrics.requests.observe(labels, (performance.now() - since) / 1000)
    })
    next()
  }
}

function mount(app: Express, routes: readonly Route[], deps: ServerDeps, options: ServerOptions): void {
  const parseJson = (limit: number) => express.json({ inflate: false, limit, strict: true, type: 'application/json' })
  const standard = parseJson(options.limits.bodyBytesMax)
  const target: Pick<Router, Route['method']> = app
  for (const route of routes) {
    const parsers = route.body ? [requireJson, route.bodyBytesMax ? parseJson(route.bodyBytesMax) : standard] : []
    // Who may not is told so before a large document of theirs is read.
    if (route.session === 'operator') parsers.unshift(requireOperator(deps.operators))
    target[route.method](route.path, ...parsers, answerWith(route, deps, options))
  }
}

function answerWith(route: Route, deps: ServerDeps, options: ServerOptions): RequestHandler {
  const publicOrigin = new URL(options.publicUrl).origin
  const secure = options.secureCookies
  return async (request, response) => {
    routeOf.set(response, route.path)
    const credentials = route.session === 'operator' ? NO_CREDENTIALS : readCredentials(request, secure)
    if (credentials.fromCookie && route.method !== 'get') refuseForeignOrigin(request, publicOrigin)
    const call = callOf(request, response, deps.logins, credentials)
    try {
      const input = {
        body: readInput(route.body, request.body ?? {}, 'body'),
        query: readInput(route.query, { ...request.query }, 'query'),
        params: readInput(route.params, { ...request.params }, 'path'),
      }
      send(response, await route.handle(input, call), secure)
    } catch (error) {
      // A browser must not be stuck with a cookie that is over.
      const over = error instanceof AppError && error.code === 'session_ended' && credentials.fromCookie
      if (over) response.setHeader('Set-Cookie', clearCookie(secure))
      throw error
    }
  }
}

/** Routes for operators have nothing to do with sessions. */
const NO_CREDENTIALS = { token: undefined, malformed: false, fromCookie: false }

/** Routes by response, for the request metric. */
const routeOf = new WeakMap<ServerResponse, string>()

function callOf(
  request: Parameters<RequestHandler>[0],
  response: ServerResponse,
  logins: Logins,
  { token, malformed }: ReturnType<typeof readCredentials>,
): Call {
  let found: Promise<Session | undefined> | undefined

  async function find(): Promise<Session | undefined> {
    const session = token && (await logins.find(token))
    if (!session && (token || malformed)) throw new AppError('session_ended', 'The session is over. Log in again.')
    return session
  }

  const header = (name: string) => request.get(name)
  const session = () => (found ??= find())
  return {
    operatorToken: bearerOf(header('authorization')),
    traceId: String(response.getHeader('X-Trace-Id')),
    address: request.ip ?? 'unknown',
    token,
    session,
    async requireSession() {
      const known = await session()
      if (!known) throw new AppError('session_required', 'Log in first.')
      return known
    },
    ifMatch: readIfMatch(header('if-match')),
    ifNoneMatch: header('if-none-match'),
    idempotencyKey: readIdempotencyKey(header('idempotency-key')),
    method: request.method,
    path: request.path,
  }
}

function send(response: ServerResponse, answer: Answer, secure: boolean): void {
  response.statusCode = answer.status
  response.setHeader('Cache-Control', 'private, no-store')
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value)
  if (answer.cookie) {
    const { cookie } = answer
    response.setHeader(
      'Set-Cookie',
      cookie === 'clear' ? clearCookie(secure) : setCookie(cookie.token, cookie.endsAtMs, secure),
    )
  }
  if (answer.body === undefined) {
    response.end()
    return
  }
  response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.setHeader('Content-Length', Buffer.byteLength(answer.body))
  response.end(answer.body)
}

const bearerOf = (header: string | undefined) => /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]

function requireOperator(operators: Operators): RequestHandler {
  return async (request, _response, next) => {
    await operators.require(bearerOf(request.get('authorization')))
    next()
  }
}

const requireJson: RequestHandler = (request, _response, next) => {
  const type = request.headers['content-type']
  if (type !== undefined && /^application\/json\s*(;|$)/i.test(type)) return next()
  throw new AppError('unsupported_media_type', 'Send the body as application/json.')
}

/** 405 where the path exists with other methods, 404 elsewhere. */
function nothingThere(routes: readonly Route[]): RequestHandler {
  const paths = [...new Set(routes.map(route => route.path))].map(path => ({
    pattern: new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}/?$`),
    allow: routes.filter(route => route.path === path).map(route => route.method.toUpperCase()),
  }))
  return (request, response) => {
    const allow = paths.find(({ pattern }) => pattern.test(request.path))?.allow
    if (!allow) throw new AppError('route_not_found', `There is nothing at ${request.path}.`)
    response.setHeader('Allow', allow.join(', '))
    throw new AppError('method_not_allowed', `${request.method} is not possible here.`)
  }
}

/** The trace id of a W3C traceparent, or nginx's request id, or a new one. */
function traceIdOf(request: IncomingMessage): string {
  const parent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(String(request.headers['traceparent'] ?? ''))?.[1]
  const nginx = /^[0-9a-f]{32}$/.exec(String(request.headers['x-request-id'] ?? ''))?.[0]
  return parent ?? nginx ?? randomBytes(16).toString('hex')
}

function readIdempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  // The draft standard makes it a quoted string; most clients send it bare. Both are the same key.
  const key = header.trim().replace(/^"(.*)"$/, '$1')
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= FIXED.idempotencyKeyCharsMax) return key
  const detail = `must be 1 to ${FIXED.idempotencyKeyCharsMax} visible ASCII characters`
  throw new AppError('invalid_request', `Idempotency-Key ${detail}`, {
    errors: [{ in: 'header', pointer: '#/Idempotency-Key', detail }],
  })
}
