import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../lib/errors.ts'
import type { Limits } from '../model/limits.ts'
import type { Drain } from '../ops/drain.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { beginContext, contextOf } from './request-context.ts'

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
  let inFlight = 0
  /** One function for all responses. */
  function onClose(this: ServerResponse): void {
    inFlight--
    const { method, route, since } = contextOf(this)
    metrics.observeRequest(method, route, this.statusCode, (performance.now() - since) / 1000)
  }
  metrics.watch('cartload_http_in_flight', 'Requests being worked on', () => inFlight)
  return (request, response, next) => {
    if (drain.isDraining()) response.setHeader('Connection', 'close')
    // nginx passes a refused request on to the next instance, and stops asking this one.
    if (drain.refuses(request.method ?? '', request.headers['idempotency-key'] !== undefined))
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
