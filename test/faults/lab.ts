import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, createConnection } from 'mysql2/promise'
import { Redis } from 'ioredis'
import type { Finding } from '../../src/cart/cache-auditor.ts'
import type { ServerAddresses } from '../../src/config/config.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { checkNginx, type NginxOptions, nginxServer, renderNginx } from '../../src/stack/nginx.ts'
import { isRunning } from '../../src/lib/processes.ts'
import { createPm2, type Pm2 } from '../../src/stack/pm2.ts'
import { findOrInstall } from '../../src/stack/programs.ts'
import { isListening, waitUntilListening } from '../../src/lib/port-probe.ts'
import { readinessOf } from '../../src/stack/servers.ts'
import { eventually } from '../support/client.ts'
import { pidsWith } from '../support/cluster.ts'
import { countedBy, summedOver } from '../support/metrics.ts'
import { endWithUs, freePorts, PROJECT, startServers, type TestServers } from '../support/servers.ts'
import type { Hurt, HurtReply } from './instance.ts'
import { type Proxies, startProxies } from './proxies.ts'

/**
 * The shop as it is deployed, to be hurt: nginx, instances under PM2, two databases, two Redis, all real; between each instance and each
 * server a proxy of its own, so that one of them can be cut off alone. Loopback only; everything in a folder of its own.
 */
export interface Lab {
  readonly url: string
  readonly addresses: ServerAddresses
  readonly servers: TestServers
  readonly proxies: Proxies
  readonly pm2: Pm2
  readonly instances: readonly LabInstance[]
  readonly nginx: LabNginx
  /** As root, past the proxies. */
  readonly shards: readonly Connection[]
  /** As admin, past the proxies; reconnects. */
  readonly cacheAdmin: Redis
  /** Starts the instances anew with more in their environment. */
  restart(environment: Readonly<Record<string, string>>): Promise<void>
  /** What systemd or an operator does when PM2 itself is gone. */
  startPm2Again(): Promise<void>
  /** What the auditors of the instances have counted; what instances counted that have died since is gone with them. */
  audited(finding: Finding): Promise<number>
  /** The same of transactions that wrote carts, and of the changes in them. */
  grouped(): Promise<{ readonly transactions: number; readonly carts: number }>
  healthy(msMax?: number): Promise<void>
  reconnectShards(): Promise<void>
  stop(): Promise<void>
}

export interface LabInstance {
  readonly name: string
  readonly url: string
  readonly opsUrl: string
  /** 0 while it is not running. */
  pid(): number
  hurt(how: Hurt): Promise<HurtReply>
  /** What it has said that matches, in all its lives. */
  logged(pattern: RegExp): string[]
}

export interface LabNginx {
  workers(): number[]
  reload(): void
  kill(): Promise<void>
  start(): Promise<void>
  /** Changes a line of its configuration, for the time of a fault; `undefined` puts it back. */
  change(text: { readonly from: string; readonly to: string } | undefined): Promise<void>
}

const DEPENDENCIES = ['sessions', 'cache', 'shard-0', 'shard-1'] as const
export type Dependency = (typeof DEPENDENCIES)[number]
export const INSTANCES = [0, 1] as const
const INSTANCE = join(PROJECT, 'test/faults/instance.ts')

