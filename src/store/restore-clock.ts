import type { Database } from './database.ts'
import { statement } from './statement.ts'

/** One number by database that only grows; its use: restore-watch.ts. */
const NAME = 'ticks'
const SELECT_TICKS = statement('SELECT ticks FROM restore_clock WHERE name = ?')
const TICK = statement('UPDATE restore_clock SET ticks = ticks + 1 WHERE name = ? AND ticks = ?')
const RAISE = statement('UPDATE restore_clock SET ticks = GREATEST(ticks, ?) WHERE name = ?')

export const restoreClock = {
  async read(database: Database): Promise<number> {
    const [row] = await database.background<{ ticks: string }>(SELECT_TICKS, [NAME])
    if (!row) throw new Error(`the database '${database.name}' has no restore clock: has it been migrated?`)
    return Number(row.ticks)
  },
  /** True when the caller has moved it from `seen`. */
  tick: async (database: Database, seen: number): Promise<boolean> => (await database.run(TICK, [NAME, seen])) === 1,
  raise: (database: Database, to: number) => database.run(RAISE, [to, NAME]),
}
