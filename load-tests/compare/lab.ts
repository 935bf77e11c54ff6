import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  closedLoop,
  generatorPids,
  MeasurementError,
  openModel,
  paced,
  type Request,
  type Requests,
  writeRequests,
} from './generators.ts'
import type { Generator as LoadGenerator } from '../runner/generator.ts'
import type { Window } from './goals.ts'
import { measure, type Part, type Used } from './meter.ts'
import { type ScenarioName, scenarioOf } from './scenarios.ts'
import { type Cookies, fillCartload, fillFloor, fillTypical, makeShop } from './shop.ts'
import { type Servers, type Stack, type StackOptions, startServers, startStack } from './stacks.ts'

/**
 * The contenders, each started when it is first asked for, and windows of load over them. A window is one contender under one scenario:
 * its CPU per request over every process, and its rate.
 */
export type StackName =
  | 'cartload'
  | 'against'
  | 'floor'
  | 'floor-bare'
  | 'floor-plain'
  | 'typical'
  | 'fastify'
  | `cartload-${number}`
  | `floor-${number}`
  | `shards-${number}`

/** `stack/scenario`, and whether instances are asked past nginx, or at a fixed rate instead of in a closed loop. */
export interface Unit {
  readonly stack: StackName
  readonly scenario: ScenarioName
  readonly direct?: boolean
  /** Requests a second in all. */
  readonly rate?: number
}

export const nameOf = ({ stack, scenario, direct, rate }: Unit): string =>
  `${stack}/${scenario}${direct ? ' direct' : ''}${rate === undefined ? '' : ` at ${rate}/s`}`

export class TooNoisy extends MeasurementError {
  override readonly name = 'TooNoisy'
}

interface Running {
  readonly stack: Stack
  readonly cookies: Cookies
  readonly servers: Servers
}

/** More than this share of the machine for others, and a window says nothing. */
const OTHERS_MAX = 0.1
const WINDOW_TRIES_MAX = 3
const INSTANCES = 2
const SHARDS = 2
const contender = (name: string) => `load-tests/compare/contenders/${name}.ts`
const REST_MS = 2_000
const NOTHING = { seconds: 1, sum: 0, parts: { nginx: 0, node: 0, redis: 0, database: 0 } }
const SECRET = 'only for this comparison'

export type Lab = ReturnType<typeof createLab>

export interface LabOptions {
  /** Further sizes of carts. */
  readonly ladder?: readonly number[]
  /** More arguments for the instances. */
  readonly nodeArgs?: readonly string[]
  /** The project of `against`: another version of cartload. */
  readonly against?: string | undefined
  /** For latencies. */
  readonly generator?: LoadGenerator | undefined
}

