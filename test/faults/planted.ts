import { setTimeout as sleep } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import { checkCarts } from '../history/carts.ts'
import { registrationsOf } from '../sale/accounts.ts'
import { judge } from '../sale/checks.ts'
import { runFailover } from './failover.ts'
import type { Lab } from './lab.ts'
import { type Load, type LoadOptions, shardOf, startLoad } from './load.ts'
import { type Plant, PLANTS } from './plants.ts'
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
  readonly load: Partial<LoadOptions>
  /** What makes it show. */
  trouble(lab: Lab): Promise<void>
  undo(lab: Lab): Promise<void>
  readonly seconds: number
}

const TRIES = 3
const UNITS = 60
/** Few carts and nobody who waits: what can meet, meets. */
const CROWDED: Omit<LoadOptions, 'seed' | 'sku'> = {
  users: 3,
  readers: 16,
  writers: 12,
  sessions: 0,
  buyers: 0,
  thinkMs: 2,
}
const BUYING: Partial<LoadOptions> = { users: 1, readers: 1, writers: 0, buyers: UNITS * 2, thinkMs: 50 }
const nothing = async () => undefined

const slowCache = (lab: Lab) => lab.proxies.set('0/cache', { latencyMs: 60, jitterMs: 55 })
const soundCache = (lab: Lab) => lab.proxies.set('0/cache', {})
const slowShards = async (lab: Lab) => {
  for (const name of ['0/shard-0', '0/shard-1', '1/shard-0', '1/shard-1'])
    await lab.proxies.set(name, { latencyMs: 60, jitterMs: 30 })
}
const soundShards = async (lab: Lab) => {
  for (const name of ['0/shard-0', '0/shard-1', '1/shard-0', '1/shard-1']) await lab.proxies.set(name, {})
}
const lossyCache = async (lab: Lab) => {
  for (const name of ['0/cache', '1/cache']) await lab.proxies.set(name, { resetChance: 0.1 })
}
const losslessCache = async (lab: Lab) => {
  for (const name of ['0/cache', '1/cache']) await lab.proxies.set(name, {})
}

const CASES: readonly Case[] = [
  { name: 'sound-slow-cache', load: {}, trouble: slowCache, undo: soundCache, seconds: 8 },
  { name: 'sound-lossy-cache', load: BUYING, trouble: lossyCache, undo: losslessCache, seconds: 1 },
  {
    name: 'sound-slow-shards',
    load: { ...BUYING, buyersMsMax: 90_000 },
    trouble: slowShards,
    undo: soundShards,
    seconds: 1,
  },
  { name: 'delete-after-commit', load: {}, trouble: slowCache, undo: soundCache, seconds: 5 },
  { name: 'read-modify-write', load: {}, trouble: nothing, undo: nothing, seconds: 5 },
  { name: 'publish-without-token', load: {}, trouble: slowCache, undo: soundCache, seconds: 8 },
  { name: 'decrement-resent', load: BUYING, trouble: lossyCache, undo: losslessCache, seconds: 1 },
  {
    name: 'expiry-without-compare',
    load: { ...BUYING, buyersMsMax: 90_000 },
    trouble: slowShards,
    undo: soundShards,
    seconds: 1,
  },
  { name: 'cache-aside', load: {}, trouble: slowCache, undo: soundCache, seconds: 5 },
  { name: 'naive-stock', load: BUYING, trouble: nothing, undo: nothing, seconds: 1 },
]
const CONTROLS: readonly string[] = ['cache-aside', 'naive-stock']
const isSoundCase = (name: string): name is `sound${string}` => name.startsWith('sound')

