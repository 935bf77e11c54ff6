import { setTimeout as sleep } from 'node:timers/promises'
import { FIXED } from '../../src/model/limits.ts'
import { checkCarts } from '../history/carts.ts'
import { judge } from '../sale/checks.ts'
import { runFailover } from './failover.ts'
import type { Lab } from './lab.ts'
import { type LoadOptions, startLoad } from './load.ts'
import { type Plant, PLANTS } from './plants.ts'
import type { Toxics } from './proxy.ts'
import { keepAliveRace } from './rows.ts'
import { newItem } from './rounds.ts'

/** Whether the checks see what they are there for: mistakes that were planted, and settings that are known to lose. */
export interface Caught {
  readonly name: string
  readonly what: string
  readonly isControl: boolean
  readonly isCaught: boolean
  /** What was found. */
  readonly found: string
}

interface Case {
  /** `sound…`: nothing is planted, under the load and the trouble of others. */
  readonly name: Plant | `sound${string}`
  readonly kind: 'sound' | 'planted' | 'control'
  readonly load: Partial<LoadOptions>
  /** What the network does meanwhile, so that it shows. */
  readonly trouble?: Trouble
  readonly seconds: number
}

interface Trouble {
  readonly proxies: readonly string[]
  readonly toxics: Toxics
}

const TRIES = 3
const UNITS = 60
/** Few carts and no waiting: requests meet as often as they can. */
const CROWDED: Omit<LoadOptions, 'seed' | 'sku'> = {
  users: 3,
  readers: 16,
  writers: 2,
  sessions: 0,
  buyers: 0,
  thinkMs: 2,
}
const BUYING: Partial<LoadOptions> = { users: 1, readers: 1, writers: 0, buyers: UNITS * 2, thinkMs: 50 }
const BUYING_SLOWLY = { ...BUYING, buyersMsMax: 90_000 }

const SLOW_CACHE: Trouble = { proxies: ['0/cache'], toxics: { latencyMs: 60, jitterMs: 55 } }
const LOSSY_CACHE: Trouble = { proxies: ['0/cache', '1/cache'], toxics: { resetChance: 0.1 } }
const SLOW_SHARDS: Trouble = {
  proxies: ['0/shard-0', '0/shard-1', '1/shard-0', '1/shard-1'],
  toxics: { latencyMs: 60, jitterMs: 30 },
}

const CASES: readonly Case[] = [
  { name: 'sound-slow-cache', kind: 'sound', load: {}, trouble: SLOW_CACHE, seconds: 8 },
  { name: 'sound-lossy-cache', kind: 'sound', load: BUYING, trouble: LOSSY_CACHE, seconds: 1 },
  { name: 'sound-slow-shards', kind: 'sound', load: BUYING_SLOWLY, trouble: SLOW_SHARDS, seconds: 1 },
  { name: 'delete-after-commit', kind: 'planted', load: {}, trouble: SLOW_CACHE, seconds: 5 },
  { name: 'read-modify-write', kind: 'planted', load: {}, seconds: 5 },
  { name: 'publish-without-token', kind: 'planted', load: {}, trouble: SLOW_CACHE, seconds: 8 },
  { name: 'decrement-resent', kind: 'planted', load: BUYING, trouble: LOSSY_CACHE, seconds: 1 },
  { name: 'expiry-without-compare', kind: 'planted', load: BUYING_SLOWLY, trouble: SLOW_SHARDS, seconds: 1 },
  { name: 'cache-aside', kind: 'control', load: {}, trouble: SLOW_CACHE, seconds: 5 },
  { name: 'naive-stock', kind: 'control', load: BUYING, seconds: 1 },
]

/** Settings that are known to lose. What `run` finds, or nothing. */
interface Setting {
  readonly what: string
  run(lab: Lab, seed: number): Promise<string>
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  'asynchronous-flush': {
    what: 'innodb_flush_log_at_trx_commit = 0, and the shards are killed',
    run: asynchronousFlush,
  },
  'instance-closes-first': {
    what: 'the instances close idle connections when nginx is about to use them',
    run: instanceClosesFirst,
  },
  'logout-not-waited-for': {
    what: 'the master of the sessions is killed, and logouts did not wait for its replicas',
    run: () => resurrectedIn('C7'),
  },
  'isolated-master-believed': {
    what: 'the master of the sessions is cut off, and an instance goes on believing it',
    run: () => resurrectedIn('C8'),
  },
}

/** Everything that can be planted or set wrong, by name. */
export const PLANTED: readonly string[] = [...CASES.map(({ name }) => name), ...Object.keys(SETTINGS)]

