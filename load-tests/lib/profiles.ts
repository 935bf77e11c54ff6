import type { Options } from 'k6/options'

/**
 * Open model: iterations start at the rate whatever the answers take, as shoppers do. A run that could not keep the rate
 * (dropped iterations) says nothing about the service, so it fails.
 */
export function arrivalRate(thresholds: Record<string, string[]> = {}): Options {
  const rate = Number(__ENV['RATE'] ?? 100)
  return {
    scenarios: {
      shoppers: {
        executor: 'constant-arrival-rate',
        rate,
        timeUnit: '1s',
        duration: __ENV['DURATION'] ?? '30s',
        preAllocatedVUs: Math.min(Math.max(20, rate), 1000),
        maxVUs: Math.min(Math.max(50, rate * 3), 3000),
      },
    },
    thresholds: {
      checks: ['rate==1'],
      http_req_failed: ['rate==0'],
      dropped_iterations: ['count==0'],
      'http_req_duration{name:GET /v1/cart}': ['p(99)<500'],
      ...thresholds,
    },
    summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  }
}
