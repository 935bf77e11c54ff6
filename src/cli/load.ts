import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { loadConfig } from '../config/config.ts'
import { type Command, CommandError, UsageError } from './command.ts'
import { step } from './terminal.ts'

/** k6 against the running cluster, through nginx. */
const K6_VERSION = 'v1.8.1'

export function loadCommand(projectDir: string): Command {
  const folder = join(projectDir, 'load-tests')
  const scenarios = readdirSync(folder)
    .filter(file => file.endsWith('.ts'))
    .map(file => file.slice(0, -3))
  return {
    name: 'load',
    summary: 'Runs a k6 load scenario against the running cluster',
    usage: scenarios.join(' | '),
    details: 'The rate is kept whatever the answers take (open model); a run that cannot keep it fails.',
    options: {
      rate: { type: 'string', value: 'N', doc: 'iterations a second (default 100)' },
      duration: { type: 'string', value: 'TIME', doc: 'how long, such as 30s or 2m (default 30s)' },
      users: { type: 'string', value: 'N', doc: 'different users that log in (default 200)' },
      url: { type: 'string', value: 'URL', doc: 'another address than this cluster; only one that is yours to load' },
    },
    async run(args) {
      const [scenario] = args.words
      if (!scenario || !scenarios.includes(scenario))
        throw new UsageError(`say which scenario: ${scenarios.join(', ')}`)
      const duration = args.text('duration') ?? '30s'
      if (!/^\d+(s|m|h)$/.test(duration)) throw new UsageError(`--duration takes a time such as 30s, not '${duration}'`)
      const { config, secrets } = loadConfig(projectDir)
      const url = args.text('url') ?? `http://127.0.0.1:${config.port}`
      await fetch(`${url}/v1/products?limit=1`, { signal: AbortSignal.timeout(3000) }).catch((error: unknown) => {
        throw new CommandError(`nothing answers at ${url}: npm start`, { cause: error })
      })
      const k6 = await findK6(config.dataDir)
      const environment = {
        BASE_URL: url,
        RATE: String(args.number('rate', 100, 1, 100_000)),
        DURATION: duration,
        USERS: String(args.number('users', 200, 1, 1_000_000)),
        PASSWORD: secrets.seedPassword,
      }
      const run = spawn(k6, ['run', '--quiet', join(folder, `${scenario}.ts`)], {
        stdio: 'inherit',
        env: { ...process.env, ...environment, K6_NO_USAGE_REPORT: 'true' },
      })
      process.exitCode = await exitOf(run)
    },
  }
}

/** k6 on PATH, or our own; built with Go where there is neither. */
export async function findK6(dataDir: string): Promise<string> {
  const bin = join(dataDir, 'bin')
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter).filter(dir => dir !== ''), bin, '/usr/local/go/bin']
  const find = (program: string) => dirs.map(dir => join(dir, program)).find(isExecutable)
  const found = find('k6')
  if (found) return found
  const go = find('go')
  if (!go) {
    throw new CommandError(
      'k6 is missing, and so is Go to build it. Get k6 from https://grafana.com/docs/k6/latest/set-up/install-k6/ or install Go 1.25 or newer.',
    )
  }
  mkdirSync(bin, { recursive: true })
  await step(`build k6 ${K6_VERSION} with Go (some minutes, once)`, async () => {
    await promisify(execFile)(go, ['install', `go.k6.io/k6@${K6_VERSION}`], {
      env: { ...process.env, GOBIN: bin },
      maxBuffer: 16 * 1024 * 1024,
    }).catch((error: unknown) => {
      throw new CommandError(`k6 could not be built: ${(error as { stderr?: string }).stderr ?? String(error)}`)
    })
  })
  return join(bin, 'k6')
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return existsSync(path)
  } catch {
    return false
  }
}

export function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
  })
}
