import type { Product } from '../model/product.ts'
import type { RuleSet } from '../model/promotion.ts'
import type { Catalog, Rules } from './price.ts'
import { compileRules } from './engine/rules.ts'

/**
 * Catalogue and rules as threads share them: SharedArrayBuffers of packed text, made once per version and passed by reference
 * with every task. A thread unpacks one when it meets a version that it does not have yet, a new thread on its first task.
 */
export interface Snapshot {
  readonly version: number
  readonly bytes: SharedArrayBuffer
}

export interface RulesSnapshot extends Snapshot {
  readonly stamp: number
}

export function packSnapshot(version: number, products: readonly Product[]): Snapshot {
  return { version, bytes: pack(products) }
}

export function unpackSnapshot({ version, bytes }: Snapshot): Catalog {
  const products = unpack(bytes) as Product[]
  return { version, products: new Map(products.map(product => [product.sku, product])) }
}

export function packRules(version: number, stamp: number, ruleSet: RuleSet): RulesSnapshot {
  return { version, stamp, bytes: pack(ruleSet) }
}

export function unpackRules({ version, stamp, bytes }: RulesSnapshot): Omit<Rules, 'usage'> {
  return { version, stamp, compiled: compileRules(unpack(bytes) as RuleSet) }
}

function pack(value: unknown): SharedArrayBuffer {
  const packed = Buffer.from(JSON.stringify(value), 'utf8')
  const bytes = new SharedArrayBuffer(packed.length)
  Buffer.from(bytes).set(packed)
  return bytes
}

function unpack(bytes: SharedArrayBuffer): unknown {
  return JSON.parse(Buffer.from(bytes).toString('utf8'))
}
