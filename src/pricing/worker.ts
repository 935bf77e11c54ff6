import { type Catalog, type PricedCart, priceCart } from './price.ts'
import { type Snapshot, unpackSnapshot } from './snapshot.ts'

/** Thread entry: prices a cart with the catalogue it was sent. Keeps the newest catalogue unpacked. */
export interface PricingTask {
  readonly skus: readonly string[]
  readonly quantities: readonly number[]
  readonly selected: readonly boolean[]
  readonly snapshot: Snapshot
}

let catalog: Catalog | undefined

export function price(task: PricingTask): PricedCart {
  if (catalog?.version !== task.snapshot.version) catalog = unpackSnapshot(task.snapshot)
  const lines = task.skus.map((sku, at) => ({
    sku,
    quantity: task.quantities[at] ?? 0,
    selected: task.selected[at] ?? false,
  }))
  return priceCart(lines, catalog)
}