export async function startLab(environment: Readonly<Record<string, string>> = {}): Promise<Lab> {
  const dir = mkdtempSync(join(tmpdir(), 'cl-lab-'))
  const servers = await startServers()
  const ports = {
    sessions: 'redis-sessions',
    cache: 'redis-cache',
    'shard-0': 'shard-0',
    'shard-1': 'shard-1',
  } as const
  const proxies = await startProxies(
    Object.fromEntries(
      INSTANCES.flatMap(instance =>
        DEPENDENCIES.map(name => [`${instance}/${name}`, servers.backends[ports[name]].port] as const),
      ),
    ),
  )
  const taken = await freePorts(1 + INSTANCES.length * 3)
  const port = taken[0] ?? 0
  const portsOf = (instance: number) => taken.slice(1 + instance * 3, 4 + instance * 3) as [number, number, number]
  const pm2 = createPm2(join(dir, 'pm2'), 'SIGINT')
  const appsFile = join(dir, 'apps.json')
  let extra = environment

  function through(instance: number, url: string, name: Dependency): string {
    const address = new URL(url)
    address.port = String(proxies.ports[`${instance}/${name}`])
    return address.href
  }

  function writeApps(): void {
    const apps = INSTANCES.map(instance => {
      const [httpPort, opsPort, controlPort] = portsOf(instance)
      const { shards, global, sessionsRedis, cacheRedis } = servers.addresses
      return {
        name: `cartload-${instance}`,
        script: INSTANCE,
        interpreter: process.execPath,
        exec_mode: 'fork',
        instance_var: 'LAB_NUMBER',
        wait_ready: true,
        listen_timeout: 30_000,
        kill_timeout: 12_000,
        exp_backoff_restart_delay: 100,
        treekill: false,
        env: {
          NODE_ENV: 'test',
          NODE_APP_INSTANCE: '0',
          CARTLOAD_SHARDS: shards.map((url, index) => through(instance, url, `shard-${index}` as Dependency)).join(','),
          CARTLOAD_GLOBAL: through(instance, global, 'shard-0'),
          CARTLOAD_SESSIONS_REDIS: through(instance, sessionsRedis, 'sessions'),
          CARTLOAD_CACHE_REDIS: through(instance, cacheRedis, 'cache'),
          CARTLOAD_INSTANCE_PORT: String(httpPort),
          CARTLOAD_OPS_PORT: String(opsPort),
          CARTLOAD_PRICING_INLINE: 'never', // so that threads have work that can be lost
          CARTLOAD_AUDIT_PER_SECOND: '50',
          CARTLOAD_LOG_LEVEL: 'warn',
          CONTROL_PORT: String(controlPort),
          ...extra,
        },
      }
    })
    writeFileSync(appsFile, JSON.stringify({ apps }))
  }

  const instances = INSTANCES.map((instance): LabInstance => {
    const [httpPort, opsPort, controlPort] = portsOf(instance)
    const name = `cartload-${instance}`
    return {
      name,
      url: `http://127.0.0.1:${httpPort}`,
      opsUrl: `http://127.0.0.1:${opsPort}`,
      pid() {
        const folder = join(dir, 'pm2', 'pids')
        const files = existsSync(folder) ? readdirSync(folder) : []
        const own = files.filter(file => file === `${name}.pid` || file.startsWith(`${name}-`))
        const pids = own.map(file => Number(readFileSync(join(folder, file), 'utf8')))
        return pids.find(pid => isRunning(pid, INSTANCE)) ?? 0
      },
      hurt: how => postTo(controlPort, how),
      logged: pattern =>
        ['out', 'error'].flatMap(kind =>
          readFileSync(join(dir, 'pm2', 'logs', `${name}-${kind}.log`), 'utf8')
            .split('\n')
            .filter(line => pattern.test(line)),
        ),
    }
  })

  const nginx = await createLabNginx(
    dir,
    port,
    instances.map(({ url }) => new URL(url).host),
  )

  async function startInstances(): Promise<void> {
    writeApps()
    await pm2.start(appsFile)
    await Promise.all(INSTANCES.map(instance => waitUntilListening(portsOf(instance)[1], 30_000)))
  }

  const isUp = async () => {
    const ready = await Promise.all(
      instances.map(async ({ opsUrl }) => {
        const { ready: isServing, degraded } = await readinessOf(Number(new URL(opsUrl).port))
        return isServing && degraded.length === 0
      }),
    )
    const listening = await Promise.all(
      [port, ...Object.values(servers.backends).map(b => b.port)].map(p => isListening(p)),
    )
    return [...ready, ...listening].every(Boolean)
  }

  const cacheAdmin = new Redis(servers.adminUrls.cache, { retryStrategy: () => 200 })
  cacheAdmin.on('error', () => undefined)
  const shards: Connection[] = []
  const reconnectShards = async () => {
    for (const connection of shards.splice(0)) connection.destroy()
    for (const url of servers.adminUrls.shards) {
      const connection = await createConnection(url)
      connection.on('error', () => undefined)
      shards.push(connection)
    }
  }

  const lab: Lab = {
    url: `http://127.0.0.1:${port}`,
    addresses: servers.addresses,
    servers,
    proxies,
    pm2,
    instances,
    nginx,
    shards,
    cacheAdmin,
    reconnectShards,
    async restart(more) {
      extra = { ...environment, ...more }
      await pm2.run('delete', 'all', '--silent').catch(() => '')
      await startInstances()
      await lab.healthy()
    },
    async startPm2Again() {
      for (const pid of instances.map(each => each.pid())) if (pid > 0) process.kill(pid, 'SIGINT')
      await eventually('the orphans are gone', () => instances.every(({ pid }) => pid() === 0), 20_000)
      rmSync(join(dir, 'pm2', 'pids'), { recursive: true, force: true })
      await startInstances()
    },
    audited: finding =>
      countedBy(
        instances.map(({ opsUrl }) => opsUrl),
        'cartload_cart_audits_total',
        [finding],
      ),
    async grouped() {
      const urls = instances.map(({ opsUrl }) => opsUrl)
      const [transactions, carts] = await Promise.all(
        ['count', 'sum'].map(part => summedOver(urls, `cartload_cart_group_size_${part}`)),
      )
      return { transactions: transactions ?? 0, carts: carts ?? 0 }
    },
    async healthy(msMax = 60_000) {
      await eventually('everything is up', isUp, msMax)
    },
    async stop() {
      cacheAdmin.disconnect()
      for (const connection of shards) connection.destroy()
      await pm2.kill().catch(() => undefined)
      await nginx.kill()
      await proxies.stop()
      for (const pid of pidsWith(dir)) process.kill(pid, 'SIGKILL')
      await servers.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
  try {
    await startInstances()
    await nginx.start()
    await lab.healthy()
    await reconnectShards()
    return lab
  } catch (error) {
    await lab.stop()
    throw error
  }
}

async function createLabNginx(dir: string, port: number, hosts: readonly string[]): Promise<LabNginx> {
  const programs = await findOrInstall(['nginx'], join(PROJECT, '.cartload'), console.log)
  const program = programs.get('nginx')
  if (!program) throw new Error('no nginx')
  const options: NginxOptions = {
    templates: join(PROJECT, 'nginx'),
    confDir: join(dir, 'conf'),
    runDir: join(dir, 'run'),
    logDir: join(dir, 'logs'),
    listen: `127.0.0.1:${port}`,
    instances: hosts,
    bodyBytesMax: DEFAULT_LIMITS.bodyBytesMax,
    requestsPerAddress: 1_000_000,
  }
  renderNginx(options)
  await checkNginx(program, options)
  const spec = nginxServer(program, options, port)
  let child: ChildProcess | undefined
  const file = join(options.confDir, 'upstream.conf')
  const original = readFileSync(file, 'utf8')
  const nginx: LabNginx = {
    workers: () => childrenOf(child?.pid ?? 0),
    reload: () => void child?.kill('SIGHUP'),
    async kill() {
      const dying = child
      child = undefined
      if (!dying || dying.exitCode !== null) return
      const workers = childrenOf(dying.pid ?? 0)
      const gone = new Promise(resolve => dying.once('exit', resolve))
      dying.kill('SIGKILL')
      await gone
      for (const pid of workers) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
    },
    async start() {
      if (child) return
      const log = openSync(join(dir, 'nginx.log'), 'a')
      child = endWithUs(
        spawn(spec.program, [...spec.args], { env: { ...process.env, ...spec.env }, stdio: ['ignore', log, log] }),
      )
      await waitUntilListening(port, 10_000)
    },
    async change(text) {
      if (text && !original.includes(text.from)) throw new Error(`nginx has no line '${text.from}'`)
      writeFileSync(file, text ? original.replace(text.from, text.to) : original)
      nginx.reload()
      await sleep(500) // old workers go on for what they are at; new ones are there well within this
    },
  }
  return nginx
}

function childrenOf(parent: number): number[] {
  const file = `/proc/${parent}/task/${parent}/children`
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number) : []
}

function postTo(port: number, body: object): Promise<HurtReply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method: 'POST', timeout: 5_000 }, response => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('error', reject)
      response.on('end', () => resolve(JSON.parse(text) as HurtReply))
    })
    sent.on('timeout', () => sent.destroy(new Error('no answer')))
    sent.on('error', reject)
    sent.end(JSON.stringify(body))
  })
}
