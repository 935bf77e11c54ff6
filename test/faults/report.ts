import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { execFileSync } from 'node:child_process'
import type { FailoverResult } from './failover.ts'
import { type CellResult, JOURNEYS, MISSING } from './journeys.ts'
import type { Caught } from './planted.ts'
import { type RoundResult } from './rounds.ts'
import { ROWS, STEPS } from './rows.ts'

/** docs/reliability.md, written from the figures of a run. */
export interface Run {
  readonly seed: number
  readonly perRound: number
  readonly startedAt: string
  readonly minutes: number
  readonly rounds: readonly RoundResult[]
  readonly failovers: readonly FailoverResult[]
  readonly cells: readonly CellResult[]
  readonly caught: readonly Caught[]
  readonly notShown: readonly string[]
}

export function totalsOf(rounds: readonly RoundResult[]) {
  const sum = (of: (round: RoundResult) => number) => rounds.reduce((all, round) => all + of(round), 0)
  return {
    reads: sum(({ carts }) => carts.reads),
    writes: sum(({ carts }) => carts.writes),
    acknowledged: sum(({ carts }) => carts.acknowledged),
    refused: sum(({ carts }) => carts.refused),
    unknown: sum(({ carts }) => carts.unknown),
    lost: sum(({ carts, orders }) => carts.lost + orders.lost),
    duplicated: sum(({ carts, orders }) => carts.duplicated + orders.duplicated + orders.again),
    stale: sum(({ carts }) => carts.stale),
    unexplained: sum(({ carts }) => carts.unexplained),
    repriced: sum(({ carts }) => carts.repriced),
    sold: sum(({ orders }) => orders.sold),
    oversold: sum(({ orders }) => orders.oversold),
    undersold: sum(({ orders }) => orders.undersold),
    requests: sum(({ sessions }) => sessions.requests),
    logouts: sum(({ sessions }) => sessions.logouts),
    resurrected: sum(({ sessions }) => sessions.resurrected),
    sessionsLost: sum(({ sessions }) => sessions.lost),
    transactions: sum(({ groups }) => groups.transactions),
    grouped: sum(({ groups }) => groups.carts),
    audited: sum(({ audits }) => audits.compared),
    auditBreaches: sum(({ audits }) => audits.breaches),
    problems: sum(({ problems }) => problems.length),
  }
}

