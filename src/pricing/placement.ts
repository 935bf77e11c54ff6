import { type Arena, narrowFirst } from './arena.ts'
import { split } from './arithmetic.ts'

/** Where the amounts of the order steps end up. */
export interface Placement {
  /** By order step: what it takes off each cell of its target. */
  readonly parts: readonly (readonly number[])[]
  /** What is left of each cell. */
  readonly left: Float64Array
  /** What found no room: the lines of some steps overlap and were at their floor. It is not given. */
  readonly lost: number
}

/**
 * Puts the amounts of the order steps on cells, in proportion to what the cells cost after the line steps, whole minor units,
 * largest remainder; no cell goes below its floor. Narrow steps first, so that a broad one makes room for them.
 */
export function placed(arena: Arena, amounts: Float64Array, taken: Float64Array): Placement {
  const { floor, splitBy } = arena.problem
  const left = Float64Array.from(amounts)
  const parts: (readonly number[])[] = arena.orderSteps.map(() => [])
  let lost = 0
  for (const at of narrowFirst(arena)) {
    const off = taken[at]!
    if (off <= 0) continue
    const { target } = arena.orderSteps[at]!
    arena.work += target.length
    const own = split(
      off,
      Array.from(target, cell => amounts[cell]! * splitBy[cell]!),
      Array.from(target, cell => left[cell]! - floor[cell]!),
    )
    let given = 0
    for (const [index, part] of own.entries()) {
      left[target[index]!]! -= part
      given += part
    }
    parts[at] = own
    lost += off - given
  }
  return { parts, left, lost }
}
