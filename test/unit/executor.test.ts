import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { createMetrics } from '../../load-tests/executor/aggregates.ts'
import { milliseconds, scheduleOf } from '../../load-tests/executor/schedule.ts'
import { PROJECT } from '../support/servers.ts'

const constant = { executor: 'constant-arrival-rate', timeUnit: '1s', preAllocatedVUs: 1 } as const
const ramping = { executor: 'ramping-arrival-rate', timeUnit: '1s', preAllocatedVUs: 1 } as const

describe('the schedule of an arrival rate', () => {
  const dueOf = (scenario: Parameters<typeof scheduleOf>[1]) => {
    const schedule = scheduleOf('load', scenario)
    return Array.from({ length: schedule.count }, (_, index) => Math.round(schedule.dueMs(index)))
  }

  const CASES: readonly [string, Parameters<typeof scheduleOf>[1], number[]][] = [
    ['4 a second for a second', { ...constant, rate: 4, duration: '1s' }, [0, 250, 500, 750]],
    ['30 a minute', { ...constant, rate: 30, timeUnit: '1m', duration: '10s' }, [0, 2000, 4000, 6000, 8000]],
    [
      'from 0 to 4 a second within 2 seconds: the area under the line',
      { ...ramping, startRate: 0, stages: [{ target: 4, duration: '2s' }] },
      [0, 1000, 1414, 1732],
    ],
    [
      'down to 0 and not up again',
      {
        ...ramping,
        startRate: 4,
        stages: [
          { target: 0, duration: '1s' },
          { target: 0, duration: '5s' },
        ],
      },
      [0, 293],
    ],
    [
      'a jump between two rates',
      {
        ...ramping,
        startRate: 1,
        stages: [
          { target: 1, duration: '2s' },
          { target: 4, duration: '0s' },
          { target: 4, duration: '500ms' },
        ],
      },
      [0, 1000, 2000, 2250],
    ],
  ]
  for (const [what, scenario, due] of CASES) it(what, () => expect(dueOf(scenario)).to.deep.equal(due))

  it('is in order and counts what the area says, for random stages', () => {
    const seed = Date.now() % 1e6
    let state = seed
    const random = (most: number) => ((state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648) * most
    for (let round = 0; round < 50; round++) {
      const stages = Array.from({ length: 1 + Math.floor(random(5)) }, () => ({
        target: Math.floor(random(300)),
        duration: `${Math.floor(random(3000))}ms`,
      }))
      const schedule = scheduleOf('load', { ...ramping, startRate: 5, stages })
      let [rate, total] = [5, 0]
      for (const { target, duration } of stages) {
        total += ((rate + target) / 2) * (milliseconds(duration) / 1000)
        rate = target
      }
      expect(schedule.count, `seed ${seed}`).to.be.within(Math.floor(total), Math.ceil(total) + 1)
      let last = 0
      for (let index = 0; index < schedule.count; index++) {
        const at = schedule.dueMs(index)
        expect(at, `seed ${seed}, iteration ${index}`).to.be.within(last - 1e-6, schedule.durationMs + 1e-6)
        last = at
      }
    }
  })

  it('refuses what it would get wrong', () => {
    expect(() => scheduleOf('load', { executor: 'constant-vus', vus: 3, duration: '1s' })).to.throw(
      /constant-vus.*only constant-arrival-rate/,
    )
    for (const text of ['5', 'soon', '1s and more', ''])
      expect(() => milliseconds(text), text).to.throw('is no duration')
    expect(['90s', '1m30s', 90_000].map(text => milliseconds(text))).to.deep.equal([90_000, 90_000, 90_000])
  })
})

describe('thresholds', () => {
  const metricsOf = (thresholds: Record<string, string[]>) => createMetrics(thresholds, () => 0)
  const heldBy = (rule: string, values: number[], metric = 'http_req_duration') => {
    const metrics = metricsOf({ [metric]: [rule] })
    metrics.add(metric, {}, values)
    return metrics.check(10)[0]?.held
  }
  const hundred = Array.from({ length: 100 }, (_, at) => at + 1)

  const CASES: readonly [string, number[], string, boolean][] = [
    ['p(99)<100', hundred, 'http_req_duration', true],
    ['p(99)<98', hundred, 'http_req_duration', false],
    ['med<=51', hundred, 'http_req_duration', true],
    ['max<100', hundred, 'http_req_duration', false],
    ['avg==50.5', hundred, 'http_req_duration', true],
    ['rate==1', [1, 1], 'checks', true],
    ['rate==1', [1, 0], 'checks', false],
    ['rate==1', [], 'checks', true],
    ['rate<0.01', [0, 0, 1], 'http_req_failed', false],
    ['count==0', [], 'dropped_iterations', true],
    ['count==3', [1, 2], 'dropped_iterations', true],
    ['rate>=0.3', [3], 'dropped_iterations', true],
    ['count!=3', [3], 'dropped_iterations', false],
  ]
  for (const [rule, values, metric, held] of CASES)
    it(`${metric} ${rule} ${held ? 'holds' : 'does not hold'} for ${values.length > 5 ? '1 to 100' : `[${values.join(', ')}]`}`, () =>
      expect(heldBy(rule, values, metric)).to.equal(held))

  it('of a part of a metric look at that part only', () => {
    const metrics = metricsOf({ 'http_req_duration{name:GET /v1/cart}': ['max<10'] })
    metrics.add('http_req_duration', { name: 'GET /v1/products' }, [500])
    metrics.add('http_req_duration', { name: 'GET /v1/cart' }, [5])
    expect(metrics.check(1).map(({ held }) => held)).to.deep.equal([true])
    metrics.add('http_req_duration', { name: 'GET /v1/cart' }, [11])
    expect(metrics.check(1).map(({ held }) => held)).to.deep.equal([false])
  })

  it('that cannot be read, or name nothing, are told', () => {
    expect(() => metricsOf({ checks: ['mostly fine'] }).check(1)).to.throw("'mostly fine' cannot be read")
    expect(() => metricsOf({ checks: ['p(95)<1'] }).check(1)).to.throw('cannot be read')
    expect(() => metricsOf({ no_such_metric: ['count>0'] }).check(1)).to.throw("no metric 'no_such_metric'")
  })
})

/** Scenario files for a program of its own: what k6 would run as well. */
describe('the executor', function () {
  let dir: string
  let server: Server
  let url: string
  /** Milliseconds until the next answers. */
  let answerMs = 0
  let seen: { path: string; cookie: string | undefined; at: number }[] = []

  before(done => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-executor-'))
    server = createServer((request, response) => {
      seen.push({ path: request.url ?? '', cookie: request.headers.cookie, at: Date.now() })
      setTimeout(() => {
        response.writeHead(request.url === '/broken' ? 500 : 200, {
          'Content-Type': 'application/json',
          'X-Session-Token': 'a',
          'Set-Cookie': 'sid=7; Path=/',
        })
        response.end('{"page":{"next":"c2"},"n":1}')
      }, answerMs)
    })
    server.listen(0, '127.0.0.1', () => {
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      done()
    })
  })
  after(done => {
    rmSync(dir, { recursive: true, force: true })
    server.closeAllConnections()
    server.close(() => done())
  })
  beforeEach(() => {
    seen = []
    answerMs = 0
  })

  async function run(scenario: string, ...args: string[]) {
    const file = join(dir, 'scenario.ts')
    const summary = join(dir, 'summary.json')
    writeFileSync(
      file,
      `import { check, fail, sleep } from 'k6'\nimport http from 'k6/http'\nimport exec from 'k6/execution'\nimport { SharedArray } from 'k6/data'\nimport { Counter, Trend } from 'k6/metrics'\n${scenario}`,
    )
    const main = join(PROJECT, 'load-tests', 'executor', 'main.ts')
    const words = [main, 'run', file, '--summary-export', summary, '-e', `BASE_URL=${url}`, ...args]
    const ended = await promisify(execFile)(process.execPath, words, { maxBuffer: 1e8 }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        stdout: error.stdout,
        stderr: error.stderr,
      }),
    )
    return {
      ...ended,
      metrics: () =>
        (JSON.parse(readFileSync(summary, 'utf8')) as { metrics: Record<string, Record<string, number>> }).metrics,
    }
  }
  const options = (rate: number, duration: string, more = '') =>
    `export const options = { scenarios: { load: { executor: 'constant-arrival-rate', rate: ${rate}, timeUnit: '1s', duration: '${duration}', preAllocatedVUs: 5, maxVUs: 20 } }, ${more} }\n`

  it('runs setup once, every iteration once over all threads, teardown once, and gives answers as k6 does', async () => {
    const { code, stderr, metrics } = await run(
      `${options(50, '2s', "thresholds: { checks: ['rate==1'], dropped_iterations: ['count==0'], iterations_seen: ['count==100'] }")}
      const items = new SharedArray('items', () => [1, 2, 3])
      const iterations = new Counter('iterations_seen')
      export async function setup() { await http.asyncRequest('GET', __ENV.BASE_URL + '/setup'); return { token: 't' } }
      export default async function (data) {
        iterations.add(1)
        const index = exec.scenario.iterationInTest
        const answer = await http.asyncRequest('GET', __ENV.BASE_URL + '/i/' + index, null, { jar: new http.CookieJar() })
        check(answer, {
          'status': a => a.status === 200, 'header': a => a.headers['X-Session-Token'] === 'a', 'json': a => a.json().n === 1,
          'selector': a => a.json('page.next') === 'c2', 'data': () => data.token === 't', 'same iteration after a wait': () => exec.scenario.iterationInTest === index,
          'array': () => items.length === 3 && items.map(x => x * 2)[2] === 6, 'user': () => exec.vu.idInTest >= 1 && __VU === exec.vu.idInTest,
        })
      }
      export async function teardown(data) { await http.asyncRequest('GET', __ENV.BASE_URL + '/teardown/' + data.token) }`,
      '--threads',
      '3',
    )
    expect(code, stderr).to.equal(0)
    const paths = seen.map(({ path }) => path)
    expect(paths.filter(path => path === '/setup')).to.have.length(1)
    expect(paths.filter(path => path === '/teardown/t')).to.have.length(1)
    const indexes = paths.flatMap(path => (path.startsWith('/i/') ? [Number(path.slice(3))] : []))
    expect(indexes.toSorted((a, b) => a - b)).to.deep.equal(Array.from({ length: 100 }, (_, at) => at))
    expect(metrics()['iterations']?.['count']).to.equal(100)
  })

  it('keeps the cookies of a virtual user, and none with a jar of its own', async () => {
    await run(`${options(2, '1s')} export default async function () {
      await http.asyncRequest('GET', __ENV.BASE_URL + '/first'); await http.asyncRequest('GET', __ENV.BASE_URL + '/second')
      await http.asyncRequest('GET', __ENV.BASE_URL + '/alone', null, { jar: new http.CookieJar() }) }`)
    expect(seen.filter(({ path }) => path === '/second').map(({ cookie }) => cookie)).to.deep.equal(['sid=7', 'sid=7'])
    expect(seen.filter(({ path }) => path === '/alone').map(({ cookie }) => cookie)).to.deep.equal([
      undefined,
      undefined,
    ])
  })

  it('goes on at its rate while answers are late, counts the wait from when a request was due, and drops what has no user', async () => {
    answerMs = 500 // half of the users are free, also on a busy machine
    const late = await run(
      `${options(20, '2s', "thresholds: { dropped_iterations: ['count==0'] }")} export default async function () { await http.asyncRequest('GET', __ENV.BASE_URL + '/') }`,
    )
    expect(late.code, late.stderr).to.equal(0)
    expect(seen, 'a closed loop of 20 users would have sent twice as many').to.have.length(40)
    seen = []
    answerMs = 900
    const busy = await run(
      `${options(60, '2s', "thresholds: { dropped_iterations: ['count==0'] }, summaryTrendStats: ['med', 'max']")} export default async function () { await http.asyncRequest('GET', __ENV.BASE_URL + '/') }`,
    )
    expect(busy.code, 'a rate that is not kept fails').to.equal(99)
    const { dropped_iterations: dropped, iterations } = busy.metrics()
    expect(dropped?.['count']).to.be.above(10)
    expect((dropped?.['count'] ?? 0) + (iterations?.['count'] ?? 0), 'each of 120 was run or dropped').to.equal(120)
  })

  it('counts a late start in http_req_duration and not in the service time', async () => {
    const { metrics } = await run(
      `${options(20, '2s', "summaryTrendStats: ['max']")}
      export default async function () {
        if (exec.scenario.iterationInTest === 10) { const until = Date.now() + 600; while (Date.now() < until); }
        await http.asyncRequest('GET', __ENV.BASE_URL + '/') }`,
      '--threads',
      '1',
    )
    expect(metrics()['http_req_duration']?.['max']).to.be.above(550)
    expect(metrics()['http_req_service_time']?.['max']).to.be.below(metrics()['http_req_duration']?.['max'] ?? 0)
  })

  it('tells of an iteration that throws, a failed request, a threshold that does not hold, and a server that is not there', async () => {
    const { code, stderr, metrics } =
      await run(`${options(10, '1s', "thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] }")}
      export default async function () {
        const broken = await http.asyncRequest('GET', __ENV.BASE_URL + '/broken')
        check(broken, { 'answers 200': a => a.status === 200 })
        const expected = await http.asyncRequest('GET', __ENV.BASE_URL + '/broken', null, { responseCallback: http.expectedStatuses(500) })
        const refused = await http.asyncRequest('GET', 'http://127.0.0.1:1/')
        check([expected, refused], { 'both outcomes are right': ([a, b]) => a.status === 500 && b.status === 0 && b.error.includes('ECONNREFUSED') })
        fail('on purpose') }`)
    expect(code).to.equal(99)
    expect(stderr)
      .to.include('on purpose')
      .and.to.match(/thresholds on metrics 'checks', 'http_req_failed' have been crossed/)
    expect(metrics()['http_req_failed']?.['passes'], 'of 30 requests two thirds').to.equal(20)
    expect(metrics()['checks']?.['fails']).to.equal(10)
  })

  const WRONG: readonly [string, string, number, RegExp][] = [
    [
      'a module that only k6 has',
      "import ws from 'k6/ws'\nexport default () => ws",
      107,
      /'k6\/ws' is not among what runs without k6/,
    ],
    [
      'an executor with a fixed number of users',
      "export const options = { scenarios: { a: { executor: 'per-vu-iterations' } } }\nexport default () => 1",
      104,
      /per-vu-iterations/,
    ],
    [
      'options without scenarios',
      'export const options = { vus: 3 }\nexport default () => 1',
      104,
      /no options.scenarios/,
    ],
    [
      'a setup that throws',
      `${options(1, '1s')}export function setup() { fail('no shop') }\nexport default () => 1`,
      107,
      /no shop/,
    ],
    [
      'a sleep that would stop a thread',
      `${options(2, '1s')}export default () => sleep(1)`,
      0,
      /use setTimeout of 'k6\/timers'/,
    ],
    [
      'a synchronous request',
      `${options(2, '1s')}export default () => http.get('http://127.0.0.1:1')`,
      0,
      /use http.asyncRequest/,
    ],
  ]
  for (const [what, scenario, code, said] of WRONG)
    it(`says what is wrong with ${what}`, async () => {
      const ended = await run(scenario)
      expect([ended.code, ended.stderr]).to.satisfy(([is, text]: [number, string]) => is === code && said.test(text))
    })

  it('ends early when a threshold says so', async () => {
    const { code } =
      await run(`${options(20, '30s', "thresholds: { checks: [{ threshold: 'rate>0.9', abortOnFail: true, delayAbortEval: '1s' }] }")}
      export default async function () { check(1, { never: () => false }) }`)
    expect(code).to.equal(99)
  })
})
