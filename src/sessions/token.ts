import { hash, randomBytes } from 'node:crypto'

/**
 * A session token: the user id, so that nothing has to be looked up to know whose it claims to be, and 256 random bits,
 * which are what counts. Redis only ever holds a hash of the token, so a dump of it opens nothing.
 */
export interface SessionToken {
  readonly text: string
  readonly userId: string
}

const FORM = /^([1-9]\d{0,18})\.[A-Za-z0-9_-]{43}$/

export function newToken(userId: string): SessionToken {
  return { text: `${userId}.${randomBytes(32).toString('base64url')}`, userId }
}

/** The token in a cookie or header, or undefined when it cannot be one of ours. */
export function parseToken(text: string): SessionToken | undefined {
  const userId = FORM.exec(text)?.[1]
  return userId === undefined ? undefined : { text, userId }
}

export function sessionKey(token: SessionToken): string {
  return `{u:${token.userId}}:session:${hash('sha256', token.text, 'base64url')}`
}

export function indexKey(userId: string): string {
  return `{u:${userId}}:sessions`
}
