import type { IncomingMessage } from 'node:http'
import { parseToken, type SessionToken } from '../accounts/logins.ts'
import { AppError } from '../lib/errors.ts'

/**
 * How a token travels: for browsers in a cookie that scripts cannot read, for API clients as `Authorization: Bearer`.
 * Behind https the cookie has the `__Host-` prefix, which ties it to this host and to TLS; plain http on localhost cannot
 * have that, so the name differs there and neither is accepted in place of the other.
 */
export interface Credentials {
  readonly token: SessionToken | undefined
  /** Something was sent that cannot be one of our tokens. */
  readonly malformed: boolean
  readonly fromCookie: boolean
}

export function cookieName(secure: boolean): string {
  return secure ? '__Host-sid' : 'sid'
}

export function readCredentials(request: IncomingMessage, secure: boolean): Credentials {
  const { authorization, cookie } = request.headers
  const bearer = authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  if (authorization !== undefined) return credentials(bearer ?? '', false)
  const sid = cookie === undefined ? undefined : findCookie(cookie, cookieName(secure))
  return sid === undefined ? { token: undefined, malformed: false, fromCookie: false } : credentials(sid, true)
}

/** The cookie lives as long as the session may at most; the idle limit is the server's, who moves it along. */
export function setCookie(token: string, endsAtMs: number, secure: boolean): string {
  const expires = new Date(endsAtMs).toUTCString()
  return `${cookieName(secure)}=${token}; Path=/; Expires=${expires}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
}

export function clearCookie(secure: boolean): string {
  return setCookie('', 0, secure)
}

/**
 * Refuses a change that a browser was made to send by another site. Browsers say where a request comes from; clients that
 * carry their token in a header cannot be made to send it.
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

function credentials(text: string, fromCookie: boolean): Credentials {
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
