import type { CartCache, CartKey } from '../cache/cart-cache.ts'
import { unlessUnavailable } from '../lib/errors.ts'
import { gatherTurns } from '../lib/batch-per-tick.ts'
import type { Session, Sessions } from '../sessions/sessions.ts'
import type { SessionToken } from '../sessions/token.ts'
import { isFirstPage, type PageOfCart } from './cart-rendering.ts'
import type { CartReader, Peeked } from './cart-reader.ts'

/**
 * Looking at the cart, which is what most requests are: whether a token is good, and what the cache has of its user's cart. The token says whose
 * cart it would be, so neither question waits for the other. Those of one turn of the event loop are one command to each Redis, and one
 * promise for all of them: with promises of its own for each layer a view took 2.4 µs more of some 44 (docs/performance.md).
 */
export interface Glance {
  /** Undefined when the token is not good (any more). */
  readonly session: Session | undefined
  /** Not to be shown without a session. */
  readonly peeked: Peeked
  /** The version of the cart, where the client has it already; nothing was peeked then. Not to be told without a session. */
  readonly unchanged?: number
}

interface Wanted {
  readonly token: SessionToken
  readonly key: CartKey
}

export interface GlancesDeps {
  readonly sessions: Pick<Sessions, 'find' | 'findAll'>
  readonly cache: Pick<CartCache, 'firstPages'>
  readonly reader: Pick<CartReader, 'peek' | 'readableKey' | 'showable' | 'isUnchanged'>
}

export type Glances = ReturnType<typeof createGlances>

export function createGlances({ sessions, cache, reader }: GlancesDeps) {
  const atFirstPage = gatherTurns(async (wanted: Wanted[]): Promise<Glance[]> => {
    const [found, hits] = await Promise.all([
      sessions.findAll(wanted.map(({ token }) => token)),
      unlessUnavailable(cache.firstPages(wanted.map(({ key }) => key))),
    ])
    return wanted.map(({ token }, index) => {
      const hit = hits?.[index]
      return { session: found[index], peeked: hit && reader.showable(token.userId, hit) }
    })
  })

  /** Other pages are many chunks, for a client that has them already too: then the version is asked for first. */
  async function atOtherPage(token: SessionToken, page: PageOfCart, known: number | undefined): Promise<Glance> {
    const finding = sessions.find(token)
    if (known !== undefined && (page.version ?? known) === known) {
      const [session, isUnchanged] = await Promise.all([finding, reader.isUnchanged(token.userId, known)])
      if (isUnchanged) return { session, peeked: undefined, unchanged: known }
    }
    const [session, peeked] = await Promise.all([finding, reader.peek(token.userId, page)])
    return { session, peeked }
  }

  return {
    /**
     * `known` is the version that the client has, where it says so.
     * @throws AppError `unavailable` when the sessions cannot be asked; without the cache nothing was peeked
     */
    of(token: SessionToken, page: PageOfCart, known?: number): Promise<Glance> {
      const key = isFirstPage(page) ? reader.readableKey(token.userId) : undefined
      return key ? atFirstPage({ token, key }) : atOtherPage(token, page, known)
    },
  }
}
