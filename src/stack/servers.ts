import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { waitUntilListening } from '../lib/port-probe.ts'
import { companionOf, environmentOf, type Program } from './programs.ts'
import { type StackSecrets, writePrivate } from './secrets.ts'

/**
 * How each private server is run, as data: the same description is given to PM2 by `npm start` and started directly by
 * the tests. Everything binds loopback, and everything a server writes stays in its own folder.
 */
export interface ServerSpec {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly port: number
  /** Path of its Unix socket, where it has one. */
  readonly socket?: string
  readonly pidFile: string
  /** How long it may take to stop by itself. */
  readonly stopMsMax: number
}

interface RedisSpecOptions {
  readonly program: Program
  readonly role: 'sessions' | 'cache'
  readonly dir: string
  readonly port: number
  readonly memoryMb: number
  readonly secrets: StackSecrets
}

const LOOPBACK = '127.0.0.1'
/** The host that a database server sees for a client on its Unix socket. */
const ON_SOCKET = 'localhost'

/** The application reads, writes, and loads and calls its functions; nothing that could empty or reconfigure the server. */
export const APP_COMMANDS =
  '+@read +@write +@connection +@fast +fcall +function|load +info -@dangerous +info -swapdb -flushall -flushdb'

/** Sessions must survive a restart; the cache must not (cache/cart-cache.ts says why). */
export function redisServer(options: RedisSpecOptions): ServerSpec {
  const { program, role, dir, port, memoryMb, secrets } = options
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const pidFile = join(dir, 'redis.pid')
  const keeping =
    role === 'sessions'
      ? ['appendonly yes', 'appendfsync everysec', 'maxmemory-policy noeviction']
      : ['appendonly no', 'maxmemory-policy allkeys-lfu']
  const config = [
    `bind ${LOOPBACK}`,
    `port ${port}`,
    `unixsocket ${redisSocket(dir)}`,
    'protected-mode yes',
    'daemonize no',
    'set-proc-title no', // the command line goes on naming this file, by which the process is known as ours
    `dir ${dir}`,
    `pidfile ${pidFile}`,
    'save ""',
    ...keeping,
    `maxmemory ${memoryMb}mb`,
    'tcp-backlog 2048',
    'maxclients 10000',
    'busy-reply-threshold 200',
    // No client can log in as default, but Redis itself reads its append-only file as that user: without rights it would
    // refuse every transaction in it, and all sessions would be gone after a restart.
    'user default off ~* &* +@all',
    `user cartload on >${secrets.redisApp} ~* &* ${APP_COMMANDS}`,
    `user admin on >${secrets.redisAdmin} ~* &* +@all`,
  ]
  const file = join(dir, 'redis.conf')
  writePrivate(file, `${config.join('\n')}\n`)
  return {
    name: `redis-${role}`,
    program: program.path,
    args: [file],
    env: environmentOf(program),
    port,
    socket: redisSocket(dir),
    pidFile,
    stopMsMax: 10_000,
  }
}

/** Unix sockets of the servers that keep their things in `dir`: between processes of one machine they cost less than TCP. */
const redisSocket = (dir: string): string => join(dir, 'r.sock')
const mysqlSocket = (dir: string): string => join(dir, 's.sock')

/** With `dir`, over the server's Unix socket there; ioredis reads `path` by itself. */
export function redisUrl(port: number, secrets: StackSecrets, dir?: string): string {
  const socket = dir === undefined ? '' : `?path=${encodeURIComponent(redisSocket(dir))}`
  return `redis://cartload:${secrets.redisApp}@${LOOPBACK}:${port}/0${socket}`
}

export function redisAdminUrl(port: number, secrets: StackSecrets): string {
  return `redis://admin:${secrets.redisAdmin}@${LOOPBACK}:${port}/0`
}

interface MysqlSpecOptions {
  readonly program: Program
  readonly name: string
  readonly dir: string
  readonly port: number
  readonly memoryMb: number
  readonly databases: readonly string[]
  readonly secrets: StackSecrets
}

export function mysqlServer(options: MysqlSpecOptions): ServerSpec {
  const { program, name, dir, port, memoryMb, databases, secrets } = options
  const pidFile = join(dir, 'server.pid')
  const initFile = join(dir, 'init.sql')
  mkdirSync(join(dir, 'tmp'), { recursive: true })
  writePrivate(initFile, `${accountStatements(databases, secrets).join('\n')}\n`)
  const args = [
    '--no-defaults',
    ...baseArguments(program),
    `--datadir=${join(dir, 'data')}`,
    `--tmpdir=${join(dir, 'tmp')}`,
    `--socket=${mysqlSocket(dir)}`,
    `--pid-file=${pidFile}`,
    // MySQL's packages name a folder that only the full server package makes, and the server ends when it is not there.
    `--secure-file-priv=${join(dir, 'tmp')}`,
    `--bind-address=${LOOPBACK}`,
    `--port=${port}`,
    `--init-file=${initFile}`,
    '--skip-log-bin', // nothing replicates the embedded servers; a production server has its own settings
    '--character-set-server=utf8mb4',
    '--collation-server=utf8mb4_bin',
    `--innodb-buffer-pool-size=${memoryMb}M`,
    '--innodb-flush-log-at-trx-commit=1',
    '--innodb-flush-method=O_DIRECT',
    '--innodb-lock-wait-timeout=2',
    '--max-connections=400',
    '--skip-name-resolve',
    '--performance-schema=OFF',
    '--loose-innodb-snapshot-isolation=ON', // MariaDB loses updates at REPEATABLE READ without it
    '--loose-mysqlx=OFF',
    '--loose-innodb-log-file-size=96M',
  ]
  return {
    name,
    program: program.path,
    args,
    env: environmentOf(program),
    port,
    socket: mysqlSocket(dir),
    pidFile,
    stopMsMax: 30_000,
  }
}

