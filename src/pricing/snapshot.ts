import type { Product } from '../model/product.ts'
import type { Catalog } from './price.ts'

/**
 * The catalogue as threads share it: one SharedArrayBuffer of packed text, made once per version and passed by reference
 * with every task. A thread unpacks it when it meets a version that it does not have yet, a new thread on its first task.
 */
export interface Snapshot {
  readonly version: number
  readonly bytes: SharedArrayBuffer
}

export function packSnapshot(version: number, products: readonly Product[]): Snapshot {
  const packed = Buffer.from(JSON.stringify(products.map(p => [p.sku, p.name, p.price, p.category])), 'utf8')
  const bytes = new SharedArrayBuffer(packed.length)
  Buffer.from(bytes).set(packed)
  return { version, bytes }
}

export function unpackSnapshot({ version, bytes }: Snapshot): Catalog {
  const rows = JSON.parse(Buffer.from(bytes).toString('utf8')) as [string, string, number, string][]
  return {
    version,
    products: new Map(rows.map(([sku, name, price, category]) => [sku, { sku, name, price, category }])),
  }
}
