import type { Database } from './database.ts'
import type { CacheModeRow, CacheState } from './shard-router.ts'
import { statement } from './statement.ts'

/** The one row per shard that says whether carts may be read from the cache. Its changes: cart/cache-mode.ts. */

const SELECT_MODE = statement('SELECT epoch, state FROM cache_mode WHERE shard = ?')
const DRAIN = statement("UPDATE cache_mode SET state = 'draining' WHERE shard = ? AND epoch = ? AND state = 'on'")
const SWITCH_OFF = statement("UPDATE cache_mode SET state = 'off' WHERE shard = ? AND epoch = ? AND state = 'draining'")
const SWITCH_ON = statement(
  "UPDATE cache_mode SET state = 'on', epoch = GREATEST(epoch + 1, ?) WHERE shard = ? AND epoch = ? AND state = 'off'",
)

export const cacheModes = {
  async read(shard: Database): Promise<CacheModeRow> {
    const [row] = await shard.background<{ epoch: string; state: CacheState }>(SELECT_MODE, [shard.name])
    if (!row) throw new Error(`the database '${shard.name}' has no cache mode: has it been migrated?`)
    return { epoch: Number(row.epoch), state: row.state }
  },
  drain: (shard: Database, epoch: number) => shard.run(DRAIN, [shard.name, epoch]),
  switchOff: (shard: Database, epoch: number) => shard.run(SWITCH_OFF, [shard.name, epoch]),
  /** `least`: the new epoch is not below it. */
  switchOn: (shard: Database, epoch: number, least: number) => shard.run(SWITCH_ON, [least, shard.name, epoch]),
}