/** Makes the data folder of a database server, once; a half-made one is thrown away. */
export async function createDataFolder(program: Program, dir: string): Promise<void> {
  const data = join(dir, 'data')
  if (existsSync(data)) return
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const making = join(dir, 'data.making')
  rmSync(making, { recursive: true, force: true })
  mkdirSync(join(dir, 'tmp'), { recursive: true })
  const environment = { ...process.env, ...environmentOf(program) }
  const installer = companionOf(program, ['mariadb-install-db', 'mysql_install_db'])
  if (installer && !(await isOracleMysql(program))) {
    const args = [
      '--no-defaults',
      ...baseArguments(program),
      `--datadir=${making}`,
      `--tmpdir=${join(dir, 'tmp')}`, // two installers at once would meet in /tmp
      '--skip-test-db',
      '--auth-root-authentication-method=normal',
    ]
    await promisify(execFile)(installer, args, { env: environment, maxBuffer: 16 * 1024 * 1024 })
  } else {
    const args = [
      '--no-defaults',
      ...baseArguments(program),
      `--datadir=${making}`,
      '--secure-file-priv=NULL',
      '--initialize-insecure',
    ]
    await promisify(execFile)(program.path, args, { env: environment, maxBuffer: 16 * 1024 * 1024 })
  }
  renameSync(making, data)
}

/** With `dir`, over the server's Unix socket there; mysql2 reads `socketPath` by itself. */
export function mysqlUrl(
  port: number,
  database: string,
  secrets: StackSecrets,
  role: 'app' | 'migrations' | 'root' = 'app',
  dir?: string,
): string {
  const [user, password] = {
    app: ['cartload', secrets.mysqlApp],
    migrations: ['cartload_migrations', secrets.mysqlMigrations],
    root: ['root', secrets.mysqlRoot],
  }[role] as [string, string]
  const socket = dir === undefined ? '' : `?socketPath=${encodeURIComponent(mysqlSocket(dir))}`
  return `mysql://${user}:${password}@${LOOPBACK}:${port}/${database}${socket}`
}

/** Waits until a server is to be had on its port and, where it has one, on its socket. @throws Error after `msMax`, or when `signal` aborts the wait */
export async function waitForServer({ port, socket }: ServerSpec, msMax: number, signal?: AbortSignal): Promise<void> {
  const addresses = socket === undefined ? [port] : [port, socket]
  await Promise.all(addresses.map(address => waitUntilListening(address, msMax, signal)))
}

/** What the instance with this operations port says of itself; not ready when it does not answer. */
export async function readinessOf(
  opsPort: number,
  host = LOOPBACK,
): Promise<{ ready: boolean; degraded: readonly string[] }> {
  try {
    const answer = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${opsPort}/health/ready`, {
      signal: AbortSignal.timeout(5_000),
    })
    const { ready, degraded = [] } = (await answer.json()) as { ready: boolean; degraded?: { name: string }[] }
    return { ready, degraded: degraded.map(({ name }) => name) }
  } catch {
    return { ready: false, degraded: [] }
  }
}

/** Run by the server at every start: idempotent, one statement a line. The application cannot change tables, migrations can. */
function accountStatements(databases: readonly string[], secrets: StackSecrets): string[] {
  const accounts = [
    { user: 'cartload', password: secrets.mysqlApp, rights: 'SELECT, INSERT, UPDATE, DELETE' },
    { user: 'cartload_migrations', password: secrets.mysqlMigrations, rights: 'ALL PRIVILEGES' },
  ]
  return [
    `ALTER USER 'root'@'localhost' IDENTIFIED BY '${secrets.mysqlRoot}';`,
    `CREATE USER IF NOT EXISTS 'root'@'${LOOPBACK}' IDENTIFIED BY '${secrets.mysqlRoot}';`,
    `ALTER USER 'root'@'${LOOPBACK}' IDENTIFIED BY '${secrets.mysqlRoot}';`, // the installer made it without a password
    ...["'root'@'::1'", `'root'@'${hostname().replace(/[^\w.-]/g, '')}'`, "''@'localhost'"].map(
      user => `DROP USER IF EXISTS ${user};`,
    ),
    `GRANT ALL PRIVILEGES ON *.* TO 'root'@'${LOOPBACK}';`,
    ...databases.map(
      database => `CREATE DATABASE IF NOT EXISTS ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;`,
    ),
    ...accounts.flatMap(({ user, password, rights }) =>
      [LOOPBACK, ON_SOCKET].flatMap(host => [
        `CREATE USER IF NOT EXISTS '${user}'@'${host}' IDENTIFIED BY '${password}';`,
        ...databases.map(database => `GRANT ${rights} ON ${database}.* TO '${user}'@'${host}';`),
      ]),
    ),
  ]
}

function baseArguments(program: Program): string[] {
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
  if (program.root === undefined) return asRoot
  return [
    ...asRoot,
    `--basedir=${join(program.root, 'usr')}`,
    `--lc-messages-dir=${join(program.root, 'usr/share/mysql')}`,
  ]
}

/** Whether the server program is MySQL itself, not MariaDB. */
export async function isOracleMysql(program: Program): Promise<boolean> {
  const { stdout } = await promisify(execFile)(program.path, ['--no-defaults', '--version'], {
    env: { ...process.env, ...environmentOf(program) },
  })
  return !/mariadb/i.test(stdout)
}
