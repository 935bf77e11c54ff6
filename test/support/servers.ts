import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServerAddresses } from '../../src/config/config.ts'
import type { Product } from '../../src/model/product.ts'
import { SLOTS, slotOf } from '../../src/sharding/slots.ts'
import { findOrInstall } from '../../src/stack/programs.ts'
import { loadSecrets, type StackSecrets } from '../../src/stack/secrets.ts'
import {
  createDataFolder,
  mysqlServer,
  mysqlUrl,
  redisAdminUrl,
  redisServer,
  redisUrl,
  type ServerSpec,
  waitForServer,
} from '../../src/stack/servers.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { migrateGlobal, migrateShards } from '../../src/store/migrate.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'

/** Real servers for the tests: two MariaDB shards and two Redis, private, in a temporary folder, started once per run. */
export interface TestServers {
  readonly dir: string
  readonly secrets: StackSecrets
  readonly addresses: ServerAddresses
  readonly adminUrls: {
    readonly sessions: string
    readonly cache: string
    readonly shards: readonly string[]
    readonly global: string
  }
  readonly backends: Readonly<Record<'shard-0' | 'shard-1' | 'redis-sessions' | 'redis-cache', Backend>>
  stop(): Promise<void>
}

/** One server process that a test may kill, freeze and start again. */
export interface Backend {
  readonly port: number
  /** 0 while it is not running. */
  pid(): number
  kill(): Promise<void>
  signal(name: NodeJS.Signals): void
  start(): Promise<void>
}

/** The index of the one of the two test shards on which a key lives. */
export const shardOf = (key: string): 0 | 1 => (slotOf(key) < SLOTS / 2 ? 0 : 1)

export const PROJECT = join(import.meta.dirname, '..', '..')

let running: TestServers | undefined

export function testServers(): TestServers {
  if (!running) throw new Error('the servers are started by root-hooks.ts')
  return running
}

/** Products that every test may rely on: T-001 … T-600, costing 101, 102, … minor units. */
export const PRODUCTS: readonly Product[] = Array.from({ length: 600 }, (_, index) => ({
  sku: `T-${String(index + 1).padStart(3, '0')}`,
  name: `Test Thing ${String(index + 1).padStart(3, '0')}`,
  price: 101 + index,
  category: index % 3 === 0 ? 'alpha' : 'beta',
}))

export interface PrivateServers {
  readonly dir: string
  readonly secrets: StackSecrets
  readonly shardPorts: readonly number[]
  readonly redisPorts: { readonly sessions: number; readonly cache: number }
  /** By the names of their specifications: `shard-0`, `redis-sessions`, … */
  readonly backends: ReadonlyMap<string, Backend>
  stop(): Promise<void>
}

