import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { type ServerAddresses, socketOf } from '../../src/config/config.ts'
import { compileAhead } from '../../src/stack/compile.ts'
import { checkNginx, type NginxOptions, nginxServer, renderNginx } from '../../src/stack/nginx.ts'
import { createPm2 } from '../../src/stack/pm2.ts'
import { findOrInstall } from '../../src/stack/programs.ts'
import { waitUntilListening } from '../../src/lib/port-probe.ts'
import { mysqlUrl, redisAdminUrl, redisUrl } from '../../src/stack/servers.ts'
import type * as Migrate from '../../src/store/migrate.ts'
import { pidsWith } from '../../test/support/cluster.ts'
import { withChildren } from './meter.ts'
import { createBackend, freePorts, PROJECT, startPrivateServers } from '../../test/support/servers.ts'

/** A contender, running: nginx, instances under PM2, and servers of its own, all on loopback, everything in a folder of its own. */
export interface Stack {
  readonly name: string
  readonly url: string
  /** The instances, past nginx. */
  readonly direct: readonly string[]
  /** Every process of it. */
  pids(): number[]
  /** Of its instances. */
  instancePids(): Promise<number[]>
  readonly opsUrls: readonly string[]
  stop(): Promise<void>
}

/** Servers that a contender keeps its data in; the same programs with the same settings for all. */
export interface Servers {
  readonly dir: string
  readonly sessions: string
  readonly cache: string
  readonly cacheAdmin: string
  /** Of cartload's kind. */
  readonly addresses: ServerAddresses | undefined
  /** One database, for the typical one. */
  readonly database: string
  stop(): Promise<void>
}

/** Servers for the cartload of a project, with so many shards, or the two Redis and one database `shop`, or no database. */
export async function startServers(
  kind: { readonly shards: number } | 'plain' | 'no database',
  project = PROJECT,
): Promise<Servers> {
  const shards = typeof kind === 'object' ? kind.shards : kind === 'plain' ? 1 : 0
  const { dir, secrets, shardPorts, redisPorts, stop } = await startPrivateServers({
    prefix: 'cl-data-',
    shards,
    shardMb: MEMORY_MB / shards,
    redisMb: 128,
    databases: () => DATABASES,
  })
  // Who writes a service in a week asks 127.0.0.1; the others use Unix sockets, as the product does on one machine.
  const of = (name: string) => (kind === 'plain' ? undefined : join(dir, name))
  const urlsOf = (database: (typeof DATABASES)[number], role: 'app' | 'migrations') =>
    shardPorts.map((port, index) => mysqlUrl(port, database, secrets, role, of(`shard-${index}`)))
  const [sessions, cache] = (['sessions', 'cache'] as const).map(role =>
    redisUrl(redisPorts[role], secrets, of(role)),
  ) as [string, string]
  const common = { dir, sessions, cache, cacheAdmin: redisAdminUrl(redisPorts.cache, secrets), stop }
  const [database = ''] = urlsOf('shop', 'migrations')
  if (typeof kind !== 'object') return { ...common, database, addresses: undefined }
  const { migrateGlobal, migrateShards } = (await import(join(project, 'src/store/migrate.ts'))) as typeof Migrate
  const [migrated = ''] = urlsOf('cartload_global', 'migrations')
  await migrateGlobal(migrated)
  await migrateShards(urlsOf('cartload', 'migrations'))
  const [global = ''] = urlsOf('cartload_global', 'app')
  const addresses = { shards: urlsOf('cartload', 'app'), global, sessionsRedis: sessions, cacheRedis: cache }
  return { ...common, database, addresses }
}

const DATABASES = ['cartload', 'cartload_global', 'shop'] as const
/** Of all databases of a contender together. */
const MEMORY_MB = 256

