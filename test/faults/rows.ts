import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CART_READ_STEPS, CART_WRITE_STEPS } from '../../src/cart/steps.ts'
import { createHttp } from '../sale/http.ts'
import { eventually } from '../support/client.ts'
import type { Backend } from '../support/servers.ts'
import { type Dependency, INSTANCES, type Lab } from './lab.ts'
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
  /** What must hold of the failures that clients saw, beyond what holds always. */
  expect?(failures: readonly Failure[], params: Params): readonly string[]
}

export type Params = Readonly<Record<string, string | number>>
export type Figures = Readonly<Record<string, number>>

type Random = (below: number) => number
const oneOf = <T>(list: readonly T[], random: Random): T => list[random(list.length)] as T
const instance = (random: Random) => random(INSTANCES.length)
const STEPS = [...CART_WRITE_STEPS, ...CART_READ_STEPS]

const nobody = (failures: readonly Failure[]): string[] =>
  failures.length === 0 ? [] : [`${failures.length} attempts failed, such as ${failures[0]?.what}`]

/** Users of the other shard, and who has no cart in it, must notice nothing. */
const onlyShard = (failures: readonly Failure[], { shard }: Params): string[] =>
  nobody(failures.filter(failure => failure.shard !== -1 && failure.shard !== shard))

const nobodyForGood = (failures: readonly Failure[]): string[] => nobody(failures.filter(({ isFinal }) => isFinal))

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid > 0 && existsSync(`/proc/${pid}`)) process.kill(pid, signal)
}

const isStopped = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

/** Does something to the network between instances and a server for a while. */
async function toxic(lab: Lab, who: string, dependency: Dependency, toxics: Toxics, ms: number): Promise<undefined> {
  const names = INSTANCES.filter(index => who === 'both' || who === String(index)).map(
    index => `${index}/${dependency}`,
  )
  try {
    for (const name of names) await lab.proxies.set(name, toxics)
    await sleep(ms)
  } finally {
    for (const name of names) await lab.proxies.set(name, {})
  }
  return undefined
}

