import { type Machine, textOf } from './machine.ts'
import { mean } from '../compare/statistics.ts'
import { type Chart, htmlOf, type Line, type Table } from './page.ts'
import { type Costs, type Crowd, type Footprint, OPERATIONS, PARTS, type Plan } from './plan.ts'
import { type Cost, growth, isFound, peakOf, type Scaling } from './usl.ts'
import { ms, percent, shown } from './verdict.ts'

export interface Level {
  readonly p99Ms: number
  /** Share of requests that may fail. */
  readonly errors: number
}

/** One rate, held for some seconds. */
export interface Measured {
  /** Views a second. */
  readonly rate: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  readonly failed: number
  readonly dropped: number
  /** Of the service, for a view. */
  readonly cpuUs: number
  /** Cores that the service, and that the generator used. */
  readonly service: number
  readonly generator: number
}

export interface Point extends Measured {
  readonly n: number
  readonly holds: boolean
}

export interface Compared {
  readonly rate: number
  /** CPU microseconds of a view. */
  readonly costs: readonly Cost[]
}

export interface Capacity {
  readonly startedAt: string
  readonly command: string
  readonly machine: Machine
  readonly seconds: number
  readonly level: Level
  readonly points: readonly Point[]
  readonly carried: readonly { readonly n: number; readonly rate: number }[]
  /** What a closed loop (wrk) gets out of it. */
  readonly closed: readonly { readonly n: number; readonly rate: number }[]
  /** What a view cost by instances: with the same rate for each of them, and with the same in all. */
  readonly each: Compared
  readonly inAll: Compared
  readonly costs: Costs
  readonly footprint: Footprint
  readonly scaling: { readonly each: Scaling; readonly inAll: Scaling; readonly byThroughput: Scaling }
  readonly crowd: Crowd
  readonly plan: Plan
}

const figures = (scaling: Scaling) => {
  const { alpha, beta, r2 } = scaling
  const sure = isFound(scaling)
    ? `explains ${percent(r2)} of the scatter`
    : 'not sure: the scatter is larger than the growth'
  return `α ${alpha.toFixed(3)}, β ${beta.toFixed(4)} (${sure})`
}

const peakText = (scaling: Scaling) => {
  const peak = peakOf(scaling)
  return peak === Number.POSITIVE_INFINITY ? 'no peak' : `most with ${instances(Math.max(1, Math.floor(peak)))}`
}

/** What was found, what follows from it, and what that takes for granted. */
export function capacityText(result: Capacity): string {
  const { machine, level, carried, closed, points, each, inAll, scaling, plan, crowd, costs, seconds } = result
  const best = mostOf(carried)
  const at = points.find(point => point.n === best.n && point.rate === best.rate)
  const sum = (operation: (typeof OPERATIONS)[number]) => PARTS.reduce((all, part) => all + costs[operation][part], 0)
  const lines = [
    `This machine carries ${shown(best.rate)} cart views a second with ${instances(best.n)} (p99 within ${level.p99Ms} ms, errors within ${percent(level.errors)}),`,
    `  the generator on it too: it took ${(at?.generator ?? 0).toFixed(2)} of ${machine.cores} cores, the service ${(at?.service ?? 0).toFixed(2)}.`,
    `  A closed loop, whose generator (wrk) takes little, gets ${shown(mostOf(closed).rate)} a second out of it with ${instances(mostOf(closed).n)}.`,
    `By instances: ${carried.map(({ n, rate }) => `${n}: ${shown(rate)}/s`).join(', ')}; closed loop: ${closed.map(({ n, rate }) => `${n}: ${shown(rate)}/s`).join(', ')}`,
    `CPU, saturated, two instances: a view ${shown(sum('view'))} µs, a durable change ${shown(sum('change'))} µs, a login ${shown(sum('login'))} µs`,
    'Universal Scalability Law',
    `  CPU of a view, ${shown(each.rate)}/s for each instance: c(1) ${shown(scaling.each.first)} µs, ${figures(scaling.each)}: what instances cost each other`,
    `  CPU of a view, ${shown(inAll.rate)}/s in all: c(1) ${shown(scaling.inAll.first)} µs, ${figures(scaling.inAll)}: what it costs to divide the same work`,
    `  views a second: λ ${shown(1 / scaling.byThroughput.first)}, ${figures(scaling.byThroughput)}, ${peakText(scaling.byThroughput)}: with it, that ${machine.cores} cores are shared, also with the generator`,
    '',
    ...planLines(plan, crowd, result.footprint),
    '',
    'Taken for granted:',
    ...assumptions(result).map(text => `  - ${text}`),
    `(measured in ${seconds} s)`,
  ]
  return lines.join('\n')
}

const mostOf = (all: readonly { readonly n: number; readonly rate: number }[]) =>
  all.reduce((most, each) => (each.rate > most.rate ? each : most))
const instances = (n: number) => (n === 1 ? 'one instance' : `${n} instances`)

function planLines(plan: Plan, crowd: Crowd, footprint: Footprint): string[] {
  const { rates, cores } = plan
  return [
    `Plan for ${shown(crowd.shoppers)} shoppers at the same time, each looking at the cart every ${crowd.viewEveryS} s, changing it every ${crowd.changeEveryS} s, logging in every ${crowd.loginEveryS} s:`,
    `  ${shown(rates.view)} views, ${shown(rates.change)} changes, ${shown(rates.login)} logins a second`,
    `  instances  ${plan.instances}${plan.clusters > 1 ? ` in ${plan.clusters} clusters of ${plan.instances / plan.clusters}` : ''}, a core each (${shown(cores.instances)} cores of work)`,
    `  nginx      ${plan.nginxCores} ${plan.nginxCores === 1 ? 'core' : 'cores'} (${shown(cores.nginx)} of work)`,
    `  Redis      ${plan.cacheServers} for carts (${shown(cores['redis-cache'])} cores of work, ${plan.cacheGb.toFixed(2)} GB at ${shown(footprint.bytesPerCart)} bytes a cart), ${plan.sessionServers} for sessions (${shown(cores['redis-sessions'])}, ${plan.sessionsGb.toFixed(2)} GB)`,
    `  shards     ${plan.shards}, a core each (${shown(cores.databases)} cores of work)`,
  ]
}