export interface StackOptions {
  readonly name: string
  /** Where its code and configuration are; this project by default. */
  readonly project?: string
  readonly servers: Servers
  readonly instances: number
  readonly script: string
  /** `cartload`: the configuration that the product ships. `plain`: the shortest that keeps connections open. */
  readonly nginx: 'cartload' | 'plain'
  /** Whether nginx reaches the instances on Unix sockets. */
  readonly sockets: boolean
  /** PM2's cluster mode balances connections on one port; else each instance has its own, and nginx balances requests. */
  readonly cluster?: boolean
  readonly environment?: Readonly<Record<string, string>>
  readonly nodeArgs?: readonly string[]
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { name, project = PROJECT, servers, instances, script, sockets, cluster = false } = options
  const dir = mkdtempSync(join(tmpdir(), `cl-${name.slice(0, 12)}-`))
  const count = cluster ? 1 : instances
  const ports = await freePorts(1 + count * 2)
  const [port = 0] = ports
  const [instancePorts, opsPorts] = [ports.slice(1, 1 + count), ports.slice(1 + count)]
  const pm2 = createPm2(join(dir, 'pm2'), 'SIGINT')
  const { apps } = (await import(join(project, 'ecosystem.config.js'))) as {
    apps: { node_args: string[]; env: Record<string, string> }[]
  }
  const nodeArgs = [...(apps[0]?.node_args ?? []), ...(options.nodeArgs ?? [])]
  const socketDirOf = (index: number) => join(dir, String(index))
  const environmentOf = (index: number) => ({
    ...apps[0]?.env,
    NODE_ENV: 'production',
    PORT: String(instancePorts[index]),
    SESSIONS: servers.sessions,
    CACHE: servers.cache,
    DATABASE: servers.database,
    STACK_DIR: dir,
    ...(sockets ? { SOCKET: socketOf(socketDirOf(index), 0) } : {}),
    ...(servers.addresses
      ? cartloadEnvironment(servers.addresses, instancePorts[index], opsPorts[index], socketDirOf(index))
      : {}),
    ...options.environment,
  })
  const file = join(dir, 'apps.json')
  writeFileSync(
    file,
    JSON.stringify({
      apps: instancePorts.map((_, index) => ({
        name: `${name}-${index}`,
        script: join(project, script),
        ...(cluster ? { exec_mode: 'cluster', instances } : { exec_mode: 'fork', interpreter: process.execPath }),
        node_args: nodeArgs,
        instance_var: cluster ? 'NODE_APP_INSTANCE' : 'STACK_INSTANCE',
        wait_ready: true,
        listen_timeout: 30_000,
        kill_timeout: 12_000,
        disable_source_map_support: true,
        pmx: false,
        treekill: false,
        env: environmentOf(index),
      })),
    }),
  )
  const nginx: NginxOptions = {
    templates: options.nginx === 'cartload' ? join(project, 'nginx') : join(import.meta.dirname, 'contenders/nginx'),
    confDir: join(dir, 'conf'),
    runDir: join(dir, 'run'),
    logDir: join(dir, 'logs'),
    listen: `127.0.0.1:${port}`,
    instances: instancePorts.map((each, index) =>
      sockets ? `unix:${socketOf(socketDirOf(index), 0)}` : `127.0.0.1:${each}`,
    ),
    bodyBytesMax: 65_536,
    requestsPerAddress: 1_000_000,
  }
  mkdirSync(join(dir, 'logs'))
  const program = (await findOrInstall(['nginx'], join(PROJECT, '.cartload'), console.error)).get('nginx')
  if (!program) throw new Error('no nginx')
  renderNginx(nginx)
  await checkNginx(program, nginx)
  const balancer = createBackend(nginxServer(program, nginx, port), join(dir, 'nginx.log'))
  const stack: Stack = {
    name,
    url: `http://127.0.0.1:${port}`,
    direct: instancePorts.map(each => `http://127.0.0.1:${each}`),
    opsUrls: servers.addresses ? opsPorts.map(each => `http://127.0.0.1:${each}`) : [],
    pids: () => withChildren([...pidsWith(dir), ...pidsWith(servers.dir)]),
    instancePids: async () => (await pm2.list()).map(each => each.pid),
    async stop() {
      const own = withChildren(pidsWith(dir))
      await pm2.kill()
      await balancer.kill()
      for (const pid of own) if (isAlive(pid)) process.kill(pid, 'SIGKILL') // nginx's workers outlive its master
      rmSync(dir, { recursive: true, force: true })
    },
  }
  try {
    if (options.servers.addresses) await compileAhead(project, { ...process.env, ...apps[0]?.env })
    // PM2 asks the `node` on PATH what it can do.
    await pm2.start(file, { PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` })
    await Promise.all(instancePorts.map(each => waitUntilListening(each, 30_000)))
    await balancer.start()
    return stack
  } catch (error) {
    await stack.stop()
    throw error
  }
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)

function cartloadEnvironment(
  servers: ServerAddresses,
  port: number | undefined,
  opsPort: number | undefined,
  socketDir: string,
) {
  return {
    CARTLOAD_SHARDS: servers.shards.join(','),
    CARTLOAD_GLOBAL: servers.global,
    CARTLOAD_SESSIONS_REDIS: servers.sessionsRedis,
    CARTLOAD_CACHE_REDIS: servers.cacheRedis,
    CARTLOAD_INSTANCE_PORT: String(port),
    CARTLOAD_OPS_PORT: String(opsPort),
    CARTLOAD_SOCKET_DIR: socketDir,
    CARTLOAD_LOG_LEVEL: 'warn',
    NODE_APP_INSTANCE: '0', // each has its port and its folder by itself
  }
}
