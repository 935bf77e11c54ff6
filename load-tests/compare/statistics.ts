import { randomFrom } from './pricing/cases.ts'

/** Medians and their uncertainty. */
export interface Estimate {
  readonly median: number
  /** 95 % interval of the median, by bootstrap. */
  readonly low: number
  readonly high: number
}

const RESAMPLES = 4_000

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle - 1)] ?? Number.NaN)) / 2
}

/** The same values always give the same interval: the numbers of the bootstrap are drawn from a fixed seed. */
export function estimate(values: readonly number[]): Estimate {
  const random = randomFrom(1)
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN)),
  ).sort((a, b) => a - b)
  const at = (share: number) => medians[Math.floor(share * (RESAMPLES - 1))] ?? Number.NaN
  return { median: median(values), low: at(0.025), high: at(0.975) }
}

export function ratios(of: readonly number[], to: readonly number[]): number[] {
  return of.map((value, index) => value / (to[index] ?? Number.NaN))
}
