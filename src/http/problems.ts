import { z } from 'zod'
import type { ErrorCode } from '../lib/errors.ts'
import { ERROR_TEXTS } from '../web/error-texts.ts'
import { STATUS } from './errors.ts'
import type { Route } from './route.ts'

/** Errors as the OpenAPI document describes them: which codes an operation answers, and the members of each. */

/** Every error code that an operation can answer: what its kind of request brings with it, and its own. */
export function codesOf(route: Route): ErrorCode[] {
  const { method, session, body, needsKey, conditional } = route
  const isWrite = method !== 'get'
  return [
    'invalid_request',
    ...(body ? (['malformed_body', 'body_too_large', 'unsupported_media_type'] as const) : []),
    ...(needsKey ? (['idempotency_key_required'] as const) : []),
    ...(session === 'required' ? (['session_required'] as const) : []),
    ...(session === 'required' || session === 'optional' ? (['session_ended'] as const) : []),
    ...(session === 'operator' ? (['operator_required'] as const) : []),
    // Browsers send the cookie with every request to the shop.
    ...(isWrite && session !== 'operator' ? (['forbidden_origin'] as const) : []),
    ...(conditional ? (['version_mismatch'] as const) : []),
    ...route.problems,
    'internal',
    'overloaded',
    'unavailable',
    ...(isWrite ? (['outcome_unknown'] as const) : []),
  ]
}

const DEPENDENCY = z.string().optional().meta({ description: 'Such as `sessions`, `shard-0` or `pricing`' })

/** Members of a problem document beyond those of RFC 9457 that every one has. */
const MEMBERS: Partial<Record<ErrorCode, z.ZodRawShape>> = {
  product_not_found: { sku: z.string() },
  line_not_found: { sku: z.string() },
  rules_not_found: { version: z.int() },
  cart_changed: { version: z.int(), total: z.int(), seenTotal: z.int().optional() },
  total_changed: { seenTotal: z.int(), total: z.int() },
  out_of_stock: {
    lines: z.array(z.strictObject({ sku: z.string(), wanted: z.int(), left: z.int() })).optional(),
    state: z.literal('failed').optional().meta({ description: 'Of an order that was paid: it has failed' }),
  },
  purchase_limit: {
    sku: z.string().optional().meta({ description: 'Of a product in a sale' }),
    max: z.int().meta({ description: 'Units, or uses of a promotion' }),
  },
  order_pending: { orderId: z.string() },
  order_state: { state: z.string() },
  sale_not_started: { sale: z.string(), startsAt: z.iso.datetime() },
  admission_required: { sale: z.string() },
  version_mismatch: { version: z.int().meta({ description: 'The version of the cart by now' }) },
  codes_max: { max: z.int() },
  cart_lines_max: { max: z.int() },
  line_quantity_max: { sku: z.string(), max: z.int() },
  unavailable: { dependency: DEPENDENCY },
  overloaded: { dependency: DEPENDENCY },
}

const FIELD_ERRORS = z.array(
  z.strictObject({
    in: z.enum(['body', 'query', 'path', 'header']),
    pointer: z.string().meta({ description: 'JSON pointer (RFC 6901) in URI fragment form' }),
    detail: z.string(),
  }),
)

const schemas = new Map<ErrorCode, z.ZodObject>()

/** The problem document of one code; always the same object, so that it is one component. */
export function problemSchema(code: ErrorCode): z.ZodObject {
  const known = schemas.get(code)
  if (known) return known
  const schema = z
    .strictObject({
      type: z.literal(`/docs/errors#${code}`),
      title: z.string(),
      status: z.literal(STATUS[code]),
      code: z.literal(code),
      detail: z.string(),
      traceId: z.string(),
      errors: FIELD_ERRORS.optional(),
      ...MEMBERS[code],
    })
    .meta({
      id: `${code.replaceAll(/(?:^|_)(\w)/g, (_, first: string) => first.toUpperCase())}Problem`,
      description: ERROR_TEXTS[code].when,
    })
  schemas.set(code, schema)
  return schema
}
