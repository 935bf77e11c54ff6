import type { Database } from './database.ts'
import { statement } from './statement.ts'

/**
 * The version of the catalogue that an order must know at least, in every shard: what is counted, and what is on sale.
 * Instances hear of a new catalogue within a second, and later when the global database is away; an order asks here, where its
 * buyer's rows are read anyway, whether its instance has heard of all that matters.
 *
 * A change raises it before it is committed (store/catalog.ts). So it may name a version that is not there yet, or never will be when
 * the change is given up: then an order looks for it in vain and goes on with what there is.
 */
const SELECT_FLOOR = statement('SELECT version FROM catalog_floor WHERE shard = ?')
const RAISE_FLOOR = statement(`
  INSERT INTO catalog_floor (shard, version) VALUES (?, ?)
  ON DUPLICATE KEY UPDATE version = GREATEST(version, VALUES(version))`)

export const catalogFloor = {
  async read(shard: Database): Promise<number> {
    const [row] = await shard.rows<{ version: string }>(SELECT_FLOOR, [shard.name])
    return Number(row?.version ?? 0)
  },

  /** On all shards, or it throws: then it may be raised on some, which does no harm. */
  async raise(shards: readonly Database[], version: number): Promise<void> {
    await Promise.all(shards.map(shard => shard.run(RAISE_FLOOR, [shard.name, version])))
  },
}
