import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadConfig, type ServerAddresses } from '../../src/config/config.ts'
import { isListening } from '../../src/lib/port-probe.ts'
import type { StackSecrets } from '../../src/stack/secrets.ts'
import type { ProcessReport } from '../../src/stack/stack.ts'
import { eventually } from './client.ts'
import { freePorts, PROJECT } from './servers.ts'

/** The real cluster, as `npm start` makes it, in a folder and on ports of its own. */
export interface Cluster {
  readonly port: number
  readonly url: string
  readonly dataDir: string
  readonly secrets: () => StackSecrets
  cli(...args: string[]): Promise<Outcome>
  /** With other variables than those that it was started with. */
  cliWith(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<Outcome>
  /** A program of the project, told of this cluster as `npm run` would be. */
  node(...args: string[]): Promise<Outcome>
  up(): Promise<void>
  status(): Promise<ProcessReport[]>
  healthy(): Promise<void>
  pidsOf(name: string): Promise<number[]>
  /** Every process that belongs to the cluster, however it was started. */
  allPids(): number[]
  remove(): Promise<void>
}

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** `given`: a data folder that is there already. */
export async function createCluster(
  environment: NodeJS.ProcessEnv = {},
  given?: { readonly dataDir: string; readonly port: number },
): Promise<Cluster> {
  const dataDir = given?.dataDir ?? mkdtempSync(join(tmpdir(), 'cl-'))
  const port = given?.port ?? (await freeRange())
  const env = {
    ...process.env,
    CARTLOAD_PORT: String(port),
    CARTLOAD_DATA_DIR: dataDir,
    CARTLOAD_INSTANCES: '2',
    CARTLOAD_SHARD_MEMORY_MB: '64',
    ...environment,
  }

  const run = async (program: string, args: readonly string[], changes: NodeJS.ProcessEnv = {}): Promise<Outcome> => {
    try {
      const { stdout, stderr } = await promisify(execFile)(program, args, {
        env: { ...env, ...changes },
        maxBuffer: 1e8,
        cwd: PROJECT,
      })
      return { code: 0, stdout, stderr }
    } catch (error) {
      const failed = error as { code: number; stdout: string; stderr: string }
      return { code: failed.code, stdout: failed.stdout, stderr: failed.stderr }
    }
  }
  const cli: Cluster['cli'] = (...args) => run(join(PROJECT, 'bin', 'cartload'), args)
  const cliWith: Cluster['cliWith'] = (changes, ...args) => run(join(PROJECT, 'bin', 'cartload'), args, changes)
  const status = async () => JSON.parse((await cli('status', '--json')).stdout) as ProcessReport[]

  return {
    port,
    url: `http://127.0.0.1:${port}`,
    dataDir,
    secrets: () => JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8')) as StackSecrets,
    cli,
    cliWith,
    node: (...args) => run(process.execPath, args),
    status,
    async up() {
      const { code, stdout, stderr } = await cli('up')
      if (code !== 0) throw new Error(`cartload up failed (${code})\n${stdout}\n${stderr}`)
    },
    async healthy() {
      await eventually(
        'every process is healthy',
        async () => {
          const processes = await status()
          return processes.length === 7 && processes.every(p => p.healthy && p.degraded.length === 0)
        },
        120_000,
      )
    },
    pidsOf: async name => (await status()).filter(p => p.name === name).map(p => p.pid),
    allPids: () => pidsWith(dataDir),
    async remove() {
      await cli('down')
      for (const pid of pidsWith(dataDir)) process.kill(pid, 'SIGKILL')
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Addresses of its servers, for tests that look behind the API. */
export function addressesOf({ port, dataDir }: Pick<Cluster, 'port' | 'dataDir'>): ServerAddresses {
  const { servers } = loadConfig(PROJECT, {
    CARTLOAD_PORT: String(port),
    CARTLOAD_DATA_DIR: dataDir,
    CARTLOAD_INSTANCES: '2',
  }).secrets
  if (!servers) throw new Error('the cluster has no servers yet')
  return servers
}

/** Processes that mention the folder in their command line, environment or open files; the caller itself not. */
export function pidsWith(folder: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter(pid => {
      try {
        const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
        if (of('stat').split(') ').at(-1)?.startsWith('Z')) return false
        return of('cmdline').includes(folder) || of('environ').includes(folder) || holds(pid, folder)
      } catch {
        return false
      }
    })
}

function holds(pid: number, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').includes(folder)
  } catch {
    return false
  }
}

/** A port above which 100, 200, 300 and 400 more are free too. */
export async function freeRange(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const [port] = (await freePorts(1)) as [number]
    const wanted = [0, 100, 101, 200, 201, 300, 301, 400, 401].map(offset => port + offset)
    if (!(await Promise.all(wanted.map(each => isListening(each)))).includes(true)) return port
  }
  throw new Error('no free range of ports')
}
