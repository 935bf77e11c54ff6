import { expect } from 'chai'
import { changesOf, differencesOf, errorsOf } from '../../load-tests/runner/changes.ts'
import { htmlOf } from '../../load-tests/runner/page.ts'
import { type Costs, planOf } from '../../load-tests/runner/plan.ts'
import { momentOf } from '../../load-tests/runner/moments.ts'
import { createPoints } from '../../load-tests/runner/points.ts'
import { between, parseMetrics, type Reading } from '../../load-tests/runner/readings.ts'
import { FORMAT, type Result, resultOf } from '../../load-tests/runner/result.ts'
import { fit, growth, peakOf } from '../../load-tests/runner/usl.ts'
import { bottleneckOf, verdictOf } from '../../load-tests/runner/verdict.ts'

/** The arithmetic of `npm run load`, `load:diff` and `capacity`: what they say must follow from what was measured. */
const START = Date.parse('2026-01-01T00:00:00Z') / 1000
const MACHINE = { cores: 2, cpu: 'some', memoryGb: 8, kernel: 'Linux', node: 'v24', generator: 'executor' }

function point(metric: string, second: number, value: number, tags: Record<string, string> = { scenario: 'shoppers' }) {
  const time = new Date((START + second) * 1000 + 500).toISOString()
  return JSON.stringify({ metric, type: 'Point', data: { time, value, tags } })
}

const about = {
  scenario: 'shop',
  profile: 'average',
  startedAt: '2026-01-01T00:00:00Z',
  command: 'npm run load -- shop',
  machine: MACHINE,
  cluster: { version: '1', instances: 2, shards: 2 },
  thresholds: [{ metric: 'checks', rule: 'rate==1', held: true }],
  problem: undefined,
}

/** A run of some seconds, each with these times, while everything was as busy as `samples` says. */
function runOf(
  seconds: number,
  { times = [1, 2, 3], samples = {} }: { times?: readonly number[]; samples?: Readonly<Record<string, number>> } = {},
): Result {
  const points = createPoints()
  for (let second = 0; second < seconds; second++)
    for (const time of times)
      points.accept(
        point('http_req_duration', second, time, {
          scenario: 'shoppers',
          name: 'GET /v1/cart',
          status: '200',
          expected_response: 'true',
        }),
      )
  const at = Array.from({ length: seconds }, (_, index) => index + 1)
  const values = Object.fromEntries(Object.entries(samples).map(([name, value]) => [name, at.map(() => value)]))
  return { ...resultOf(about, points, []), samples: { at, values } }
}