/** Databases and the two Redis, with nothing in them, in a folder of their own. */
export async function startPrivateServers(options: {
  prefix: string
  shards: number
  shardMb: number
  redisMb: number
  databases(shard: number): readonly string[]
}): Promise<PrivateServers> {
  const dir = mkdtempSync(join(tmpdir(), options.prefix))
  const names = ['redis', ...(options.shards > 0 ? (['mariadb'] as const) : [])] as const
  const programs = await findOrInstall(names, join(PROJECT, '.cartload'), console.error)
  const program = (name: (typeof names)[number]) => {
    const found = programs.get(name)
    if (!found) throw new Error(`no ${name}`)
    return found
  }
  const secrets = loadSecrets(dir)
  const [sessions = 0, cache = 0, ...shardPorts] = await freePorts(2 + options.shards)
  const redisPorts = { sessions, cache }
  const shards = shardPorts.map((port, index) => {
    const name = `shard-${index}`
    return { name, dir: join(dir, name), port, databases: options.databases(index), memoryMb: options.shardMb, secrets }
  })
  await Promise.all(shards.map(shard => createDataFolder(program('mariadb'), shard.dir)))
  const specs = [
    ...shards.map(shard => mysqlServer({ ...shard, program: program('mariadb') })),
    ...(['sessions', 'cache'] as const).map(role => {
      const own = { role, dir: join(dir, role), port: redisPorts[role], memoryMb: options.redisMb, secrets }
      return redisServer({ ...own, program: program('redis') })
    }),
  ]
  const backends = new Map(specs.map(spec => [spec.name, createBackend(spec, join(dir, `${spec.name}.log`))]))
  async function stop(): Promise<void> {
    await Promise.all([...backends.values()].map(backend => backend.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await Promise.all([...backends.values()].map(backend => backend.start()))
  } catch (error) {
    await stop() // those that did start would keep this process alive for ever
    throw error
  }
  return { dir, secrets, shardPorts, redisPorts, backends, stop }
}

/** Two shards, the global database in the first, with all their tables, and the two Redis. */
export async function startMigratedServers(
  prefix: string,
): Promise<PrivateServers & { readonly addresses: ServerAddresses }> {
  const started = await startPrivateServers({
    prefix,
    shards: 2,
    shardMb: 64,
    redisMb: 64,
    databases: shard => (shard === 0 ? ['cartload', 'cartload_global'] : ['cartload']),
  })
  const { secrets, shardPorts, redisPorts } = started
  const [shard0 = 0] = shardPorts
  try {
    await migrateGlobal(mysqlUrl(shard0, 'cartload_global', secrets, 'migrations'))
    await migrateShards(shardPorts.map(port => mysqlUrl(port, 'cartload', secrets, 'migrations')))
  } catch (error) {
    await started.stop()
    throw error
  }
  const addresses = {
    shards: shardPorts.map(port => mysqlUrl(port, 'cartload', secrets)),
    global: mysqlUrl(shard0, 'cartload_global', secrets),
    sessionsRedis: redisUrl(redisPorts.sessions, secrets),
    cacheRedis: redisUrl(redisPorts.cache, secrets),
  }
  return { ...started, addresses }
}

export async function startServers(): Promise<TestServers> {
  const started = await startMigratedServers('cartload-test-')
  const { dir, secrets, shardPorts, redisPorts } = started
  const { sessions, cache } = redisPorts
  const [shard0 = 0] = shardPorts
  running = {
    dir,
    secrets,
    addresses: started.addresses,
    adminUrls: {
      sessions: redisAdminUrl(sessions, secrets),
      cache: redisAdminUrl(cache, secrets),
      shards: shardPorts.map(port => mysqlUrl(port, 'cartload', secrets, 'root')),
      global: mysqlUrl(shard0, 'cartload_global', secrets, 'root'),
    },
    backends: Object.fromEntries(started.backends) as unknown as TestServers['backends'],
    async stop() {
      await started.stop()
      running = undefined
    },
  }
  await putProducts(PRODUCTS)
  return running
}

export async function putProducts(products: readonly Product[]): Promise<number> {
  const global = openDatabase(
    { name: 'global', url: testServers().addresses.global, limits: DEFAULT_LIMITS },
    createMetrics(),
    createLog('silent'),
  )
  try {
    return await catalogRows.put(global, products)
  } finally {
    await global.close()
  }
}

/** Below 32768, from where on connections get theirs: one of those may be taken again before a server has started on it. */
const SERVER_PORTS = { first: 12_000, last: 32_000 }

/** Ports on which nothing listened just before. */
export async function freePorts(count: number): Promise<number[]> {
  const taken = new Map<number, Server>()
  while (taken.size < count) {
    const port = SERVER_PORTS.first + Math.floor(Math.random() * (SERVER_PORTS.last - SERVER_PORTS.first))
    const server = createServer()
    const isFree = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (isFree) taken.set(port, server)
  }
  await Promise.all([...taken.values()].map(server => new Promise(resolve => server.close(resolve))))
  return [...taken.keys()]
}

/** What still runs when this process ends, however it ends by itself, ends with it. */
const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function endWithUs(child: ChildProcess): ChildProcess {
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** Cleans up after an interrupt. A signal may come twice, from the terminal and from npm: the second must not end the first. */
export function whenInterrupted(cleanUp: () => Promise<unknown> | undefined): void {
  let leaving: Promise<unknown> | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      leaving ??= Promise.resolve(cleanUp()).finally(() => process.exit(130))
    })
}

/** For a machine that is busy with something else. A server that ends is told at once. */
const START_MS_MAX = 120_000

export function createBackend(spec: ServerSpec, logFile: string): Backend {
  let child: ChildProcess | undefined
  const backend: Backend = {
    port: spec.port,
    pid: () => child?.pid ?? 0,
    signal: name => void child?.kill(name),
    async kill() {
      const dying = child
      child = undefined
      if (!dying || dying.exitCode !== null || dying.signalCode !== null) return
      const gone = new Promise(resolve => dying.once('exit', resolve))
      dying.kill('SIGCONT')
      dying.kill('SIGKILL')
      await gone
    },
    async start() {
      if (child) return
      const log = openSync(logFile, 'a')
      child = endWithUs(
        spawn(spec.program, [...spec.args], { env: { ...process.env, ...spec.env }, stdio: ['ignore', log, log] }),
      )
      const own = child
      const ended = new Promise<never>((_, reject) => {
        own.once('error', reject)
        own.once('exit', (code, signal) =>
          reject(new Error(`${spec.name} ended with ${code ?? signal} while it started`)),
        )
      })
      ended.catch(() => undefined) // one that ends later is no failure of its start
      const waiting = new AbortController()
      await Promise.race([ended, waitForServer(spec, START_MS_MAX, waiting.signal)]).catch(async (error: unknown) => {
        waiting.abort()
        await backend.kill()
        const tail = readFileSync(logFile, 'utf8').trim().split('\n').slice(-8).join('\n')
        throw new Error(`${(error as Error).message}\n${tail}`, { cause: error })
      })
    },
  }
  return backend
}
