import {
  applyEdit,
  type CartOperation,
  contentsOfText,
  contentsText,
  isOnCart,
  type Operation,
  type OperationOf,
} from './recorder.ts'

/**
 * Whether a history of carts is linearizable. Each cart is a register whose writes carry versions that go up by one, so that, unlike in
 * general, the check is nearly linear: the versions tell the order of the writes. What is checked for each cart:
 *
 *   - the contents at each version are those at the version before, changed by exactly one write that explains no other version;
 *     a write without an answer may be that one, once, and not before it was sent; or by none (prices moved)
 *   - no operation reads or is answered a version below one that was answered before it began (stale)
 *   - no operation is answered a version whose write had not been sent yet
 *   - the same version never shows two contents
 */
export interface CartVerdict {
  readonly reads: number
  readonly writes: number
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
  /** Acknowledged writes whose effect is not there. */
  readonly lost: number
  /** Writes that took effect a second time. */
  readonly duplicated: number
  /** Operations that were told less than what had been told before they began. */
  readonly stale: number
  /** Versions that show what the one before did: prices moved, or a cart that could not be priced was. */
  readonly repriced: number
  /** Versions that no write explains, or that were told before they were written. */
  readonly unexplained: number
  /** The first few of them all, in words. */
  readonly breaches: readonly string[]
}

type Write = OperationOf<'write'>

const BREACHES_KEPT = 10
const BRANCHES_MAX = 50_000

export function checkCarts(operations: readonly Operation[]): CartVerdict {
  const all = operations.filter(isOnCart)
  const byUser = Map.groupBy(all, ({ user }) => user)
  const sum = { lost: 0, duplicated: 0, stale: 0, unexplained: 0, repriced: 0 }
  const breaches: string[] = []
  for (const [user, own] of byUser) {
    for (const { kind, text } of breachesOf(own)) {
      sum[kind]++
      if (kind === 'repriced') continue
      if (breaches.length < BREACHES_KEPT) breaches.push(`cart of ${user}: ${kind}: ${text}`)
    }
  }
  const writes = all.filter(operation => operation.kind === 'write')
  const resultIs = (result: string) => writes.filter(({ outcome }) => (outcome?.result ?? 'info') === result).length
  return {
    reads: all.filter(({ kind, outcome }) => kind === 'read' && outcome?.result === 'ok').length,
    writes: writes.length,
    acknowledged: resultIs('ok'),
    refused: resultIs('fail'),
    unknown: resultIs('info'),
    ...sum,
    breaches,
  }
}

interface Breach {
  readonly kind: 'lost' | 'duplicated' | 'stale' | 'unexplained' | 'repriced'
  readonly text: string
}

function* breachesOf(operations: readonly CartOperation[]): Iterable<Breach> {
  const told = operations
    .filter(({ outcome }) => outcome?.result === 'ok')
    .sort((a, b) => (a.completedUs ?? 0) - (b.completedUs ?? 0))
  yield* staleIn(told)
  yield* lostAtTheEnd(told)
  yield* foldBreaches(operations, told)
}

/** The last who looked is told less than was acknowledged before. */
function* lostAtTheEnd(told: readonly CartOperation[]): Iterable<Breach> {
  const last = told.reduce<CartOperation | undefined>((a, b) => (a && a.invokedUs > b.invokedUs ? a : b), undefined)
  if (!last) return
  for (const write of told) {
    if (write.kind !== 'write' || versionOf(write) <= versionOf(last)) continue
    if ((write.completedUs ?? 0) >= last.invokedUs) continue // beside the last look: it need not have seen it
    yield {
      kind: 'lost',
      text: `write ${write.id} made version ${versionOf(write)}, the last look finds ${versionOf(last)}`,
    }
  }
}

const versionOf = ({ outcome }: CartOperation): number => outcome?.version ?? 0

function* staleIn(told: readonly CartOperation[]): Iterable<Breach> {
  const byStart = [...told].sort((a, b) => a.invokedUs - b.invokedUs)
  let floor = 0
  let at = 0
  for (const operation of byStart) {
    for (; at < told.length && (told[at]?.completedUs ?? 0) < operation.invokedUs; at++)
      floor = Math.max(floor, versionOf(told[at] as CartOperation))
    if (versionOf(operation) < floor) {
      const text = `${operation.kind} ${operation.id} was told version ${versionOf(operation)}, though ${floor} was told before it began`
      yield { kind: 'stale', text }
    }
  }
}

/** One way in which the versions up to here may have come about. */
interface Branch {
  readonly contents: string
  /** How many of the unknown writes of each kind are taken to have made a version: the earliest of a kind serves as well as any. */
  readonly used: ReadonlyMap<string, number>
}

/** Unknown writes that do the same, the earliest first. */
type Unknown = ReadonlyMap<string, readonly Write[]>

