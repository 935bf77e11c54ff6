import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Threshold } from './result.ts'

/** One run of k6, which tells of every request on its standard output. */
export interface Run {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export interface Ended {
  readonly thresholds: readonly Threshold[]
  /** Why it did not go through to its end. */
  readonly problem: string | undefined
}

/** k6's own exit statuses: everything held, or some threshold did not. */
const [HELD, BROKEN] = [0, 99]
/** What k6 complains about is shown, up to so many lines: each request that fails has one. */
const COMPLAINTS_SHOWN = 12
/** Tags that are asked for; k6 attaches more, which cost it and us time. */
const TAGS = 'scenario,name,status,expected_response,check'

export function startK6(
  k6: string,
  script: string,
  environment: Readonly<Record<string, string>>,
  onLine: (line: string) => void,
): Run {
  const dir = mkdtempSync(join(tmpdir(), 'cartload-k6-'))
  const summary = join(dir, 'summary.json')
  const args = ['--quiet', '--no-color', '--summary-export', summary]
  const child = spawn(k6, ['run', ...args, '--system-tags', TAGS, '--out', 'json=-', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // Ctrl-C reaches us alone, and is passed on once: a second one would cut k6's end short
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
    if (complaints <= COMPLAINTS_SHOWN) console.error(`  k6: ${textOf(line)}`)
    if (complaints === COMPLAINTS_SHOWN + 1) console.error('  k6 has more of the kind to say')
    if (isThrown(line)) thrown.push(textOf(line))
  })
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const ended = closed
    .then(code => {
      if (code !== HELD && code !== BROKEN)
        return { thresholds: [], problem: `k6 ended with ${code ?? 'a signal'}: ${first}` }
      const problem = thrown.length === 0 ? undefined : `the scenario threw ${thrown.length} times: ${thrown[0]}`
      return { thresholds: thresholdsOf(summary), problem }
    })
    .finally(() => rmSync(dir, { recursive: true, force: true }))
  return { child, ended }
}

/** k6 logs in pairs of name and value. */
const textOf = (line: string): string =>
  /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replaceAll('\\n', ' ').replaceAll('\\"', '"') ?? line

/** k6 goes on when an iteration throws, and no check or threshold knows of it. That a threshold was crossed it tells in the same voice. */
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
