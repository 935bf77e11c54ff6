import { type Evaluation, narrowFirst } from './evaluation.ts'
import { split } from './arithmetic.ts'

/** Where the amounts of the order steps end up. */
interface Placement {
  /** By order step: what it takes off each cell of its target. */
  readonly parts: readonly (readonly number[])[]
  /** What is left of each cell. */
  readonly left: Float64Array
  /** What found no room: the lines of some steps overlap and were at their floor. It is not given. */
  readonly lost: number
}

/**
 * Puts the amounts of the order steps on cells, in proportion to what the cells cost after the line steps or as the policy says, whole minor
 * units; no cell goes below its floor. Narrow steps first, so that a broad one makes room for them. What still finds
 * no room pushes others aside, as far as they can go elsewhere: no more is lost than must be.
 */
export function placed(evaluation: Evaluation, amounts: Float64Array, taken: Float64Array): Placement {
  const { floor, split: rule } = evaluation.problem
  const left = Float64Array.from(amounts)
  const parts: number[][] = evaluation.orderSteps.map(() => [])
  const wanting: (readonly [step: number, amount: number])[] = []
  for (const at of narrowFirst(evaluation)) {
    const off = taken[at]!
    if (off <= 0) continue
    const { target } = evaluation.orderSteps[at]!
    evaluation.work += target.length
    const own = split(
      off,
      Array.from(target, cell => (rule.isEven ? 1 : amounts[cell]!) * rule.weights[cell]!),
      { caps: Array.from(target, cell => left[cell]! - floor[cell]!), remainder: rule.remainder },
    )
    let given = 0
    for (const [index, part] of own.entries()) {
      left[target[index]!]! -= part
      given += part
    }
    parts[at] = own
    if (given < off) wanting.push([at, off - given])
  }
  let lost = 0
  for (const [step, amount] of wanting) lost += amount - pushAside(evaluation, step, amount, left, parts)
  return { parts, left, lost }
}

/** How a step is reached: it makes room on `cell` for the step `by`. */
interface Push {
  readonly step: number
  readonly by: Push | undefined
  readonly cell: number
}

/** Moves parts of other steps along the shortest chains that end in a cell with room (Edmonds and Karp); the amount placed. */
function pushAside(
  evaluation: Evaluation,
  step: number,
  amount: number,
  left: Float64Array,
  parts: number[][],
): number {
  const { orderSteps, problem } = evaluation
  const partOf = (at: number, cell: number) => parts[at]![orderSteps[at]!.target.indexOf(cell)] ?? 0
  const give = (at: number, cell: number, more: number) => {
    parts[at]![orderSteps[at]!.target.indexOf(cell)]! += more
  }
  let given = 0
  while (given < amount) {
    const chain: Push[] = [{ step, by: undefined, cell: -1 }]
    const seen = new Set([step])
    let end: Push | undefined
    let roomAt = -1
    for (let at = 0; at < chain.length && !end; at++) {
      const push = chain[at]!
      for (const cell of orderSteps[push.step]!.target) {
        evaluation.work++
        if (left[cell]! > problem.floor[cell]!) {
          end = push
          roomAt = cell
          break
        }
        for (const other of orderSteps.keys()) {
          if (seen.has(other) || partOf(other, cell) <= 0) continue
          seen.add(other)
          chain.push({ step: other, by: push, cell })
        }
      }
    }
    if (!end) break
    let room = Math.min(amount - given, left[roomAt]! - problem.floor[roomAt]!)
    for (let push = end; push.by; push = push.by) room = Math.min(room, partOf(push.step, push.cell))
    left[roomAt]! -= room
    given += room
    let cell = roomAt
    for (let push: Push | undefined = end; push; push = push.by) {
      give(push.step, cell, room)
      if (push.by) give(push.step, push.cell, -room)
      cell = push.cell
    }
  }
  return given
}
