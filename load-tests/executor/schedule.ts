import type { RampingArrivalRateScenario, ConstantArrivalRateScenario, Scenario } from 'k6/options'

/**
 * When the iterations of an arrival-rate scenario are due: pure arithmetic over its options. The rate is a line of pieces, each linear in time;
 * iteration k is due when the area under it reaches k.
 */
export interface Schedule {
  /** Milliseconds from the start of the run. */
  readonly startMs: number
  readonly durationMs: number
  readonly gracefulStopMs: number
  readonly vusMax: number
  /** Iterations in all. */
  readonly count: number
  /** Highest rate, in iterations a second. */
  readonly ratePeak: number
  /** When iteration `index` is due, in milliseconds from the start of the scenario. */
  dueMs(index: number): number
}

interface Piece {
  readonly startMs: number
  readonly endMs: number
  /** Iterations a millisecond at both ends. */
  readonly from: number
  readonly to: number
  /** Iterations that are due before it. */
  readonly before: number
}

const GRACEFUL_STOP_MS = 30_000

/** @throws Error for an executor other than the two with an arrival rate, or a wrong option */
export function scheduleOf(name: string, scenario: Scenario): Schedule {
  const { executor } = scenario
  if (executor !== 'constant-arrival-rate' && executor !== 'ramping-arrival-rate')
    throw new Error(
      `scenario '${name}' has the executor '${executor as string}': only constant-arrival-rate and ramping-arrival-rate run here`,
    )
  const pieces = piecesOf(scenario)
  const last = pieces.at(-1)
  const total = last ? last.before + area(last, last.endMs) : 0
  return {
    startMs: milliseconds(scenario.startTime, 0),
    durationMs: last?.endMs ?? 0,
    gracefulStopMs: milliseconds(scenario.gracefulStop, GRACEFUL_STOP_MS),
    vusMax: scenario.maxVUs ?? scenario.preAllocatedVUs,
    count: Math.max(0, Math.ceil(total - EPSILON)), // the first is due at once
    ratePeak: Math.max(0, ...pieces.flatMap(({ from, to }) => [from, to])) * 1000,
    dueMs: index => dueMs(pieces, index),
  }
}

const EPSILON = 1e-9

function piecesOf(scenario: ConstantArrivalRateScenario | RampingArrivalRateScenario): Piece[] {
  const unitMs = milliseconds(scenario.timeUnit, 1000)
  const pieces: Piece[] = []
  const add = (durationMs: number, from: number, to: number) => {
    if (durationMs === 0) return
    const previous = pieces.at(-1)
    const startMs = previous?.endMs ?? 0
    const before = previous ? previous.before + area(previous, previous.endMs) : 0
    pieces.push({ startMs, endMs: startMs + durationMs, from: from / unitMs, to: to / unitMs, before })
  }
  if (scenario.executor === 'constant-arrival-rate') {
    add(milliseconds(scenario.duration), scenario.rate, scenario.rate)
    return pieces
  }
  let rate = scenario.startRate ?? 0
  for (const { target, duration } of scenario.stages) {
    add(milliseconds(duration), rate, target)
    rate = target
  }
  return pieces
}

/** Iterations between the start of the piece and a moment in it. */
function area({ startMs, endMs, from, to }: Piece, atMs: number): number {
  const passed = atMs - startMs
  return from * passed + ((to - from) * passed * passed) / (2 * (endMs - startMs))
}

function dueMs(pieces: readonly Piece[], index: number): number {
  const piece = pieces.findLast(({ before }) => before <= index + EPSILON) ?? pieces[0]
  if (!piece) return 0
  const wanted = Math.max(0, index - piece.before)
  const slope = (piece.to - piece.from) / (piece.endMs - piece.startMs)
  if (Math.abs(slope) < EPSILON * EPSILON) return piece.startMs + (piece.from === 0 ? 0 : wanted / piece.from)
  // The root of slope/2·t² + from·t − wanted that lies in the piece.
  const root = Math.sqrt(Math.max(0, piece.from * piece.from + 2 * slope * wanted))
  return piece.startMs + (2 * wanted) / (piece.from + root || EPSILON)
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Of `90s`, `1m30s`, `500ms`, or a number of milliseconds. @throws Error for anything else */
export function milliseconds(text: string | number | undefined, standard?: number): number {
  if (text === undefined && standard !== undefined) return standard
  if (typeof text === 'number') return text
  const parts = [...String(text).matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw new Error(`'${String(text)}' is no duration such as 30s or 1m30s`)
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNITS[unit ?? ''] ?? 0), 0)
}
