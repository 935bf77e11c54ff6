import { randomFillSync } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

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

export function beginContext(request: IncomingMessage, response: ServerResponse & WithContext): void {
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
