import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
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
  waitForPort,
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

export async function startServers(): Promise<TestServers> {
  const dir = mkdtempSync(join(tmpdir(), 'cartload-test-'))
  const programs = await findOrInstall(['redis', 'mariadb'], join(PROJECT, '.cartload'), console.log)
  const [mariadb, redis] = [programs.get('mariadb'), programs.get('redis')]
  if (!mariadb || !redis) throw new Error('no MariaDB or Redis')
  const secrets = loadSecrets(dir)
  const [shard0, shard1, sessions, cache] = (await freePorts(4)) as [number, number, number, number]
  const shard = (index: number, port: number) =>
    mysqlServer({
      program: mariadb,
      name: `shard-${index}`,
      dir: join(dir, `shard-${index}`),
      port,
      memoryMb: 64,
      databases: index === 0 ? ['cartload', 'cartload_global'] : ['cartload'],
      secrets,
    })
  await Promise.all([0, 1].map(index => createDataFolder(mariadb, join(dir, `shard-${index}`))))
  const specs = {
    'shard-0': shard(0, shard0),
    'shard-1': shard(1, shard1),
    'redis-sessions': redisServer({
      program: redis,
      role: 'sessions',
      dir: join(dir, 'sessions'),
      port: sessions,
      memoryMb: 64,
      secrets,
    }),
    'redis-cache': redisServer({
      program: redis,
      role: 'cache',
      dir: join(dir, 'cache'),
      port: cache,
      memoryMb: 64,
      secrets,
    }),
  }
  const backends = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, createBackend(spec, join(dir, `${name}.log`))]),
  ) as unknown as TestServers['backends']
  await Promise.all(Object.values(backends).map(backend => backend.start()))
  const urls = [shard0, shard1].map(port => mysqlUrl(port, 'cartload', secrets, 'migrations'))
  await migrateGlobal(mysqlUrl(shard0, 'cartload_global', secrets, 'migrations'))
  await migrateShards(urls)
  running = {
    dir,
    secrets,
    addresses: {
      shards: [shard0, shard1].map(port => mysqlUrl(port, 'cartload', secrets)),
      global: mysqlUrl(shard0, 'cartload_global', secrets),
      sessionsRedis: redisUrl(sessions, secrets),
      cacheRedis: redisUrl(cache, secrets),
    },
    adminUrls: {
      sessions: redisAdminUrl(sessions, secrets),
      cache: redisAdminUrl(cache, secrets),
      shards: [shard0, shard1].map(port => mysqlUrl(port, 'cartload', secrets, 'root')),
      global: mysqlUrl(shard0, 'cartload_global', secrets, 'root'),
    },
    backends,
    async stop() {
      await Promise.all(Object.values(backends).map(backend => backend.kill()))
      rmSync(dir, { recursive: true, force: true })
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

/** Ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const ports = servers.map(server => (server.address() as { port: number }).port)
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

/** Whoever is still running when this process ends, however it ends by itself, ends with it. */
const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function endWithUs(child: ChildProcess): ChildProcess {
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

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
      await waitForPort(spec.port, 30_000)
    },
  }
  return backend
}