/** The sound build under the same load first: it must be found clean, or the rest says nothing. */
export async function runPlanted(
  lab: Lab,
  { seed, only }: { seed: number; only: readonly string[] },
  say: (text: string) => void,
): Promise<Caught[]> {
  const isWanted = (name: string) => only.length === 0 || only.includes(name)
  const results: Caught[] = []
  const add = (name: string, what: string, kind: Case['kind'], found: string) => {
    const isCaught = (found === '') === (kind === 'sound')
    results.push({ name, what, isControl: kind !== 'planted', isCaught, found: found || 'nothing' })
    say(`${isCaught ? 'as it must be' : 'NOT AS IT MUST BE'}: ${name} (${what}): ${found || 'nothing'}`)
  }
  for (const one of CASES.filter(({ name }) => isWanted(name))) {
    const { name, kind } = one
    await lab.restart(kind === 'sound' ? {} : { PLANT: name })
    await lab.cacheAdmin.flushall()
    let found = ''
    for (let attempt = 1; attempt <= (kind === 'sound' ? 1 : TRIES) && found === ''; attempt++)
      found = await breachesUnder(lab, one, seed * 100 + attempt)
    add(
      name,
      isPlant(name) ? PLANTS[name] : 'nothing is planted, under the load and the trouble of those that follow',
      kind,
      found,
    )
  }
  await lab.restart({})
  await lab.cacheAdmin.flushall()
  for (const [name, { what, run }] of Object.entries(SETTINGS))
    if (isWanted(name)) add(name, what, 'control', await run(lab, seed))
  return results
}

const isPlant = (name: Case['name']): name is Plant => name in PLANTS

async function resurrectedIn(row: 'C7' | 'C8'): Promise<string> {
  const { sessions } = await runFailover(row, { isControl: true })
  return sessions.resurrected > 0 ? `resurrected ${sessions.resurrected} of ${sessions.requests} requests` : ''
}

async function breachesUnder(lab: Lab, one: Case, seed: number): Promise<string> {
  const sku = await newItem(lab, `X-${one.name.slice(0, 12)}-${seed}`, UNITS)
  const load = await startLoad(lab, { ...CROWDED, seed, sku, buyersMs: 1_000, buyersMsMax: 25_000, ...one.load })
  const { proxies, toxics } = one.trouble ?? { proxies: [], toxics: {} }
  try {
    await lab.proxies.set(proxies, toxics)
    await sleep(one.seconds * 1_000)
    if (one.name === 'publish-without-token') await lab.proxies.set(proxies, {}) // what was late has landed; does it stay?
    await load.stop()
  } finally {
    await lab.proxies.set(proxies, {})
  }
  await lab.healthy()
  await load.readAll()
  load.close()
  const carts = checkCarts(load.recorder.operations)
  const counts = { stale: carts.stale, lost: carts.lost, duplicated: carts.duplicated, unexplained: carts.unexplained }
  const orders =
    load.buyers.length === 0
      ? {}
      : await judge(lab, { sku, units: UNITS, history: load.orders, buyers: load.buyers, brokenSeen: 0 })
  // Who gave up after their time is no fault of the shop.
  const { sold: _sold, restMs: _rest, unclear: _unclear, ...faults } = { sold: 0, restMs: 0, unclear: 0, ...orders }
  return Object.entries({
    ...counts,
    ...Object.fromEntries(Object.entries(faults).map(([k, n]) => [`orders ${k}`, n])),
  })
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}

/** A database that flushes its log once a second loses what it has acknowledged when it is killed. */
async function asynchronousFlush(lab: Lab, seed: number): Promise<string> {
  let found = ''
  for (let attempt = 1; attempt <= TRIES && found === ''; attempt++) {
    for (const shard of lab.shards) await shard.query('SET GLOBAL innodb_flush_log_at_trx_commit = 0')
    const load = await startLoad(lab, { ...CROWDED, users: 8, seed: seed + attempt, sku: '' })
    await sleep(2_500)
    for (const name of ['shard-0', 'shard-1'] as const) await lab.servers.backends[name].kill()
    for (const name of ['shard-0', 'shard-1'] as const) await lab.servers.backends[name].start()
    await lab.healthy()
    await lab.reconnectShards()
    await sleep(500)
    await load.stop()
    await load.readAll()
    load.close()
    const { lost, stale, acknowledged } = checkCarts(load.recorder.operations)
    if (lost + stale > 0) found = `lost ${lost} of ${acknowledged} acknowledged writes, ${stale} told less than before`
  }
  return found
}

/** Row B3 the other way round: the instance closes idle connections before nginx does. */
async function instanceClosesFirst(lab: Lab): Promise<string> {
  try {
    for (const instance of lab.instances) await instance.hurt({ keepAliveMs: 1 }) // Node adds a second of its own
    const { posts, resets } = await keepAliveRace(lab, { idleMs: 1_000, rounds: 20 })
    return resets > 0 ? `${resets} of ${posts} keyless POSTs were reset` : ''
  } finally {
    for (const instance of lab.instances) await instance.hurt({ keepAliveMs: FIXED.keepAliveMs })
  }
}
