import type { ServerResponse } from 'node:http'
import { AppError, type ErrorCode, isAppError } from '../lib/errors.ts'
import type { Log } from '../telemetry/log.ts'
import { isOutage } from '../telemetry/outages.ts'
import { contextOf } from './pipeline.ts'

/** The only place that turns errors into answers: RFC 9457 problem documents. It does not compile until every code has a status. */
export const STATUS: Record<ErrorCode, number> = {
  invalid_request: 400,
  malformed_body: 400,
  idempotency_key_required: 400,
  session_required: 401,
  session_ended: 401,
  credentials_invalid: 401,
  forbidden_origin: 403,
  operator_required: 403,
  /** Sales: no place in the queue has come up, or the shop does not take this buyer. */
  admission_required: 403,
  buyer_refused: 403,
  route_not_found: 404,
  product_not_found: 404,
  line_not_found: 404,
  merge_not_found: 404,
  rules_not_found: 404,
  order_not_found: 404,
  stock_not_found: 404,
  sale_not_found: 404,
  method_not_allowed: 405,
  email_taken: 409,
  idempotency_in_flight: 409,
  cart_changed: 409,
  total_changed: 409,
  out_of_stock: 409,
  purchase_limit: 409,
  order_pending: 409,
  order_state: 409,
  order_given_up: 409,
  sale_not_started: 409,
  version_mismatch: 412,
  body_too_large: 413,
  unsupported_media_type: 415,
  idempotency_mismatch: 422,
  product_unknown: 422,
  cart_lines_max: 422,
  line_quantity_max: 422,
  code_unknown: 422,
  nothing_to_order: 422,
  refund_invalid: 422,
  codes_max: 422,
  rules_invalid: 422,
  rules_unconfirmed: 422,
  quote_invalid: 422,
  too_many_attempts: 429,
  internal: 500,
  /** Nothing was done; nginx tries the next instance (see nginx/proxy.conf), so clients do not see it. */
  draining: 502,
  overloaded: 503,
  unavailable: 503,
  outcome_unknown: 503,
}

const TITLES: Record<number, string> = {
  400: 'The request is not valid',
  401: 'Not logged in',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  412: 'The cart has changed',
  413: 'The body is too large',
  415: 'The kind of body is not supported',
  422: 'The request cannot be carried out',
  429: 'Too many requests',
  500: 'Internal error',
  502: 'Going away',
  503: 'Not available right now',
}

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly traceId: string
  readonly errors?: AppError['errors']
}

export function problemOf(error: AppError, traceId: string): Problem {
  const status = STATUS[error.code]
  return {
    type: `/docs/errors#${error.code}`,
    title: TITLES[status] ?? 'Error',
    status,
    code: error.code,
    // What went wrong inside stays inside: it is in the log under the trace id.
    detail: error.code === 'internal' ? 'Something went wrong on our side.' : error.message,
    traceId,
    ...error.extra,
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
  }
}

/** Answers an error of any middleware or route. */
export function errorHandler(log: Log) {
  return (error: unknown, response: ServerResponse): void => {
    const known = translate(error)
    const { traceId } = contextOf(response)
    if (known.code === 'internal') log.error({ err: error, traceId }, 'unexpected error')
    // telemetry/outages.ts reports an outage once; a line for each request would hide everything else.
    else if (isOutage(known)) log.debug({ err: error, traceId, cause: known.cause }, known.message)
    else if (STATUS[known.code] >= 500) log.error({ err: error, traceId, cause: known.cause }, known.message)
    if (response.headersSent) {
      response.destroy()
      return
    }
    const problem = problemOf(known, traceId)
    response.statusCode = problem.status
    response.setHeader('X-Trace-Id', traceId)
    response.setHeader('Content-Type', 'application/problem+json')
    response.setHeader('Cache-Control', 'no-store')
    if (known.retryAfterS !== undefined) response.setHeader('Retry-After', String(known.retryAfterS))
    if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer')
    response.end(JSON.stringify(problem))
  }
}

/** What is not ours is a bug, but for an address that Express cannot decode. */
function translate(error: unknown): AppError {
  if (isAppError(error)) return error
  if (error instanceof Error && error.name === 'LockWaitError') {
    return new AppError('overloaded', 'Too many changes at once to the same rows.', { retryAfterS: 1, cause: error })
  }
  if (error instanceof URIError) return new AppError('invalid_request', 'The address is not valid.', { cause: error })
  return new AppError('internal', 'Something went wrong on our side.', { cause: error })
}
