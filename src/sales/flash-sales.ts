import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from '../sessions/sessions.ts'
import { AppError, isAppError, unavailable } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { areSameBytes } from '../lib/timing-safe.ts'
import { createSingleFlight, lookFor } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import { stockItemOf } from '../model/order.ts'
import type { ProductSource } from '../pricing/pricing-service.ts'
import type { QueueStatus, WaitingRoom } from './waiting-room.ts'
import { catalogRows } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import { sharedKey } from '../store/operators.ts'
import type { Router } from '../store/shard-router.ts'
import { type OpenSale, saleRows } from '../store/sales.ts'
import type { StockLevels } from '../store/stock.ts'
import { userRows } from '../store/users.ts'
import type { Log } from '../telemetry/log.ts'
import type { Stock } from '../inventory/inventory.ts'

/**
 * Flash sales: one product, few units, very many buyers. Orders before the start are refused, and then all without an admission
 * from the queue. The queue admits at most the units that are left, times a factor. It keeps load off the stock; that nothing is
 * oversold does not depend on it.
 */
interface SaleView {
  readonly id: string
  readonly sku: string
  readonly state: 'upcoming' | 'open' | 'sold_out'
  readonly startsAt: string
  readonly endsAt: string | undefined
  readonly left: number
}

interface QueueView {
  /** `absent`: no place in the queue (any more); take one. */
  readonly state: 'not_started' | 'absent' | 'waiting' | 'admitted' | 'sold_out'
  readonly position?: number
  readonly estimatedWaitS?: number
  /** To be brought to the order. */
  readonly admission?: string
  readonly holdsS?: number
  readonly startsAt?: string
  /** When to ask again; absent when there is nothing more to wait for. */
  readonly pollAfterMs?: number
}

interface SalesDeps {
  readonly global: Database
  readonly router: Router
  readonly stock: Stock
  readonly room: WaitingRoom
  readonly products: ProductSource
  /** With it the shop signs that a buyer is a person: HMAC-SHA256 of `<sale>.<user id>.<expiry>`. */
  readonly proofKey: string | undefined
  readonly log: Log
}

interface Watched {
  readonly sale: OpenSale
  /** On the clock of performance.now(). */
  readonly startsMs: number
  levels: StockLevels | undefined
}

export type Sales = ReturnType<typeof watchSales>

