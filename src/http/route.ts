import { hash } from 'node:crypto'
import type { z } from 'zod'
import type { Bytes } from '../lib/latin1-body.ts'
import { AppError, type ErrorCode, type FieldError } from '../lib/errors.ts'
import type { Session, SessionToken } from '../sessions/sessions.ts'

/**
 * A route is data: how it is reached, what it takes, what it answers, and one function. The server mounts it, the OpenAPI
 * document describes it from the same schemas, and no input reaches `handle` that they have not read.
 */
export type Method = 'get' | 'post' | 'put' | 'delete'

/** Response headers that a route states; `Retry-After` and `Idempotency-Replayed` follow from its method and errors. */
export type AnswerHeader = 'ETag' | 'Location' | 'X-Session-Token'

export interface Route<Body = unknown, Query = unknown, Params = unknown> {
  readonly method: Method
  /** Express path below the server root, such as `/v1/cart/lines/:line`. */
  readonly path: string
  /** operationId of the OpenAPI document. */
  readonly name: string
  readonly summary: string
  readonly tag: 'Accounts' | 'Cart' | 'Catalogue' | 'Orders' | 'Promotions' | 'Quotes' | 'Sales' | 'Sessions' | 'Stock'
  readonly session: 'none' | 'optional' | 'required' | 'operator'
  /** True where a change of the cart may be made conditional with If-Match. */
  readonly conditional?: boolean
  readonly body?: z.ZodType<Body>
  /** Where a body may be larger than the general limit. */
  readonly bodyBytesMax?: number
  readonly query?: z.ZodType<Query>
  readonly params?: z.ZodType<Params>
  /** True where a request without an Idempotency-Key is refused. */
  readonly needsKey?: boolean
  readonly answer: {
    readonly status: number
    readonly description: string
    readonly schema?: z.ZodType
    /** Of an answer that was given before, where it differs. */
    readonly replayStatus?: number
    readonly headers?: readonly AnswerHeader[]
  }
  /** Error codes of this operation beyond those that its kind of request brings with it (problems.ts). */
  readonly problems: readonly ErrorCode[]
  handle(input: Input<Body, Query, Params>, call: Call): Promise<Answer>
}

interface Input<Body, Query, Params> {
  readonly body: Body
  readonly query: Query
  readonly params: Params
}

/** Everything about a request that is not its input. */
export interface Call {
  readonly traceId: string
  /** The client's address (client-address.ts). */
  readonly address: string
  /** The token that was sent, not looked up. @throws AppError `session_ended` for what cannot be one */
  token(): SessionToken | undefined
  /** The session of this request, looked up once. @throws AppError `session_ended` for a token that is not good any more */
  session(): Promise<Session | undefined>
  /** @throws AppError `session_required`, `session_ended` */
  requireSession(): Promise<Session>
  /** The operator's name. @throws Error on a route that is not for operators */
  readonly operator: string
  readonly ifMatch: number | undefined
  readonly ifNoneMatch: string | undefined
  readonly idempotencyKey: string | undefined
  readonly method: string
  readonly path: string
}

export interface Answer {
  readonly status: number
  /** JSON, ready to send. */
  readonly body?: Buffer | Bytes | string
  readonly headers?: Readonly<Record<string, string>>
  readonly cookie?: { readonly token: string; readonly endsAtMs: number } | 'clear'
}

/** Declares a route with the types of its schemas. */
export function route<Body, Query, Params>(definition: Route<Body, Query, Params>): Route {
  return definition
}

export function json(status: number, body: unknown, headers?: Readonly<Record<string, string>>): Answer {
  return { status, body: JSON.stringify(body), ...(headers ? { headers } : {}) }
}

/** Reads one part of a request through its schema. @throws AppError `invalid_request` naming every wrong field */
export function readInput<T>(schema: z.ZodType<T> | undefined, value: unknown, where: FieldError['in']): T {
  if (!schema) return undefined as T
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const errors = result.error.issues.flatMap(issue => fieldErrors(issue, where))
  throw new AppError(
    'invalid_request',
    errors[0] ? `${errors[0].pointer}: ${errors[0].detail}` : 'The request is not valid.',
    { errors },
  )
}

function fieldErrors(issue: z.core.$ZodIssue, where: FieldError['in'], above: readonly string[] = []): FieldError[] {
  const path = [...above, ...issue.path.map(String)]
  // Of several shapes the one is meant that fits best: what is wrong is said of that one.
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const [closest = []] = issue.errors.toSorted((a, b) => a.length - b.length)
    return closest.flatMap(inner => fieldErrors(inner, where, path))
  }
  // An unknown field is reported where it stands, not at the object that holds it.
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({
      in: where,
      pointer: pointerOf([...path, key]),
      detail: 'This field is not known.',
    }))
  }
  return [{ in: where, pointer: pointerOf(path), detail: issue.message }]
}

export function pointerOf(path: readonly string[]): string {
  return `#${path.map(part => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('')}`
}

/** What tells whether two requests with one key are the same request: method, path and body as they were read. */
export function idempotencyOf(call: Call, body: unknown): { key: string; fingerprint: string } | undefined {
  if (call.idempotencyKey === undefined) return undefined
  const fingerprint = hash('sha256', JSON.stringify([call.method, call.path, body ?? null]))
  return { key: call.idempotencyKey, fingerprint }
}