describe('a load run', () => {
  it('keeps what the generator says, second by second, and leaves out what was done to prepare it', () => {
    const points = createPoints()
    const request = { scenario: 'shoppers', name: 'GET /v1/cart', status: '200', expected_response: 'true' }
    points.accept('{"type":"Metric","data":{"name":"http_reqs","type":"counter"},"metric":"http_reqs"}')
    points.accept('     checks.........................: 100.00%')
    points.accept(point('http_req_duration', 0, 10, { ...request, scenario: '' }))
    for (const [second, ms] of [
      [0, 10],
      [0, 20],
      [2, 100],
    ] as const)
      points.accept(point('http_req_duration', second, ms, request))
    points.accept(
      point('http_req_duration', 2, 0.4, { ...request, name: 'POST /x', status: '0', expected_response: 'false' }),
    )
    points.accept(point('dropped_iterations', 2, 3))
    points.accept(point('checks', 2, 0, { scenario: 'shoppers', check: 'cart: 200' }))
    points.accept(point('checks', 2, 1, { scenario: 'shoppers', check: 'cart: 200' }))
    points.accept(point('units_sold', 2, 7))
    points.accept(point('http_req_waiting', 2, 7))
    const { totals, routes, load, failures, failedChecks, counters } = resultOf(about, points, [])
    expect(totals).to.include({ seconds: 3, requests: 4, failed: 1, dropped: 3, checks: 2, failedChecks: 1 })
    expect(totals.max).to.be.closeTo(100, 1)
    expect(routes.map(({ name, requests, failed }) => [name, requests, failed])).to.deep.equal([
      ['GET /v1/cart', 3, 0],
      ['POST /x', 1, 1],
    ])
    expect(load.at).to.deep.equal([1, 2, 3])
    expect(load.values['requests']).to.deep.equal([2, 0, 2])
    expect(load.values['p50']?.[1], 'a second without requests has no times').to.equal(null)
    expect(load.values['p99']?.[0]).to.be.closeTo(20, 0.5)
    expect(failures).to.deep.equal([{ name: 'POST /x no answer', count: 1 }])
    expect(failedChecks).to.deep.equal([{ name: 'cart: 200', count: 1 }])
    expect(counters).to.deep.equal({ units_sold: 7 })
  })

  it('has no more points than a chart can show, and the same totals', () => {
    const { load, totals } = runOf(1_000)
    expect(load.at.length).to.be.within(300, 400)
    expect(load.at.at(-1)).to.equal(1_000)
    expect(totals).to.include({ seconds: 1_000, requests: 3_000 })
    expect(load.values['requests']?.every(rate => rate === 3)).to.equal(true)
  })

  it('reads metrics, and knows what happened between two readings', () => {
    const metrics = (hits: number, waited: number) =>
      parseMetrics(
        [
          '# HELP cartload_cart_reads_total Cart reads',
          `cartload_cart_reads_total{result="hit"} ${hits}`,
          `cartload_cart_reads_total{result="filled"} ${hits / 3}`,
          `cartload_pool_wait_seconds_sum{pool="shard-0 reads"} ${waited}`,
          'cartload_pool_wait_seconds_bucket{le="0.1",pool="shard-0 reads"} 5',
          'cartload_event_loop_delay_p99_seconds 0.012',
        ].join('\n'),
      )
    const reading = (at: number, cpu: number, hits: number, waited: number): Reading => ({
      at,
      cpu: { 'instance 0': cpu, generator: cpu / 2 },
      mainThread: { 'instance 0': cpu },
      machine: { busy: cpu * 2, stolen: 0 },
      memory: { 'instance 0': 150 },
      instances: { 'instance 0': metrics(hits, waited) },
      instancesAsked: 1,
      redis: {},
      shards: { 'shard-0': { Questions: hits } },
    })
    const found = between(reading(10, 1, 30, 0), reading(12, 2, 60, 3), 2)
    expect(found).to.include({
      'cpu instance 0': 0.5,
      'cpu generator': 0.25,
      'cpu others': 0.25,
      'machine busy': 0.5,
      'thread instance 0': 0.5,
      'memory instance 0': 150,
      'carts from the cache': 0.75,
      'waiting for shard-0 reads': 1.5,
      'loop delay instance 0': 12,
      'statements shard-0': 15,
    })
    expect(between(reading(10, 5, 30, 0), reading(12, 1, 0, 0), 2)['cpu instance 0'], 'a restart').to.equal(0)
    const lacking = { ...reading(12, 2, 60, 3), instancesAsked: 2 }
    expect(between(reading(10, 1, 30, 0), lacking, 2), 'one of two did not answer: no sums').not.to.have.any.keys(
      'waiting for shard-0 reads',
      'carts from the cache',
    )
  })

  describe('names the bottleneck:', () => {
    const cases: readonly (readonly [string, Readonly<Record<string, number>>, RegExp])[] = [
      [
        'the machine, and who uses it',
        { 'machine busy': 0.97, 'cpu instance 0': 1.2, 'cpu generator': 0.5 },
        /CPU of this machine, 97 % busy: instances 60 %, generator 25 %/,
      ],
      [
        'one instance',
        { 'machine busy': 0.5, 'thread instance 0': 0.99, 'thread instance 1': 0.1 },
        /event loop of instance 0, 99 %/,
      ],
      ['Redis', { 'machine busy': 0.5, 'thread redis-cache': 0.95 }, /redis-cache, which has one thread/],
      [
        'connections',
        { 'machine busy': 0.3, 'waiting for shard-1': 4 },
        /4\.0 waiting at a time for a connection to shard-1/,
      ],
      [
        'passwords',
        { 'machine busy': 0.6, 'waiting for passwords': 9 },
        /9\.0 waiting at a time for their turn to have a password/,
      ],
      ['rows', { 'machine busy': 0.2, 'waiting for rows shard-0': 2 }, /locked rows of shard-0/],
      [
        'the machine before those who wait because of it',
        { 'machine busy': 0.99, 'waiting for shard-0': 12, 'waiting for passwords': 5 },
        /^in the slowest moments the CPU of this machine, 99 % busy.*; also 12\.0 waiting/,
      ],
      [
        'a machine that others use too',
        { 'machine busy': 0.6, 'machine stolen': 0.35 },
        /60 % busy and 35 % taken by other machines/,
      ],
      [
        'nothing',
        { 'machine busy': 0.4, 'thread instance 0': 0.2 },
        /nothing was at its limit, .*nearest to it: the CPU of this machine, 40 %/,
      ],
    ]
    for (const [name, samples, expected] of cases)
      it(name, () => expect(bottleneckOf(runOf(20, { samples })).text).to.match(expected))

    it('unknown, when nothing was read', () => expect(bottleneckOf(runOf(20)).text).to.match(/unknown/))

    it('at the moments that were the worst, not on the whole', () => {
      const calm = runOf(40, { samples: { 'machine busy': 0.4 } })
      const [busy, p99] = [calm.samples.values['machine busy'] ?? [], calm.load.values['p99'] ?? []]
      const isBad = (index: number) => index >= 20 && index < 24
      const run = {
        ...calm,
        load: { ...calm.load, values: { ...calm.load.values, p99: p99.map((ms, index) => (isBad(index) ? 900 : ms)) } },
        samples: {
          ...calm.samples,
          values: { 'machine busy': busy.map((share, index) => (isBad(index) ? 0.99 : share)) },
        },
      }
      expect(bottleneckOf(run).text).to.match(/in the slowest moments the CPU of this machine, 99 %/)
    })
  })

  it('has a verdict of ten lines that says what broke', () => {
    const good = verdictOf(runOf(20, { samples: { 'machine busy': 0.4 } }))
    expect(good.passed).to.equal(true)
    expect(good.lines).to.have.length(10)
    const broken = { ...runOf(20), thresholds: [{ metric: 'checks', rule: 'rate==1', held: false }] }
    expect(verdictOf(broken)).to.include({ passed: false })
    expect(verdictOf(broken).lines[0]).to.include('checks rate==1')
    expect(verdictOf({ ...runOf(20), problem: 'k6 ended with 107: no' }).lines[0]).to.match(/FAILED.*107/)
    expect(verdictOf(runOf(0)).passed, 'a run without a request').to.equal(false)
  })

  it('says of a run that is there to break up to which rate it held', () => {
    const broken = [{ metric: 'checks', rule: 'rate>0.999', held: false }]
    const run = runOf(10)
    const values = {
      ...run.load.values,
      requests: run.load.at.map((_, index) => 10 * (index + 1)),
      dropped: run.load.at.map((_, index) => (index >= 7 ? 5 : 0)),
    }
    const found = verdictOf({ ...run, profile: 'breakpoint', thresholds: broken, load: { ...run.load, values } })
    expect(found.lines[0]).to.match(/^BROKE, held up to 70\/s: /)
    expect(found.passed).to.equal(true)
    expect(verdictOf({ ...run, profile: 'breakpoint' }).lines[0]).to.match(/^NEVER BROKE/)
    const slow = { ...run.load.values, p99: run.load.at.map(() => 900) }
    const fromTheStart = verdictOf({ ...run, profile: 'breakpoint', load: { ...run.load, values: slow } })
    expect(fromTheStart.passed, 'over what is allowed from the start').to.equal(false)
  })

  it('says of a soak what has grown', () => {
    const run = runOf(40, { samples: { 'memory instance 0': 100, 'memory generator': 100 } })
    const growing = run.samples.at.map((_, index) => (index < 30 ? 100 : 150))
    const samples = { ...run.samples, values: { ...run.samples.values, 'memory instance 0': growing } }
    const text = verdictOf({ ...run, profile: 'soak', samples }).lines.join('\n')
    expect(text).to.include('instance 0 150 MB (+50.0 %)').and.not.include('memory generator')
  })

  it('writes a page in which nothing of the data can become markup', () => {
    const evil = '</script><script>alert(1)</script>'
    const page = htmlOf({
      title: evil,
      about: evil,
      verdict: { text: evil, passed: true },
      charts: [{ title: evil, note: evil, xLabel: evil, x: [1], series: [{ label: evil, values: [1] }] }],
      tables: [{ title: evil, head: [evil], rows: [[evil]] }],
    })
    expect(page).not.to.include('<script>alert')
  })
})

