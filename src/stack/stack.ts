import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, EMBEDDED_ENV, portsOf, type ServerAddresses } from '../config/config.ts'
import { clusterSettingsFile, SERVERS_HOME } from '../config/cluster-settings.ts'
import { isListening, waitUntilListening } from '../lib/port-probe.ts'
import { isRunning } from '../lib/processes.ts'
import { migrateGlobal, migrateShards } from '../store/migrate.ts'
import { compileAhead } from './compile.ts'
import { checkNginx, type NginxOptions, nginxServer, renderNginx } from './nginx.ts'
import { nginxOrphans, pidFiles, stopProcess } from './orphans.ts'
import { createPm2, type Pm2, type Pm2Process, writeServersFile } from './pm2.ts'
import { createPlaces, GLOBAL_DATABASE, SHARD_DATABASE } from './places.ts'
import { findOrInstall, type Program, type ProgramName } from './programs.ts'
import { loadSecrets, type StackSecrets, writePrivate } from './secrets.ts'
import {
  createDataFolder,
  isOracleMysql,
  mysqlServer,
  readinessOf,
  redisServer,
  type ServerSpec,
  waitForServer,
} from './servers.ts'

/**
 * The embedded default: private database and Redis servers, nginx and the instances, all on loopback, everything under one
 * folder. Started in the order in which they need each other, each step idempotent, so that starting twice, or after
 * everything was killed, does only what is missing.
 */
export interface Stack {
  readonly servers: Pm2
  readonly instances: Pm2
  readonly addresses: ServerAddresses
  /** `settings`: what later commands find when they ask for the settings of this cluster. */
  prepare(step: Step, settings: string): Promise<void>
  startServers(step: Step): Promise<void>
  migrate(step: Step): Promise<void>
  startInstances(step: Step): Promise<void>
  startNginx(step: Step): Promise<void>
  stop(step: Step): Promise<void>
  processes(): Promise<ProcessReport[]>
}

/** Runs one named step and shows how long it took. */
export type Step = <T>(what: string, work: (say: (text: string) => void) => Promise<T>) => Promise<T>

export interface ProcessReport extends Pm2Process {
  readonly address: string
  readonly healthy: boolean
  /** Of an instance: the dependencies that are away or not as they must be. */
  readonly degraded: readonly string[]
}

/** Something that a person has to change before it can work; shown without a stack trace. */
export class StackError extends Error {
  override readonly name = 'StackError'
}

/** A Unix socket's path has at most 103 bytes on every system; the longest of ours is `/redis-sessions/r.sock`. */
const DATA_DIR_BYTES_MAX = 80
const PROGRAMS: readonly ProgramName[] = ['nginx', 'redis', 'mariadb']

