import { check } from 'k6'
import http from 'k6/http'
import { SharedArray } from 'k6/data'
import type { Options } from 'k6/options'

/**
 * Ready-made requests at a fixed rate, whatever the answers take; prints the percentiles as JSON. For load-tests/compare and capacity. k6 has one
 * time of a request (service time); the executor counts `http_req_duration` from when the request was due, and has the service time beside it.
 */
interface Request {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | null
}

const requests = new SharedArray('requests', () => JSON.parse(open(__ENV['REQUESTS'] ?? '')) as Request[])
const rate = Number(__ENV['RATE'])
/** Enough that none is missing while answers take as long as they may. */
const VUS = Number(__ENV['VUS'] ?? Math.min(300, Math.max(10, Math.ceil(rate / 3))))

export const options: Options = {
  scenarios: {
    fixed: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV['DURATION'] ?? '10s',
      preAllocatedVUs: VUS,
      maxVUs: Math.max(1000, VUS),
    },
  },
  discardResponseBodies: true,
  summaryTrendStats: ['med', 'p(95)', 'p(99)'],
}

let turn = __VU * 7

export default async function fixedRate(): Promise<void> {
  const request = requests[turn++ % requests.length]
  if (!request) return
  const { method, path, headers, body } = request
  const response = await http.asyncRequest(method, `${__ENV['BASE_URL']}${path}`, body, { headers, redirects: 0 })
  check(response, { answered: r => r.status < 400 && r.status > 0 })
}

interface Summary {
  readonly metrics: Readonly<Record<string, { readonly values: Readonly<Record<string, number>> } | undefined>>
}

export function handleSummary({ metrics }: Summary): Record<string, string> {
  const of = (name: string) => metrics[name]?.values ?? {}
  const times = of('http_req_duration')
  const service = metrics['http_req_service_time']?.values ?? times
  const result = {
    medianMs: times['med'],
    p95Ms: times['p(95)'],
    p99Ms: times['p(99)'],
    serviceMedianMs: service['med'],
    good: of('checks')['rate'],
    requests: of('http_reqs')['count'] ?? 0,
    dropped: of('dropped_iterations')['count'] ?? 0,
  }
  return { stdout: `${JSON.stringify(result)}\n` }
}