describe('two load runs', () => {
  const wobbling = (seconds: number, factor: number) => {
    const run = runOf(seconds, { samples: { 'cpu instance 0': 0.3 * factor } })
    const p99 = run.load.at.map((_, index) => (10 + ((index * 7) % 5)) * factor)
    return { ...run, load: { ...run.load, values: { ...run.load.values, p99 } } }
  }
  const verdicts = (before: Result, after: Result) =>
    Object.fromEntries(changesOf(before, after).map(({ what, verdict }) => [what, verdict]))

  it('that were short say nothing for sure', () => {
    expect(verdicts(wobbling(12, 1), wobbling(12, 2))['p99 time']).to.equal('unclear')
  })

  it('that differ by their noise only are the same', () => {
    expect(verdicts(wobbling(60, 1), wobbling(60, 1))['p99 time']).to.equal('the same')
    expect(verdicts(wobbling(60, 1), wobbling(60, 1.01))['p99 time']).to.equal('the same')
  })

  it('are told apart beyond it', () => {
    expect(verdicts(wobbling(60, 1), wobbling(60, 1.3))).to.include({ 'p99 time': 'worse', '  instances': 'worse' })
    expect(verdicts(wobbling(60, 1.3), wobbling(60, 1))).to.include({ 'p99 time': 'better', '  instances': 'better' })
  })

  it('are unclear when they were too wild to say', () => {
    const wild = (offset: number): Result => {
      const run = runOf(34)
      const p99 = run.load.at.map((_, index) => ((index * 7 + offset) % 11 < 2 ? 100 : 5))
      return { ...run, load: { ...run.load, values: { ...run.load.values, p99 } } }
    }
    expect(verdicts(wild(0), wild(1))['p99 time']).to.equal('unclear')
  })

  it('count errors, and know what chance makes of as many', () => {
    const failing = (failed: number, seconds = 10): Result => {
      const run = runOf(seconds)
      return { ...run, totals: { ...run.totals, failed } }
    }
    const verdict = (before: number, after: number) => errorsOf(failing(before), failing(after))[0]?.[3]
    expect(errorsOf(failing(5, 60), failing(50, 600))[0]?.[3], 'as many of as many').to.equal('unclear')
    expect([verdict(0, 0), verdict(100, 104), verdict(0, 50), verdict(50, 0)]).to.deep.equal([
      'the same',
      'unclear',
      'worse',
      'better',
    ])
  })

  it('that should not be compared say why', () => {
    expect(differencesOf(runOf(10), runOf(10))).to.deep.equal([])
    expect(differencesOf(runOf(10), { ...runOf(10), scenario: 'soak' })).to.deep.equal(['scenario: shop, then soak'])
    expect(FORMAT).to.match(/1$/)
  })
})

