import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createInventory } from '../../src/inventory/stock-levels.ts'
import { catalogRows } from '../../src/store/catalog.ts'
import { type CartVerdict, checkCarts } from '../history/carts.ts'
import type { Operation } from '../history/recorder.ts'
import { isCleanOrder } from '../history/orders.ts'
import { checkSessions, type SessionVerdict } from '../history/sessions.ts'
import { databasesOf } from '../sale/accounts.ts'
import { judge, type Verdict as OrderVerdict } from '../sale/checks.ts'
import type { Lab } from './lab.ts'
import { type Failure, type Load, type LoadOptions, startLoad } from './load.ts'
import { type Figures, type Params, type Row, ROWS } from './rows.ts'
import type { Schedule, ScheduledFault } from './schedule.ts'

/** Rounds of load with faults in them, each judged by its own history. */
export interface FaultResult {
  readonly row: string
  readonly params: Params
  /** From the fault until clients saw no more of it. */
  readonly window: Window
  readonly attempts: number
  readonly failed: number
  /** Clients who gave up after their last try. */
  readonly givenUp: number
  /** From the first failed attempt to the last, and how long after the fault was undone that was. */
  readonly outageMs: number
  readonly afterMs: number
  readonly figures: Figures
  readonly problems: readonly string[]
}

/** Operations that were under way or sent within a fault. */
export interface Window {
  readonly reads: number
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
}

export interface RoundResult {
  readonly round: number
  readonly faults: readonly FaultResult[]
  readonly carts: CartVerdict
  readonly sessions: SessionVerdict
  readonly orders: OrderVerdict
  /** What auditors of the product found, but for what was put there for them. */
  /** At least. */
  readonly groups: { readonly transactions: number; readonly carts: number }
  readonly audits: { /** At least. */ readonly compared: number; readonly breaches: number }
  readonly historyFile: string | undefined
  readonly problems: readonly string[]
}

const QUIET_MS = 2_000
const CLEAN_MS_MAX = 45_000
/** A round whose faults left few reads goes on for so long at most. */
const MORE_MS_MAX = 60_000
/** For each round; buyers want more than there is. */
const UNITS = 40
const BUYERS = 60

export const ROUND_LOAD: Omit<LoadOptions, 'seed' | 'sku'> = {
  users: 24,
  readers: 40,
  writers: 2,
  sessions: 2,
  buyers: BUYERS,
  thinkMs: 15,
}

export async function runRounds(
  lab: Lab,
  { schedule, seed, readsMin }: { schedule: Schedule; seed: number; readsMin: number },
  say: (text: string) => void,
): Promise<RoundResult[]> {
  const results: RoundResult[] = []
  for (const [at, faults] of schedule.entries()) {
    const result = await runRound(lab, { faults, seed: seed * 1_000 + at + 1, round: at + 1, readsMin }, say)
    results.push(result)
    const { carts, orders, sessions } = result
    say(
      `round ${at + 1} of ${schedule.length}: ${carts.reads} reads, ${carts.acknowledged} of ${carts.writes} writes acknowledged (${carts.unknown} unknown), ${orders.sold} sold; lost ${carts.lost + orders.lost}, duplicated ${carts.duplicated + orders.duplicated}, stale ${carts.stale}, resurrected ${sessions.resurrected}`,
    )
    for (const problem of result.problems) say(`  PROBLEM: ${problem}`)
  }
  return results
}

async function runRound(
  lab: Lab,
  options: { faults: readonly ScheduledFault[]; seed: number; round: number; readsMin: number },
  say: (text: string) => void,
): Promise<RoundResult> {
  const { faults, seed, round, readsMin } = options
  const folder = mkdtempSync(join(tmpdir(), 'cartload-history-'))
  const historyFile = join(folder, `seed-${seed}.ndjson`)
  const sku = await newItem(lab, `F-${seed}`, UNITS)
  const auditedBefore = await lab.audited('same')
  const load = await startLoad(lab, { ...ROUND_LOAD, seed, sku, historyFile })
  const seen: FaultSeen[] = []
  try {
    for (const fault of faults) {
      await sleep(fault.afterMs)
      const result = await runFault(lab, load, fault)
      seen.push(result)
      const figures = Object.entries(result.figures)
        .map(([name, n]) => `, ${name} ${n}`)
        .join('')
      say(
        `  ${fault.row.padEnd(4)} ${JSON.stringify(fault.params)} ${result.failed} failed, ${result.givenUp} given up, failures for ${(result.outageMs / 1000).toFixed(1)} s${figures}`,
      )
    }
    const reads = () =>
      load.recorder.operations.filter(({ kind, outcome }) => kind === 'read' && outcome?.result === 'ok').length
    for (const until = performance.now() + MORE_MS_MAX; reads() < readsMin && performance.now() < until; )
      await sleep(500)
  } finally {
    await load.stop()
  }
  const unread = await lab
    .healthy()
    .then(load.readAll)
    .finally(() => load.close())
  const carts = checkCarts(load.recorder.operations)
  const sessions = checkSessions(load.recorder.operations)
  const orders = await judge(lab, { sku, units: UNITS, history: load.orders, buyers: load.buyers, brokenSeen: 0 })
  const results = seen.map(({ sinceUs, endUs, ...result }): FaultResult => {
    return { ...result, window: windowOf(load.recorder.operations, sinceUs, endUs) }
  })
  const isOutside = (us: number) => !seen.some(({ sinceUs, endUs }) => us >= sinceUs && us <= endUs)
  const elsewhere = load.failures.filter(({ atUs }) => isOutside(atUs))
  const compared = Math.max(0, (await lab.audited('same')) - auditedBefore)
  const groups = await lab.grouped()
  const breaches = auditBreachesOf(lab, [...load.users.map(({ id }) => id), ...load.buyers.map(({ userId }) => userId)])
  const problems = [
    ...results.flatMap(result => result.problems.map(problem => `${result.row}: ${problem}`)),
    ...carts.breaches,
    ...sessions.breaches,
    ...(sessions.lost > 0 ? [`${sessions.lost} requests were refused although their session had not been ended`] : []),
    ...(isCleanOrder(orders) && orders.again === 0 && orders.unclear === 0
      ? []
      : [`orders: ${JSON.stringify(orders)}`]),
    ...(unread > 0 ? [`${unread} carts could not be read at the end`] : []),
    ...(elsewhere.length > 0
      ? [`${elsewhere.length} attempts failed beside the faults, such as ${elsewhere[0]?.what}`]
      : []),
    ...(breaches > 0 ? [`auditors found ${breaches} carts that are not what the database has`] : []),
  ]
  const isClean = problems.length === 0
  if (isClean) rmSync(folder, { recursive: true, force: true })
  return {
    round,
    faults: results,
    carts,
    sessions,
    orders,
    groups,
    audits: { compared, breaches },
    historyFile: isClean ? undefined : historyFile,
    problems,
  }
}

