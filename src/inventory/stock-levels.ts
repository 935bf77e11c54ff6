import { randomUUID } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Database } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import { type BucketRow, type StockLevels, stockRows } from '../store/stock.ts'
import { stockAudit, type Sums } from '../store/stock-audit.ts'

/** What operators do with stock: set it, check it, repair it. Every change goes through the ledger. */
export interface Terms {
  /** Units that shall be free from now on, or … */
  readonly free?: number | undefined
  /** … at most so many of those that are free now, or … */
  readonly freeAtMost?: number | undefined
  /** … units in all, those held and sold included. */
  readonly total?: number
  /** null: no limit; left out: as it is. */
  readonly perUserMax?: number | null | undefined
  /** The limit becomes this where it is higher, or none. */
  readonly perUserAtMost?: number | undefined
  readonly buckets?: number
  /** Of the rules that say so: older ones change nothing any more, and too little becomes what is used. */
  readonly rulesVersion?: number
}

/** What is wrong with an item. `repaired`: its counters were set to what claims and ledger prove. */
export interface Finding {
  readonly item: string
  readonly problem: string
  readonly repaired: boolean
}

export type Inventory = ReturnType<typeof createInventory>

/** Levels, ledger and invariants of items, over the shards. */
export function createInventory(deps: { router: Router }) {
  const { router } = deps
  return {
    set: (item: string, terms: Terms) => set(deps, item, terms),
    check: (item: string, repair: boolean) => check(deps, item, repair),
    countItems: async (): Promise<number> =>
      (await Promise.all(router.shards.map(stockAudit.countItems))).reduce((sum, items) => sum + items, 0),

    /**
     * Items whose counters do not add up, of all shards; a shard that is away is named. A page of them, by their names: `next` is the
     * last item of the page, or null at the end.
     */
    async invariants(after = '', rows: number = FIXED.invariantItemsMax) {
      const ends = await Promise.allSettled(router.shards.map(shard => stockAudit.endOfPage(shard, after, rows)))
      const [until] = ends.flatMap(end => (end.status === 'fulfilled' ? (end.value ?? []) : [])).sort()
      const shards = await Promise.all(router.shards.map(shard => shardReport(shard, { after, until })))
      const sum = (counter: 'items' | 'free' | 'held' | 'sold') =>
        shards.reduce((all, shard) => all + ('items' in shard ? shard[counter] : 0), 0)
      const broken = shards.flatMap(shard => ('items' in shard ? shard.broken : []))
      const away = shards.flatMap(shard => ('items' in shard ? [] : [shard.away]))
      const totals = { items: sum('items'), free: sum('free'), held: sum('held'), sold: sum('sold') }
      return { holds: broken.length === 0 && away.length === 0, ...totals, broken, away, next: until ?? null }
    },
  }
}

/** Makes an item or changes it. @throws AppError `invalid_request` when more are held and sold than there would be */
async function set({ router }: { router: Router }, item: string, terms: Terms): Promise<StockLevels> {
  return router.write(item, async (tx, { slot }) => {
    let known = await stockRows.head(tx, item, true)
    if (!known) {
      await stockRows.make(tx, item, slot, terms.buckets ?? FIXED.stockBuckets)
      known = await stockRows.head(tx, item, true) // another caller may have made it meanwhile
    }
    if (!known) throw new Error(`the item '${item}' was made and is not there`)
    const before = await stockRows.lockBuckets(tx, item)
    const [free, held, sold] = COUNTERS.map(counter => before.reduce((sum, bucket) => sum + bucket[counter], 0)) as [
      number,
      number,
      number,
    ]
    const used = held + sold
    const { rulesVersion } = terms
    if (rulesVersion !== undefined && rulesVersion < known.termsVersion) {
      return { units: known.units, free, held, sold, perUserMax: known.perUserMax }
    }
    const wantedFree = terms.free ?? Math.min(free, terms.freeAtMost ?? free)
    const asked = terms.total ?? wantedFree + used
    const units = rulesVersion === undefined ? asked : Math.max(asked, used)
    if (units < used) {
      const detail = `${used} are held or sold already, so there cannot be ${units} in all`
      throw new AppError('invalid_request', detail, { errors: [{ in: 'body', pointer: '#/units', detail }] })
    }
    const perUserMax = limitOf(known.perUserMax, terms)
    await stockRows.set(tx, item, { units, perUserMax, termsVersion: rulesVersion ?? known.termsVersion })
    const change = units - known.units
    if (change !== 0) {
      const entry = { entry: `set:${randomUUID()}`, kind: 'set' as const, units: change }
      await stockRows.addLedger(tx, item, slot, known.nowMs, [entry])
      for (const bucket of spread(units - used, known.buckets, before)) await stockRows.setBucket(tx, item, bucket)
    }
    return { units, free: units - used, held, sold, perUserMax }
  })
}

