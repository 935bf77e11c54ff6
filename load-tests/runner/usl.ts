/**
 * The Universal Scalability Law (N. Gunther): X(N) = λN / (1 + α(N−1) + βN(N−1)). α is what must be done one after the other, β what each
 * must settle with each other. What one unit of work costs grows by the same factor: c(N) = c(1) · (1 + α(N−1) + βN(N−1)). Pure.
 */
export interface Scaling {
  /** c(1), in the unit of the values. */
  readonly first: number
  readonly alpha: number
  readonly beta: number
  /** Share of the scatter that the law explains; 1 is all of it, 0 no better than the mean. */
  readonly r2: number
}

export interface Cost {
  readonly n: number
  readonly cost: number
}

/** A law that explains nothing of what was measured, such as one of costs that fall, has not been found. */
export const isFound = ({ r2 }: Scaling): boolean => r2 >= 0.5

export const growth = ({ alpha, beta }: Pick<Scaling, 'alpha' | 'beta'>, n: number): number =>
  1 + alpha * (n - 1) + beta * n * (n - 1)

/** How many do the most: with more of them less is done. Infinity when there is no such number. */
export const peakOf = ({ alpha, beta }: Scaling): number =>
  beta > 0 ? Math.sqrt(Math.max(0, 1 - alpha) / beta) : Infinity

/** For costs of a unit of work, or N / X(N) for throughputs. Coefficients below zero mean nothing, so those are taken for zero. */
export function fit(costs: readonly Cost[]): Scaling {
  const terms = [() => 1, (n: number) => n - 1, (n: number) => n * (n - 1)]
  const choices = [[0, 1, 2], [0, 1], [0, 2], [0]].filter(
    chosen => chosen.length <= new Set(costs.map(({ n }) => n)).size,
  )
  const fits = choices.map(chosen => {
    // Divided by the value, so that errors count by their share of it.
    const rows = costs.map(({ n, cost }) => chosen.map(term => (terms[term]?.(n) ?? 0) / cost))
    const solved = leastSquares(rows)
    const [a = 0, b = 0, c = 0] = [0, 1, 2].map(term => solved[chosen.indexOf(term)] ?? 0)
    return { first: a, alpha: b / a, beta: c / a }
  })
  const sound = fits.filter(({ first, alpha, beta }) => first > 0 && alpha >= 0 && beta >= 0)
  const error = (found: Omit<Scaling, 'r2'>) =>
    costs.reduce((sum, { n, cost }) => sum + ((found.first * growth(found, n)) / cost - 1) ** 2, 0)
  const [best = { first: Number.NaN, alpha: 0, beta: 0 }] = sound.sort((a, b) => error(a) - error(b))
  const mean = costs.reduce((sum, { cost }) => sum + cost, 0) / costs.length
  const scatter = costs.reduce((sum, { cost }) => sum + (cost - mean) ** 2, 0)
  const left = costs.reduce((sum, { n, cost }) => sum + (cost - best.first * growth(best, n)) ** 2, 0)
  return { ...best, r2: scatter === 0 ? 1 : 1 - left / scatter }
}

/** The x for which rows · x comes nearest to ones: normal equations, by elimination. */
function leastSquares(rows: readonly (readonly number[])[]): number[] {
  const width = rows[0]?.length ?? 0
  const at = (row: readonly number[], column: number) => row[column] ?? 0
  const matrix = Array.from({ length: width }, (_, i) => [
    ...Array.from({ length: width }, (_unused, j) => rows.reduce((sum, row) => sum + at(row, i) * at(row, j), 0)),
    rows.reduce((sum, row) => sum + at(row, i), 0),
  ])
  for (let pivot = 0; pivot < width; pivot++) {
    const best = matrix
      .slice(pivot)
      .reduce((most, row) => (Math.abs(at(row, pivot)) > Math.abs(at(most, pivot)) ? row : most))
    matrix.splice(matrix.indexOf(best), 1)
    matrix.splice(pivot, 0, best)
    for (const [index, row] of matrix.entries()) {
      if (index === pivot) continue
      const factor = at(row, pivot) / at(best, pivot)
      matrix[index] = row.map((value, column) => value - factor * at(best, column))
    }
  }
  return matrix.map((row, index) => at(row, width) / at(row, index))
}
