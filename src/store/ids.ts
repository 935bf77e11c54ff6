import type { Database } from './database.ts'
import { statement } from './statement.ts'

const SELECT_NEXT = statement('SELECT next_id FROM id_blocks WHERE name = ? FOR UPDATE')
const TAKE_BLOCK = statement('UPDATE id_blocks SET next_id = next_id + ? WHERE name = ?')

/** Hands out ids, one round trip to the database per block. Ids of a block that a process did not use are skipped. */
export interface Ids {
  next(): Promise<string>
}

/** Hands out ids of a block; a new one is taken from the global database when it is used up. */
export function createIds(global: Database, name: 'user', block: number): Ids {
  let next = 0n
  let end = 0n
  let taking: Promise<void> | undefined

  async function takeBlock(): Promise<void> {
    const first = await global.transaction(async tx => {
      const [row] = await tx.rows<{ next_id: string }>(SELECT_NEXT, [name])
      if (!row) throw new Error(`no id block named '${name}': has the database been migrated?`)
      await tx.run(TAKE_BLOCK, [block, name])
      return BigInt(row.next_id)
    })
    next = first
    end = first + BigInt(block)
  }

  return {
    async next() {
      while (next >= end) {
        taking ??= takeBlock().finally(() => {
          taking = undefined
        })
        await taking
      }
      return String(next++)
    },
  }
}
