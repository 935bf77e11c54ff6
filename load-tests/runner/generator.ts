import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findProgram } from '../../src/stack/programs.ts'

/**
 * What makes the load: k6 where it is on PATH, else the executor of this project. Both run the same files and take the same options.
 * k6 is under the AGPL: it is neither downloaded nor built here.
 */
export interface Generator {
  readonly name: 'k6' | 'executor'
  readonly program: string
  /** What comes before `run FILE`. */
  readonly args: readonly string[]
}

export const GENERATORS = ['k6', 'executor'] as const

const executor: Generator = {
  name: 'executor',
  program: process.execPath,
  args: [join(import.meta.dirname, '..', 'executor', 'main.ts')],
}

/** @throws Error when k6 is wished for and not on PATH */
export function findGenerator(wish?: Generator['name']): Generator {
  if (wish === 'executor') return executor
  const program = findProgram('k6')
  if (program !== undefined) return { name: 'k6', program, args: [] }
  if (wish === 'k6') throw new Error('k6 is not on PATH: https://grafana.com/docs/k6/latest/set-up/install-k6/')
  return executor
}

/** One run of the generator, which tells of every request on its standard output. */
export interface Run {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export interface Threshold {
  readonly metric: string
  readonly rule: string
  readonly held: boolean
}

export interface Ended {
  readonly thresholds: readonly Threshold[]
  /** Why it did not go through to its end. */
  readonly problem: string | undefined
}

/** Exit statuses: everything held, or some threshold did not. */
const [HELD, BROKEN] = [0, 99]
/** What the generator complains about is shown, up to so many lines: each request that fails has one. */
const COMPLAINTS_SHOWN = 12
/** Tags that are asked for; k6 attaches more, which cost time on both sides. */
const TAGS = 'scenario,name,status,expected_response,check'

export function startLoad(
  generator: Generator,
  script: string,
  environment: Readonly<Record<string, string>>,
  onLine: (line: string) => void,
): Run {
  const dir = mkdtempSync(join(tmpdir(), 'cartload-load-'))
  const summary = join(dir, 'summary.json')
  const options = ['--quiet', '--no-color', '--summary-export', summary, '--system-tags', TAGS, '--out', 'json=-']
  const child = spawn(generator.program, [...generator.args, 'run', ...options, script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // Ctrl-C reaches this process alone, and is passed on once: a second one would cut the generator's end short
    env: { ...process.env, K6_NO_USAGE_REPORT: 'true', ...environment },
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', onLine)
  let complaints = 0
  let first = 'it does not say why'
  const thrown: string[] = []
  createInterface({ input: child.stderr }).on('line', line => {
    complaints++
    if (complaints === 1) first = textOf(line)
    if (complaints <= COMPLAINTS_SHOWN) console.error(`  ${generator.name}: ${textOf(line)}`)
    if (complaints === COMPLAINTS_SHOWN + 1) console.error(`  ${generator.name} has more of the kind to say`)
    if (isThrown(line)) thrown.push(textOf(line))
  })
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const ended = closed
    .then(code => {
      if (code !== HELD && code !== BROKEN)
        return { thresholds: [], problem: `${generator.name} ended with ${code ?? 'a signal'}: ${first}` }
      const problem = thrown.length === 0 ? undefined : `the scenario threw ${thrown.length} times: ${thrown[0]}`
      return { thresholds: thresholdsOf(summary), problem }
    })
    .finally(() => rmSync(dir, { recursive: true, force: true }))
  return { child, ended }
}

/** Log lines are pairs of name and value. */
const textOf = (line: string): string =>
  /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replaceAll('\\n', ' ').replaceAll('\\"', '"') ?? line

/** The load goes on when an iteration throws, and no check or threshold knows of it. A crossed threshold is logged at the same level. */
const isThrown = (line: string): boolean => / level=error /.test(` ${line} `) && !/thresholds on metrics/.test(line)

/** In this file true says that a threshold was crossed. */
function thresholdsOf(file: string): Threshold[] {
  const { metrics } = JSON.parse(readFileSync(file, 'utf8')) as {
    metrics: Readonly<Record<string, { thresholds?: Readonly<Record<string, boolean>> }>>
  }
  return Object.entries(metrics).flatMap(([metric, { thresholds = {} }]) =>
    Object.entries(thresholds).map(([rule, isCrossed]) => ({ metric, rule, held: !isCrossed })),
  )
}