/** The sound build under the same load first: it must be found clean, or the rest says nothing. */
export async function runPlanted(
  lab: Lab,
  { seed, only }: { seed: number; only: readonly string[] },
  say: (text: string) => void,
): Promise<Caught[]> {
  const isWanted = (name: string) => only.length === 0 || only.includes(name)
  const results: Caught[] = []
  const add = (result: Caught) => {
    results.push(result)
    say(`${result.isCaught ? 'as it must be' : 'NOT AS IT MUST BE'}: ${result.name} (${result.what}): ${result.found}`)
  }
  for (const one of CASES.filter(({ name }) => isWanted(name))) {
    const isSound = isSoundCase(one.name)
    await lab.restart(isSound ? {} : { PLANT: one.name })
    await lab.cacheAdmin.flushall()
    let found = ''
    for (let attempt = 1; attempt <= (isSound ? 1 : TRIES) && found === ''; attempt++)
      found = await breachesUnder(lab, one, seed * 100 + attempt)
    const what = isSoundCase(one.name)
      ? 'nothing is planted, under the load and the trouble of those that follow'
      : PLANTS[one.name]
    const isCaught = isSound ? found === '' : found !== ''
    add({
      name: one.name,
      what,
      isControl: isSound || CONTROLS.includes(one.name),
      isCaught,
      found: found || 'nothing',
    })
  }
  await lab.restart({})
  await lab.cacheAdmin.flushall()
  for (const [name, control] of Object.entries(SETTINGS)) if (isWanted(name)) add(await control(lab, seed))
  return results
}

const logoutWithoutReplicas = (row: 'C7' | 'C8', name: string, what: string) => async (): Promise<Caught> => {
  const { sessions } = await runFailover(row, { isControl: true })
  return {
    name,
    what,
    isControl: true,
    isCaught: sessions.resurrected > 0,
    found: `resurrected ${sessions.resurrected} of ${sessions.requests} requests`,
  }
}

const SETTINGS: Readonly<Record<string, (lab: Lab, seed: number) => Promise<Caught>>> = {
  'asynchronous-flush': asynchronousFlush,
  'instance-closes-first': instanceClosesFirst,
  'logout-not-waited-for': logoutWithoutReplicas(
    'C7',
    'logout-not-waited-for',
    'the master of the sessions is killed, and logouts did not wait for its replicas',
  ),
  'isolated-master-believed': logoutWithoutReplicas(
    'C8',
    'isolated-master-believed',
    'the master of the sessions is cut off, and an instance goes on believing it',
  ),
}

/** Everything that can be planted or set wrong, by name. */
export const PLANTED: readonly string[] = [...CASES.map(({ name }) => name), ...Object.keys(SETTINGS)]

async function breachesUnder(lab: Lab, one: Case, seed: number): Promise<string> {
  const sku = await newItem(lab, `X-${one.name.slice(0, 12)}-${seed}`, UNITS)
  const load = await startLoad(lab, { ...CROWDED, seed, sku, buyersMs: 1_000, buyersMsMax: 25_000, ...one.load })
  try {
    await one.trouble(lab)
    await sleep(one.seconds * 1_000)
    if (one.name === 'publish-without-token') await soundCache(lab) // what was late has landed; does it stay?
    await load.stop()
  } finally {
    await one.undo(lab)
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
async function asynchronousFlush(lab: Lab, seed: number): Promise<Caught> {
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
  return {
    name: 'asynchronous-flush',
    what: 'innodb_flush_log_at_trx_commit = 0, and the shards are killed',
    isControl: true,
    isCaught: found !== '',
    found: found || 'nothing',
  }
}

/** Row B3 the other way round: the instance closes idle connections before nginx does. */
async function instanceClosesFirst(lab: Lab): Promise<Caught> {
  const accounts = await registrationsOf(lab)
  const newUser = async () => {
    const id = await accounts.addMember(`${randomUUID()}@race.example`)
    return { id, token: await accounts.session(id), shard: shardOf(id) }
  }
  try {
    for (const instance of lab.instances) await instance.hurt({ keepAliveMs: 1 }) // Node adds a second of its own
    const race = await keepAliveRace(lab, { newUser } satisfies Pick<Load, 'newUser'>, { idleMs: 1_000, rounds: 20 })
    return {
      name: 'instance-closes-first',
      what: 'the instances close idle connections when nginx is about to use them',
      isControl: true,
      isCaught: Number(race['resets']) > 0,
      found: `${race['resets']} of ${race['posts']} keyless POSTs were reset`,
    }
  } finally {
    for (const instance of lab.instances) await instance.hurt({ keepAliveMs: 75_000 })
    await accounts.close()
  }
}
