import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Operators } from '../accounts/operators.ts'
import { AppError } from '../lib/errors.ts'
import { parseToken, type SessionToken, type Session } from '../sessions/sessions.ts'
import { contextOf, type Middleware } from './pipeline.ts'

/**
 * The sender of a request. Another source of identity is another implementation, made in wiring/accounts.ts.
 *
 * A token names its user before it is looked up, so that the cart can be read at the same time; nothing is shown or changed
 * before the session is known to be good.
 */
export interface Authenticator {
  /** What the headers carry, not looked up yet. */
  read(headers: IncomingHttpHeaders): Credential
  /** The session of a token; undefined when there is none (any more). @throws AppError `unavailable` */
  find(token: SessionToken): Promise<Session | undefined>
  /** The same for many tokens, in their order. @throws AppError `unavailable` */
  findAll(tokens: readonly SessionToken[]): Promise<(Session | undefined)[]>
}

/**
 * Browsers send their token in a cookie that scripts cannot read, API clients as `Authorization: Bearer`. Behind https the
 * cookie has the `__Host-` prefix, which ties it to this host and to TLS; plain http on localhost cannot have that, so the name differs
 * there and neither is accepted in place of the other.
 */
export interface Credential {
  readonly token: SessionToken | undefined
  /** Something was sent that cannot be a token of ours. */
  readonly malformed: boolean
  readonly fromCookie: boolean
}

/** Sessions in Redis, by opaque tokens. */
export function createAuthenticator(
  sessions: Pick<Authenticator, 'find' | 'findAll'>,
  { secureCookies }: { readonly secureCookies: boolean },
): Authenticator {
  return {
    read: headers => readCredential(headers, secureCookies),
    find: sessions.find,
    findAll: sessions.findAll,
  }
}

/** Finds the operator of a request for its route (`Call.operator`). @throws AppError `operator_required` */
export function authenticateOperator(operators: Pick<Operators, 'require'>): Middleware {
  return async ({ headers: { authorization } }, response, next) => {
    contextOf(response).operator = await operators.require(bearerOf(authorization))
    next()
  }
}

const bearerOf = (header: string | undefined): string | undefined =>
  header === undefined ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1]

function cookieName(secure: boolean): string {
  return secure ? '__Host-sid' : 'sid'
}

export const NO_CREDENTIAL: Credential = { token: undefined, malformed: false, fromCookie: false }

function readCredential({ authorization, cookie }: IncomingHttpHeaders, secure: boolean): Credential {
  if (authorization !== undefined) return credential(bearerOf(authorization) ?? '', false)
  const sid = cookie === undefined ? undefined : findCookie(cookie, cookieName(secure))
  return sid === undefined ? NO_CREDENTIAL : credential(sid, true)
}

/** The cookie lives as long as the session can; the server keeps the idle limit. */
export function setCookie(token: string, endsAtMs: number, secure: boolean): string {
  const expires = new Date(endsAtMs).toUTCString()
  return `${cookieName(secure)}=${token}; Path=/; Expires=${expires}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
}

export function clearCookie(secure: boolean): string {
  return setCookie('', 0, secure)
}

/**
 * Refuses a change with a cookie that another site's page has sent (cross-site request forgery). Browsers name the origin; a token in a
 * header is never sent by itself.
 * @throws AppError `forbidden_origin`
 */
export function refuseForeignOrigin(request: IncomingMessage, publicOrigin: string): void {
  const site = request.headers['sec-fetch-site']
  const origin = request.headers.origin
  const foreign =
    typeof site === 'string'
      ? site !== 'same-origin' && site !== 'none'
      : origin !== undefined && origin !== publicOrigin && hostOf(origin) !== request.headers.host
  if (foreign) throw new AppError('forbidden_origin', 'Changes with a cookie are accepted from our own pages only.')
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function credential(text: string, fromCookie: boolean): Credential {
  const token = parseToken(text)
  return { token, malformed: token === undefined, fromCookie }
}

function findCookie(header: string, name: string): string | undefined {
  for (let start = 0; start < header.length; ) {
    const semicolon = header.indexOf(';', start)
    const end = semicolon < 0 ? header.length : semicolon
    const at = header.indexOf('=', start)
    if (at > start && at < end && header.slice(start, at).trim() === name) {
      return header.slice(at + 1, end).trim() || undefined
    }
    start = end + 1
  }
  return undefined
}