export function reportOf(run: Run): string {
  const { seed, rounds, perRound } = run
  const all = totalsOf(rounds)
  const ninetyFive = all.reads === 0 ? '–' : (3 / all.reads).toExponential(1)
  const planted = run.caught.filter(({ isControl }) => !isControl)
  const controls = run.caught.filter(({ isControl }) => isControl)
  const caught = planted.filter(({ isCaught }) => isCaught).length
  return `# Reliability

What happens to carts, sessions, orders and stock when parts of the shop die, hang, lose their network or their clock. Every figure here was
written by the run itself:

\`\`\`
npm run faults -- --seed ${seed} --rounds ${rounds.length - 1}${perRound === 9 ? '' : ` --per-round ${perRound}`}
\`\`\`

${run.startedAt}, ${run.minutes} minutes on ${machine()}; ${versions()}. The machine carried the load as well, so times to recover are those
of a crowded machine. The same seed gives the same schedule (\`--schedule\` prints it).

## In all

| | |
|---|---|
| rounds, faults | ${rounds.length}, ${rounds.reduce((n, round) => n + round.faults.length, 0)} (${perRound} in each round, load going on; in the last one an instance dies or is stopped at every step) |
| cart reads checked | ${count(all.reads)} |
| stale reads | **${all.stale}** (at most ${ninetyFive} of all reads, at 95 % confidence) |
| cart writes sent, acknowledged, refused, unknown | ${count(all.writes)}, ${count(all.acknowledged)}, ${count(all.refused)}, ${count(all.unknown)} |
| changes of carts, in transactions (of the instances that lived to the end of a round) | ${count(all.grouped)} in ${count(all.transactions)} |
| acknowledged writes and orders lost | **${all.lost}** |
| writes and orders that took effect twice | **${all.duplicated}** |
| versions that no write explains | **${all.unexplained}** (besides ${count(all.repriced)} that show what the one before showed: carts that were priced later) |
| units sold, oversold, unsold though wanted | ${count(all.sold)}, **${all.oversold}**, **${all.undersold}** |
| uses of sessions, ends, accepted after their end | ${count(all.requests)}, ${count(all.logouts)}, **${all.resurrected}** |
| sessions refused that had not been ended | ${all.sessionsLost} |
| carts compared by the product’s own auditor, breaches | ${count(all.audited)} or more, **${all.auditBreaches}** |
| mistakes planted, caught | ${planted.length}, **${caught}** |

How it is judged: clients write down every operation before they send it, and what they hear (\`test/history/recorder.ts\`). A cart is a register
whose writes carry versions that go up by one, so linearizability is checked for all of it, not for samples: real-time order, and the
contents of every version as the fold of the writes before it (\`test/history/carts.ts\`). An answer that did not come, or 5xx, is *unknown*:
it may have happened, and never counts as failed. \`node test/history/porcupine.ts\` has a sample checked by porcupine as well.

## The matrix

Attempts of readers and writers that failed are what they saw before they tried again (three tries, same key); gave up: all three failed.
Outage: from the first failed attempt to the last, median and longest; after: how long after the fault was undone the last one was. Writes are
those under way or sent from the fault until two seconds without a failure. Buyers go on until they have an order or a clear no; what they
were told is judged with the stock.

| row | fault | expected | runs | reads | writes sent / acknowledged / refused / unknown | failed attempts | gave up | outage s | after s |
|---|---|---|---|---|---|---|---|---|---|
${ROWS.map(row => matrixRow(row.id, rounds)).join('\n')}

Lost, duplicated and stale are counted for whole rounds, since a fault may show later: they are ${all.lost}, ${all.duplicated} and ${all.stale} over all rows.
${rounds.some(({ problems }) => problems.length > 0) ? `\nNot as expected:\n\n${rounds.flatMap(({ round, problems }) => problems.map(problem => `- round ${round}: ${problem}`)).join('\n')}\n` : '\nEvery row was as expected in every run.\n'}
### Sessions when their Redis fails over

Master, two replicas, three Sentinels (\`down-after-milliseconds\` 6000, \`min-replicas-max-lag\` 2), \`CARTLOAD_SESSIONS_REPLICAS=1\`.

One run each. Every session that was ended is tried again at every instance at the end.

| row | fault | uses checked | ends | accepted after their end | lost | logins and logouts work again after | the cut-off instance stops believing after |
|---|---|---|---|---|---|---|---|
${run.failovers.map(failoverRow).join('\n')}

### By step

Rows A2 and A5 by the step at which the instance died or was stopped (the names are those of the model); every step once in the last round, others
by chance. The steps of an order: \`node test/sale/failpoints.ts\`.

| step | died | failed attempts | gave up | stopped | failed attempts | gave up |
|---|---|---|---|---|---|---|
${byStep(rounds)}

### Not shown here

${run.notShown.map(text => `- ${text}`).join('\n')}

## Journeys without a dependency

Each cell is a test (\`test/integration/journeys.test.ts\`). Cut off: connections are reset. Silent: nothing answers. In brackets: the slowest
answer of all who meet the failure two seconds after it began (six at once, then five), and the median of those five.

| missing | ${JOURNEYS.join(' | ')} |
|---|${JOURNEYS.map(() => '---|').join('')}
${MISSING.map(missing => journeyRow(missing.name, run.cells)).join('\n')}
| one instance | ${JOURNEYS.map(() => 'the others carry on; row A1').join(' | ')} |

## Whether the checks see anything

Mistakes that many shops have made, each put in the place of one part of the product, under the same load and the same checks. Caught: ${caught} of ${planted.length}.

| planted | what | caught | found |
|---|---|---|---|
${planted.map(caughtRow).join('\n')}

Controls: the sound build under the load and the trouble of the planted ones, and settings and designs that are known to lose.

| control | what | as it must be | found |
|---|---|---|---|
${controls.map(caughtRow).join('\n')}

## The models

\`npm run model\` explores the protocols exhaustively and switches off each of their guards (docs/design.md).
`
}

const count = (n: number): string => n.toLocaleString('en-GB')
const seconds = (ms: number): string => (ms / 1000).toFixed(1)
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0