/**
 * Compares an item's counters with its claims and its ledger, under their locks. Counters that can be proved wrong are set right
 * where `repair` says so; claims and ledger that contradict each other are only reported.
 */
async function check({ router }: { router: Router }, item: string, repair: boolean): Promise<Finding[]> {
  // Without locks first: one statement is one snapshot, and most items need no more.
  const seen = await stockAudit.sums(router.of(item), item)
  if (!seen || contradictionsOf(seen).length + wrongOf(seen).length === 0) return []
  return router.write(item, async tx => {
    const head = await stockRows.head(tx, item, true) // every change of the item waits for this lock
    const sums = head && (await stockAudit.sums(tx, item))
    if (!sums) return []
    const findings = contradictionsOf(sums).map(problem => ({ item, problem, repaired: false }))
    const wrong = wrongOf(sums)
    if (wrong.length > 0) {
      const right = rightOf(sums)
      // Only what claims and ledger agree on is proof.
      const repaired = repair && findings.length === 0 && right.free >= 0
      if (repaired) {
        const first = [{ bucket: 0, ...right }]
        for (const bucket of spread(right.free, head.buckets, first)) await stockRows.setBucket(tx, item, bucket)
        // A claim ends in the bucket that it was made in: from now on that is the first one for all that are held.
        await stockAudit.moveClaims(tx, item, 0)
      }
      const shown = wrong.map(counter => `${counter} is ${sums[counter]} and must be ${right[counter]}`)
      findings.push({ item, problem: shown.join(', '), repaired })
    }
    return findings
  })
}

async function shardReport(shard: Database, range: { after: string; until: string | undefined }) {
  try {
    return await stockAudit.invariants(shard, range, FIXED.invariantsListedMax)
  } catch {
    return { away: shard.name }
  }
}

function limitOf(now: number | undefined, { perUserMax, perUserAtMost }: Terms): number | undefined {
  if (perUserMax !== undefined) return perUserMax ?? undefined
  return perUserAtMost === undefined ? now : Math.min(perUserAtMost, now ?? perUserAtMost)
}

const COUNTERS = ['free', 'held', 'sold'] as const

/** The counters that claims and ledger prove. */
function rightOf({ units, claims, ledger }: Sums): Record<(typeof COUNTERS)[number], number> {
  const sold = claims.sold - ledger.refund
  return { held: claims.held, sold, free: units - claims.held - sold }
}

function wrongOf(sums: Sums): (typeof COUNTERS)[number][] {
  const right = rightOf(sums)
  return COUNTERS.filter(counter => sums[counter] !== right[counter])
}

/** What claims and ledger say against each other or the item. */
function contradictionsOf({ units, claims, ledger }: Sums): string[] {
  const overRefunded = `${ledger.refund} were refunded, only ${claims.sold} were sold`
  const otherUnits = `the ledger says there are ${ledger.set} units, the item says ${units}`
  return [...(ledger.refund > claims.sold ? [overRefunded] : []), ...(ledger.set !== units ? [otherUnits] : [])]
}

/** Free units evenly over the buckets; what is held and sold stays where it is. */
function spread(free: number, buckets: number, before: readonly BucketRow[]): BucketRow[] {
  return Array.from({ length: buckets }, (_, bucket) => {
    const { held = 0, sold = 0 } = before[bucket] ?? {}
    return { bucket, free: Math.floor(free / buckets) + (bucket < free % buckets ? 1 : 0), held, sold }
  })
}