const assumptions = ({ machine, crowd, each, scaling }: Capacity): string[] => [
  `cores as fast as these (${machine.cpu}), ${percent(crowd.busyMax)} of what they can do planned for; two of instances and shards at least, so that one may be away`,
  'carts of 10 lines, all of them in the cache; a cart that must be loaded costs several times as much',
  'one page of the cart for a view, one line for a change; no promotions, product pages or orders: add what npm run load -- shop says',
  'shoppers spread evenly over shards and time; shards write to disks that flush at least as fast as this one',
  `for what instances cost for being many the plan goes by the law ${isFound(scaling.each) ? 'at the same rate for each' : 'at the same rate in all, which is rather too careful'}`,
  `it was measured with up to ${Math.max(...each.costs.map(({ n }) => n))} of them on ${machine.cores} cores; beyond that it is the law's guess`,
  'cartload keeps to one cache Redis and one sessions Redis for a cluster: where the plan says more than one, split the shop into clusters by user',
]

export function capacityPage(result: Capacity): string {
  const { machine, startedAt, command } = result
  return htmlOf({
    title: 'Capacity',
    about: `${startedAt} · ${command} · ${textOf(machine)}`,
    verdict: { passed: true, text: capacityText(result) },
    charts: chartsOf(result),
    tables: tablesOf(result),
  })
}

function chartsOf({ points, carried, closed, each, inAll, scaling, level }: Capacity): Chart[] {
  const counts = [...new Set(points.map(({ n }) => n))]
  const rates = [...new Set(points.map(({ rate }) => rate))].sort((a, b) => a - b)
  const worst = (n: number, rate: number) => {
    const found = points.filter(point => point.n === n && point.rate === rate)
    return found.length === 0 ? null : (found.at(-1)?.p99Ms ?? null)
  }
  const meanOf = ({ costs }: Compared, n: number) => mean(costs.filter(cost => cost.n === n).map(({ cost }) => cost))
  const law = (label: string, colour: number, values: readonly number[]): Line => ({
    label,
    values,
    colour,
    dashed: true,
  })
  const costLines = (label: string, colour: number, compared: Compared, scaled: Scaling): Line[] => [
    { label, values: counts.map(n => meanOf(compared, n)), colour },
    law(
      `${label}, law`,
      colour,
      counts.map(n => scaled.first * growth(scaled, n)),
    ),
  ]
  return [
    {
      title: 'Time against rate',
      note: `p99 in ms by instances; the service level is ${level.p99Ms} ms`,
      xLabel: 'views a second',
      x: rates,
      series: [
        ...counts.map(n => ({ label: `${n}`, values: rates.map(rate => worst(n, rate)) })),
        { label: 'service level', values: rates.map(() => level.p99Ms), colour: 5, dashed: true },
      ],
      isScatter: true,
      isLog: true,
    },
    {
      title: 'Views a second',
      note: 'the most within the service level, by instances, and the law that was fitted',
      xLabel: 'instances',
      x: counts,
      series: [
        { label: 'measured', values: carried.map(({ rate }) => rate), colour: 0 },
        { label: 'closed loop (wrk)', values: closed.map(({ rate }) => rate), colour: 2 },
        law(
          'law',
          0,
          counts.map(n => n / (scaling.byThroughput.first * growth(scaling.byThroughput, n))),
        ),
      ],
      isScatter: true,
    },
    {
      title: 'CPU of a view, µs',
      note: `at ${shown(each.rate)} a second for each instance, and at ${shown(inAll.rate)} in all; and the law that was fitted`,
      xLabel: 'instances',
      x: counts,
      series: [...costLines('for each', 0, each, scaling.each), ...costLines('in all', 1, inAll, scaling.inAll)],
      isScatter: true,
    },
    {
      title: 'CPU of a view by rate, µs',
      note: 'the busier, the more is done at once',
      xLabel: 'views a second',
      x: rates,
      series: counts.map(n => ({
        label: `${n}`,
        values: rates.map(rate => points.find(point => point.n === n && point.rate === rate)?.cpuUs ?? null),
      })),
      isScatter: true,
    },
  ]
}

function tablesOf({ points, costs }: Capacity): Table[] {
  return [
    {
      title: 'What operations cost, µs of CPU',
      head: ['operation', ...PARTS, 'sum'],
      rows: OPERATIONS.map(operation => [
        operation,
        ...PARTS.map(part => shown(costs[operation][part])),
        shown(PARTS.reduce((sum, part) => sum + costs[operation][part], 0)),
      ]),
    },
    {
      title: 'Steps',
      head: [
        'instances',
        'views/s',
        'median',
        'p95',
        'p99',
        'failed',
        'not sent',
        'µs a view',
        'cores of the generator',
        '',
      ],
      rows: points.map(point => [
        String(point.n),
        shown(point.rate),
        ms(point.p50Ms),
        ms(point.p95Ms),
        ms(point.p99Ms),
        percent(point.failed),
        shown(point.dropped),
        shown(point.cpuUs),
        point.generator.toFixed(2),
        point.holds ? 'held' : 'broken',
      ]),
    },
  ]
}