/** The embedded cluster of one machine: servers, nginx and instances. `Stack` says what its functions throw. */
export function createStack(config: Config): Stack {
  const { dataDir } = config
  const at = (...parts: string[]) => join(dataDir, ...parts)
  const logDir = at('logs')
  const servers = createPm2(at(SERVERS_HOME), 'SIGTERM')
  const instances = createPm2(at('pm2'), 'SIGINT')
  const shardCount = config.embeddedShards
  let programs: Map<ProgramName, Program> | undefined
  let secrets: StackSecrets | undefined

  const mine = (): StackSecrets => (secrets ??= loadSecrets(dataDir))
  const places = createPlaces(config, mine)
  const { shardPort, shardDir, redisDir, eachShard } = places

  const nginx: NginxOptions = {
    templates: join(config.projectDir, 'nginx'),
    confDir: at('nginx', 'conf'),
    runDir: at('nginx', 'run'),
    logDir,
    listen: `127.0.0.1:${config.port}`,
    instances: places.instanceAddresses.map(each => (typeof each === 'number' ? `127.0.0.1:${each}` : `unix:${each}`)),
    bodyBytesMax: config.limits.bodyBytesMax,
    requestsPerAddress: config.requestsPerAddress,
  }

  function program(name: ProgramName): Program {
    const found = programs?.get(name)
    if (!found) throw new Error(`'${name}' was not looked for`)
    return found
  }

  function backends(): ServerSpec[] {
    const redis = (role: 'sessions' | 'cache', port: number, memoryMb: number) =>
      redisServer({ program: program('redis'), role, dir: redisDir(role), port, memoryMb, secrets: mine() })
    return [
      ...eachShard(index =>
        mysqlServer({
          program: program('mariadb'),
          name: `shard-${index}`,
          dir: shardDir(index),
          port: shardPort(index),
          memoryMb: config.shardMemoryMb,
          databases: index === 0 ? [SHARD_DATABASE, GLOBAL_DATABASE] : [SHARD_DATABASE],
          secrets: mine(),
        }),
      ),
      redis('sessions', config.redisPort, config.sessionsMemoryMb),
      redis('cache', config.redisPort + 1, config.cacheMemoryMb),
    ]
  }

  async function prepare(step: Step, settings: string): Promise<void> {
    if (Buffer.byteLength(dataDir) > DATA_DIR_BYTES_MAX) {
      throw new StackError(
        `The data folder's path is too long for Unix sockets (${Buffer.byteLength(dataDir)} bytes, at most ${DATA_DIR_BYTES_MAX}): ${dataDir}\nSet CARTLOAD_DATA_DIR to a shorter one.`,
      )
    }
    programs = await step('find nginx, Redis and MariaDB', async say => {
      const found = await findOrInstall(PROGRAMS, dataDir, say)
      const database = found.get('mariadb')
      if (database && (await isOracleMysql(database)))
        say(`${database.path} is MySQL: experimental as an embedded server`)
      return found
    })
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    if (!existsSync(at('shard-count'))) writePrivate(at('shard-count'), String(shardCount))
    const first = Number(readFileSync(at('shard-count'), 'utf8'))
    if (first !== shardCount) {
      throw new StackError(
        `CARTLOAD_EMBEDDED_SHARDS is ${shardCount}, but the data under ${dataDir} was laid out for ${first}. Set it back, or use another CARTLOAD_DATA_DIR.`,
      )
    }
    await stopOrphans()
    refuseMovedPorts()
    await refuseTakenPorts()
    writePrivate(at(EMBEDDED_ENV), embeddedEnv())
    writePrivate(clusterSettingsFile(dataDir), settings)
  }

  /** What config/config.ts reads when no outside servers are named. */
  function embeddedEnv(): string {
    const { shards, global, sessionsRedis, cacheRedis } = places.addresses()
    return [
      `CARTLOAD_SHARDS=${shards.join(',')}`,
      `CARTLOAD_GLOBAL=${global}`,
      `CARTLOAD_SESSIONS_REDIS=${sessionsRedis}`,
      `CARTLOAD_CACHE_REDIS=${cacheRedis}`,
      '',
    ].join('\n')
  }

  /** Servers whose PM2 was killed go on alone; they are stopped properly, so that a new PM2 can watch them again. */
  async function stopOrphans(): Promise<void> {
    const pids: number[] = []
    if (!servers.isAlive()) pids.push(...pidFiles([at('nginx', 'run'), ...backendDirs()]))
    if (!instances.isAlive()) pids.push(...pidFiles([at('pm2', 'pids')]))
    await Promise.all(
      pids
        .filter(pid => isRunning(pid, dataDir) || isRunning(pid, join(config.projectDir, 'src', 'main.ts')))
        .map(stopProcess),
    )
    if (!servers.isAlive()) await Promise.all(nginxOrphans(logDir).map(stopProcess))
  }

  function backendDirs(): string[] {
    return [...eachShard(shardDir), redisDir('sessions'), redisDir('cache')]
  }

  /** Running servers stay where they are; a start with other ports would write addresses on which nothing listens. */
  function refuseMovedPorts(): void {
    const file = at(EMBEDDED_ENV)
    if (!servers.isAlive() || !existsSync(file) || readFileSync(file, 'utf8') === embeddedEnv()) return
    throw new StackError(
      'The servers are running with other addresses than these settings (or this version) name. Stop them first: npm stop',
    )
  }

  async function refuseTakenPorts(): Promise<void> {
    const ours = new Set(
      [...(await servers.list()), ...(await instances.list())].filter(p => p.pid > 0).map(p => p.name),
    )
    const taken: string[] = []
    for (const { port, what, setting } of portsOf(config)) {
      const running =
        what === 'nginx' ? ours.has('nginx') : what.includes('instance') ? ours.has('cartload') : ours.has('shard-0')
      if (!running && (await isListening(port)))
        taken.push(`port ${port} (${what}) is taken by another program: set ${setting}`)
    }
    if (taken.length > 0) throw new StackError(taken.join('\n'))
  }

  async function startServers(step: Step): Promise<void> {
    const mariadb = program('mariadb')
    await Promise.all(
      eachShard(async index => {
        if (existsSync(join(shardDir(index), 'data'))) return
        await step(`create the data folder of shard-${index}`, () => createDataFolder(mariadb, shardDir(index)))
      }),
    )
    const specs = backends()
    await step(`start ${specs.map(spec => spec.name).join(', ')}`, async () => {
      await startMissing(servers, specs)
      await Promise.all(specs.map(spec => waitForServer(spec, 60_000).catch(failed(spec))))
    })
  }

  async function startMissing(pm2: Pm2, specs: readonly ServerSpec[]): Promise<void> {
    const running = new Set((await pm2.list()).filter(p => p.status === 'online').map(p => p.name))
    const missing = specs.filter(spec => !running.has(spec.name))
    if (missing.length === 0) return
    const file = at(`servers-${missing[0]?.name ?? 'none'}.json`)
    writeServersFile(file, missing, logDir)
    await pm2.start(file)
  }

  function failed(spec: ServerSpec): (error: unknown) => never {
    return error => {
      const log = join(logDir, `${spec.name}.log`)
      const tail = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-8).join('\n') : ''
      throw new StackError(`${spec.name} did not start (its log: ${log})\n${tail}`, { cause: error })
    }
  }

  async function migrate(step: Step): Promise<void> {
    await step('migrate the databases', async say => {
      const reports = [
        await migrateGlobal(places.globalUrl('migrations')),
        ...(await migrateShards(places.shardUrls('migrations'))),
      ]
      for (const { database, applied } of reports) if (applied.length > 0) say(`${database}: ${applied.join(', ')}`)
    })
  }

  async function startInstances(step: Step): Promise<void> {
    await step(`start ${config.instances} instances`, async () => {
      const running = (await instances.list()).filter(p => p.name === 'cartload')
      const addresses = places.instanceAddresses
      const isComplete = running.length === config.instances && running.every(p => p.status === 'online')
      // Those of another version or of other settings may be online and not where nginx will look for them.
      if (isComplete && (await Promise.all(addresses.map(isListening))).every(Boolean)) return
      if (running.length > 0) await instances.run('delete', 'cartload', '--silent')
      await compileAhead(config.projectDir)
      await instances.start(join(config.projectDir, 'ecosystem.config.js'), {
        CARTLOAD_INSTANCES: String(config.instances),
      })
      for (const [index, address] of addresses.entries()) {
        await waitUntilListening(address, 30_000).catch((error: unknown) => {
          throw new StackError(`instance ${index} did not start: see ${at('pm2', 'logs')}`, { cause: error })
        })
      }
    })
  }

  async function startNginx(step: Step): Promise<void> {
    renderNginx(nginx)
    await checkNginx(program('nginx'), nginx)
    const spec = nginxServer(program('nginx'), nginx, config.port)
    await step('start nginx', async () => {
      await startMissing(servers, [spec])
      await waitForServer(spec, 10_000).catch(failed(spec))
    })
  }

  /** In the order in which they need each other: no process loses its work. */
  async function stop(step: Step): Promise<void> {
    if (servers.isAlive())
      await step('stop nginx', async () => void (await servers.run('delete', 'nginx', '--silent').catch(() => '')))
    if (instances.isAlive()) await step('stop the instances', () => instances.kill())
    if (servers.isAlive()) await step('stop Redis and MariaDB', () => servers.kill())
    await stopOrphans()
    rmSync(clusterSettingsFile(dataDir), { force: true })
  }

  async function processes(): Promise<ProcessReport[]> {
    const ports = new Map<string, number>([
      ['nginx', config.port],
      ['redis-sessions', config.redisPort],
      ['redis-cache', config.redisPort + 1],
      ...eachShard((index): [string, number] => [`shard-${index}`, shardPort(index)]),
    ])
    const rows = [...(await servers.list()), ...(await instances.list())]
    return Promise.all(
      rows.map(async row => {
        const instance = row.name === 'cartload'
        const port = instance ? config.instancePort + row.index : (ports.get(row.name) ?? 0)
        const { ready, degraded } = instance
          ? await readinessOf(config.opsPort + row.index)
          : { ready: await isListening(port), degraded: [] }
        return { ...row, address: `127.0.0.1:${port}`, healthy: row.status === 'online' && ready, degraded }
      }),
    )
  }

  return {
    servers,
    instances,
    get addresses() {
      return places.addresses()
    },
    prepare,
    startServers,
    migrate,
    startInstances,
    startNginx,
    stop,
    processes,
  }
}
