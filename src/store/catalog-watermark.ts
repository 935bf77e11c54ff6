import type { Database, Transaction } from './database.ts'
import { statement } from './statement.ts'

/**
 * The version of the catalogue that an order must know at least, in every shard: what is counted, what is on sale, and at which price.
 * Instances hear of a new version within milliseconds or a second, and later when the global database is away; an order asks here, where
 * its buyer's rows are read anyway, whether its instance has heard of all that was announced, and once more in the transaction that decides.
 *
 * A change raises it before it is committed, so for a short time it names a version that is not there yet (`catalogRows.settle`).
 */
const SELECT_FLOOR = statement('SELECT version FROM catalog_floor WHERE shard = ?')
const SELECT_FLOOR_SHARED = statement('SELECT version FROM catalog_floor WHERE shard = ? LOCK IN SHARE MODE')
const RAISE_FLOOR = statement('UPDATE catalog_floor SET version = GREATEST(version, ?) WHERE shard = ?')

export const catalogFloor = {
  read: async (shard: Database): Promise<number> => floorOf(await shard.rows(SELECT_FLOOR, [shard.name])),

  /** Locked against being raised until the transaction ends. */
  readShared: async (tx: Transaction, shard: string): Promise<number> =>
    floorOf(await tx.rows(SELECT_FLOOR_SHARED, [shard])),

  /** On all shards, after the orders that are being decided there; or it throws, and may be raised on some. */
  async raise(shards: readonly Database[], version: number): Promise<void> {
    await Promise.all(shards.map(shard => shard.run(RAISE_FLOOR, [version, shard.name])))
  },
}

function floorOf([row]: readonly { version: string }[]): number {
  if (!row) throw new Error('the shard has no floor of the catalogue: has the database been migrated?')
  return Number(row.version)
}
