import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startLab } from '../faults/lab.ts'
import { startLoad } from '../faults/load.ts'
import { runFault } from '../faults/rounds.ts'
import { checkCarts } from './carts.ts'
import { type CartOperation, isOnCart, readHistory } from './recorder.ts'

/** Our checker of carts against porcupine, which knows nothing of it. */
const HELP = `node test/history/porcupine.ts [history.ndjson]

Has a history of carts checked by our own checker and by porcupine (Go), and then copies of it in which one answer is falsified: both must
accept the first, and refuse the others. Without a file a history is recorded first: half a minute of load on a small shop in which an
instance and the cache are killed. Needs Go, whose module proxy must be reachable the first time. Exit status 0 when the two agree.`

const { values, positionals } = parseArgs({
  options: { help: { type: 'boolean', default: false } },
  allowPositionals: true,
})

function main(): Promise<number> | number {
  if (values.help) {
    console.log(HELP)
    return 0
  }
  return compare()
}

async function compare(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'cartload-porcupine-'))
  try {
    const file = positionals[0] ?? (await recordSample(join(dir, 'sample.ndjson')))
    const sound = readHistory(file).filter(isOnCart)
    const cases = [
      { name: 'as recorded', operations: sound, isSound: true },
      { name: 'with one stale read', operations: withStaleRead(sound), isSound: false },
      { name: 'with one write that is lost', operations: withLostWrite(sound), isSound: false },
    ]
    let agreed = 0
    for (const [at, { name, operations, isSound }] of cases.entries()) {
      const { breaches } = checkCarts(operations)
      const isOurs = breaches.length === 0
      const theirs = porcupine(operations, join(dir, `case-${at}.ndjson`))
      console.log(`${name}: ours ${isOurs ? 'accepts' : `refuses (${breaches[0]})`}; ${theirs.text}`)
      if (isOurs === isSound && theirs.accepts === isSound) agreed++
    }
    console.log(`${agreed} of ${cases.length} as they must be`)
    return agreed === cases.length ? 0 : 1
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function recordSample(file: string): Promise<string> {
  console.log('recording a history')
  const lab = await startLab()
  try {
    const quiet = { sessions: 0, buyers: 0, sku: '' }
    const load = await startLoad(lab, {
      seed: 1,
      users: 12,
      readers: 12,
      writers: 8,
      thinkMs: 20,
      historyFile: file,
      ...quiet,
    })
    for (const fault of [
      { row: 'A1', params: { instance: 0 }, afterMs: 0 },
      { row: 'C1', params: { downMs: 1_000 }, afterMs: 0 },
    ])
      await runFault(lab, load, fault)
    await load.stop()
    load.close()
    return file
  } finally {
    await lab.stop()
  }
}

function porcupine(operations: readonly CartOperation[], file: string): { accepts: boolean; text: string } {
  writeFileSync(file, operations.map(operation => JSON.stringify(operation)).join('\n'))
  const { status, stdout, stderr, error } = spawnSync('go', ['run', '.', file], {
    cwd: join(import.meta.dirname, 'porcupine'),
    encoding: 'utf8',
  })
  if (error) throw new Error('Go is missing: https://go.dev/dl', { cause: error })
  // `go run` ends with 1 whatever the program ends with; what it printed tells.
  if (!/linearizable/i.test(stdout)) throw new Error(`porcupine failed (${status})\n${stdout}${stderr}`)
  return { accepts: /, linearizable/.test(stdout), text: stdout.trim() }
}

/** A read in the middle is told the version before, as it was. */
function withStaleRead(operations: readonly CartOperation[]): CartOperation[] {
  const acknowledged = operations.filter(({ kind, outcome }) => kind === 'write' && outcome?.result === 'ok')
  const told = new Map(acknowledged.map(({ user, outcome }) => [`${user}/${outcome?.version}`, outcome?.contents]))
  const before = ({ user, outcome }: CartOperation) => `${user}/${(outcome?.version ?? 0) - 1}`
  const early = operations.slice(0, Math.floor(operations.length * 0.8))
  const victim = early.findLast(
    one => one.kind === 'read' && one.outcome?.result === 'ok' && told.has(before(one)) && isAlone(operations, one),
  )
  if (!victim?.outcome) throw new Error('the history has no read that could be falsified')
  const version = (victim.outcome.version ?? 0) - 1
  const contents = told.get(before(victim)) ?? ''
  return operations.map(each => (each === victim ? { ...each, outcome: { result: 'ok', version, contents } } : each))
}

/** Nothing else was under way on that cart: what the read must be told is certain. */
function isAlone(operations: readonly CartOperation[], read: CartOperation): boolean {
  return !operations.some(
    other =>
      other.kind === 'write' &&
      other.user === read.user &&
      other.invokedUs < (read.completedUs ?? 0) &&
      (other.completedUs ?? Number.POSITIVE_INFINITY) > read.invokedUs,
  )
}

/** An acknowledged add is told to have been of another product. */
function withLostWrite(operations: readonly CartOperation[]): CartOperation[] {
  const victim = operations.find(
    operation => operation.kind === 'write' && operation.edit.do === 'add' && operation.outcome?.result === 'ok',
  )
  if (victim?.kind !== 'write') throw new Error('the history has no write that could be falsified')
  return operations.map(each =>
    each === victim ? { ...victim, edit: { do: 'add', sku: 'T-999', quantity: 1 } } : each,
  )
}

process.exitCode = await main()
