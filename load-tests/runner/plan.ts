import { growth, peakOf, type Scaling } from './usl.ts'

/** How much of everything a number of shoppers needs, from what one request was measured to cost. Pure. */
export interface Crowd {
  readonly shoppers: number
  readonly viewEveryS: number
  readonly changeEveryS: number
  readonly loginEveryS: number
  /** Share of what a core can do that is planned for: the rest is for what comes at once, and for one of them that is away. */
  readonly busyMax: number
}

export const OPERATIONS = ['view', 'change', 'login'] as const
export type Operation = (typeof OPERATIONS)[number]
export const PARTS = ['nginx', 'instances', 'redis-cache', 'redis-sessions', 'databases'] as const
export type PartName = (typeof PARTS)[number]
/** CPU microseconds of one operation, by part. */
export type Costs = Readonly<Record<Operation, Readonly<Record<PartName, number>>>>

export interface Footprint {
  readonly bytesPerCart: number
  readonly bytesPerSession: number
}

export interface Plan {
  readonly rates: Readonly<Record<Operation, number>>
  /** Cores of work, by part, before the share that may be busy; instances with what it costs that they are many. */
  readonly cores: Readonly<Record<PartName, number>>
  readonly instances: number
  readonly nginxCores: number
  readonly cacheServers: number
  readonly sessionServers: number
  readonly shards: number
  readonly cacheGb: number
  readonly sessionsGb: number
  /** Larger than the number of instances after which more of them do less: then so many whole clusters are needed. */
  readonly clusters: number
}

/** Even where one would do, another must be there when it is away. */
const INSTANCES_MIN = 2
const SHARDS_MIN = 2
/** Instances of the stack that the costs are those of (capacity.ts, costsOf). */
const MEASURED_WITH = 2

export function planOf(crowd: Crowd, costs: Costs, footprint: Footprint, scaling: Scaling): Plan {
  const { shoppers, busyMax } = crowd
  const rates = {
    view: shoppers / crowd.viewEveryS,
    change: shoppers / crowd.changeEveryS,
    login: shoppers / crowd.loginEveryS,
  }
  const coresOf = (part: PartName) =>
    OPERATIONS.reduce((sum, operation) => sum + rates[operation] * costs[operation][part], 0) / 1e6
  const needed = (cores: number) => Math.max(1, Math.ceil(cores / busyMax))
  const alone = coresOf('instances') / growth(scaling, MEASURED_WITH)
  const { instances, clusters } = instancesFor(alone / busyMax, scaling)
  const gb = (bytes: number) => (bytes * shoppers) / 1e9
  return {
    rates,
    cores: {
      nginx: coresOf('nginx'),
      instances: alone * growth(scaling, instances),
      'redis-cache': coresOf('redis-cache'),
      'redis-sessions': coresOf('redis-sessions'),
      databases: coresOf('databases'),
    },
    instances: instances * clusters,
    clusters,
    nginxCores: Math.max(clusters, needed(coresOf('nginx'))),
    cacheServers: Math.max(clusters, needed(coresOf('redis-cache'))),
    sessionServers: Math.max(clusters, needed(coresOf('redis-sessions'))),
    shards: Math.max(SHARDS_MIN * clusters, needed(coresOf('databases'))),
    cacheGb: gb(footprint.bytesPerCart),
    sessionsGb: gb(footprint.bytesPerSession),
  }
}

/** The least number, in the least number of clusters, that does the work of `cores` for one of them. */
function instancesFor(cores: number, scaling: Scaling): { instances: number; clusters: number } {
  const most = Math.max(INSTANCES_MIN, Math.min(INSTANCES_MAX, Math.floor(peakOf(scaling))))
  const worth = (n: number) => n / growth(scaling, n) // in instances that work alone
  const clusters = Math.max(1, Math.ceil(cores / worth(most)))
  for (let n = INSTANCES_MIN; n < most; n++) if (worth(n) >= cores / clusters) return { instances: n, clusters }
  return { instances: most, clusters }
}

/** Of one cluster: more of them have not been tried. */
const INSTANCES_MAX = 100
