import { mean } from '../compare/statistics.ts'
import type { Result } from './result.ts'

/** Which moments of a run count for what. Pure. */
export type Measured = Pick<Result, 'load' | 'samples'>
export type Means = Readonly<Record<string, number | undefined>>

/** Moments at full load are those within this share of the highest rate; before and after them it goes up and down. */
const FULL = 0.7
/** Of these the share that is looked at for what holds up. */
const WORST = 0.1
const WORST_MIN = 3

/** Numbers of the moments of the load in which the rate was near its highest. */
export function fullLoad({ load }: Measured): number[] {
  const rates = load.values['requests'] ?? []
  const top = Math.max(0, ...rates.map(rate => rate ?? 0))
  return load.at.flatMap((_, index) => ((rates[index] ?? 0) >= top * FULL ? [index] : []))
}

/** Of those the tenth with the most errors, and then the longest times: what stood in the way then is what stands in the way. */
export function worst({ load }: Measured, moments: readonly number[]): number[] {
  const of = (name: string, index: number) => load.values[name]?.[index] ?? 0
  const errors = (index: number) => of('failed', index) + of('dropped', index) + of('failed checks', index)
  return moments
    .toSorted((a, b) => errors(b) - errors(a) || of('p99', b) - of('p99', a))
    .slice(0, Math.max(WORST_MIN, Math.ceil(moments.length * WORST)))
}

/** Number of the moment of the load in which the second before `at` mostly lies; -1 for what was before the load or after it. */
export function momentOf({ load }: Pick<Measured, 'load'>, at: number): number {
  const middle = at - 0.5
  return middle < 0 ? -1 : load.at.findIndex(end => end > middle)
}

/** Numbers of the samples that were taken in those moments. */
export function samplesWithin(run: Measured, moments: readonly number[]): number[] {
  const chosen = new Set(moments)
  return run.samples.at.flatMap((at, index) => (chosen.has(momentOf(run, at)) ? [index] : []))
}

export function meansAt(run: Measured, moments: readonly number[]): Means {
  const within = samplesWithin(run, moments)
  const meanOf = (values: readonly (number | null)[], indexes: readonly number[]) => {
    const known = indexes.flatMap(index => values[index] ?? [])
    return known.length === 0 ? undefined : mean(known)
  }
  return {
    ...Object.fromEntries(Object.entries(run.samples.values).map(([name, values]) => [name, meanOf(values, within)])),
    requests: meanOf(run.load.values['requests'] ?? [], moments),
  }
}
