/**
 * The one error type that crosses folders. A code says what happened in our own words; http/errors.ts is the only
 * place that knows what status that is. Anything else that is thrown is a bug or a foreign error and becomes `internal`.
 */

export type ErrorCode =
  | 'invalid_request'
  | 'malformed_body'
  | 'idempotency_key_required'
  | 'session_required'
  | 'session_ended'
  | 'credentials_invalid'
  | 'forbidden_origin'
  | 'operator_required'
  | 'admission_required'
  | 'buyer_refused'
  | 'route_not_found'
  | 'product_not_found'
  | 'line_not_found'
  | 'merge_not_found'
  | 'rules_not_found'
  | 'order_not_found'
  | 'stock_not_found'
  | 'sale_not_found'
  | 'method_not_allowed'
  | 'email_taken'
  | 'idempotency_in_flight'
  | 'cart_changed'
  | 'total_changed'
  | 'out_of_stock'
  | 'purchase_limit'
  | 'order_pending'
  | 'order_state'
  | 'order_given_up'
  | 'sale_not_started'
  | 'idempotency_mismatch'
  | 'version_mismatch'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'product_unknown'
  | 'cart_lines_max'
  | 'line_quantity_max'
  | 'code_unknown'
  | 'nothing_to_order'
  | 'refund_invalid'
  | 'codes_max'
  | 'rules_invalid'
  | 'rules_unconfirmed'
  | 'quote_invalid'
  | 'too_many_attempts'
  | 'internal'
  | 'draining'
  | 'overloaded'
  | 'unavailable'
  | 'outcome_unknown'

/** One wrong part of a request: `pointer` is a JSON pointer in URI fragment form (RFC 6901, section 6). */
export interface FieldError {
  readonly in: 'body' | 'query' | 'path' | 'header'
  readonly pointer: string
  readonly detail: string
}

type ExtraValue = string | number | readonly Readonly<Record<string, string | number>>[]

interface AppErrorOptions {
  readonly errors?: readonly FieldError[]
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  readonly retryAfterS?: number
  /** Further members of the problem document, such as the version a cart really has. */
  readonly extra?: Readonly<Record<string, ExtraValue>>
  readonly cause?: unknown
}

export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly errors: readonly FieldError[]
  readonly retryAfterS: number | undefined
  readonly extra: Readonly<Record<string, ExtraValue>>

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.errors = options.errors ?? []
    this.retryAfterS = options.retryAfterS
    this.extra = options.extra ?? {}
  }
}

export function sessionEnded(): AppError {
  return new AppError('session_ended', 'The session is over. Log in again.')
}

/** A dependency did not answer, or its answer made no sense. `dependency` is named to the client: `sessions`, `cache`, `shard-0`. */
export function unavailable(dependency: string, cause: unknown, retryAfterS = 1): AppError {
  return new AppError('unavailable', `The dependency '${dependency}' is not available right now.`, {
    retryAfterS,
    cause,
    extra: { dependency },
  })
}

/** The key was used for another request. */
export function idempotencyMismatch(): AppError {
  const detail = 'This Idempotency-Key was used for another request.'
  return new AppError('idempotency_mismatch', detail, {
    errors: [{ in: 'header', pointer: '#/Idempotency-Key', detail }],
  })
}

export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code)
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** For `catch`: undefined in place of an unavailable dependency, for callers that can do without. @throws any other error */
export function missIfUnavailable(error: unknown): undefined {
  if (!isAppError(error, 'unavailable')) throw error
}
