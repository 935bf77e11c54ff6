import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { CART_READ_FAILPOINTS, CART_WRITE_FAILPOINTS } from '../../src/cart/failpoints.ts'
import { makeBuyers } from '../sale/buyers.ts'
import { createHttp } from '../sale/http.ts'
import { eventually } from '../support/client.ts'
import type { Backend } from '../support/servers.ts'
import { type Dependency, INSTANCES, type Lab, type LabInstance } from './lab.ts'
import type { Failure, Load } from './load.ts'
import type { Toxics } from './proxy.ts'

/** One row of the fault matrix: what is done, and what is expected. Everything that chance decides comes from `draw`. */
export interface Row {
  readonly id: string
  readonly title: string
  readonly expected: string
  draw(random: (below: number) => number): Params
  /** Does it and undoes it. What it returns is shown with the figures. */
  run(lab: Lab, load: Load, params: Params): Promise<Figures | undefined>
  /** What must hold of what clients saw, beyond what holds always. */
  expect(seen: Seen, params: Params): readonly string[]
}

export interface Seen {
  readonly failures: readonly Failure[]
  /** From the undoing of the fault to the last failure. */
  readonly afterMs: number
}

export type Params = Readonly<Record<string, string | number>>
export type Figures = Readonly<Record<string, number>>

type Random = (below: number) => number
const oneOf = <T>(list: readonly T[], random: Random): T => list[random(list.length)] as T
const instance = (random: Random) => random(INSTANCES.length)
/** Of a cart's write and read. */
/** Some key of the cache goes, as when its memory is full. */
async function evictOne(lab: Lab): Promise<number> {
  const key = await lab.cacheAdmin.randomkey()
  return key === null ? 0 : lab.cacheAdmin.del(key)
}

export const STEPS = [...CART_WRITE_FAILPOINTS, ...CART_READ_FAILPOINTS]

const noneOf = (failures: readonly Failure[]): string[] =>
  failures.length === 0 ? [] : [`${failures.length} attempts failed, such as ${failures[0]?.what}`]

/** Not one attempt fails. */
const noFailure = ({ failures }: Seen): string[] => noneOf(failures)

/** Users of the other shard must notice nothing, and all of them nothing any more soon after. */
const onlyShard = (seen: Seen, { shard }: Params): string[] => [
  ...noneOf(seen.failures.filter(failure => failure.shard !== shard)),
  ...within(5_000)(seen),
]

/** A request that is retried, three times at most, gets an answer. */
const noneGivenUp = ({ failures }: Seen): string[] => noneOf(failures.filter(({ isFinal }) => isFinal))

/** The last failure comes at most so long after the fault is undone. */
const within =
  (msMax: number) =>
  ({ afterMs }: Seen): string[] =>
    afterMs <= msMax ? [] : [`clients saw failures for ${afterMs} ms after it`]

/** @throws Error when there is nothing to be hurt: a fault that is not there proves nothing */
function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid <= 0) throw new Error('there is no such process')
  process.kill(pid, signal)
}

function instanceOf(lab: Lab, { instance: index }: Params): LabInstance {
  const found = lab.instances[Number(index)]
  if (!found || found.pid() === 0) throw new Error(`instance ${index} is not running`)
  return found
}

const isStopped = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

/** Does something to the network between instances and a server for a while. */
async function toxic(lab: Lab, who: string, dependency: Dependency, toxics: Toxics, ms: number): Promise<undefined> {
  const names = INSTANCES.filter(index => who === 'both' || who === String(index)).map(
    index => `${index}/${dependency}`,
  )
  try {
    await lab.proxies.set(names, toxics)
    await sleep(ms)
  } finally {
    await lab.proxies.set(names, {})
  }
  return undefined
}

const backendOf = (lab: Lab, { shard }: Params) => lab.servers.backends[shard === 0 ? 'shard-0' : 'shard-1']

