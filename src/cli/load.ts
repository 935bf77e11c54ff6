import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { loadConfig } from '../config/config.ts'
import { type Args, type Command, CommandError, UsageError } from './command.ts'
import { createGenerator } from './generator.ts'
import { DEMO_EMAIL } from './seed.ts'
import { step } from './terminal.ts'
import { withApp } from './with-app.ts'

/** k6 against the running cluster, through nginx. The scenarios and profiles are in load-tests/. */
const K6_VERSION = 'v1.8.1'
const PROFILES = ['smoke', 'average', 'stress', 'spike', 'breakpoint', 'soak']
const TIME = /^\d+(s|m|h)$/

interface Run {
  readonly projectDir: string
  readonly args: Args
  readonly url: string
  /** Where files of this run may stand. */
  readonly dir: string
}

/** What a scenario needs besides a seeded shop: what it is told, and what is to be undone afterwards. */
interface Prepared {
  readonly environment: Readonly<Record<string, string>>
  undo?(): Promise<void>
}

const PREPARATIONS: Readonly<Record<string, (run: Run) => Promise<Prepared>>> = {
  'flash-sale': makeSale,
  replay: async run => ({ environment: { FILE: run.args.text('file') ?? writeBaskets(run.dir) } }),
}

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
      profile: { type: 'string', value: 'NAME', doc: `${PROFILES.join(', ')} (default average)` },
      rate: { type: 'string', value: 'N', doc: 'iterations a second (default: the scenario’s)' },
      duration: { type: 'string', value: 'TIME', doc: 'how long the load lasts, such as 30s (default: the profile’s)' },
      users: { type: 'string', value: 'N', doc: 'different users that log in (default 200; smoke 20)' },
      units: { type: 'string', value: 'N', doc: 'flash-sale: units (default 50)' },
      file: { type: 'string', value: 'FILE', doc: 'replay: baskets, NDJSON (default: made-up ones)' },
      url: { type: 'string', value: 'URL', doc: 'another address than this cluster; only one that is yours to load' },
    },
    async run(args) {
      const [scenario] = args.words
      if (!scenario || !scenarios.includes(scenario))
        throw new UsageError(`say which scenario: ${scenarios.join(', ')}`)
      const profile = args.text('profile') ?? 'average'
      if (!PROFILES.includes(profile)) throw new UsageError(`--profile is one of ${PROFILES.join(', ')}`)
      const duration = args.text('duration')
      if (duration !== undefined && !TIME.test(duration))
        throw new UsageError(`--duration takes a time such as 30s, not '${duration}'`)
      const rate = args.text('rate') === undefined ? undefined : args.number('rate', 0, 1, 100_000)
      const { config, secrets } = loadConfig(projectDir)
      const url = args.text('url') ?? `http://127.0.0.1:${config.port}`
      await checkShop(url, secrets.seedPassword)
      const k6 = await findK6(config.dataDir)
      const dir = join(config.dataDir, 'load')
      mkdirSync(dir, { recursive: true })
      const prepared = await PREPARATIONS[scenario]?.({ projectDir, args, url, dir })
      try {
        const environment = {
          BASE_URL: url,
          PROFILE: profile,
          USERS: String(args.number('users', profile === 'smoke' ? 20 : 200, 1, 1_000_000)),
          PASSWORD: secrets.seedPassword,
          K6_NO_USAGE_REPORT: 'true',
          ...(rate === undefined ? {} : { RATE: String(rate) }),
          ...(duration === undefined ? {} : { DURATION: duration }),
          ...prepared?.environment,
        }
        const run = spawn(k6, ['run', '--quiet', join(folder, `${scenario}.ts`)], {
          stdio: 'inherit',
          env: { ...process.env, ...environment },
        })
        process.exitCode = await exitOf(run)
      } finally {
        await prepared?.undo?.()
      }
    },
  }
}

/** @throws CommandError that says what to do when nothing answers, or the shop is empty */
async function checkShop(url: string, password: string): Promise<void> {
  const send = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(5_000) }).catch((error: unknown) => {
      throw new CommandError(`nothing answers at ${url}: npm start`, { cause: error })
    })
  const catalog = await send('/v1/products?limit=1')
  const { data = [] } = catalog.ok ? ((await catalog.json()) as { data?: unknown[] }) : {}
  const login = await send('/v1/sessions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email: DEMO_EMAIL(1), password }),
  })
  if (data.length === 0 || login.status !== 201)
    throw new CommandError(`the shop at ${url} is not seeded: npm run seed`)
}

/** A sale of the last product of the catalogue, open to guests; afterwards it is sold as before. */
async function makeSale({ projectDir, args, url }: Run): Promise<Prepared> {
  if (args.text('url') !== undefined)
    throw new UsageError('flash-sale makes a sale, so it runs on its own cluster only')
  const units = args.number('units', 50, 1, 1_000_000)
  const sku = await lastSku(url)
  const id = `load-${randomUUID().slice(0, 8)}`
  await step(`open a sale of ${units} of ${sku}`, () =>
    withApp(projectDir, async app => {
      const startsAt = new Date(Date.now() + 1_000).toISOString()
      const wish = { id, sku, units, startsAt, endsAt: undefined, factor: 2, accountAgeS: 0, needsProof: false }
      await app.stockKeeping.openSale({ ...wish, guests: true, perUserMax: 1, replace: true })
    }),
  )
  return {
    environment: { SALE: id, SKU: sku, UNITS: String(units) },
    undo: () =>
      withApp(projectDir, async app => {
        await app.stockKeeping.endSale(id)
        await app.stockKeeping.setStock(sku, { mode: 'none' })
      }),
  }
}

async function lastSku(url: string): Promise<string> {
  let [last, query] = ['', 'limit=100']
  for (;;) {
    const answer = await fetch(`${url}/v1/products?${query}`)
    const { data, page } = (await answer.json()) as { data: { sku: string }[]; page: { next: string | null } }
    last = data.at(-1)?.sku ?? last
    if (page.next === null) return last
    query = `limit=100&cursor=${encodeURIComponent(page.next)}`
  }
}

const BASKETS = 200

/** Baskets of the generator, over a day with a busy noon. */
function writeBaskets(dir: string): string {
  const generator = createGenerator({ products: 5_000, seed: 7, linesMax: 30, quantityMax: 50 })
  const lines = Array.from({ length: BASKETS }, (_, at) => {
    const share = at / BASKETS
    const hours = 12 + 4 * Math.asin(2 * share - 1)
    const t = new Date(Date.UTC(2026, 0, 1) + hours * 3_600_000).toISOString()
    return JSON.stringify({ t, l: generator.cart(at).map(({ sku, quantity }) => [sku, quantity]) })
  })
  const file = join(dir, 'baskets.ndjson')
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
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