describe('capacity', () => {
  const costs = (alpha: number, beta: number) =>
    [1, 2, 3, 4, 8].map(n => ({ n, cost: 200 * growth({ alpha, beta }, n) }))

  it('finds the coefficients that made the figures', () => {
    for (const [alpha, beta] of [
      [0.05, 0.002],
      [0.3, 0],
      [0, 0.01],
      [0, 0],
    ] as const) {
      const found = fit(costs(alpha, beta))
      expect(found.first).to.be.closeTo(200, 0.01)
      expect(found.alpha).to.be.closeTo(alpha, 1e-6)
      expect(found.beta).to.be.closeTo(beta, 1e-6)
      expect(found.r2).to.be.closeTo(1, 1e-6)
    }
  })

  it('takes no coefficient below zero, and makes do with few counts', () => {
    const falling = fit([100, 90, 85, 83].map((cost, index) => ({ n: index + 1, cost })))
    expect(falling).to.include({ alpha: 0, beta: 0 })
    expect(fit([{ n: 1, cost: 100 }])).to.include({ first: 100, alpha: 0, beta: 0 })
    expect(fit([1, 2].map(n => ({ n, cost: 100 * n }))).alpha).to.be.closeTo(1, 1e-6)
  })

  it('knows where more instances do less', () => {
    expect(peakOf({ first: 1, alpha: 0.1, beta: 0.001, r2: 1 })).to.be.closeTo(30, 0.01)
    expect(peakOf({ first: 1, alpha: 0.1, beta: 0, r2: 1 })).to.equal(Infinity)
  })

  it('counts samples for the second in which they lie, and none from before the load', () => {
    const run = runOf(3)
    const at = [-2, 0.4, 1.007, 2, 3.2]
    expect(at.map(end => momentOf(run, end))).to.deep.equal([-1, -1, 0, 1, 2])
  })

  const each = (us: number) => ({ nginx: us, instances: us, 'redis-cache': us, 'redis-sessions': us, databases: us })
  const operations: Costs = { view: each(100), change: each(500), login: each(10_000) }
  const crowd = { shoppers: 50_000, viewEveryS: 5, changeEveryS: 50, loginEveryS: 1_000, busyMax: 0.5 }
  const footprint = { bytesPerCart: 2_000, bytesPerSession: 1_000 }

  it('plans for what it was told', () => {
    // 10,000 views of 100 µs, 1,000 changes of 500, 50 logins of 10,000: 2 cores of work for each part, half of a core each.
    const plan = planOf(crowd, operations, footprint, { first: 100, alpha: 0, beta: 0, r2: 1 })
    expect(plan.rates).to.deep.equal({ view: 10_000, change: 1_000, login: 50 })
    expect(plan).to.include({ instances: 4, nginxCores: 4, shards: 4, cacheServers: 4, sessionServers: 4, clusters: 1 })
    expect(plan.cacheGb).to.be.closeTo(0.1, 1e-9)
  })

  it('adds what instances cost for being many, and goes on in more clusters when they are too many', () => {
    const more = planOf(crowd, operations, footprint, { first: 100, alpha: 0.1, beta: 0, r2: 1 })
    expect(more.instances, 'costs were measured with two: 4 / 1.1 · (1 + 0.1 · 4) = 5.1, so 6 with 1.5').to.equal(6)
    const peaked = planOf(crowd, operations, footprint, { first: 100, alpha: 0.3, beta: 0.1, r2: 1 })
    expect(peaked.clusters).to.be.above(1)
    expect(peaked.instances % peaked.clusters).to.equal(0)
    expect(peaked.cacheServers).to.be.at.least(peaked.clusters)
    expect(peaked.shards).to.be.at.least(2 * peaked.clusters)
    const huge = planOf({ ...crowd, shoppers: 1e9 }, operations, footprint, { first: 1, alpha: 0.01, beta: 0, r2: 1 })
    expect(huge.instances).to.be.above(100_000).and.satisfy(Number.isFinite)
  })
})
