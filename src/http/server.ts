import type { Server } from 'node:http'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express'
import type { Logins } from '../accounts/logins.ts'
import type { Operators } from '../accounts/operators.ts'
import type { Registrations } from '../accounts/registration.ts'
import type { CartReader } from '../cart/cart-reader.ts'
import type { Carts } from '../cart/carts.ts'
import type { Products } from '../catalog/products.ts'
import type { Promotions } from '../catalog/promotions.ts'
import type { Stock } from '../inventory/inventory.ts'
import { AppError } from '../lib/errors.ts'
import type { Limits } from '../model/limits.ts'
import type { Drain } from '../ops/drain.ts'
import type { Orders } from '../orders/orders.ts'
import type { OrderPlacement } from '../orders/place-order.ts'
import type { Quotes } from '../orders/quotes.ts'
import type { Sales } from '../sales/flash-sales.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { accountRoutes } from './account-routes.ts'
import type { Authenticator } from './authenticator.ts'
import { cartRoutes } from './cart-routes.ts'
import { catalogRoutes } from './catalog-routes.ts'
import { clientAddress } from './client-address.ts'
import { documentationRouter } from './documentation.ts'
import { createEndpoint, type Endpoint } from './endpoint.ts'
import { errorHandler } from './errors.ts'
import { createFastPath } from './fast-path.ts'
import { openServer } from './listeners.ts'
import { openApiDocument } from './openapi.ts'
import { orderRoutes } from './order-routes.ts'
import { contextOf, createPipeline, type Middleware } from './pipeline.ts'
import { promotionRoutes } from './promotion-routes.ts'
import { quoteRoutes } from './quote-routes.ts'
import type { Route } from './route.ts'
import { createSchemas } from './schemas.ts'
import { stockRoutes } from './stock-routes.ts'

/** Owns Express. Middleware (pipeline.ts), routes and error handler, in the order in which a request passes them (docs/architecture.md). */
interface ServerDeps {
  readonly carts: Carts
  readonly reader: CartReader
  readonly products: Products
  readonly authenticator: Authenticator
  readonly logins: Logins
  readonly registrations: Registrations
  readonly quotes: Quotes
  readonly promotions: Promotions
  readonly operators: Operators
  readonly placement: OrderPlacement
  readonly orders: Orders
  readonly stock: Stock
  readonly sales: Sales
  rulesVersion(): number
  readonly drain: Drain
  readonly metrics: Metrics
  readonly log: Log
}

interface ServerOptions {
  readonly limits: Limits
  readonly publicUrl: string
  readonly secureCookies: boolean
  readonly trustedProxies: readonly string[]
  readonly version: string
  readonly currency: string
  /** See `createPipeline`. */
  readonly middleware?: readonly Middleware[] | undefined
}

export function createServer(deps: ServerDeps, options: ServerOptions): Server {
  const { limits, currency, trustedProxies, middleware: own } = options
  const middleware = createPipeline({ ...deps, limits }, own)
  const routes = allRoutes(deps, limits, currency)
  const addressOf = clientAddress(trustedProxies)
  const endpoints = routes.map(route => createEndpoint(route, deps, { ...options, addressOf }))
  const onError = errorHandler(deps.log)
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.set('case sensitive routing', true)
  // `/v1/cart/` is not the cart: a path that has lost its end must not clear it.
  app.set('strict routing', true)
  app.use([...middleware] as RequestHandler[])
  for (const endpoint of endpoints) mount(app, endpoint)
  app.use((_request, response, next) => {
    response.setHeader('X-Trace-Id', contextOf(response).traceId)
    next()
  })
  app.use(documentationRouter(openApiDocument(routes, options), options.version))
  app.use(otherMethods(routes))
  app.use(((error, _request, response, _next) => onError(error, response)) as ErrorRequestHandler)
  return openServer(createFastPath(app, { middleware, endpoints, onError }))
}

/** Every route of the API. */
export function allRoutes(
  deps: Omit<ServerDeps, 'authenticator' | 'drain' | 'metrics' | 'log'>,
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

function mount(app: Express, { route, before, answer }: Endpoint): void {
  const target: Pick<Router, Route['method']> = app
  target[route.method](route.path, ...([...before] as RequestHandler[]), (request, response) => {
    const { path, body, query, params } = request
    return answer(request, response, { path, body, query: { ...query }, params: { ...params } })
  })
}

/** Where the path exists: 204 for OPTIONS, 405 for other methods. Elsewhere 404. Both name the methods in `Allow`. */
function otherMethods(routes: readonly Route[]): RequestHandler {
  const paths = [...new Set(routes.map(route => route.path))].map(path => {
    const methods = routes.filter(route => route.path === path).map(route => route.method.toUpperCase())
    return {
      pattern: new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}/?$`),
      allow: [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', '),
    }
  })
  return (request, response) => {
    const allow = paths.find(({ pattern }) => pattern.test(request.path))?.allow
    if (allow === undefined) throw new AppError('route_not_found', `There is nothing at ${request.path}.`)
    response.setHeader('Allow', allow)
    if (request.method !== 'OPTIONS')
      throw new AppError('method_not_allowed', `${request.method} is not possible here.`)
    response.statusCode = 204
    response.end()
  }
}