function* foldBreaches(operations: readonly CartOperation[], told: readonly CartOperation[]): Iterable<Breach> {
  const writes = operations.filter((operation): operation is Write => operation.kind === 'write')
  const acknowledged = Map.groupBy(
    writes.filter(({ outcome }) => outcome?.result === 'ok'),
    versionOf,
  )
  const unheard = writes.filter(({ outcome }) => (outcome?.result ?? 'info') === 'info')
  const unknown: Unknown = Map.groupBy(
    unheard.sort((a, b) => a.invokedUs - b.invokedUs),
    ({ edit }) => JSON.stringify(edit),
  )
  const shown = new Map<number, Set<string>>()
  for (const { outcome } of told) {
    if (outcome?.contents === undefined || outcome.version === undefined) continue
    shown.set(outcome.version, (shown.get(outcome.version) ?? new Set()).add(outcome.contents))
  }
  const newest = Math.max(0, ...told.map(versionOf))
  const firstToldUs = firstTold(told, newest)
  let branches: Branch[] = [{ contents: '', used: new Map() }]
  for (let version = 0; version <= newest; version++) {
    const seen = [...(shown.get(version) ?? [])]
    if (seen.length > 1)
      yield { kind: 'lost', text: `version ${version} was shown as ${seen.map(each => `{${each}}`).join(' and as ')}` }
    if (version === 0) {
      if (seen.some(contents => contents !== '')) yield { kind: 'unexplained', text: 'version 0 was not empty' }
      continue
    }
    const claimed = acknowledged.get(version) ?? []
    const limitUs = firstToldUs[version] ?? Number.POSITIVE_INFINITY
    const next = branches.flatMap(branch => [...follow(branch, claimed, unknown, limitUs)])
    const fits = next.filter(({ contents }) => seen.length === 0 || seen.includes(contents))
    if (fits.length > 0) {
      if (fits.every(fit => branches.includes(fit))) yield { kind: 'repriced', text: '' }
      branches = distinct(fits)
      if (branches.length > BRANCHES_MAX) {
        yield { kind: 'unexplained', text: `too many writes are unknown to tell how version ${version} came about` }
        return
      }
      continue
    }
    yield explain({ version, seen, branches, claimed, writes })
    // Go on from what was shown, so that one fault is counted once.
    const known = seen.at(-1) ?? claimed.at(-1)?.outcome?.contents
    if (known === undefined) return
    branches = [{ contents: known, used: branches[0]?.used ?? new Map() }]
  }
}

/** When each version, or a later one, was first told. */
function firstTold(told: readonly CartOperation[], newest: number): number[] {
  const first = Array.from({ length: newest + 1 }, () => Number.POSITIVE_INFINITY)
  for (const operation of told) {
    const version = versionOf(operation)
    first[version] = Math.min(first[version] ?? Number.POSITIVE_INFINITY, operation.completedUs ?? 0)
  }
  for (let version = newest - 1; version >= 0; version--)
    first[version] = Math.min(
      first[version] ?? Number.POSITIVE_INFINITY,
      first[version + 1] ?? Number.POSITIVE_INFINITY,
    )
  return first
}

const edited = (contents: string, write: Write): string => contentsText(applyEdit(contentsOfText(contents), write.edit))

/** From one version to the next. Of those who were told the version one may have made it; the others changed nothing. Or no write made it. */
function* follow(branch: Branch, claimed: readonly Write[], unknown: Unknown, limitUs: number): Iterable<Branch> {
  if (claimed.every(write => edited(branch.contents, write) === branch.contents)) yield branch
  const made = (maker: Write, used: Branch['used']): Branch | undefined => {
    if (maker.invokedUs > limitUs) return undefined
    const contents = edited(branch.contents, maker)
    if (contents === branch.contents) return undefined
    const isAlone = claimed.every(other => other === maker || edited(contents, other) === contents)
    return isAlone ? { contents, used } : undefined
  }
  for (const maker of claimed) {
    const next = made(maker, branch.used)
    if (next) yield next
  }
  for (const [kind, writes] of unknown) {
    const count = branch.used.get(kind) ?? 0
    const earliest = writes[count]
    const next = earliest && made(earliest, branch.used)
    if (next) yield { ...next, used: new Map(branch.used).set(kind, count + 1) }
  }
}

function distinct(branches: readonly Branch[]): Branch[] {
  const keyOf = ({ contents, used }: Branch) =>
    `${contents}/${[...used]
      .map(([kind, n]) => `${kind}${n}`)
      .sort()
      .join()}`
  return [...new Map(branches.map(branch => [keyOf(branch), branch])).values()]
}

function explain(at: {
  version: number
  seen: readonly string[]
  branches: readonly Branch[]
  claimed: readonly Write[]
  writes: readonly Write[]
}): Breach {
  const { version, seen, branches, claimed, writes } = at
  const before = branches[0]?.contents ?? ''
  const text = `version ${version} is {${seen.join('} or {')}} after {${before}}, by ${claimed.map(write => `${JSON.stringify(write.edit)} (${write.id})`).join(' and ') || 'no known write'}`
  // CartOperation at an earlier version, or unknown and taken to have happened already.
  const isUsed = (write: Write) =>
    write.outcome?.result === 'ok' ? versionOf(write) < version : branches[0]?.used.has(JSON.stringify(write.edit))
  const again = writes.find(write => isUsed(write) && seen.includes(edited(before, write)) && !seen.includes(before))
  if (again && claimed.length === 0) return { kind: 'duplicated', text: `${text}; write ${again.id} took effect again` }
  return { kind: claimed.length > 0 ? 'lost' : 'unexplained', text }
}
