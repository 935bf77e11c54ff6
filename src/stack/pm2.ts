import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { EXIT_WRONG_CONFIGURATION } from '../lib/finding.ts'
import { isRunning } from '../lib/processes.ts'
import { writePrivate } from './secrets.ts'
import type { ServerSpec } from './servers.ts'

/**
 * PM2, run as the separate program that it is. Each of the two has its own home, so that `pm2 reload all` and `pm2 kill`
 * for the instances never touch the databases, and each is stopped with the signal that it understands.
 */
export interface Pm2 {
  readonly home: string
  /** False when its daemon does not run; then nothing needs to be asked of it. */
  isAlive(): boolean
  list(): Promise<Pm2Process[]>
  start(file: string, environment?: Readonly<Record<string, string>>): Promise<void>
  run(...args: readonly string[]): Promise<string>
  kill(): Promise<void>
}

export interface Pm2Process {
  readonly name: string
  readonly index: number
  readonly pid: number
  readonly status: string
  readonly uptimeMs: number
  readonly memoryBytes: number
  readonly restarts: number
  readonly logFiles: readonly string[]
  /** Where it was started. */
  readonly folder: string
}

interface Pm2Row {
  name: string
  pid: number
  monit?: { memory?: number }
  pm2_env: {
    status: string
    pm_uptime: number
    restart_time: number
    exit_code?: number
    NODE_APP_INSTANCE?: number | string
    pm_out_log_path: string
    pm_err_log_path: string
    pm_cwd: string
  }
}

const PM2 = join(dirname(createRequire(import.meta.url).resolve('pm2/package.json')), 'bin', 'pm2')

export function createPm2(home: string, killSignal: 'SIGINT' | 'SIGTERM'): Pm2 {
  const own = {
    PM2_HOME: home,
    PM2_KILL_SIGNAL: killSignal,
    PM2_DISABLE_VERSION_CHECK: 'true',
    PM2_CONCURRENT_ACTIONS: '1',
  }

  async function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const env = { ...process.env, ...own, ...environment }
    const { stdout } = await promisify(execFile)(process.execPath, [PM2, ...args], { env, maxBuffer: 64 * 1024 * 1024 })
    return stdout
  }

  function isAlive(): boolean {
    const file = join(home, 'pm2.pid')
    return existsSync(file) && isRunning(Number(readFileSync(file, 'utf8')), home)
  }

  return {
    home,
    isAlive,
    run: (...args) => run(args),
    async list() {
      if (!isAlive()) return []
      const text = await run(['jlist', '--silent'])
      return (JSON.parse(text.slice(text.indexOf('['))) as Pm2Row[]).map(row => ({
        name: row.name,
        index: Number(row.pm2_env.NODE_APP_INSTANCE ?? 0),
        pid: row.pid,
        status: statusOf(row),
        uptimeMs: row.pid ? Date.now() - row.pm2_env.pm_uptime : 0,
        memoryBytes: row.monit?.memory ?? 0,
        restarts: row.pm2_env.restart_time,
        logFiles: [row.pm2_env.pm_out_log_path, row.pm2_env.pm_err_log_path],
        folder: row.pm2_env.pm_cwd,
      }))
    },
    start: async (file, environment) => void (await run(['start', file, '--silent'], environment)),
    async kill() {
      if (isAlive()) await run(['kill', '--silent'])
    },
  }
}

/** With a back-off between restarts PM2 shows `waiting restart` also for what it will not start again (stop_exit_codes). */
const statusOf = ({ pid, pm2_env: { status, exit_code: exitCode } }: Pm2Row): string =>
  exitCode === EXIT_WRONG_CONFIGURATION && pid === 0 ? 'wrong configuration' : status

/** Writes servers as a PM2 file. What is started from it is restarted when it dies. */
export function writeServersFile(path: string, servers: readonly ServerSpec[], logDir: string): void {
  mkdirSync(logDir, { recursive: true })
  const apps = servers.map(server => ({
    name: server.name,
    script: server.program,
    args: server.args,
    interpreter: 'none',
    exec_mode: 'fork',
    env: server.env,
    out_file: join(logDir, `${server.name}.log`),
    error_file: join(logDir, `${server.name}.log`),
    kill_timeout: server.stopMsMax,
    exp_backoff_restart_delay: 100,
    treekill: false,
    autorestart: true,
  }))
  writePrivate(path, JSON.stringify({ apps }, undefined, 2))
}
