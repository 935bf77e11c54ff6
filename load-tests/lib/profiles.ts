import type { Options, Scenario, Threshold } from 'k6/options'

/**
 * How the load goes over time. Open model: iterations start at the rate whatever the answers take, as shoppers do. A run that
 * could not keep the rate (dropped iterations) says nothing about the service, so it fails.
 */
export const PROFILES = ['smoke', 'average', 'stress', 'spike', 'breakpoint', 'soak'] as const
export type Profile = (typeof PROFILES)[number]

const profile = (__ENV['PROFILE'] ?? 'average') as Profile
const P99_MS = Number(__ENV['P99_MS'] ?? 500)

/** Stages of the rate, and how long the load lasts as it is meant. */
function stagesOf(
  rate: number,
  duration: string | undefined,
): { start: number; stages: { target: number; duration: string }[] } {
  const to = (times: number, time: string) => ({ target: Math.max(1, Math.round(rate * times)), duration: time })
  switch (profile) {
    case 'smoke':
      return { start: rate, stages: [to(1, duration ?? '4s')] }
    case 'average':
      return { start: Math.ceil(rate / 10), stages: [to(1, '10s'), to(1, duration ?? '60s')] }
    case 'stress':
      return {
        start: Math.ceil(rate / 10),
        stages: [to(1, '15s'), to(2, '15s'), to(2, duration ?? '60s'), to(1, '10s')],
      }
    case 'spike':
      return { start: rate, stages: [to(1, '15s'), to(5, '2s'), to(5, duration ?? '15s'), to(1, '2s'), to(1, '20s')] }
    case 'breakpoint':
      return { start: Math.ceil(rate / 4), stages: [to(20, duration ?? '180s')] }
    case 'soak':
      return { start: Math.ceil(rate / 10), stages: [to(1, '30s'), to(1, duration ?? '30m')] }
    default:
      throw new Error(`there is no profile '${profile as string}': ${PROFILES.join(', ')}`)
  }
}

export interface Shape {
  /** Iterations a second, unless another rate is asked for. */
  readonly rate: number
  /** Iterations that take long by themselves (they wait, or send many requests) need more who do them. */
  readonly secondsEach?: number
  readonly thresholds?: Readonly<Record<string, Threshold[]>>
}

export function shaped({ rate: usual, secondsEach = 0.3, thresholds = {} }: Shape): Options {
  const rate = Number(__ENV['RATE'] ?? (profile === 'smoke' ? Math.min(usual, 10) : usual))
  const { start, stages } = stagesOf(rate, __ENV['DURATION'])
  const highest = Math.max(start, ...stages.map(({ target }) => target))
  const needed = Math.ceil(highest * secondsEach)
  const shoppers: Scenario = {
    executor: 'ramping-arrival-rate',
    startRate: start,
    timeUnit: '1s',
    stages,
    preAllocatedVUs: Math.min(Math.max(20, needed), 2_000),
    maxVUs: Math.min(Math.max(100, needed * 5), 5_000),
    gracefulStop: '30s',
  }
  const bends = profile === 'breakpoint'
  const strict = (threshold: string): Threshold[] => [
    bends ? { threshold, abortOnFail: true, delayAbortEval: '10s' } : threshold,
  ]
  return {
    scenarios: { shoppers },
    thresholds: {
      checks: strict(bends ? 'rate>0.999' : 'rate==1'),
      http_req_failed: strict(bends ? 'rate<0.001' : 'rate==0'),
      dropped_iterations: strict('count==0'),
      'http_req_duration{scenario:shoppers}': strict(`p(99)<${P99_MS}`),
      ...thresholds,
    },
    summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
    setupTimeout: '5m',
    teardownTimeout: '2m',
  }
}