const backendOf = (lab: Lab, shard: string | number) => lab.servers.backends[shard === 0 ? 'shard-0' : 'shard-1']

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
    expected: 'its requests fail once, a retry succeeds, PM2 starts another',
    draw: random => ({ instance: instance(random) }),
    async run(lab, _, params) {
      kill(lab.instances[Number(params['instance'])]?.pid() ?? 0)
      return undefined
    },
  },
  {
    id: 'A2',
    title: 'an instance dies between two steps of a cart’s write or read',
    expected: 'nothing lost, doubled or stale; what it held is free within 2.5 s',
    draw: random => ({ instance: instance(random), step: oneOf(STEPS, random) }),
    async run(lab, _, params) {
      const victim = lab.instances[Number(params['instance'])]
      const before = victim?.pid() ?? 0
      await victim?.hurt({ step: String(params['step']) })
      await eventually(`it has died at ${params['step']}`, () => !existsSync(`/proc/${before}`), 15_000)
      return undefined
    },
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
  },
  {
    id: 'A4',
    title: 'PM2 is killed, then an instance',
    expected: 'the other instance serves until somebody (systemd, `npm start`) starts PM2 again',
    draw: random => ({ instance: instance(random), downMs: 1_000 + random(2_000) }),
    async run(lab, _, params) {
      kill(Number(readFileSync(join(lab.pm2.home, 'pm2.pid'), 'utf8')))
      kill(lab.instances[Number(params['instance'])]?.pid() ?? 0)
      await sleep(Number(params['downMs']))
      await lab.startPm2Again()
      return undefined
    },
  },
  {
    id: 'A5',
    title: 'an instance is stopped in the middle of a transaction (SIGSTOP)',
    expected: 'the row is free within 2 s, nginx goes on with the other; when it wakes up its COMMIT fails',
    draw: random => ({
      instance: instance(random),
      step: oneOf(['locked', 'fenced', 'committed'], random),
      ms: oneOf([1_000, 2_500, 5_000], random),
    }),
    async run(lab, _, params) {
      const victim = lab.instances[Number(params['instance'])]
      const pid = victim?.pid() ?? 0
      await victim?.hurt({ step: String(params['step']), signal: 'SIGSTOP' })
      await eventually('it is stopped', () => isStopped(pid), 15_000)
      await sleep(Number(params['ms']))
      kill(pid, 'SIGCONT')
      return undefined
    },
  },
  {
    id: 'A6',
    title: 'rolling reload (`pm2 reload`)',
    expected: 'nobody notices',
    draw: () => ({}),
    async run(lab) {
      await lab.pm2.run('reload', 'all', '--silent')
      return undefined
    },
    expect: nobody,
  },
  {
    id: 'A7',
    title: 'an event loop is blocked for 2 s',
    expected: 'the other instance carries on; who waits is answered',
    draw: random => ({ instance: instance(random) }),
    async run(lab, _, params) {
      await lab.instances[Number(params['instance'])]?.hurt({ busyMs: 2_000 })
      await sleep(2_000)
      return undefined
    },
    expect: nobodyForGood,
  },
  {
    id: 'A8',
    title: 'pricing threads end in the middle of their work',
    expected: 'the cart shows its last totals as old, or is priced by the next thread',
    draw: random => ({ instance: instance(random), times: 2 + random(4) }),
    async run(lab, _, params) {
      for (let n = 0; n < Number(params['times']); n++) {
        await lab.instances[Number(params['instance'])]?.hurt({ endThreads: true })
        await sleep(300)
      }
      return undefined
    },
    expect: nobodyForGood,
  },
  {
    id: 'A12',
    title: 'the clock of an instance is an hour wrong',
    expected: 'nobody notices: what counts goes by the clocks of the databases',
    draw: random => ({ instance: instance(random), hours: oneOf([-1, 1], random) }),
    async run(lab, _, params) {
      const victim = lab.instances[Number(params['instance'])]
      await victim?.hurt({ clockShiftMs: Number(params['hours']) * 3_600_000 })
      await sleep(3_000)
      await victim?.hurt({ clockShiftMs: 0 })
      return undefined
    },
    expect: nobody,
  },
  {
    id: 'B1',
    title: 'nginx reloads its configuration five times',
    expected: 'nobody notices',
    draw: () => ({}),
    async run(lab) {
      for (let n = 0; n < 5; n++) {
        lab.nginx.reload()
        await sleep(400)
      }
      return undefined
    },
    expect: nobodyForGood,
  },
  {
    id: 'B2',
    title: 'a worker of nginx is killed',
    expected: 'its connections are gone, a retry succeeds',
    draw: random => ({ pick: random(8) }),
    async run(lab, _, params) {
      const workers = lab.nginx.workers()
      kill(workers[Number(params['pick']) % Math.max(1, workers.length)] ?? 0)
      return undefined
    },
  },
  {
    id: 'B3',
    title: 'keyless POSTs over connections that are idle for as long as nginx keeps them open',
    expected: 'no reset is seen: nginx is the one who closes, and it knows',
    draw: () => ({ idleMs: 1_000, rounds: 4 }),
    async run(lab, load, params) {
      await lab.nginx.change({ from: 'keepalive_timeout 30s;', to: 'keepalive_timeout 1s;' })
      try {
        const figures = await keepAliveRace(lab, load, {
          idleMs: Number(params['idleMs']),
          rounds: Number(params['rounds']),
        })
        if (figures['resets'] !== 0) throw new Error(`${figures['resets']} of ${figures['posts']} POSTs were reset`)
        return figures
      } finally {
        await lab.nginx.change(undefined)
      }
    },
    expect: nobodyForGood,
  },
  {
    id: 'B4',
    title: 'a hundred slow clients (head and body a byte at a time)',
    expected: 'nobody else notices; nginx gives them up after 10 s',
    draw: () => ({ ms: 4_000 }),
    async run(lab, _, params) {
      const sockets = Array.from({ length: 100 }, (_unused, n) => slowClient(lab, n % 2 === 0))
      await sleep(Number(params['ms']))
      for (const socket of sockets) socket.destroy()
      return undefined
    },
    expect: nobody,
  },
  {
    id: 'B5',
    title: 'an instance dies after COMMIT, nginx sends the keyless PUT again',
    expected: 'the same result; the version has moved once',
    draw: random => ({ instance: instance(random) }),
    async run(lab, load, params) {
      const user = await load.newUser()
      const victim = lab.instances[Number(params['instance'])]
      const before = victim?.pid() ?? 0
      await victim?.hurt({ step: 'committed' })
      let version = 0
      let wrong = 0
      for (let n = 1; n <= 200 && existsSync(`/proc/${before}`); n++) {
        const told = await load.set(user, 'T-001', n)
        // Without an answer it may have happened or not: the history tells.
        if (told.result !== 'ok') break
        if (told.version !== version + 1) wrong++
        version = told.version ?? 0
      }
      if (wrong > 0) throw new Error(`${wrong} keyless PUTs moved the version otherwise than once`)
      return { puts: version }
    },
  },
  {
    id: 'C1',
    title: 'the cache Redis is killed and starts empty',
    expected: 'nothing stale; views and writes go on with the database within 2 s',
    draw: random => ({ downMs: oneOf([0, 1_000, 4_000], random) }),
    run: (lab, _, params) => restarted(lab.servers.backends['redis-cache'], params),
  },
  {
    id: 'C1s',
    title: 'the sessions Redis is killed and starts again',
    expected: '503 while it is away; then every session is as it was: no login lost, no logout forgotten',
    draw: random => ({ downMs: oneOf([0, 1_000], random) }),
    run: (lab, _, params) => restarted(lab.servers.backends['redis-sessions'], params),
  },
  {
    id: 'C2',
    title: 'the cache Redis hangs (SIGSTOP)',
    expected: 'the breaker opens; as C1. What it was sent meanwhile lands late, and is refused by token or version',
    draw: random => ({ ms: oneOf([500, 1_500, 3_000], random) }),
    run: (lab, _, params) => stopped(lab.servers.backends['redis-cache'], params),
  },
  {
    id: 'C3',
    title: 'one instance cannot reach the cache',
    expected: 'nothing stale: it turns the cache of a shard off for everybody before it writes without',
    draw: random => ({ instance: instance(random), ms: 2_000 + random(3_000) }),
    run: (lab, _, params) => toxic(lab, String(params['instance']), 'cache', { isCut: true }, Number(params['ms'])),
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
      return { evicted: (await info('evicted_keys', 'stats')) - before }
    },
  },
  {
    id: 'C6',
    title: 'keys of the cache are deleted, one by one and all',
    expected: 'nothing stale, nobody notices',
    draw: random => ({ ms: 2_000, flushes: 1 + random(3) }),
    async run(lab, _, params) {
      const until = performance.now() + Number(params['ms'])
      let deleted = 0
      while (performance.now() < until) {
        const key = await lab.cacheAdmin.randomkey()
        if (key !== null) deleted += await lab.cacheAdmin.del(key)
        await sleep(10)
      }
      for (let n = 0; n < Number(params['flushes']); n++) await lab.cacheAdmin.flushall()
      return { deleted }
    },
    expect: nobody,
  },
  {
    id: 'C6r',
    title: 'an old state of a cart is put back into the cache by hand (outside of what is promised)',
    expected: 'the auditor finds it within seconds',
    draw: () => ({}),
    run: restored,
  },
  {
    id: 'D1',
    title: 'a shard is killed and recovers',
    expected: 'nothing lost; its users are told 503 at once, the other shard’s notice nothing',
    draw: random => ({ shard: random(2), downMs: oneOf([0, 1_000, 3_000], random) }),
    run: (lab, _, params) => restarted(backendOf(lab, params['shard'] ?? 0), params),
    expect: onlyShard,
  },
  {
    id: 'D3',
    title: 'a shard is stopped (SIGSTOP)',
    expected: 'its pool does not fill up; the other shard’s users notice nothing',
    draw: random => ({ shard: random(2), ms: 2_000 + random(2_000) }),
    run: (lab, _, params) => stopped(backendOf(lab, params['shard'] ?? 0), params),
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
    expect: nobodyForGood,
  },
  {
    id: 'D9',
    title: 'a shard kills connections at random and takes too few',
    expected: 'queues stay bounded, retries find what was done, nothing leaks',
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
    expect: nobodyForGood,
  },
  {
    id: 'E3',
    title: 'cold start: everything is killed at once and started again under load',
    expected: 'nothing acknowledged is lost; the load finds it working',
    draw: () => ({}),
    run: coldStart,
  },
  {
    id: 'E4',
    title: 'ten times as many readers who never wait, for 4 s',
    expected: 'it slows down, sheds, and is itself again when they are gone',
    draw: () => ({ factor: 10, ms: 4_000 }),
    async run(_, load, params) {
      await load.surge(Number(params['factor']), Number(params['ms']))
      return undefined
    },
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
  },
]

