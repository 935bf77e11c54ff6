import { AppError } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'
import { SLOTS, slotOf } from '../sharding/slots.ts'
import type { Database, Outcome, Statement, Transaction } from './database.ts'
import { statement } from './statement.ts'

/**
 * Which database holds a key, and the guard that every write passes.
 *
 * The slot map (slot, shard, epoch, state) stands in each shard's own database; instances work from a copy. A write
 * transaction first reads its slot's row there under a share lock and goes on only if that very database says "mine, this
 * epoch, active". So an instance with an old copy, or one that was stopped for an hour, cannot write to the wrong owner:
 * it gets WrongShard, loads the map again and tries again. The same read brings the cache mode of the shard (cart/cache-mode.ts),
 * share-locked too, so that the mode cannot change while a write is under way.
 *
 * Two routers, one interface: `slots` over several servers; `single` for one endpoint that shards by itself (Vitess) or
 * not at all, which needs no map.
 */
export interface Router {
  readonly shards: readonly Database[]
  /** The database of a user id (decimal text) or of a login address. */
  of(key: string): Database
  /** A write transaction in the database of `key`. @throws what Database.transaction throws; `unavailable` if the map keeps changing */
  write<T>(key: string, work: (tx: Transaction, guard: SlotGuard) => Promise<T>): Promise<T>
  /**
   * A write transaction of several keys that live in the same database; nothing is done when they do not. The guards are read and `statements`
   * are run in one round trip; `work` is called with what came of them when the guards are passed. Not where one endpoint may be
   * several servers: it would not be atomic there.
   * @throws as `write`; anything that is not an AppError says that each may be written by itself
   */
  readonly writeGroup?: <T>(
    keys: readonly string[],
    statements: readonly Statement[],
    work: (tx: Transaction, guards: readonly SlotGuard[], outcomes: readonly Outcome[]) => Promise<T>,
  ) => Promise<T>
  refresh(): Promise<void>
  /** False until a map was loaded: then this instance can serve no request, and another one may. */
  hasMap(): boolean
  /** False while some slots have no owner. */
  isComplete(): boolean
}

export interface SlotGuard {
  readonly slot: number
  readonly shard: string
  readonly cache: CacheModeRow
}

/** `on`: writers fence, readers may read the cache. `draining`: no reader may start. `off`: no reader uses it. */
export type CacheState = 'on' | 'draining' | 'off'

export interface CacheModeRow {
  readonly epoch: number
  readonly state: CacheState
}

interface SlotRow {
  slot: number
  shard: string
  epoch: string
  state: string
}

interface CacheModeFields {
  cache_epoch: string
  cache_state: CacheState
}

type GuardRow = Omit<SlotRow, 'slot'> & CacheModeFields

const SELECT_SLOTS = statement('SELECT slot, shard, epoch, state FROM slots WHERE shard = ?')

const SELECT_GUARD = statement(`
  SELECT s.shard, s.epoch, s.state, m.epoch AS cache_epoch, m.state AS cache_state
  FROM slots s JOIN cache_mode m ON m.shard = s.shard WHERE s.slot = ? LOCK IN SHARE MODE`)

/** Two simple statements in one round trip are a third cheaper than a join. */
const SELECT_SLOTS_SHARED = statement(`/* per shard */
  SELECT slot, shard, epoch, state FROM slots WHERE slot IN (?) LOCK IN SHARE MODE`)

const SELECT_CACHE_MODE_SHARED = statement(
  'SELECT epoch AS cache_epoch, state AS cache_state FROM cache_mode WHERE shard = ? LOCK IN SHARE MODE',
)

/** The database says that the slot is not its own (any more). */
class WrongShard extends Error {}

const MAP_ATTEMPTS_MAX = 3