export function createLab(
  say: (text: string) => void,
  { ladder = [], nodeArgs = [], generator, against }: LabOptions = {},
) {
  const dir = mkdtempSync(join(tmpdir(), 'cl-compare-'))
  const shop = makeShop(ladder)
  const running = new Map<StackName, Promise<Running>>()
  const requests = new Map<string, Promise<Requests>>()
  const stops: (() => Promise<void>)[] = []
  const data = new Map<string, Promise<{ servers: Servers; cookies: Cookies }>>()

  async function keep<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
    const one = await starting
    stops.push(() => one.stop())
    return one
  }

  /** Servers with cartload's data, of which several stacks may be served. */
  function cartloadData(shards: number, owner: string) {
    const key = `${owner}/${shards}`
    return once(data, key, async () => {
      const project = owner === 'against' ? against : undefined
      const own = await keep(startServers({ shards }, project))
      say(`filling a shop with ${shop.users.length} carts (${key})`)
      if (!own.addresses) throw new Error('no addresses')
      return { servers: own, cookies: await fillCartload(shop, own.addresses, project) }
    })
  }

  /** What cartload answers, for those that only pass it on. */
  function floorData() {
    return once(data, 'floor', async () => {
      const { stack, cookies } = await get('cartload')
      const answers = await Promise.all(
        cookies.map(async cookie => (await fetch(`${stack.url}/v1/cart`, { headers: { cookie } })).text()),
      )
      const own = await keep(startServers('no database'))
      return { servers: own, cookies: await fillFloor(own, cookies, answers) }
    })
  }

  async function start(name: StackName): Promise<Running> {
    say(`starting ${name}`)
    const [kind, part] = name.split('-')
    const common = { name, instances: Number(part) || INSTANCES }
    const runningOver = async (servers: Servers, cookies: Cookies, options: Omit<StackOptions, 'servers'>) => ({
      stack: await keep(startStack({ ...options, servers, nodeArgs })),
      cookies,
      servers,
    })
    if (kind === 'floor') {
      const { servers, cookies } = await floorData()
      const environment = { PLAIN: part === 'plain' ? 'yes' : 'no' }
      return runningOver(servers, cookies, {
        ...common,
        script: contender('floor'),
        nginx: part === 'plain' || part === 'bare' ? 'plain' : 'cartload',
        sockets: part !== 'plain',
        environment,
      })
    }
    if (name === 'typical') {
      const own = await keep(startServers('plain'))
      const cookies = await fillTypical(shop, own, SECRET)
      const environment = { SECRET }
      return runningOver(own, cookies, {
        ...common,
        script: contender(name),
        nginx: 'plain',
        sockets: false,
        cluster: true,
        environment,
      })
    }
    if (name === 'fastify') {
      const filled = await cartloadData(SHARDS, name)
      return runningOver(filled.servers, filled.cookies, {
        ...common,
        script: contender(name),
        nginx: 'cartload',
        sockets: true,
      })
    }
    const own = { ...common, script: 'src/main.ts', nginx: 'cartload', sockets: true } as const
    if (kind === 'shards') {
      const filled = await cartloadData(Number(part), 'cartload')
      return runningOver(filled.servers, filled.cookies, { ...own, instances: INSTANCES })
    }
    const filled = await cartloadData(SHARDS, name === 'against' ? name : 'cartload')
    const project = name === 'against' && against !== undefined ? { project: against } : {}
    return runningOver(filled.servers, filled.cookies, { ...own, ...project })
  }

  const get = (name: StackName): Promise<Running> => once(running, name, () => start(name))

  /** Makes the requests, looks at what the first ones answer, and warms the contender up with them. */
  async function prepare(unit: Unit, warmSeconds: number): Promise<void> {
    const { stack } = await get(unit.stack)
    const found = await requestsOf(unit)
    await closedLoop(urlsOf(stack, unit), found, warmSeconds)
  }

  function requestsOf({ stack: name, scenario }: Unit): Promise<Requests> {
    const key = `${name}-${scenario}`
    return once(requests, key, async () => {
      const { stack, cookies } = await get(name)
      const definition = scenarioOf(scenario)
      const all = await definition.requests({ name, url: stack.url, shop, cookies })
      const written = writeRequests(dir, key, all)
      for (const { method, path, headers, body } of written.first) {
        const answer = await fetch(stack.url + path, { method, headers, ...(body === undefined ? {} : { body }) })
        const text = await answer.text()
        const isRight =
          (scenario === 'mixed' || answer.status === definition.status) &&
          (definition.check?.(JSON.parse(text)) ?? true)
        if (!isRight) throw new Error(`${key} does not answer as it should: ${answer.status} ${text.slice(0, 300)}`)
      }
      return written
    })
  }

  async function window(unit: Unit, seconds: number): Promise<Window> {
    for (let attempt = 1; ; attempt++) {
      const bystanders = (await Promise.all(running.values())).flatMap(({ stack }) => stack.pids())
      const atRest = unit.rate === undefined ? NOTHING : await rest(unit, REST_MS)
      const { used, ...result } = await loaded(unit, seconds, bystanders)
      if (used.others <= OTHERS_MAX) {
        const perRequest = (cpuSeconds: number, idle = 0) =>
          ((cpuSeconds - (idle / atRest.seconds) * used.seconds) / result.requests) * 1e6
        const parts = Object.entries(used.parts).map(([part, sum]) => [
          part,
          perRequest(sum, atRest.parts[part as Part]),
        ])
        return {
          unit: nameOf(unit),
          cpuUs: perRequest(used.sum, atRest.sum),
          rate: result.requests / result.seconds,
          parts: Object.fromEntries(parts) as Record<Part, number>,
          others: used.others,
          stolen: used.stolen,
        }
      }
      const share = `${(used.others * 100).toFixed(0)} % of the machine went to other processes`
      if (attempt >= WINDOW_TRIES_MAX) throw new TooNoisy(`${share} during ${nameOf(unit)}, ${attempt} times in a row`)
      say(`${share} during ${nameOf(unit)}: once more`)
    }
  }

  /** Its load, and what each of its processes used; `bystanders` belong to it alone too. */
  async function loaded(unit: Unit, seconds: number, bystanders: readonly number[] = []) {
    const { stack } = await get(unit.stack)
    const found = await requestsOf(unit)
    const ours = () => [...generatorPids(), ...bystanders]
    const load = () =>
      unit.rate === undefined
        ? closedLoop(urlsOf(stack, unit), found, seconds)
        : paced(urlsOf(stack, unit), found, { rate: unit.rate, seconds })
    const { result, used } = await measure(stack.pids(), ours, load)
    return { ...result, used }
  }

  /** What it uses without requests: at a low rate that is much of a request, and the others on the same servers have a part in it. */
  async function rest({ stack: name }: Unit, ms: number): Promise<Used> {
    const { stack } = await get(name)
    return (await measure(stack.pids(), generatorPids, () => sleep(ms))).used
  }

  return {
    get,
    prepare,
    window,
    loaded,
    rest,
    requestsOf,
    write: (name: string, all: readonly Request[]) => writeRequests(dir, name, all),
    async latency(unit: Unit, rate: number, seconds: number) {
      const { stack } = await get(unit.stack)
      if (generator === undefined) throw new Error('latencies need a generator')
      return openModel(generator, stack.url, await requestsOf(unit), { rate, seconds })
    },
    async stopStack(name: StackName) {
      const known = running.get(name)
      running.delete(name)
      if (known) await (await known).stack.stop()
    },
    /** Everything that was started, the last first. */
    async close() {
      for (const stop of stops.toReversed()) await stop().catch((error: unknown) => say(String(error)))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Every unit of every round, there and back: what drifts on the machine meets all units alike. */
export function* thereAndBack<U extends Unit>(
  units: readonly U[],
  rounds: number,
): Generator<{ round: number; unit: U }> {
  for (let round = 1; round <= rounds; round++)
    for (const unit of round % 2 === 1 ? units : units.toReversed()) yield { round, unit }
}

/** Makes what is not there yet; those who ask meanwhile wait for the same. */
function once<Key, T>(made: Map<Key, Promise<T>>, key: Key, make: () => Promise<T>): Promise<T> {
  const known = made.get(key) ?? make()
  made.set(key, known)
  return known
}

function urlsOf(stack: Stack, { direct }: Unit): readonly string[] {
  return direct ? stack.direct : [stack.url]
}
