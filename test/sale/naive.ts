import type { Router } from '../../src/store/shard-router.ts'
import { statement } from '../../src/store/statement.ts'
import { stockRows } from '../../src/store/stock.ts'
import type { Stock } from '../../src/inventory/inventory.ts'

/**
 * How stock is kept in many shops: read how much there is, check, write how much is left. Two buyers who read at the same time both
 * find the last unit. It is here to show that the checks of this folder see that.
 */
const READ = statement('SELECT bucket, free, held, sold FROM stock_buckets WHERE item = ? ORDER BY bucket')

export function createNaiveStock(router: Router): Stock {
  async function write(
    item: string,
    change: (bucket: { free: number; held: number; sold: number }) => boolean,
  ): Promise<boolean> {
    const rows = await router.of(item).rows<Record<string, string | number>>(READ, [item])
    for (const row of rows) {
      const bucket = {
        bucket: Number(row['bucket']),
        free: Number(row['free']),
        held: Number(row['held']),
        sold: Number(row['sold']),
      }
      if (!change(bucket)) continue
      await router.write(item, tx => stockRows.setBucket(tx, item, bucket))
      return true
    }
    return false
  }

  return {
    async hold(item, { units }) {
      const done = await write(item, bucket => {
        if (bucket.free < units) return false
        bucket.free -= units
        bucket.held += units
        return true
      })
      return done ? { is: 'done' } : { is: 'short', left: 0 }
    },
    async sell(item) {
      await write(item, bucket => {
        if (bucket.held < 1) return false
        bucket.held--
        bucket.sold++
        return true
      })
      return { is: 'done' }
    },
    async free(item) {
      await write(item, bucket => {
        if (bucket.held < 1) return false
        bucket.held--
        bucket.free++
        return true
      })
      return { is: 'done' }
    },
    refund: async () => ({ is: 'missing' }),
    soldTo: async () => 0,
    levels: item => stockRows.levels(router.of(item), item),
    recentLevels: item => stockRows.levels(router.of(item), item),
  }
}