/** Killed, and started again after `downMs`. */
async function restarted(backend: Backend, { downMs }: Params): Promise<undefined> {
  await backend.kill()
  await sleep(Number(downMs))
  await backend.start()
  return undefined
}

/** Stopped for `ms`: it hangs, and then goes on where it was. */
async function stopped(backend: Backend, { ms }: Params): Promise<undefined> {
  backend.signal('SIGSTOP')
  await sleep(Number(ms))
  backend.signal('SIGCONT')
  return undefined
}

const CACHE_TROUBLES: Readonly<Record<string, Toxics>> = {
  'latency 50 ± 40 ms': { latencyMs: 50, jitterMs: 40 },
  'latency 200 ± 150 ms': { latencyMs: 200, jitterMs: 150 },
  'latency 1000 ± 500 ms': { latencyMs: 1_000, jitterMs: 500 },
  'slices of 7 bytes': { sliceBytes: 7 },
  'resets of 5 % of the answers': { resetChance: 0.05 },
  'half-closed at 2 % of the answers': { halfCloseChance: 0.02 },
  'answers held back': { blackHole: 'answers' },
}

const PARTITIONS: Readonly<Record<string, Toxics>> = {
  cut: { isCut: true },
  'requests held back': { blackHole: 'requests' },
  'answers held back': { blackHole: 'answers' },
  'both held back': { blackHole: 'both' },
}

