import { randomFillSync } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../lib/errors.ts'
import type { Limits } from '../model/limits.ts'
import type { Drain } from '../ops/drain.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/**
 * One step of the pipeline, with connect's signature. On the fast path a middleware gets plain Node.js objects: those that use
 * `setHeader`, `writeHead` and `end` work (CORS, tracing), those that call Express's `request.get` or `response.json` do not.
 * A header that is set here costs each answer some 5 µs, because Node.js then merges it into the list of `writeHead`; one that never
 * changes belongs in nginx.
 */
export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void | Promise<void>

interface PipelineDeps {
  readonly drain: Drain
  readonly metrics: Metrics
  readonly limits: Limits
}

/**
 * What every request passes before its route, in this order: Express mounts the list, and the fast path runs it. `own`: the
 * shop's middleware (`AppOptions.middleware`). It comes before admission, so that it sees refused requests too.
 */
export function createPipeline(deps: PipelineDeps, own: readonly Middleware[] = []): readonly Middleware[] {
  return [requestContext, ...own, admission(deps)]
}

/** Trace id, route and start time of the request. */
const requestContext: Middleware = (request, response, next) => {
  beginContext(request, response)
  next()
}

/** Refuses requests while the instance drains or has too many in flight. @throws AppError `draining`, `overloaded` */
function admission({ drain, metrics, limits }: PipelineDeps): Middleware {
  const observe = requestObserver(metrics)
  let inFlight = 0
  /** One function for all responses. */
  function onClose(this: ServerResponse): void {
    inFlight--
    const { method, route, since } = contextOf(this)
    observe(method, route, this.statusCode, (performance.now() - since) / 1000)
  }
  metrics.watch('cartload_http_in_flight', 'Requests being worked on', () => inFlight)
  return (request, response, next) => {
    if (drain.phase !== 'open') response.setHeader('Connection', 'close')
    // nginx passes a refused request on to the next instance, and stops asking this one.
    const isForAnother = drain.phase === 'refusing' || drain.isBetterElsewhere?.() === true
    if (isForAnother && isPassedOn(request))
      throw new AppError('draining', 'This instance cannot answer now; another one can.')
    if (inFlight >= limits.inFlightMax) {
      metrics.shed.inc()
      throw new AppError('overloaded', 'Too many requests at once.', { retryAfterS: 1 })
    }
    inFlight++
    response.on('close', onClose)
    next()
  }
}

/** Requests that nginx gives to the next instance: reads, and writes with a key. */
function isPassedOn({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD' || headers['idempotency-key'] !== undefined
}

/** Looks each combination of labels up once: that costs more than counting. */
function requestObserver({ requests }: Pick<Metrics, 'requests'>) {
  const byRoute = new Map<string, Map<string, { observe(seconds: number): void }[]>>()
  return (method: string, route: string, status: number, seconds: number): void => {
    const kind = Math.floor(status / 100)
    let ofRoute = byRoute.get(route)
    if (!ofRoute) byRoute.set(route, (ofRoute = new Map()))
    let ofMethod = ofRoute.get(method)
    if (!ofMethod) ofRoute.set(method, (ofMethod = []))
    ;(ofMethod[kind] ??= requests.labels({ method, route, status: `${kind}xx` })).observe(seconds)
  }
}

/** Runs middleware in order, then `last`. Rejects with the first error, thrown or given to `next`. */
export function runMiddleware(
  list: readonly Middleware[],
  request: IncomingMessage,
  response: ServerResponse,
  last: () => Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const run = (at: number): void => {
      const middleware = list[at]
      if (!middleware) return resolve(last())
      try {
        const running = middleware(request, response, error => (error ? reject(error) : run(at + 1)))
        if (running) running.catch(reject)
      } catch (error) {
        reject(error)
      }
    }
    run(0)
  })
}

/** What is known of a request from its first middleware on, by its response. */
export interface RequestContext {
  readonly traceId: string
  readonly method: string
  /** On the monotonic clock, in ms. */
  readonly since: number
  /** The pattern of its route, for metrics. */
  route: string
  /** The operator's name, on a route for operators. */
  operator?: string
}

/** On the response itself: a WeakMap of responses made the garbage collector follow each of them. */
const CONTEXT = Symbol('context')
interface WithContext {
  [CONTEXT]?: RequestContext
}

function beginContext(request: IncomingMessage, response: ServerResponse & WithContext): void {
  const method = request.method ?? ''
  response[CONTEXT] = { traceId: traceIdOf(request), method, since: performance.now(), route: 'none' }
}

/** @throws Error before the first middleware (pipeline.ts) has run */
export function contextOf(response: ServerResponse & WithContext): RequestContext {
  const context = response[CONTEXT]
  if (!context) throw new Error('the request has no context: its first middleware was not run')
  return context
}

/** The trace id of a W3C traceparent, or nginx's request id, or a new one. */
function traceIdOf({ headers }: IncomingMessage): string {
  const parent = headers['traceparent']
  const parents =
    typeof parent === 'string' ? /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(parent)?.[1] : undefined
  if (parents !== undefined) return parents
  const nginx = headers['x-request-id']
  return typeof nginx === 'string' && /^[0-9a-f]{32}$/.test(nginx) ? nginx : newTraceId()
}

/** Made of random bytes for many: to ask for those of each is a tenth of a request. */
const random = Buffer.alloc(4096)
const TRACE_BYTES = 16
let used = random.length

function newTraceId(): string {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  used += TRACE_BYTES
  return random.toString('hex', used - TRACE_BYTES, used)
}
