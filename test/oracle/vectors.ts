import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The neutral test vectors: carts with promotions and the totals that other systems publish for them. */
export interface Vector {
  readonly id: string
  readonly kinds: readonly string[]
  readonly source: string
  readonly disputed?: boolean
  readonly currency: string
  readonly cart: readonly VectorLine[]
  readonly promotions: readonly VectorPromotion[]
  readonly shipping_fee?: number
  readonly shipping_method?: string
  readonly policy?: {
    readonly stacking?: string
    readonly rounding?: string
    readonly tax?: string
    readonly allocation?: string
  } | null
  readonly expected: Expected
  /** What the cart costs after one unit more of each of these, one after the other. */
  readonly steps?: readonly { readonly after: string; readonly total: number }[]
  readonly note?: string
}

export interface VectorLine {
  readonly sku: string
  readonly unit_price: number
  readonly qty: number
  readonly category?: string
  readonly product?: string
  readonly tags?: readonly string[]
  readonly min_unit_price?: number
  readonly list_price?: number
  readonly tax_rate_percent?: number
  readonly gift?: boolean
}

/** Fields differ by kind; what the adapter reads it reads by name and type. */
export type VectorPromotion = Readonly<Record<string, unknown>> & { readonly kind: string; readonly words?: string }

export interface Expected {
  readonly subtotal?: number
  readonly items_discount?: number
  readonly shipping?: number
  readonly tax?: number
  readonly total?: number
  readonly net_subtotal?: number
  readonly gross_subtotal?: number
  readonly lines?: Readonly<Record<string, ExpectedLine>>
}

export interface ExpectedLine {
  readonly discount?: number
  readonly total?: number
  readonly tax?: number
  readonly unit_discounts?: readonly number[]
  readonly by_promotion?: readonly number[]
}

export interface AllocationVector {
  readonly id: string
  readonly weights: readonly number[]
  readonly amount: number
  readonly expected: readonly number[]
  readonly reproduced_by: readonly string[]
  readonly note?: string
}

export function readVectors(folder: string): readonly Vector[] {
  return (JSON.parse(readFileSync(join(folder, 'vectors.json'), 'utf8')) as { vectors: Vector[] }).vectors
}

export function readAllocations(folder: string): readonly AllocationVector[] {
  const file = readFileSync(join(folder, 'allocations.json'), 'utf8')
  return (JSON.parse(file) as { allocations: AllocationVector[] }).allocations
}