/** Keeps the sales of the global database in memory, refreshed as `atLeast` and the clock ask for. */
export function watchSales({ global, router, stock, room, products, proofKey, log }: SalesDeps) {
  let watched = new Map<string, Watched>()
  const admissionKey = sharedKey(global, 'admissions')

  const refresh = () => looking.run('sales', load)
  const looking = createSingleFlight<void>()
  let lookedMs = Number.NEGATIVE_INFINITY
  /** The version of the catalogue whose sales are all among the watched. */
  let seenVersion = -1

  /** Requests for sales that do not exist must not keep the database busy: they share a refresh, throttled. */
  const lookSoon = () => (soon ??= waitAndLook())
  let soon: Promise<void> | undefined

  async function waitAndLook(): Promise<void> {
    await sleep(Math.max(0, lookedMs + FIXED.saleStockMs - performance.now()))
    soon = undefined // later callers need a refresh that begins after they came
    await refresh()
  }

  async function load(): Promise<void> {
    lookedMs = performance.now()
    const { version } = await catalogRows.state(global)
    const open = await saleRows.open(global.background, FIXED.salesOpenMax)
    const at = performance.now()
    watched = new Map(
      open.map(sale => [sale.id, { sale, startsMs: at + sale.startsInMs, levels: watched.get(sale.id)?.levels }]),
    )
    seenVersion = version
  }

  /** Looks at the stock of every sale that has started, and lets the next ones in. */
  async function advance(): Promise<void> {
    await Promise.all(
      [...watched.values()].filter(hasStarted).map(async one => {
        const item = await itemOf(one.sale.sku)
        one.levels = await (isGone(one) ? stock.recentLevels(item) : stock.levels(item))
        if (!one.levels) return
        const { free, held } = one.levels
        await room.admit(one.sale.id, Math.ceil(free * one.sale.factor), free + held === 0)
      }),
    )
  }

  const every = (ms: number, name: string, work: () => Promise<void>) =>
    repeat(work, ms, error => log.debug({ err: error }, `${name}: not now`))
  const watches = [every(FIXED.salePollMs, 'sales', refresh), every(FIXED.saleStockMs, 'queues', advance)]

  /** Its time has come, and its units are set. */
  const hasStarted = ({ sale, startsMs }: Watched) => sale.units > 0 && performance.now() >= startsMs
  const itemsOf = async (skus: readonly string[]) => {
    const { products: known } = await products.of(skus)
    return skus.map(sku => stockItemOf(known.get(sku) ?? { sku }))
  }
  const itemOf = async (sku: string) => (await itemsOf([sku]))[0] ?? sku
  const isGone = ({ levels }: Pick<Watched, 'levels'>) => levels !== undefined && levels.free + levels.held === 0

  async function find(id: string): Promise<Watched> {
    if (!watched.has(id)) await lookSoon()
    const found = watched.get(id)
    if (!found) throw new AppError('sale_not_found', 'There is no such sale, or it is over.')
    return found
  }

  async function admissionOf(sale: string, userId: string): Promise<string> {
    return createHmac('sha256', await admissionKey())
      .update(`${sale}.${userId}`)
      .digest('base64url')
  }

  /** The same answer for all, before the start and when there is nothing left. */
  function early(one: Watched): QueueView {
    if (isGone(one)) return { state: 'sold_out' }
    const pollAfterMs = Math.max(FIXED.queuePollMsMin, Math.round(one.startsMs - performance.now()))
    return { state: 'not_started', startsAt: one.sale.startsAt, pollAfterMs }
  }

  async function told(one: Watched, userId: string, status: QueueStatus): Promise<QueueView> {
    const { position, admittedInAll, sinceFirstMs } = status
    switch (status.state) {
      case 'admitted': {
        const admission = await admissionOf(one.sale.id, userId)
        return { state: 'admitted', admission, holdsS: Math.floor(status.holdsMs / 1000) }
      }
      case 'gone':
        return { state: 'sold_out' }
      case 'absent':
        return { state: 'absent' }
      case 'waiting': {
        const perMs = sinceFirstMs > 0 ? admittedInAll / sinceFirstMs : 0
        const waitMs = perMs > 0 ? position / perMs : 0
        const pollAfterMs = Math.round(Math.min(FIXED.queuePollMsMax, Math.max(FIXED.queuePollMsMin, waitMs / 4)))
        return {
          state: 'waiting',
          position,
          pollAfterMs,
          ...(perMs > 0 ? { estimatedWaitS: Math.ceil(waitMs / 1000) } : {}),
        }
      }
    }
  }

  async function refuseBots({ sale }: Watched, session: Session, proof: string | undefined): Promise<void> {
    if (session.kind === 'guest' && !sale.guests) throw refused('This sale is for members: log in.')
    if (sale.needsProof && !isProof(sale.id, session.userId, proof))
      throw refused('A valid proof is needed for this sale.')
    if (sale.accountAgeS === 0) return
    const ageS = await userRows.ageS(router.of(session.userId), session.userId)
    if (ageS < sale.accountAgeS) throw refused('This account is too young for this sale.')
  }

  function isProof(sale: string, userId: string, proof = ''): boolean {
    const [expiry = '', signature = ''] = proof.split('.')
    if (proofKey === undefined || !(Number(expiry) * 1000 > Date.now())) return false
    const right = createHmac('sha256', proofKey).update(`${sale}.${userId}.${expiry}`).digest()
    return areSameBytes(Buffer.from(signature, 'base64url'), right)
  }

  /** Sales of the stock that these products are of, whatever they are called. */
  async function salesOf(wanted: readonly { readonly sku: string }[]): Promise<Watched[]> {
    const open = [...watched.values()]
    if (open.length === 0) return []
    const [items, itemsOnSale] = await Promise.all([
      itemsOf(wanted.map(({ sku }) => sku)),
      itemsOf(open.map(({ sale }) => sale.sku)),
    ])
    const isWanted = new Set(items)
    return open.filter((_, at) => isWanted.has(itemsOnSale[at] ?? ''))
  }

  /**
   * Whether a buyer may order these products now.
   * @throws AppError `sale_not_started`, `admission_required`, `out_of_stock` from memory
   */
  async function admit(
    session: Session,
    wanted: readonly { readonly sku: string }[],
    admission: string | undefined,
  ): Promise<void> {
    for (const one of await salesOf(wanted)) {
      const { id, sku, startsAt } = one.sale
      if (!hasStarted(one))
        throw new AppError('sale_not_started', `The sale of '${sku}' starts at ${startsAt}.`, {
          extra: { sale: id, startsAt },
        })
      if (isGone(one))
        throw new AppError('out_of_stock', `'${sku}' is sold out.`, {
          extra: { lines: [{ sku, wanted: 1, left: 0 }] },
        })
      const right = await admissionOf(id, session.userId)
      if (!areSameBytes(Buffer.from(admission ?? ''), Buffer.from(right))) throw notAdmitted(id, sku)
      if ((await room.look(id, session.userId)).state !== 'admitted') throw notAdmitted(id, sku)
    }
  }

  return {
    refresh,
    /** Makes sure that the sales of this version of the catalogue are known. @throws AppError `unavailable` */
    async atLeast(version: number): Promise<void> {
      await lookFor(() => seenVersion >= version, refresh)
      if (seenVersion < version)
        throw unavailable('global', new Error(`it does not show the sales of version ${version}`))
    },
    advance,
    takesProofs: proofKey !== undefined,

    /** @throws AppError `sale_not_found` */
    async view(id: string): Promise<SaleView> {
      const one = await find(id)
      const { sku, startsAt, endsAt } = one.sale
      const levels = one.levels ?? (await stock.recentLevels(await itemOf(sku)))
      const state = !hasStarted(one) ? 'upcoming' : isGone({ levels }) ? 'sold_out' : 'open'
      return { id, sku, state, startsAt, endsAt, left: levels?.free ?? 0 }
    },

    /** Takes a place in the queue. @throws AppError `sale_not_found`, `buyer_refused`, `unavailable` */
    async enter(id: string, session: Session, proof: string | undefined): Promise<QueueView> {
      const one = await find(id)
      if (!hasStarted(one) || isGone(one)) return early(one)
      await refuseBots(one, session, proof)
      return told(one, session.userId, await room.enter(id, session.userId))
    },

    async look(id: string, session: Session): Promise<QueueView> {
      const one = await find(id)
      if (!hasStarted(one) || isGone(one)) return early(one)
      return told(one, session.userId, await room.look(id, session.userId))
    },

    async leave(id: string, session: Session): Promise<void> {
      await room.leave((await find(id)).sale.id, session.userId)
    },

    admit,

    /** Gifts that this buyer cannot have now, since they are of a sale: a gift is no reason to refuse an order. */
    async withheld(
      session: Session,
      gifts: readonly { readonly sku: string }[],
      admission: string | undefined,
    ): Promise<Set<string>> {
      const skus = new Set<string>()
      for (const gift of gifts) {
        await admit(session, [gift], admission).catch((error: unknown) => {
          if (!isAppError(error) || error.code === 'unavailable') throw error
          skus.add(gift.sku)
        })
      }
      return skus
    },

    /** An order was made: the buyer's place goes to another. Beside the answer. */
    finished(userId: string, ordered: readonly { readonly sku: string }[]): void {
      void salesOf(ordered)
        .then(sales => Promise.all(sales.map(({ sale }) => room.leave(sale.id, userId))))
        .catch(() => undefined) // the place runs out by itself
    },

    isOnSale: async (wanted: readonly { readonly sku: string }[]): Promise<boolean> =>
      (await salesOf(wanted)).length > 0,

    stop() {
      for (const watch of watches) watch.stop()
    },
  }
}

function refused(detail: string): AppError {
  return new AppError('buyer_refused', detail)
}

function notAdmitted(sale: string, sku: string): AppError {
  return new AppError('admission_required', `'${sku}' is on sale: take a place in the queue first.`, {
    extra: { sale },
  })
}
