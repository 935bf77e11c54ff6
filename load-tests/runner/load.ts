import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { type Args, type Command, CommandError, UsageError } from '../../src/cli/command.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { loadConfig } from '../../src/config/config.ts'
import { findGenerator, GENERATORS, type Generator, type Run, startLoad } from './generator.ts'
import { machineOf } from './machine.ts'
import { writeReport } from './page.ts'
import { createPoints } from './points.ts'
import { checkShop, prepare } from './preparations.ts'
import { showProgress } from './progress.ts'
import { reportOf } from './report.ts'
import { type Result, resultOf } from './result.ts'
import { type Sampler, startSampler } from './sampler.ts'
import { verdictOf } from './verdict.ts'

/** A load scenario against the running cluster, through nginx, while everything that takes part is watched; then a report. */
const PROJECT = join(import.meta.dirname, '..', '..')
const FOLDER = join(PROJECT, 'load-tests')
const PROFILES = ['smoke', 'average', 'stress', 'spike', 'breakpoint', 'soak']
const TIME = /^\d+(s|m|h)$/

const scenarios = readdirSync(FOLDER)
  .filter(file => file.endsWith('.ts'))
  .map(file => file.slice(0, -3))

const command: Command = {
  name: 'load',
  call: 'npm run load --',
  summary: 'Runs a load scenario against the running cluster, watches the cluster, and writes a report',
  usage: scenarios.join(' | '),
  details:
    'The rate is kept whatever the answers take (open model); a run that cannot keep it fails. Scenarios are k6 scenarios: k6 runs them where it is\n' +
    'on PATH, else the executor of this project in Node.js. Exit status 0 when all thresholds held.',
  options: {
    profile: { type: 'string', value: 'NAME', doc: `${PROFILES.join(', ')} (default average)` },
    rate: { type: 'string', value: 'N', doc: 'iterations a second (default: the scenario’s)' },
    duration: { type: 'string', value: 'TIME', doc: 'how long the load lasts, such as 30s (default: the profile’s)' },
    users: { type: 'string', value: 'N', doc: 'different users that log in (default 200; smoke 20)' },
    units: { type: 'string', value: 'N', doc: 'flash-sale: units (default 50; smoke 20)' },
    file: { type: 'string', value: 'FILE', doc: 'replay: baskets, NDJSON (default: made-up ones)' },
    url: { type: 'string', value: 'URL', doc: 'another address than this cluster; only one that is yours to load' },
    with: {
      type: 'string',
      value: 'NAME',
      doc: 'what makes the load: k6 or executor (default: k6 where it is on PATH)',
    },
    out: { type: 'string', value: 'DIR', doc: 'where the report and its JSON go (default .cartload/load)' },
  },
  run,
}

async function run(args: Args): Promise<void> {
  const { scenario, profile, duration, rate, generator } = wishOf(args)
  const { config, secrets } = loadConfig(PROJECT)
  const own = `http://127.0.0.1:${config.port}`
  const url = args.text('url') ?? own
  await checkShop(url, secrets.seedPassword)
  const dir = resolve(args.text('out') ?? join(config.dataDir, 'load'))
  mkdirSync(dir, { recursive: true })
  const prepared = await prepare(scenario, { projectDir: PROJECT, args, url, dir })
  const startedAt = new Date().toISOString()
  const points = createPoints()
  const isHere = url === own && secrets.servers !== undefined
  const canRead = isHere && existsSync('/proc/stat')
  if (isHere && !canRead)
    console.log('! what the cluster does cannot be read on this system, only what the requests say')
  let load: Run | undefined
  let sampler: Sampler | undefined
  try {
    // Before the load: looking up processes asks PM2, which must not be in the measured seconds.
    if (canRead) sampler = await startSampler(config, secrets.servers, () => (load?.child.pid ? [load.child.pid] : []))
    load = startLoad(
      generator,
      join(FOLDER, `${scenario}.ts`),
      {
        BASE_URL: url,
        PROFILE: profile,
        USERS: String(args.number('users', profile === 'smoke' ? 20 : 200, 1, 1_000_000)),
        PASSWORD: secrets.seedPassword,
        ...(rate === undefined ? {} : { RATE: String(rate) }),
        ...(duration === undefined ? {} : { DURATION: duration }),
        ...prepared.environment,
      },
      line => points.accept(line),
    )
    endOnSignal(load.child)
    const progress = showProgress(points, sampler?.readings ?? [], availableParallelism())
    const ended = await load.ended.finally(() => progress.stop())
    await sampler?.stop()
    const about = {
      ...ended,
      scenario,
      profile,
      startedAt,
      command: `npm run load -- ${process.argv.slice(2).join(' ')}`,
      machine: await machineOf(generator),
      cluster: isHere
        ? { version: projectVersion(), instances: config.instances, shards: secrets.servers.shards.length }
        : undefined,
    }
    write(resultOf(about, points, sampler?.readings ?? []), dir)
  } finally {
    load?.child.kill()
    await sampler?.stop()
    await prepared.undo?.()
  }
}

function wishOf(args: Args) {
  const [scenario, ...more] = args.words
  if (!scenario || !scenarios.includes(scenario)) throw new UsageError(`say which scenario: ${scenarios.join(', ')}`)
  if (more.length > 0) throw new UsageError(`one scenario at a time, not also ${more.join(' ')}`)
  const profile = args.text('profile') ?? 'average'
  if (!PROFILES.includes(profile)) throw new UsageError(`--profile is one of ${PROFILES.join(', ')}`)
  const duration = args.text('duration')
  if (duration !== undefined && !TIME.test(duration))
    throw new UsageError(`--duration takes a time such as 30s, not '${duration}'`)
  const rate = args.text('rate') === undefined ? undefined : args.number('rate', 0, 1, 100_000)
  return { scenario, profile, duration, rate, generator: generatorOf(args.text('with')) }
}

function generatorOf(name: string | undefined): Generator {
  if (name !== undefined && !GENERATORS.includes(name as Generator['name']))
    throw new UsageError(`--with is one of ${GENERATORS.join(', ')}`)
  try {
    return findGenerator(name as Generator['name'] | undefined)
  } catch (error) {
    throw new CommandError((error as Error).message)
  }
}

/** The generator ends its run in order when it is asked to, and this program with it; asked again, or when it has ended, at once. */
function endOnSignal(child: ChildProcess): void {
  let isAsked = false
  const ask = (signal: NodeJS.Signals) => {
    if (isAsked || child.exitCode !== null) process.exit(1)
    isAsked = true
    child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ask(signal))
}

const projectVersion = (): string =>
  (JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string }).version

function write(result: Result, dir: string): void {
  const verdict = verdictOf(result)
  console.log(`\n${verdict.lines.join('\n')}`)
  const kept = { ...result, verdict: verdict.lines }
  writeReport(dir, result.startedAt, `${result.scenario}-${result.profile}`, kept, reportOf(result, verdict))
  if (!verdict.passed) throw new CommandError(result.problem ?? 'not all thresholds held')
}

process.exit(await runCommand(command, process.argv.slice(2)))
