import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Operators } from '../accounts/operators.ts'
import { AppError, sessionEnded } from '../lib/errors.ts'
import { Bytes } from '../lib/latin1-body.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Session, SessionToken } from '../sessions/sessions.ts'
import {
  authenticateOperator,
  type Authenticator,
  clearCookie,
  type Credential,
  NO_CREDENTIAL,
  refuseForeignOrigin,
  setCookie,
} from './authenticator.ts'
import { readIfMatch } from './conditional.ts'
import { jsonBody } from './json-body.ts'
import { contextOf, type RequestContext, type Middleware } from './pipeline.ts'
import { type Answer, type Call, readInput, type Route } from './route.ts'

/** A route made ready to answer requests, whether Express or the fast path has found it. */
export interface Endpoint {
  readonly route: Route
  /** Middleware of this route, after that of every request: an operator is known before a large body is read. */
  readonly before: readonly Middleware[]
  /** Reads the input through the route's schemas, runs the route, sends its answer. @throws AppError */
  answer(request: IncomingMessage, response: ServerResponse, parsed: ParsedRequest): Promise<void>
}

interface EndpointDeps {
  readonly authenticator: Authenticator
  readonly operators: Operators
}

interface EndpointOptions {
  readonly publicUrl: string
  readonly secureCookies: boolean
  readonly limits: Limits
  /** The client's address (client-address.ts). */
  addressOf(request: IncomingMessage): string
}

/** The parts of a request that its route's schemas read. */
interface ParsedRequest {
  readonly path: string
  readonly body?: unknown
  readonly query: unknown
  readonly params?: unknown
}

/** Of a request without a query: a route reads this once, when it is made. */
export const NO_QUERY = Object.freeze({})

/** Makes a route ready: its middleware, and the function that answers. */
export function createEndpoint(route: Route, deps: EndpointDeps, options: EndpointOptions): Endpoint {
  const { authenticator, operators } = deps
  const { secureCookies, limits } = options
  const publicOrigin = new URL(options.publicUrl).origin
  const from = { authenticator, addressOf: options.addressOf }
  const withoutQuery = route.query?.safeParse(NO_QUERY)
  const isForOperators = route.session === 'operator'
  const before: Middleware[] = []
  if (isForOperators) before.push(authenticateOperator(operators))
  if (route.body) before.push(jsonBody(route.bodyBytesMax ?? limits.bodyBytesMax))

  function inputOf(parsed: ParsedRequest) {
    const isKnownQuery = parsed.query === NO_QUERY && withoutQuery?.success === true
    return {
      body: route.body && readInput(route.body, parsed.body ?? {}, 'body'),
      query: isKnownQuery ? withoutQuery.data : readInput(route.query, parsed.query, 'query'),
      params: route.params && readInput(route.params, parsed.params, 'path'),
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse, parsed: ParsedRequest): Promise<void> {
    const context = contextOf(response)
    context.route = route.path
    const credential = isForOperators ? NO_CREDENTIAL : authenticator.read(request.headers)
    if (credential.fromCookie && route.method !== 'get') refuseForeignOrigin(request, publicOrigin)
    const call = new RequestCall(request, from, { context, path: parsed.path, credential })
    try {
      send(response, await route.handle(inputOf(parsed), call), secureCookies)
    } catch (error) {
      // A browser drops the cookie of a session that is over.
      const isOver = error instanceof AppError && error.code === 'session_ended' && credential.fromCookie
      if (isOver) response.setHeader('Set-Cookie', clearCookie(secureCookies))
      throw error
    }
  }

  return { route, before, answer }
}

/** What is asked for lazily, and only by some routes. */
type Sources = Pick<EndpointDeps, 'authenticator'> & Pick<EndpointOptions, 'addressOf'>

/** A class, so that a request makes one object and no functions. */
class RequestCall implements Call {
  readonly ifMatch: number | undefined
  readonly ifNoneMatch: string | undefined
  readonly idempotencyKey: string | undefined
  readonly path: string
  readonly #request: IncomingMessage
  readonly #context: RequestContext
  readonly #credential: Credential
  readonly #from: Sources
  #session: Promise<Session | undefined> | undefined

  constructor(
    request: IncomingMessage,
    from: Sources,
    known: { readonly context: RequestContext; readonly path: string; readonly credential: Credential },
  ) {
    const { headers } = request
    this.path = known.path
    this.ifMatch = readIfMatch(headers['if-match'])
    this.ifNoneMatch = headers['if-none-match']
    this.idempotencyKey = readIdempotencyKey(headers['idempotency-key'] as string | undefined)
    this.#request = request
    this.#context = known.context
    this.#credential = known.credential
    this.#from = from
  }

  get traceId(): string {
    return this.#context.traceId
  }

  get method(): string {
    return this.#context.method
  }

  get operator(): string {
    const { operator } = this.#context
    if (operator === undefined) throw new Error('this route is not for operators')
    return operator
  }

  get address(): string {
    return this.#from.addressOf(this.#request)
  }

  token(): SessionToken | undefined {
    if (this.#credential.malformed) throw sessionEnded()
    return this.#credential.token
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
    const token = this.token()
    if (!token) return undefined
    const session = await this.#from.authenticator.find(token)
    if (!session) throw sessionEnded()
    return session
  }
}

/** Sends the head as one list: headers that are set one by one cost more than the rest of an answer that is ready. */
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

function readIdempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  // The draft standard makes it a quoted string; most clients send it without quotes. Both are the same key.
  const key = header.trim().replace(/^"(.*)"$/, '$1')
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= FIXED.idempotencyKeyCharsMax) return key
  const detail = `must be 1 to ${FIXED.idempotencyKeyCharsMax} visible ASCII characters`
  throw new AppError('invalid_request', `Idempotency-Key ${detail}`, {
    errors: [{ in: 'header', pointer: '#/Idempotency-Key', detail }],
  })
}
