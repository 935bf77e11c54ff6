import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logins, Session, SessionToken } from '../accounts/logins.ts'
import { Bytes } from '../lib/latin1-body.ts'
import { AppError } from '../lib/errors.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Drain } from '../ops/drain.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { readIfMatch } from './cart-routes.ts'
import { clearCookie, type Credentials, readCredentials, refuseForeignOrigin, setCookie } from './cookies.ts'
import { beginContext, contextOf } from './request-context.ts'
import { type Answer, type Call, readInput, type Route } from './route.ts'

/** How a request becomes an answer, whoever found its route (server.ts): what every request passes, and one route's own work. */
export interface Arrivals {
  /** Trace id, load shedding, drain, timing. @throws AppError `draining`, `overloaded` */
  begin(request: IncomingMessage, response: ServerResponse): void
}

export function createArrivals(drain: Drain, metrics: Metrics, limits: Limits): Arrivals {
  let inFlight = 0
  /** One function for all responses. */
  function onClose(this: ServerResponse): void {
    inFlight--
    const { method, route, since } = contextOf(this)
    metrics.observeRequest(method, route, this.statusCode, (performance.now() - since) / 1000)
  }
  metrics.watch('cartload_http_in_flight', 'Requests being worked on', () => inFlight)
  return {
    begin(request, response) {
      beginContext(request, response)
      if (drain.isDraining()) response.setHeader('Connection', 'close')
      // nginx passes a request that was not begun on to the next instance, and stops asking this one.
      if (drain.refuses(request.method ?? '', request.headers['idempotency-key'] !== undefined))
        throw new AppError('draining', 'This instance cannot answer now; another one can.')
      if (inFlight >= limits.inFlightMax) {
        metrics.shed.inc()
        throw new AppError('overloaded', 'Too many requests at once.', { retryAfterS: 1 })
      }
      inFlight++
      response.on('close', onClose)
    },
  }
}

export interface AnswerOptions {
  readonly publicUrl: string
  readonly secureCookies: boolean
  /** The client's address, as told by a proxy that we trust. */
  addressOf(request: IncomingMessage): string
}

/** What a request brings besides its headers, as it was parsed. */
export interface Parsed {
  readonly path: string
  readonly body?: unknown
  readonly query: unknown
  readonly params?: unknown
}

/** Of a request without a query; what the route makes of that is found out once. */
export const NO_QUERY = Object.freeze({})

export type Answering = (request: IncomingMessage, response: ServerResponse, parsed: Parsed) => Promise<void>

/** Reads the input through the route's schemas, does its work, sends what it answers. @throws AppError */
export function answering(route: Route, logins: Logins, options: AnswerOptions): Answering {
  const publicOrigin = new URL(options.publicUrl).origin
  const secure = options.secureCookies
  const from = { logins, options }
  const withoutQuery = route.query?.safeParse(NO_QUERY)
  return async (request, response, parsed) => {
    const context = contextOf(response)
    context.route = route.path
    const credentials = route.session === 'operator' ? NO_CREDENTIALS : readCredentials(request, secure)
    if (credentials.fromCookie && route.method !== 'get') refuseForeignOrigin(request, publicOrigin)
    const { traceId } = context
    const call = new RequestCall(request, from, { traceId, path: parsed.path, credentials })
    try {
      const input = {
        body: readInput(route.body, parsed.body ?? {}, 'body'),
        query:
          parsed.query === NO_QUERY && withoutQuery?.success
            ? withoutQuery.data
            : readInput(route.query, parsed.query, 'query'),
        params: readInput(route.params, parsed.params, 'path'),
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

/** A class, so that a request makes one object and no functions. */
class RequestCall implements Call {
  readonly traceId: string
  readonly token: SessionToken | undefined
  readonly ifMatch: number | undefined
  readonly ifNoneMatch: string | undefined
  readonly idempotencyKey: string | undefined
  readonly path: string
  readonly #request: IncomingMessage
  readonly #from: { readonly logins: Logins; readonly options: AnswerOptions }
  readonly #isMalformed: boolean
  #session: Promise<Session | undefined> | undefined

  constructor(
    request: IncomingMessage,
    from: { readonly logins: Logins; readonly options: AnswerOptions },
    known: { readonly traceId: string; readonly path: string; readonly credentials: Credentials },
  ) {
    const { headers } = request
    this.traceId = known.traceId
    this.path = known.path
    this.token = known.credentials.token
    this.#isMalformed = known.credentials.malformed
    this.ifMatch = readIfMatch(headers['if-match'])
    this.ifNoneMatch = headers['if-none-match']
    this.idempotencyKey = readIdempotencyKey(headers['idempotency-key'] as string | undefined)
    this.#request = request
    this.#from = from
  }

  get method(): string {
    return this.#request.method ?? ''
  }

  get operatorToken(): string | undefined {
    return bearerOf(this.#request.headers.authorization)
  }

  get address(): string {
    return this.#from.options.addressOf(this.#request)
  }

  session(): Promise<Session | undefined> {
    return (this.#session ??= this.#find())
  }

  async requireSession(): Promise<Session> {
    const known = await this.session()
    if (!known) throw new AppError('session_required', 'Log in first.')
    return known
  }

  async #find(): Promise<Session | undefined> {
    return this.admit(this.token && (await this.#from.logins.find(this.token)))
  }

  admit(session: Session | undefined): Session | undefined {
    if (session || (this.token === undefined && !this.#isMalformed)) return session
    throw new AppError('session_ended', 'The session is over. Log in again.')
  }
}

/** The head goes out as one list: setting headers one by one costs more than the rest of an answer that is ready. */
function send(response: ServerResponse, { status, headers, cookie, body }: Answer, secure: boolean): void {
  const head = ['X-Trace-Id', contextOf(response).traceId]
  if (headers?.['Cache-Control'] === undefined) head.push('Cache-Control', 'private, no-store')
  if (headers) for (const name in headers) head.push(name, headers[name] ?? '')
  if (cookie) {
    const text = cookie === 'clear' ? clearCookie(secure) : setCookie(cookie.token, cookie.endsAtMs, secure)
    head.push('Set-Cookie', text)
  }
  const bytes = body instanceof Buffer ? body.toString('latin1') : body instanceof Bytes ? body.latin1 : undefined
  if (body !== undefined) {
    const length = bytes === undefined ? Buffer.byteLength(body as string) : bytes.length
    head.push('Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(length))
  }
  response.writeHead(status, head)
  if (bytes === undefined) response.end(body)
  else response.end(bytes, 'latin1')
}

export const bearerOf = (header: string | undefined): string | undefined =>
  header === undefined ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1]

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