function matrixRow(id: string, rounds: readonly RoundResult[]): string {
  const row = ROWS.find(one => one.id === id)
  const runs = rounds.flatMap(({ faults }) => faults.filter(fault => fault.row === id))
  const sum = (of: (run: (typeof runs)[number]) => number) => runs.reduce((all, one) => all + of(one), 0)
  if (runs.length === 0) return `| ${id} | ${row?.title} | ${row?.expected} | 0 | | | | | | |`
  const writes = (['sent', 'acknowledged', 'refused', 'unknown'] as const)
    .map(name => count(sum(({ window }) => window[name])))
    .join(' / ')
  const outages = runs.map(({ outageMs }) => outageMs)
  const after = runs.map(({ afterMs }) => afterMs)
  const attempts = sum(one => one.attempts)
  const figures = figuresOf(runs.map(one => one.figures))
  return `| ${id} | ${row?.title}${figures} | ${row?.expected} | ${runs.length} | ${count(sum(({ window }) => window.reads))} | ${writes} | ${count(sum(({ failed }) => failed))} of ${count(attempts)} | ${count(sum(({ givenUp }) => givenUp))} | ${seconds(median(outages))}, ${seconds(Math.max(...outages))} | ${seconds(median(after))}, ${seconds(Math.max(...after))} |`
}

/** What a row counts itself: times as the longest, everything else summed. */
function figuresOf(all: readonly Readonly<Record<string, number>>[]): string {
  const names = [...new Set(all.flatMap(figures => Object.keys(figures)))]
  if (names.length === 0) return ''
  const shown = names.map(name => {
    const values = all.map(figures => figures[name] ?? 0)
    return name.endsWith('Ms')
      ? `${name.slice(0, -2)} after ${seconds(Math.max(...values))} s at most`
      : `${name} ${count(values.reduce((sum, n) => sum + n, 0))}`
  })
  return ` (${shown.join(', ')})`
}

function byStep(rounds: readonly RoundResult[]): string {
  const runs = rounds.flatMap(({ faults }) => faults)
  return STEPS.map(step => {
    const cells = ['A2', 'A5'].map(row => {
      const own = runs.filter(one => one.row === row && one.params['step'] === step)
      const sum = (name: 'failed' | 'givenUp') => own.reduce((all, one) => all + one[name], 0)
      return own.length === 0 ? '– | – | –' : `${own.length} | ${sum('failed')} | ${sum('givenUp')}`
    })
    return `| ${step} | ${cells.join(' | ')} |`
  }).join('\n')
}

function failoverRow({ row, sessions, recoveryMs, refusedAfterMs }: FailoverResult): string {
  const fault = row === 'C7' ? 'the master is killed' : 'the master is cut off together with one of two instances'
  const refused = refusedAfterMs === undefined ? '–' : `${seconds(refusedAfterMs)} s`
  return `| ${row} | ${fault} | ${count(sessions.requests)} | ${count(sessions.logouts)} | **${sessions.resurrected}** | ${sessions.lost} | ${seconds(recoveryMs)} s | ${refused} |`
}

function journeyRow(name: string, cells: readonly CellResult[]): string {
  const missing = MISSING.find(one => one.name === name)
  const columns = JOURNEYS.map(journey => {
    const own = cells.filter(cell => cell.missing === name && cell.journey === journey)
    const times = own.map(({ mode, firstMs, laterMs }) => `${mode}: ${firstMs}, ${laterMs} ms`).join('; ')
    const wrong = own.flatMap(({ problem }) => (problem === undefined ? [] : [problem]))
    return `${missing?.cells[journey].how}${times === '' ? '' : ` (${times})`}${wrong.length > 0 ? ` **${wrong.join('; ')}**` : ''}`
  })
  return `| ${name} | ${columns.join(' | ')} |`
}

const caughtRow = ({ name, what, isCaught, found }: Caught): string =>
  `| ${name} | ${what} | ${isCaught ? 'yes' : '**no**'} | ${found} |`

function machine(): string {
  const [first] = cpus()
  return `${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${osName()}`
}

function osName(): string {
  const file = (path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return ''
    }
  }
  return /PRETTY_NAME="([^"]+)"/.exec(file('/etc/os-release'))?.[1] ?? process.platform
}

function versions(): string {
  const of = (program: string, args: readonly string[], pattern: RegExp): string => {
    try {
      const text = execFileSync('sh', ['-c', `${program} ${args.join(' ')} 2>&1`]).toString()
      return pattern.exec(text)?.[1] ?? 'unknown'
    } catch {
      return 'unknown'
    }
  }
  return [
    `Node ${process.versions.node}`,
    `MariaDB ${of('mariadbd', ['--version'], /Ver ([\d.]+)/)}`,
    `Redis ${of('redis-server', ['--version'], /v=([\d.]+)/)}`,
    `nginx ${of('nginx', ['-v'], /nginx\/([\d.]+)/)}`,
  ].join(', ')
}