/** Routes by slots. Databases must be named as the map names them. Starts also while a shard is away. */
export async function createSlotRouter(
  shards: readonly Database[],
): Promise<Router & { ownerName(slot: number): string | undefined }> {
  let owners = await loadOwners(shards)
  let looking: Promise<void> | undefined
  let hasMap = owners.some(owner => owner !== undefined)

  async function refresh(): Promise<void> {
    owners = await loadOwners(shards)
    hasMap ||= owners.some(owner => owner !== undefined)
  }

  function ownerOf(slot: number): Owner {
    const owner = owners[slot]
    if (owner) return owner
    // A shard that was away when the map was loaded may be back: look again, beside this request, one look at a time.
    looking ??= refresh().finally(() => {
      looking = undefined
    })
    throw new AppError('unavailable', `No shard owns slot ${slot} right now.`, { retryAfterS: 1 })
  }

  return {
    shards,
    refresh,
    hasMap: () => hasMap,
    isComplete: () => owners.every(owner => owner !== undefined),
    of: key => ownerOf(slotOf(key)).database,
    ownerName: slot => owners[slot]?.database.name,
    async write(key, work) {
      const slot = slotOf(key)
      for (let attempt = 1; ; attempt++) {
        const owner = ownerOf(slot)
        try {
          return await owner.database.transaction(async tx => {
            const [row] = await tx.rows<GuardRow>(SELECT_GUARD, [slot])
            return work(tx, guardOf(row, slot, owner))
          })
        } catch (error) {
          if (!(error instanceof WrongShard)) throw error
          if (attempt >= MAP_ATTEMPTS_MAX) {
            throw new AppError('unavailable', `Slot ${slot} is moving to another shard.`, { retryAfterS: 1 })
          }
          await refresh()
        }
      }
    },
    async writeGroup(keys, statements, work) {
      const slots = keys.map(slotOf)
      const [first, ...others] = slots.map(slot => owners[slot])
      if (!first || others.some(owner => owner?.database !== first.database)) throw new WrongShard('several owners')
      return first.database.transaction(async tx => {
        const readSlots = { sql: SELECT_SLOTS_SHARED, values: [[...new Set(slots)]] }
        const readMode = { sql: SELECT_CACHE_MODE_SHARED, values: [first.database.name] }
        const [read, modes, ...outcomes] = await tx.batch([readSlots, readMode, ...statements])
        const [mode] = (modes?.rows ?? []) as CacheModeFields[]
        const rows = (read?.rows ?? []) as SlotRow[]
        const found = new Map(mode && rows.map(row => [row.slot, { ...row, ...mode }]))
        const guards = slots.map(slot => guardOf(found.get(slot), slot, owners[slot]))
        return work(tx, guards, outcomes)
      })
    },
  }
}

/** @throws WrongShard unless the database says that the slot is its own, as the map has it */
function guardOf(row: GuardRow | undefined, slot: number, owner: Owner | undefined): SlotGuard {
  const isMine =
    row && owner && row.shard === owner.database.name && Number(row.epoch) === owner.epoch && row.state === 'active'
  if (!isMine) throw new WrongShard(`slot ${slot}`)
  return { slot, shard: row.shard, cache: cacheModeOf(row) }
}

/** A shard that was away at the start has slots without an owner: they are looked for until all are there. */
export function watchSlotMap(router: Router): { stop(): void } {
  const look = async () => router.isComplete() || router.refresh()
  return repeat(look, FIXED.slotMapRetryMs, () => undefined)
}

/** Sends everything to one endpoint. */
export function createSingleRouter(database: Database): Router {
  return {
    shards: [database],
    refresh: async () => {},
    hasMap: () => true,
    isComplete: () => true,
    of: () => database,
    write: (key, work) =>
      database.transaction(async tx => {
        const [row] = await tx.rows<CacheModeFields>(SELECT_CACHE_MODE_SHARED, [database.name])
        if (!row) throw new Error(`the database '${database.name}' has no cache mode: has it been migrated?`)
        return work(tx, { slot: slotOf(key), shard: database.name, cache: cacheModeOf(row) })
      }),
  }
}

interface Owner {
  readonly database: Database
  readonly epoch: number
}

/**
 * Where two databases both claim a slot, the higher epoch is right: the other has not heard yet. With equal epochs neither
 * is believed. The slots of a shard that does not answer have no owner until it does.
 */
async function loadOwners(shards: readonly Database[]): Promise<(Owner | undefined)[]> {
  const owners: (Owner | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  const answers = await Promise.allSettled(shards.map(shard => shard.background<SlotRow>(SELECT_SLOTS, [shard.name])))
  const contested = new Set<number>()
  for (const [index, answer] of answers.entries()) {
    const database = shards[index]
    if (answer.status === 'rejected' || !database) continue
    for (const row of answer.value) {
      const epoch = Number(row.epoch)
      const other = owners[row.slot]?.epoch ?? -1
      if (row.state !== 'active' || epoch < other) continue
      if (epoch === other) contested.add(row.slot)
      else contested.delete(row.slot)
      owners[row.slot] = { database, epoch }
    }
  }
  for (const slot of contested) owners[slot] = undefined
  return owners
}

function cacheModeOf(row: CacheModeFields): CacheModeRow {
  return { epoch: Number(row.cache_epoch), state: row.cache_state }
}
