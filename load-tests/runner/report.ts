import { textOf } from './machine.ts'
import { type Chart, htmlOf, type Line, linesOf, type Table } from './page.ts'
import type { Result } from './result.ts'
import { ms, shown, type Verdict } from './verdict.ts'

/** The report of one run: what happened over time beside what everything was busy with. */
export function reportOf(result: Result, verdict: Verdict): string {
  const { scenario, profile, machine, cluster, startedAt, command } = result
  const where = cluster
    ? `${cluster.instances} instances, ${cluster.shards} shards, cartload ${cluster.version}`
    : 'a shop elsewhere: nothing was read of it'
  return htmlOf({
    title: `${scenario}, ${profile}`,
    about: `${startedAt} · ${command} · ${where} · ${textOf(machine)}`,
    verdict: { passed: verdict.passed, text: verdict.lines.join('\n') },
    charts: chartsOf(result).filter(({ series }) => series.length > 0),
    tables: tablesOf(result, verdict),
  })
}

function chartsOf({ load, samples, machine }: Result): Chart[] {
  const common = { xLabel: 'seconds of the load', sync: 'time' }
  const ofLoad = { ...common, x: load.at }
  const ofSamples = { ...common, x: samples.at }
  const scaled = (lines: readonly Line[], by: number): Line[] =>
    lines.map(line => ({ ...line, values: line.values.map(value => (value === null ? null : value * by)) }))
  const highest = (name: string) => Math.max(0, ...(load.values[name] ?? []).map(value => value ?? 0))
  return [
    {
      ...ofLoad,
      title: 'Rate',
      note: 'a second; an iteration is one turn of a shopper',
      series: linesOf(load, 'requests', 'iterations'),
    },
    {
      ...ofLoad,
      title: 'Time of a request, ms',
      note: 'percentiles of those that ended in that second; sent to the last byte, as the client saw it',
      series: linesOf(load, 'p50', 'p95', 'p99'),
      isLog: highest('p99') > 20 * Math.max(0.1, highest('p50')),
    },
    {
      ...ofLoad,
      title: 'Errors',
      note: 'a second: requests that failed, checks that failed, iterations that could not be started in time',
      series: linesOf(load, 'failed', 'failed checks', 'dropped'),
    },
    {
      ...ofSamples,
      title: 'CPU, cores',
      note: `by component, on top of each other; the machine has ${machine.cores}`,
      series: linesOf(samples, 'cpu ~'),
      isStacked: true,
      top: machine.cores,
    },
    {
      ...ofSamples,
      title: 'Saturation, %',
      note: 'the machine, and threads that everything must pass: 100 is the most they can do',
      series: scaled(linesOf(samples, 'machine busy', 'machine stolen', 'thread ~'), 100),
      top: 100,
    },
    {
      ...ofSamples,
      title: 'Event-loop delay, ms',
      note: '99th percentile of each second, by instance; the clock itself takes 10',
      series: linesOf(samples, 'loop delay ~'),
    },
    {
      ...ofSamples,
      title: 'Waiting',
      note: 'how many wait at a time: for connections, for their turn at passwords and prices, for locked rows',
      series: linesOf(samples, 'waiting for *', 'passwords waiting', 'prices waiting'),
    },
    {
      ...ofSamples,
      title: 'In flight',
      note: 'requests that instances work on, and those they refused a second',
      series: linesOf(samples, 'in flight', 'shed'),
    },
    {
      ...ofSamples,
      title: 'From the cache, %',
      note: 'carts and product pages that came from Redis',
      series: scaled(linesOf(samples, 'carts from the cache', 'pages from the cache'), 100),
      top: 100,
    },
    {
      ...ofSamples,
      title: 'Carts',
      note: 'a second: loaded from a database, changed, tried again after a conflict; and changes in one transaction',
      series: linesOf(samples, 'carts loaded', 'cart changes', 'conflicts', 'changes in a transaction'),
    },
    {
      ...ofSamples,
      title: 'Redis',
      note: 'commands a second, and keys that had to go',
      series: linesOf(samples, 'redis commands ~', 'redis evicted *'),
    },
    {
      ...ofSamples,
      title: 'MariaDB',
      note: 'a second, by shard: statements, commits, flushes to the disk, pages read from it',
      series: linesOf(samples, 'statements *', 'commits *', 'flushes *', 'disk reads *'),
    },
    { ...ofSamples, title: 'Memory, MB', note: 'resident, by component', series: linesOf(samples, 'memory ~') },
  ]
}

function tablesOf(result: Result, { bottleneck }: Verdict): Table[] {
  const times = ({ p50, p95, p99, max }: { p50: number; p95: number; p99: number; max: number }) =>
    [p50, p95, p99, max].map(ms)
  const counted = (title: string, rows: Result['failures']): Table[] =>
    rows.length === 0
      ? []
      : [{ title, head: ['what', 'times'], rows: rows.slice(0, 20).map(({ name, count }) => [name, shown(count)]) }]
  return [
    {
      title: 'Routes',
      head: ['route', 'requests', 'failed', 'median', 'p95', 'p99', 'longest'],
      rows: result.routes.map(route => [route.name, shown(route.requests), shown(route.failed), ...times(route)]),
    },
    ...counted('Requests that failed', result.failures),
    ...counted('Checks that failed', result.failedChecks),
    {
      title: 'Thresholds',
      head: ['metric', 'rule', ''],
      rows: result.thresholds.map(({ metric, rule, held }) => [metric, rule, held ? 'held' : 'broken']),
    },
    {
      title: 'Limits, the nearest first',
      head: ['what', 'of its limit', ''],
      rows: bottleneck.limits
        .slice(0, 12)
        .map(({ what, share, text }) => [what, `${(share * 100).toFixed(0)} %`, text]),
    },
  ]
}