/** What is known of a fault while the load goes on. */
type FaultSeen = Omit<FaultResult, 'window'> & { readonly sinceUs: number; readonly endUs: number }

export async function runFault(lab: Lab, load: Load, { row: id, params }: ScheduledFault): Promise<FaultSeen> {
  const row = ROWS.find(one => one.id === id) as Row
  const sinceUs = performance.now() * 1000
  const attemptsBefore = load.attempts()
  const problems: string[] = []
  let figures: Figures = {}
  try {
    figures = (await row.run(lab, load, params)) ?? {}
  } catch (error) {
    problems.push(String(error))
  }
  const undoneUs = performance.now() * 1000
  const endUs = await cleanAfter(lab, load, undoneUs, problems)
  await lab.reconnectShards()
  const failures = load.failures.filter(({ atUs }) => atUs >= sinceUs && atUs <= endUs)
  const first = failures[0]?.atUs ?? 0
  const last = failures.at(-1)?.atUs ?? 0
  const afterMs = Math.max(0, Math.round((last - undoneUs) / 1000))
  return {
    row: id,
    params,
    sinceUs,
    endUs,
    attempts: load.attempts() - attemptsBefore,
    failed: failures.length,
    givenUp: failures.filter(({ isFinal }) => isFinal).length,
    outageMs: Math.round((last - first) / 1000),
    afterMs,
    figures,
    problems: [...problems, ...strange(failures), ...row.expect({ failures, afterMs }, params)],
  }
}

/** A request that fails for a missing dependency gets 503, or loses its connection; anything else is a mistake. */
function strange(failures: readonly Failure[]): string[] {
  const others = failures.filter(({ what }) => !/: (503 \w+|no answer)$/.test(what))
  return others.length === 0
    ? []
    : [`${others.length} failures were told something else than 503, such as ${others[0]?.what}`]
}

/** Waits until everything is up and no client has seen a failure for a while. */
async function cleanAfter(lab: Lab, load: Load, undoneUs: number, problems: string[]): Promise<number> {
  const deadline = performance.now() + CLEAN_MS_MAX
  await lab.healthy(CLEAN_MS_MAX).catch((error: unknown) => problems.push(String(error)))
  for (;;) {
    const now = performance.now()
    const lastUs = load.failures.at(-1)?.atUs ?? 0
    if (now - lastUs / 1000 > QUIET_MS && now - undoneUs / 1000 > QUIET_MS / 2) return now * 1000
    if (now > deadline) {
      problems.push(`clients still see failures ${CLEAN_MS_MAX / 1000} s later: ${load.failures.at(-1)?.what}`)
      return now * 1000
    }
    await sleep(50)
  }
}

/** A product of which there are so many. */
export async function newItem(lab: Lab, sku: string, units: number): Promise<string> {
  const databases = await databasesOf(lab)
  try {
    await createInventory({ router: databases.router }).set(`s:${sku}`, { free: units })
    await catalogRows.put(databases.global, [{ sku, name: sku, price: 1_000, category: 'alpha', stock: 'reserve' }])
    return sku
  } finally {
    await databases.close()
  }
}

/** What auditors have said of these users' carts, in all lives of the instances; row C6r has a user of its own. */
function auditBreachesOf(lab: Lab, userIds: readonly string[]): number {
  const own = new Set(userIds)
  const lines = lab.instances.flatMap(instance => instance.logged(/is not what the database has/))
  return lines.filter(line => own.has(String((JSON.parse(line) as { userId?: string }).userId))).length
}

function windowOf(operations: readonly Operation[], sinceUs: number, endUs: number): Window {
  const within = operations.filter(
    ({ invokedUs, completedUs = Number.POSITIVE_INFINITY }) => invokedUs <= endUs && completedUs >= sinceUs,
  )
  const writes = within.filter(({ kind }) => kind === 'write')
  const count = (result: string) => writes.filter(({ outcome }) => (outcome?.result ?? 'info') === result).length
  return {
    reads: within.filter(({ kind, outcome }) => kind === 'read' && outcome?.result === 'ok').length,
    sent: writes.length,
    acknowledged: count('ok'),
    refused: count('fail'),
    unknown: count('info'),
  }
}