/** Keyless POSTs over connections that were idle for just as long as one side keeps them open. */
export async function keepAliveRace(
  lab: Lab,
  load: Pick<Load, 'newUser'>,
  { idleMs, rounds }: { idleMs: number; rounds: number },
): Promise<Figures> {
  const users = []
  for (let n = 0; n < RACERS; n++) users.push(await load.newUser())
  const http = createHttp(RACERS)
  let failed = 0
  let posts = 0
  await Promise.all(
    users.map(async ({ token }) => {
      for (let n = 0; n < rounds; n++) {
        const { status } = await http.send(lab.url, 'POST', '/v1/cart/lines', {
          token,
          body: { sku: 'T-001', quantity: 1 },
        })
        posts++
        if (status !== 200) failed++
        await sleep(idleMs - 50 + Math.random() * 100)
      }
    }),
  )
  http.close()
  return { posts, resets: failed }
}

const RACERS = 100

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
  const found = async () => {
    const texts = await Promise.all(lab.instances.map(each => fetch(`${each.opsUrl}/metrics`).then(r => r.text())))
    return texts.reduce(
      (sum, text) => sum + Number(/cart_audits_total\{result="behind"\} (\d+)/.exec(text)?.[1] ?? 0),
      0,
    )
  }
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

/** Whether flushes of a process can be slowed down here. */
export const canSlowFlushes = (): boolean =>
  spawnSync('strace', ['-e', 'trace=none', 'true'], { stdio: 'ignore' }).status === 0

async function slowFlush(lab: Lab, _: Load, params: Params): Promise<Figures | undefined> {
  if (!canSlowFlushes()) return { skipped: 1 }
  const pid = backendOf(lab, params['shard'] ?? 0).pid()
  const inject = 'inject=fsync,fdatasync:delay_enter=30000'
  const tracer = spawn('strace', ['-f', '-qq', '-p', String(pid), '-e', 'trace=fsync,fdatasync', '-e', inject], {
    stdio: 'ignore',
  })
  const gone = new Promise(resolve => tracer.once('exit', resolve))
  await sleep(Number(params['ms']))
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
