import { type Estimate, estimate, ratios } from './statistics.ts'

/**
 * The goals of the hot path, and what a run says of them. Each is a ratio of two units that were measured in the same rounds, so that
 * whatever disturbs the machine disturbs both.
 */
export interface Goal {
  readonly row: string
  readonly of: string
  readonly to: string
  readonly measure: 'cpu' | 'rate'
  readonly atMost?: number
  readonly atLeast?: number
}

const cpu = (row: string, of: string, to: string, atMost: number): Goal => ({ row, of, to, measure: 'cpu', atMost })
const rate = (row: string, of: string, to: string, atLeast: number): Goal => ({ row, of, to, measure: 'rate', atLeast })

/** Units are written `stack/scenario`. */
export const GOALS: readonly Goal[] = [
  cpu('warm view of 10 lines, CPU, against the floor', 'cartload/view-10', 'floor/view-10', 1.35),
  cpu('the same, against the floor behind the shortest nginx', 'cartload/view-10', 'floor-bare/view-10', 1.35),
  cpu('the same, against the plain floor', 'cartload/view-10', 'floor-plain/view-10', 1.35),
  cpu('warm view of 10 lines, CPU, against the typical service', 'cartload/view-10', 'typical/view-10', 0.15),
  cpu('warm view of 10 lines, CPU, against fastify', 'cartload/view-10', 'fastify/view-10', 1.0),
  rate(
    'warm view of 10 lines, requests a second, against the typical service',
    'cartload/view-10',
    'typical/view-10',
    6,
  ),
  cpu('first page of 500 lines against 10 lines', 'cartload/view-500', 'cartload/view-10', 1.2),
  cpu('If-None-Match hit against the full view, 10 lines (2 kB)', 'cartload/view-304', 'cartload/view-10', 0.8),
  cpu('If-None-Match hit against the full view, 100 lines', 'cartload/view-100-304', 'cartload/view-100', 0.8),
  cpu('add a line, durable, CPU, against the typical service', 'cartload/add-10', 'typical/add-10', 0.25),
  rate('add a line, durable, requests a second, against the typical service', 'cartload/add-10', 'typical/add-10', 4),
  cpu('add a line to 500 lines against 10 lines', 'cartload/add-500', 'cartload/add-10', 2),
  cpu('product page of 20, warm, CPU, against the typical service', 'cartload/products', 'typical/products', 0.15),
  cpu('product page at depth 10,000 against the first', 'cartload/products-deep', 'cartload/products', 1.1),
  cpu(
    '2 instances against 1, CPU per request, 64 connections in all',
    'cartload-2/view-10',
    'cartload-1/view-10',
    1.05,
  ),
  cpu(
    '4 instances against 1, CPU per request, 64 connections in all',
    'cartload-4/view-10',
    'cartload-1/view-10',
    1.12,
  ),
  cpu(
    '2 instances against 1, CPU per request, 300 a second for each',
    'cartload-2/view-10 at 600/s',
    'cartload-1/view-10 at 300/s',
    1.05,
  ),
  cpu(
    '4 instances against 1, CPU per request, 300 a second for each',
    'cartload-4/view-10 at 1200/s',
    'cartload-1/view-10 at 300/s',
    1.12,
  ),
  cpu(
    '2 instances against 1, CPU per request, 1,200 a second in all',
    'cartload-2/view-10 at 1200/s',
    'cartload-1/view-10 at 1200/s',
    1.05,
  ),
  cpu(
    '4 instances against 1, CPU per request, 1,200 a second in all',
    'cartload-4/view-10 at 1200/s',
    'cartload-1/view-10 at 1200/s',
    1.12,
  ),
  cpu('through nginx against direct, shopping mix', 'cartload/mixed', 'cartload/mixed direct', 1.35),
  cpu('through nginx against direct, warm view', 'cartload/view-10', 'cartload/view-10 direct', 1.35),
  cpu(
    'through nginx against direct, warm view, 300 a second',
    'cartload-1/view-10 at 300/s',
    'cartload-1/view-10 direct at 300/s',
    1.35,
  ),
]

/** One window of one unit. */
export interface Window {
  readonly unit: string
  readonly cpuUs: number
  readonly rate: number
  readonly parts: Readonly<Record<string, number>>
  readonly others: number
  readonly stolen: number
}

export interface Verdict {
  readonly row: string
  readonly goal: string
  readonly figure: Estimate
  readonly isMet: boolean
  /** False where the 95 % interval reaches over the goal. */
  readonly isClear: boolean
}

export function judge(goal: Goal, windows: readonly Window[]): Verdict | undefined {
  const valuesOf = (unit: string) =>
    windows.filter(window => window.unit === unit).map(window => (goal.measure === 'cpu' ? window.cpuUs : window.rate))
  const [of, to] = [valuesOf(goal.of), valuesOf(goal.to)]
  if (of.length === 0 || of.length !== to.length) return undefined
  return verdictOf(goal.row, estimate(ratios(of, to)), goal)
}

export function verdictOf(
  row: string,
  figure: Estimate,
  { atMost, atLeast, unit = '×' }: { atMost?: number; atLeast?: number; unit?: string },
): Verdict {
  const isMet = atMost === undefined ? figure.median >= (atLeast ?? 0) : figure.median <= atMost
  const isClear = atMost === undefined ? figure.low >= (atLeast ?? 0) : figure.high <= atMost
  const goal = atMost === undefined ? `≥ ${atLeast} ${unit}` : `≤ ${atMost} ${unit}`
  return { row, goal, figure, isMet, isClear: isMet ? isClear : true }
}
