import type { CartView } from '../cart/cart-rendering.ts'
import { AppError } from '../lib/errors.ts'
import type { Answer, Call } from './route.ts'

/** Conditional requests (RFC 9110, section 13). The ETag of a cart is its version in quotes. */
export function etagOf(version: number): string {
  return `"${version}"`
}

/** The version in a header that is exactly one ETag of a cart, as nearly all are. */
export function versionOf(etag: string | undefined): number | undefined {
  const version = etag === undefined ? undefined : /^"(0|[1-9]\d{0,14})"$/.exec(etag)?.[1]
  return version === undefined ? undefined : Number(version)
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch === '*' || ifNoneMatch.split(',').some(tag => tag.trim().replace(/^W\//, '') === etag)
}

/** The version in If-Match; `*` is no condition, since every cart exists. @throws AppError `invalid_request` */
export function readIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  const version = versionOf(header.trim())
  if (version !== undefined) return version
  const detail = 'must be the ETag of a cart, such as "7"'
  throw new AppError('invalid_request', `If-Match ${detail}`, {
    errors: [{ in: 'header', pointer: '#/If-Match', detail }],
  })
}

/** 200 with the view, or 304 for a client that has this version. */
export function viewAnswer(view: CartView, { ifNoneMatch }: Call): Answer {
  const headers = { ETag: etagOf(view.version) }
  if (matches(ifNoneMatch, headers.ETag)) return { status: 304, headers }
  return { status: 200, body: view.body, headers }
}