export const ROWS: readonly Row[] = [
  {
    id: 'A1',
    title: 'an instance is killed',
    expected: 'a retry is answered; PM2 starts another',
    draw: random => ({ instance: instance(random) }),
    async run(lab, _, params) {
      kill(instanceOf(lab, params).pid())
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'A2',
    title: 'an instance dies between two steps of a cart’s write or read',
    expected: 'a retry is answered; nothing lost, doubled or stale',
    draw: random => ({ instance: instance(random), step: oneOf(STEPS, random) }),
    async run(lab, _, params) {
      const victim = instanceOf(lab, params)
      const before = victim.pid()
      await victim.hurt({ step: String(params['step']) })
      const died = async () => {
        // Or no reader would have to fill; many, since most keys are of carts that are read no more.
        await Promise.all(Array.from({ length: 25 }, () => evictOne(lab)))
        return !existsSync(`/proc/${before}`)
      }
      await eventually(`it has died at ${params['step']}`, died, 15_000)
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'A3',
    title: 'all instances are killed',
    expected: '503 until PM2 has started them again',
    draw: () => ({}),
    async run(lab) {
      for (const { pid } of lab.instances) kill(pid())
      return undefined
    },
    expect: within(15_000),
  },
  {
    id: 'A4',
    title: 'PM2 is killed, then an instance',
    expected: 'the other serves until PM2 is started again (by systemd or `npm start`)',
    draw: random => ({ instance: instance(random), downMs: 1_000 + random(2_000) }),
    async run(lab, _, params) {
      kill(Number(readFileSync(join(lab.pm2.home, 'pm2.pid'), 'utf8')))
      kill(instanceOf(lab, params).pid())
      await sleep(Number(params['downMs']))
      await lab.startPm2Again()
      return undefined
    },
    expect: within(15_000),
  },
  {
    id: 'A5',
    title: 'an instance is stopped in the middle of a transaction (SIGSTOP)',
    expected: 'who waits for it gets a 503 and is answered when they try again',
    draw: random => ({
      instance: instance(random),
      step: oneOf(['locked', 'fenced', 'committed'], random),
      ms: oneOf([1_000, 2_500, 5_000], random),
    }),
    async run(lab, _, params) {
      const victim = instanceOf(lab, params)
      const pid = victim.pid()
      await victim.hurt({ step: String(params['step']), signal: 'SIGSTOP' })
      await eventually('it is stopped', () => isStopped(pid), 15_000)
      await sleep(Number(params['ms']))
      kill(pid, 'SIGCONT')
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'A6',
    title: 'rolling reload (`pm2 reload`)',
    expected: 'no request fails',
    draw: () => ({}),
    async run(lab) {
      await lab.pm2.run('reload', 'all', '--silent')
      return undefined
    },
    expect: noFailure,
  },
  {
    id: 'A7',
    title: 'an event loop is blocked for 2 s',
    expected: 'the other instance carries on; who waits is answered',
    draw: random => ({ instance: instance(random) }),
    async run(lab, _, params) {
      await instanceOf(lab, params).hurt({ busyMs: 2_000 })
      await sleep(2_000)
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'A8',
    title: 'pricing threads end in the middle of their work',
    expected: 'the cart shows its last totals as old, or is priced by the next thread',
    draw: random => ({ instance: instance(random), times: 2 + random(4) }),
    async run(lab, _, params) {
      let ended = 0
      for (let n = 0; n < Number(params['times']); n++) {
        ended += (await instanceOf(lab, params).hurt({ endThreads: true })).threads
        await sleep(300)
      }
      if (ended === 0) throw new Error('there was no thread to end')
      return { ended }
    },
    expect: noneGivenUp,
  },
  {
    id: 'A12',
    title: 'the clock of an instance is an hour wrong',
    expected: 'no request fails: what counts goes by the clocks of the databases',
    draw: random => ({ instance: instance(random), hours: oneOf([-1, 1], random) }),
    async run(lab, _, params) {
      const victim = instanceOf(lab, params)
      await victim.hurt({ clockShiftMs: Number(params['hours']) * 3_600_000 })
      await sleep(3_000)
      await victim.hurt({ clockShiftMs: 0 })
      return undefined
    },
    expect: noFailure,
  },
  {
    id: 'B1',
    title: 'nginx reloads its configuration five times',
    expected: 'connections are closed when it reloads; a retry is answered',
    draw: () => ({}),
    async run(lab) {
      for (let n = 0; n < 5; n++) {
        lab.nginx.reload()
        await sleep(400)
      }
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'B2',
    title: 'a worker of nginx is killed',
    expected: 'its connections are gone; a retry is answered',
    draw: random => ({ pick: random(8) }),
    async run(lab, _, params) {
      const workers = lab.nginx.workers()
      kill(workers[Number(params['pick']) % Math.max(1, workers.length)] ?? 0)
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'B3',
    title: 'keyless POSTs over connections that are idle for as long as nginx keeps them open',
    expected: 'no reset is seen: nginx is the one who closes, and it knows',
    draw: () => ({ idleMs: 1_000, rounds: 4 }),
    async run(lab, _, params) {
      await lab.nginx.change({ from: 'keepalive_timeout 30s;', to: 'keepalive_timeout 1s;' })
      try {
        const figures = await keepAliveRace(lab, {
          idleMs: Number(params['idleMs']),
          rounds: Number(params['rounds']),
        })
        if (figures.resets !== 0) throw new Error(`${figures.resets} of ${figures.posts} POSTs were reset`)
        return figures
      } finally {
        await lab.nginx.change(undefined)
      }
    },
    expect: noneGivenUp,
  },
  {
    id: 'B4',
    title: 'a hundred slow clients (head and body a byte at a time)',
    expected: 'no other request fails',
    draw: () => ({ ms: 4_000 }),
    async run(lab, _, params) {
      const sockets = Array.from({ length: 100 }, (_unused, n) => slowClient(lab, n % 2 === 0))
      await sleep(Number(params['ms']))
      for (const socket of sockets) socket.destroy()
      return undefined
    },
    expect: noFailure,
  },
  {
    id: 'B5',
    title: 'an instance dies after COMMIT, nginx sends the keyless PUT again',
    expected: 'the same result; the version has moved once',
    draw: random => ({ instance: instance(random) }),
    run: sentAgain,
    expect: noneGivenUp,
  },
  {
    id: 'C1',
    title: 'the cache Redis is killed and starts empty',
    expected: 'nothing stale; a retry is answered from the database',
    draw: random => ({ downMs: oneOf([0, 1_000, 4_000], random) }),
    run: (lab, _, params) => restarted(lab.servers.backends['redis-cache'], params),
    expect: noneGivenUp,
  },
  {
    id: 'C1s',
    title: 'the sessions Redis is killed and starts again',
    expected: '503 while it is away; then every session is as it was',
    draw: random => ({ downMs: oneOf([0, 1_000], random) }),
    run: (lab, _, params) => restarted(lab.servers.backends['redis-sessions'], params),
    expect: within(5_000),
  },
  {
    id: 'C2',
    title: 'the cache Redis hangs (SIGSTOP)',
    expected: 'as C1; what it was sent meanwhile lands late, and is refused by token or version',
    draw: random => ({ ms: oneOf([500, 1_500, 3_000], random) }),
    run: (lab, _, params) => stopped(lab.servers.backends['redis-cache'], params),
    expect: noneGivenUp,
  },
  {
    id: 'C3',
    title: 'one instance cannot reach the cache',
    expected: 'nothing stale: it turns the cache of a shard off for all instances before it writes without',
    draw: random => ({ instance: instance(random), ms: 2_000 + random(3_000) }),
    run: (lab, _, params) => toxic(lab, String(params['instance']), 'cache', { isCut: true }, Number(params['ms'])),
    expect: noneGivenUp,
  },
  {
    id: 'C4',
    title: 'a bad network to the cache',
    expected: 'commands time out, late ones are refused, nothing stale',
    draw: random => ({
      trouble: oneOf(Object.keys(CACHE_TROUBLES), random),
      who: oneOf(['0', '1', 'both'], random),
    }),
    run: (lab, _, params) =>
      toxic(lab, String(params['who']), 'cache', CACHE_TROUBLES[String(params['trouble'])] ?? {}, 3_000),
    expect: noneGivenUp,
  },
  {
    id: 'C5',
    title: 'the cache has too little memory and evicts',
    expected: 'nothing stale; more reads go to the database',
    draw: () => ({ ms: 3_000 }),
    async run(lab, _, params) {
      const info = async (name: string, section: string) =>
        Number(new RegExp(`${name}:(\\d+)`).exec(await lab.cacheAdmin.info(section))?.[1] ?? 0)
      const before = await info('evicted_keys', 'stats')
      try {
        for (const until = performance.now() + Number(params['ms']); performance.now() < until; ) {
          const [used, data] = [await info('used_memory', 'memory'), await info('used_memory_dataset', 'memory')]
          await lab.cacheAdmin.config('SET', 'maxmemory', Math.max(1, Math.round(used - data * 0.1)))
          await sleep(50)
          await lab.cacheAdmin.config('SET', 'maxmemory', '64mb')
          await sleep(50)
        }
      } finally {
        await lab.cacheAdmin.config('SET', 'maxmemory', '64mb')
      }
      const evicted = (await info('evicted_keys', 'stats')) - before
      if (evicted <= 0) throw new Error('nothing was evicted')
      return { evicted }
    },
    expect: noneGivenUp,
  },
  {
    id: 'C6',
    title: 'keys of the cache are deleted, one by one and all',
    expected: 'nothing stale, no request fails',
    draw: random => ({ ms: 2_000, flushes: 1 + random(3) }),
    async run(lab, _, params) {
      const until = performance.now() + Number(params['ms'])
      let deleted = 0
      while (performance.now() < until) {
        deleted += await evictOne(lab)
        await sleep(10)
      }
      for (let n = 0; n < Number(params['flushes']); n++) await lab.cacheAdmin.flushall()
      return { deleted }
    },
    expect: noFailure,
  },
  {
    id: 'C6r',
    title: 'an old state of a cart is put back into the cache by hand (outside of what is promised)',
    expected: 'the auditor finds it within seconds',
    draw: () => ({}),
    run: restored,
    expect: noneGivenUp,
  },
  {
    id: 'C10',
    title: 'the disk of the sessions Redis is full: nothing more can be appended',
    expected: 'logins and logouts are told 503, who is logged in goes on; as before when there is room again',
    draw: () => ({ ms: 3_000 }),
    run: diskFull,
    expect: noneGivenUp,
  },
  {
    id: 'D1',
    title: 'a shard is killed and recovers',
    expected: 'nothing lost; its users are told 503 at once, the other shard’s notice nothing',
    draw: random => ({ shard: random(2), downMs: oneOf([0, 1_000, 3_000], random) }),
    run: (lab, _, params) => restarted(backendOf(lab, params), params),
    expect: onlyShard,
  },
  {
    id: 'D3',
    title: 'a shard is stopped (SIGSTOP)',
    expected: 'its users are told 503; the other shard’s notice nothing',
    draw: random => ({ shard: random(2), ms: 2_000 + random(2_000) }),
    run: (lab, _, params) => stopped(backendOf(lab, params), params),
    expect: onlyShard,
  },
  {
    id: 'D4',
    title: 'a shard is 200 ms away',
    expected: 'its users wait, the others do not',
    draw: random => ({ shard: random(2) }),
    run: (lab, _, params) =>
      toxic(lab, 'both', `shard-${params['shard']}` as Dependency, { latencyMs: 200, jitterMs: 20 }, 3_000),
    expect: onlyShard,
  },
  {
    id: 'D5',
    title: 'instances and a shard are cut off from each other, one way or both',
    expected: 'as D1; a COMMIT whose answer is lost is unknown, and its retry finds what was done',
    draw: random => ({
      shard: random(2),
      who: oneOf(['0', '1', 'both'], random),
      how: oneOf(Object.keys(PARTITIONS), random),
      ms: 1_500 + random(2_500),
    }),
    run: (lab, _, params) =>
      toxic(
        lab,
        String(params['who']),
        `shard-${params['shard']}` as Dependency,
        PARTITIONS[String(params['how'])] ?? {},
        Number(params['ms']),
      ),
    expect: onlyShard,
  },
  {
    id: 'D8',
    title: 'forty write to one cart at once',
    expected: 'every write lands; losers go again, bounded',
    draw: () => ({ writers: 40, ms: 3_000 }),
    async run(_, load, params) {
      await load.crowd(Number(params['writers']), Number(params['ms']))
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'D9',
    title: 'a shard kills connections at random and takes too few',
    expected: 'retries find what was done; the other shard’s users notice nothing',
    draw: random => ({ shard: random(2), ms: 3_000, connectionsMax: 12 }),
    run: connectionsKilled,
    expect: onlyShard,
  },
  {
    id: 'D10',
    title: 'the disk of a shard takes 30 ms for each flush',
    expected: 'writes wait; nothing else',
    draw: random => ({ shard: random(2), ms: 3_000 }),
    run: slowFlush,
    expect: noneGivenUp,
  },
  {
    id: 'E3',
    title: 'cold start: everything is killed at once and started again under load',
    expected: 'nothing acknowledged is lost; the load finds it working',
    draw: () => ({}),
    run: coldStart,
    expect: within(15_000),
  },
  {
    id: 'E4',
    title: 'ten times as many readers who never wait, for 4 s',
    expected: 'it slows down, and is itself again when they are gone',
    draw: () => ({ factor: 10, ms: 4_000 }),
    async run(_, load, params) {
      await load.surge(Number(params['factor']), Number(params['ms']))
      return undefined
    },
    expect: noneGivenUp,
  },
  {
    id: 'E5',
    title: 'retry storm: 30 % of what the databases answer is lost for 4 s',
    expected: 'retries with the same key happen once; it ends when the fault ends',
    draw: () => ({ chance: 0.3, ms: 4_000 }),
    async run(lab, _, params) {
      const lose = (shard: Dependency) =>
        toxic(lab, 'both', shard, { resetChance: Number(params['chance']) }, Number(params['ms']))
      await Promise.all([lose('shard-0'), lose('shard-1')])
      return undefined
    },
    expect: within(5_000),
  },
]

/** Keyless POSTs over connections that were idle for just as long as one side keeps them open. */
export async function keepAliveRace(
  lab: Lab,
  { idleMs, rounds }: { idleMs: number; rounds: number },
): Promise<{ posts: number; resets: number }> {
  const users = await makeBuyers(lab, RACERS)
  const http = createHttp(RACERS)
  let resets = 0
  let posts = 0
  await Promise.all(
    users.map(async ({ token }) => {
      for (let n = 0; n < rounds; n++) {
        const { status } = await http.send(lab.url, 'POST', '/v1/cart/lines', {
          token,
          body: { sku: 'T-001', quantity: 1 },
        })
        posts++
        if (status !== 200) resets++
        await sleep(idleMs - 50 + Math.random() * 100)
      }
    }),
  )
  http.close()
  return { posts, resets }
}

const RACERS = 100

/** Until an instance has died in the middle of a PUT of our own; the other writers wait meanwhile. */
async function sentAgain(lab: Lab, load: Load, params: Params): Promise<Figures> {
  const user = await load.newUser()
  let version = 0
  let hits = 0
  load.hold(true)
  try {
    for (let life = 0; life < 5 && hits === 0; life++) {
      await eventually('it runs', () => lab.instances[Number(params['instance'])]?.pid() !== 0, 15_000)
      const victim = instanceOf(lab, params)
      const pid = victim.pid()
      await sleep(200) // who was writing has ended
      await victim.hurt({ step: 'committed' })
      for (let n = 1; n <= 200 && existsSync(`/proc/${pid}`); n++) {
        const told = await load.set(user, 'T-001', version + 1)
        if (told.result !== 'ok') throw new Error(`the keyless PUT was answered ${told.code}`)
        if (told.version !== version + 1) throw new Error(`it moved the version from ${version} to ${told.version}`)
        version++
        if (!existsSync(`/proc/${pid}`)) hits++
      }
      await lab.healthy()
    }
  } finally {
    load.hold(false)
  }
  if (hits === 0) throw new Error('no instance died during a PUT of ours')
  return { puts: version, replayed: hits }
}

function slowClient(lab: Lab, inBody: boolean): Socket {
  const { hostname, port } = new URL(lab.url)
  const socket = connect({ host: hostname, port: Number(port) })
  const head =
    'POST /v1/cart/lines HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n'
  const text = inBody ? `${head}\r\n${' '.repeat(5_000)}` : head
  let at = inBody ? head.length + 2 : 0
  socket.write(text.slice(0, at))
  const timer = setInterval(() => socket.write(text[at++] ?? ' '), 200)
  socket.on('close', () => clearInterval(timer))
  socket.on('error', () => clearInterval(timer))
  return socket
}

async function restored(lab: Lab, load: Load): Promise<Figures> {
  const user = await load.newUser()
  const set = (quantity: number) =>
    eventually('it is set', async () => (await load.set(user, 'T-001', quantity)).result === 'ok')
  await set(1)
  const found = () => lab.audited('behind')
  let key = ''
  await eventually('it is cached', async () => {
    await load.view(user)
    key = (await lab.cacheAdmin.keys(`{u:${user.id}}:cart:*`))[0] ?? ''
    return (await lab.cacheAdmin.hget(key, 's')) === 'V'
  })
  const old = await lab.cacheAdmin.dumpBuffer(key)
  await set(2)
  const before = await found()
  await lab.cacheAdmin.restore(key, 600_000, old, 'REPLACE')
  const since = performance.now()
  try {
    await eventually('the auditor has found it', async () => (await found()) > before, 20_000)
  } finally {
    await lab.cacheAdmin.del(key)
  }
  return { detectedMs: Math.round(performance.now() - since) }
}

async function connectionsKilled(lab: Lab, _: Load, params: Params): Promise<Figures> {
  const admin = lab.shards[Number(params['shard'])]
  if (!admin) throw new Error('no connection to the shard')
  let killed = 0
  const [[before]] = (await admin.query('SELECT @@max_connections AS n')) as unknown as [[{ n: number }]]
  try {
    await admin.query(`SET GLOBAL max_connections = ${Number(params['connectionsMax'])}`)
    for (const until = performance.now() + Number(params['ms']); performance.now() < until; ) {
      const [rows] = (await admin.query(
        "SELECT id FROM information_schema.processlist WHERE user = 'cartload' ORDER BY RAND() LIMIT 1",
      )) as unknown as [{ id: number }[]]
      const ended = rows[0]
        ? await admin.query(`KILL ${rows[0].id}`).then(
            () => 1,
            () => 0,
          )
        : 0
      killed += ended
      await sleep(100)
    }
  } finally {
    await admin.query(`SET GLOBAL max_connections = ${before?.n ?? 151}`)
  }
  return { killed }
}

/** Whether the calls of a process can be tampered with here. */
export const canTrace = (): boolean =>
  spawnSync('strace', ['-e', 'trace=none', 'true'], { stdio: 'ignore' }).status === 0

async function slowFlush(lab: Lab, _: Load, params: Params): Promise<Figures | undefined> {
  const calls = ['-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:delay_enter=30000']
  return traced(backendOf(lab, params), Number(params['ms']), calls)
}

async function diskFull(lab: Lab, _: Load, params: Params): Promise<Figures | undefined> {
  const folder = join(lab.servers.dir, 'sessions', 'appendonlydir')
  const file = readdirSync(folder).find(name => name.endsWith('.incr.aof'))
  if (file === undefined) throw new Error('the sessions Redis has no append-only file')
  const calls = ['-P', join(folder, file), '-e', 'trace=write', '-e', 'inject=write:error=ENOSPC']
  const admin = new Redis(lab.servers.adminUrls.sessions)
  let looks = 0
  let errors = 0
  const looking = setInterval(() => {
    admin.info('persistence').then(
      text => {
        looks++
        if (text.includes('aof_last_write_status:err')) errors++
      },
      () => undefined,
    )
  }, 100)
  try {
    const skipped = await traced(lab.servers.backends['redis-sessions'], Number(params['ms']), calls)
    if (!skipped && errors === 0) throw new Error('the Redis noticed nothing of its disk')
    return skipped ?? { looks, full: errors }
  } finally {
    clearInterval(looking)
    admin.disconnect()
  }
}

/** Has strace tamper with calls of a server for a while. */
async function traced(backend: Backend, ms: number, calls: readonly string[]): Promise<Figures | undefined> {
  if (!canTrace()) return { skipped: 1 }
  const tracer = spawn('strace', ['-f', '-qq', '-o', '/dev/null', '-p', String(backend.pid()), ...calls], {
    stdio: 'ignore',
  })
  const gone = new Promise<number | null>(resolve => tracer.once('exit', resolve))
  await sleep(ms)
  if (tracer.exitCode !== null) throw new Error(`strace ended by itself (${tracer.exitCode})`)
  tracer.kill('SIGINT') // it lets go of the process properly
  await gone
  return undefined
}

async function coldStart(lab: Lab): Promise<undefined> {
  const backends = Object.values(lab.servers.backends)
  await Promise.all([lab.nginx.kill(), ...backends.map(backend => backend.kill())])
  for (const { pid } of lab.instances) kill(pid())
  await Promise.all(backends.map(backend => backend.start()))
  await lab.nginx.start()
  return undefined
}
