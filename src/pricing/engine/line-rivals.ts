import type { Evaluation } from './evaluation.ts'
import { atMost } from './arithmetic.ts'
import { cellDiscount, type Owned } from './line-steps.ts'
import type { LineStep } from './problem.ts'

/**
 * What the open members of one line group take off together at most, for the bound: every line counts with the member that takes
 * most off it.
 */
interface LineRivals {
  /** Counts a member on each line that no offer has alone. `base`: amounts before the group; `amounts` may be changed (see below). */
  count(step: LineStep, amounts: Float64Array, of: { readonly base: Float64Array; readonly owned: Owned }): void
  /** The sum over the lines, each rounded up; begins again with nothing. */
  end(): number
}

export function createLineRivals(evaluation: Evaluation): LineRivals {
  const { firstOf, lines } = evaluation.problem
  const best = new Float64Array(lines.length)

  /**
   * Where a line is cut into cells, a member that is better for the line may leave more of one cell, of which later steps take
   * more: there, what a member that is taken already takes off counts like that of an open one. How much that is.
   */
  function undo(amounts: Float64Array, base: Float64Array, line: number): number {
    const [first, beyond] = [firstOf[line]!, firstOf[line + 1]!]
    let off = 0
    for (let cell = first; cell < beyond && beyond - first > 1; cell++) {
      off += base[cell]! - amounts[cell]!
      amounts[cell] = base[cell]!
    }
    return off
  }

  return {
    count(step, amounts, { base, owned }) {
      for (const { line, first, end } of step.parts) {
        if (owned[line] === 1) continue
        const decided = undo(amounts, base, line)
        let off = 0
        for (let index = first; index < end; index++) off += cellDiscount(evaluation, step, index, amounts, base)
        best[line] = Math.max(best[line]!, decided, off)
      }
    },
    end() {
      const sum = best.reduce((all, off) => all + (off > 0 ? atMost(off) : 0), 0)
      best.fill(0)
      return sum
    },
  }
}
