import type { IncomingMessage, RequestListener, Server } from 'node:http'
import { parse as parseQuery } from 'node:querystring'
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
  type Router,
} from 'express'
import type { Logins } from '../accounts/logins.ts'
import type { Operators } from '../accounts/operators.ts'
import type { Registrations } from '../accounts/registration.ts'
import type { CartReader } from '../cart/cart-reader.ts'
import type { Carts } from '../cart/carts.ts'
import type { Glances } from '../cart/warm-reads.ts'
import type { Quotes } from '../orders/quotes.ts'
import type { Promotions } from '../catalog/promotions.ts'
import type { Products } from '../catalog/products.ts'
import type { Placing } from '../orders/place-order.ts'
import type { Orders } from '../orders/orders.ts'
import type { Sales } from '../sales/flash-sales.ts'
import type { Stock } from '../inventory/inventory.ts'
import { AppError } from '../lib/errors.ts'
import type { Limits } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import type { Drain } from '../ops/drain.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { accountRoutes } from './account-routes.ts'
import { type Answering, answering, type Arrivals, bearerOf, createArrivals, NO_QUERY } from './endpoint.ts'
import { cartRoutes } from './cart-routes.ts'
import { catalogRoutes } from './catalog-routes.ts'
import { documentationRouter } from './documentation.ts'
import { openServer, SOCKET_PEER } from './listeners.ts'
import { errorHandler } from './errors.ts'
import { jsonBody } from './json-body.ts'
import { openApiDocument } from './openapi.ts'
import { orderRoutes } from './order-routes.ts'
import { promotionRoutes } from './promotion-routes.ts'
import { quoteRoutes } from './quote-routes.ts'
import { contextOf } from './request-context.ts'
import type { Route } from './route.ts'
import { createSchemas } from './schemas.ts'
import { stockRoutes } from './stock-routes.ts'

/** Owns Express. Middleware and routes in the order in which a request meets them, on one screen. */
export interface ServerDeps {
  readonly carts: Carts
  readonly reader: CartReader
  readonly glances: Glances
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
  // Whoever may open the Unix socket is nginx.
  const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean
  app.set('trust proxy', (address: string, hop: number) =>
    hop === 0 && address === SOCKET_PEER ? true : isTrusted(address, hop),
  )
  app.set('case sensitive routing', true)
  // `/v1/cart/` is not the cart: a path that has lost its end must not clear it.
  app.set('strict routing', true)

  // Express knows which proxies to trust; a request that it has not seen is made one of its own for that.
  const addressOf = (request: IncomingMessage) => {
    const known = ('ip' in request ? request : Object.setPrototypeOf(request, app.request)) as Request
    return known.ip ?? 'unknown'
  }
  const routes = allRoutes(deps, options.limits, options.currency)
  const arrivals = createArrivals(deps.drain, deps.metrics, options.limits)
  const answers = new Map(routes.map(route => [route, answering(route, deps.logins, { ...options, addressOf })]))
  const onError = errorHandler(deps.log)
  app.use((request, response, next) => {
    arrivals.begin(request, response)
    next()
  })
  const parsers = parsersOf(deps, options.limits)
  mount(app, answers, parsers)
  app.use((_request, response, next) => {
    response.setHeader('X-Trace-Id', contextOf(response).traceId)
    next()
  })
  app.use(documentationRouter(openApiDocument(routes, options), options.version))
  app.use(nothingThere(routes))
  app.use(onError)

  return openServer(shortCut(app, arrivals, answers, parsers, onError))
}

/** Every route of the API. */
export function allRoutes(
  deps: Omit<ServerDeps, 'drain' | 'metrics' | 'log'>,
  limits: Limits,
  currency: string,
): Route[] {
  const schemas = createSchemas(limits)
  return [
    ...cartRoutes(deps, schemas, currency),
    ...quoteRoutes(deps.quotes, schemas, currency),
    ...orderRoutes(deps, schemas),
    ...stockRoutes(deps, schemas),
    ...catalogRoutes(deps.products, schemas),
    ...accountRoutes(deps.registrations, deps.logins, schemas),
    ...promotionRoutes(deps, schemas),
  ]
}

/** What runs before a route's answer: who may not is told so before a large document of theirs is read. */
function parsersOf(deps: ServerDeps, limits: Limits): (route: Route) => RequestHandler[] {
  return route => [
    ...(route.session === 'operator' ? [requireOperator(deps.operators)] : []),
    ...(route.body ? [jsonBody(route.bodyBytesMax ?? limits.bodyBytesMax)] : []),
  ]
}

function mount(app: Express, answers: Answers, parsers: Parsers): void {
  const target: Pick<Router, Route['method']> = app
  for (const [route, answer] of answers) {
    target[route.method](route.path, ...parsers(route), (request, response) => {
      const { path, body, query, params } = request
      return answer(request, response, { path, body, query: { ...query }, params: { ...params } })
    })
  }
}

type Answers = ReadonlyMap<Route, Answering>
type Parsers = ReturnType<typeof parsersOf>

/**
 * What everybody does all the time is found by its path before Express walks its list of routes, and passes the same steps as all
 * others. What that saves is in docs/performance.md.
 */
const SHORT_CUTS = new Set(['GET /v1/cart', 'GET /v1/products', 'POST /v1/cart/lines'])

function shortCut(
  app: Express,
  arrivals: Arrivals,
  answers: Answers,
  parsers: Parsers,
  onError: ErrorRequestHandler,
): RequestListener {
  const known = new Map<string, { readonly answer: Answering; readonly before: readonly RequestHandler[] }>()
  for (const [route, answer] of answers) {
    const key = `${route.method.toUpperCase()} ${route.path}`
    if (SHORT_CUTS.has(key)) known.set(key, { answer, before: parsers(route) })
  }
  return (request, response) => {
    const url = request.url ?? ''
    const mark = url.indexOf('?')
    const path = mark < 0 ? url : url.slice(0, mark)
    const found = known.get(`${request.method} ${path}`)
    if (!found) return void app(request, response)
    const { answer, before } = found
    const failed = (error: unknown) => onError(error, request as Request, response as Response, () => undefined)
    const query = mark < 0 ? NO_QUERY : { ...parseQuery(url.slice(mark + 1)) }
    const go = (step: number) => {
      const handler = before[step]
      if (!handler) {
        const { body } = request as Request
        return void answer(request, response, { path, query, body }).catch(failed)
      }
      void handler(request as Request, response as Response, error => (error ? failed(error) : go(step + 1)))
    }
    try {
      arrivals.begin(request, response)
      go(0)
    } catch (error) {
      failed(error)
    }
  }
}

function requireOperator(operators: Operators): RequestHandler {
  return async (request, _response, next) => {
    await operators.require(bearerOf(request.get('authorization')))
    next()
  }
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
