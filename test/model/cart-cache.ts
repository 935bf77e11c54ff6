import { changedAt, type Model, type Step } from './checker.ts'

/**
 * The cart cache protocol as a model: one cart, its row, one key of the cache, writers and readers that each do one thing at a time,
 * and the faults. Names are those of src/cache/cart-cache.ts. Every guard of the protocol can be switched off by name.
 */
export const GUARDS = {
  fenceBeforeCommit: 'a writer fences before it commits',
  fenceAcknowledged: 'a writer whose fence was not acknowledged rolls back',
  fenceTakesOverEqual: 'a fence takes over one of the same version',
  fillUnderShareLock: 'a lease is filled under the row’s share lock',
  fillWithToken: 'a fill needs the token of the lease',
  publishWithToken: 'a publish needs the token of the fence',
  patchOnItsBase: 'a patch needs the chunks of the version that it stands on',
  fenceIsNotFilledOver: 'a fence is not filled over by who reads without a lock',
  resolveUnderShareLock: 'a fence is resolved under the row’s share lock',
  resolveWithToken: 'a resolve needs the token of the fence that was seen',
} as const
export type Guard = keyof typeof GUARDS

export interface Bounds {
  readonly writers: number
  readonly readers: number
  /** Reads that each reader does, one after the other. */
  readonly reads: number
  /** How often each fault may strike. */
  readonly kills: number
  readonly restarts: number
  /** Commands whose reply does not come: they land later, or never. */
  readonly late: number
}

export type Cache =
  | { readonly s: 'EMPTY' }
  /** `mixed`: with chunks of a version that it does not stand on. */
  | { readonly s: 'VALUE'; readonly v: number; readonly mixed?: true }
  | { readonly s: 'LEASE'; readonly t: string }
  /** `kept`: the version of which its chunks are still there. */
  | { readonly s: 'FENCE'; readonly v: number; readonly t: string; readonly kept?: number }

/** What is sent to the cache. */
export type Command =
  | { readonly do: 'fence'; readonly v: number; readonly t: string }
  | { readonly do: 'publish'; readonly v: number; readonly t: string }
  /** Only what changed since version `base`. */
  | { readonly do: 'patch'; readonly v: number; readonly t: string; readonly base: number }
  | { readonly do: 'lease'; readonly t: string }
  | { readonly do: 'renew'; readonly v: number; readonly t: string }
  | { readonly do: 'fill'; readonly v: number; readonly t: string }
  | { readonly do: 'fill_fence'; readonly v: number; readonly t: string }
  | { readonly do: 'resolve'; readonly v: number; readonly t: string }

interface Writer {
  readonly at: 'start' | 'locked' | 'fenced' | 'committed' | 'acknowledged' | 'rollback' | 'done' | 'dead'
  readonly v: number
  readonly tries: number
}

interface Reader {
  readonly at:
    | 'idle'
    | 'look'
    | 'old'
    | 'ask'
    | 'leased'
    | 'filling'
    | 'fenced'
    | 'resolving'
    | 'unlock'
    | 'plain'
    | 'dead'
  readonly left: number
  /** The newest version that was acknowledged or returned before this read began. */
  readonly floor: number
  readonly v: number
  /** Of the fence that was seen. */
  readonly min: number
  readonly t: string
}

export interface State {
  readonly row: number
  /** The writer that holds the row, or -1. */
  readonly x: number
  /** Readers that share it. */
  readonly shared: readonly number[]
  readonly cache: Cache
  readonly writers: readonly Writer[]
  readonly readers: readonly Reader[]
  readonly inFlight: readonly Command[]
  /** The newest version that was acknowledged or read. */
  readonly known: number
  readonly kills: number
  readonly restarts: number
  readonly late: number
  readonly stale: string
}

const EMPTY: Cache = { s: 'EMPTY' }
const WRITER_TRIES = 2

/** What the functions of cart-functions.lua do. The test drives the real ones through the same commands and compares. */
export function applyCommand(
  cache: Cache,
  command: Command,
  off: ReadonlySet<Guard> = new Set(),
): { cache: Cache; reply: string } {
  const { s } = cache
  switch (command.do) {
    case 'fence': {
      if (s === 'VALUE' && cache.v >= command.v) return { cache, reply: '0' }
      const keeps = off.has('fenceTakesOverEqual')
        ? cache.s === 'FENCE' && cache.v >= command.v
        : cache.s === 'FENCE' && cache.v > command.v
      if (keeps) return { cache, reply: '0' }
      const kept = cache.s === 'VALUE' ? cache.v : cache.s === 'FENCE' ? cache.kept : undefined
      const fence = { s: 'FENCE', v: command.v, t: command.t } as const
      return { cache: kept === undefined ? fence : { ...fence, kept }, reply: '1' }
    }
    case 'patch': {
      if (cache.s !== 'FENCE' || (cache.t !== command.t && !off.has('publishWithToken'))) return { cache, reply: '0' }
      const fits = cache.kept === command.base
      if (!fits && !off.has('patchOnItsBase')) return { cache: { s: 'EMPTY' }, reply: '-1' }
      return { cache: { s: 'VALUE', v: command.v, ...(fits ? {} : { mixed: true }) }, reply: '1' }
    }
    case 'publish': {
      const isOwn = s === 'FENCE' && (off.has('publishWithToken') || cache.t === command.t)
      return isOwn ? { cache: { s: 'VALUE', v: command.v }, reply: '1' } : { cache, reply: '0' }
    }
    case 'resolve': {
      const isSeen = s === 'FENCE' && (off.has('resolveWithToken') || cache.t === command.t)
      return isSeen ? { cache: { s: 'VALUE', v: command.v }, reply: '1' } : { cache, reply: '0' }
    }
    case 'lease':
      if (s === 'EMPTY') return { cache: { s: 'LEASE', t: command.t }, reply: 'L' }
      if (s === 'FENCE') return { cache, reply: `F ${cache.v} ${cache.t}` }
      return { cache, reply: s === 'LEASE' ? 'B' : 'V' }
    case 'renew':
      if ((cache.s === 'VALUE' && cache.v === command.v) || cache.s === 'EMPTY')
        return { cache: { s: 'LEASE', t: command.t }, reply: 'L' }
      return { cache, reply: 'B' }
    case 'fill': {
      const isOwn = s === 'LEASE' && (off.has('fillWithToken') || cache.t === command.t)
      return isOwn ? { cache: { s: 'VALUE', v: command.v }, reply: '1' } : { cache, reply: '0' }
    }
    case 'fill_fence': {
      // Of a draft: what the guard `fenceIsNotFilledOver` forbids.
      const fits = s === 'FENCE' && cache.t === command.t && command.v >= cache.v
      return fits ? { cache: { s: 'VALUE', v: command.v }, reply: '1' } : { cache, reply: '0' }
    }
  }
}

export function cartCacheModel(bounds: Bounds, switchedOff: readonly Guard[] = []): Model<State> {
  const off = new Set(switchedOff)
  const initial: State = {
    row: 0,
    x: -1,
    shared: [],
    cache: EMPTY,
    writers: Array.from({ length: bounds.writers }, () => ({ at: 'start', v: 0, tries: 0 })),
    readers: Array.from({ length: bounds.readers }, () => ({
      at: 'idle',
      left: bounds.reads,
      floor: 0,
      v: 0,
      min: 0,
      t: '',
    })),
    inFlight: [],
    known: 0,
    kills: bounds.kills,
    restarts: bounds.restarts,
    late: bounds.late,
    stale: '',
  }

  function* next(state: State): Iterable<Step<State>> {
    for (const index of state.writers.keys()) yield* writerSteps(state, index)
    for (const index of state.readers.keys()) yield* readerSteps(state, index)
    for (const [at, command] of state.inFlight.entries()) {
      const rest = state.inFlight.filter((_, other) => other !== at)
      yield {
        label: `${command.do} lands late`,
        state: { ...state, inFlight: rest, cache: applyCommand(state.cache, command, off).cache },
      }
      yield { label: `${command.do} is lost`, state: { ...state, inFlight: rest } }
    }
    if (state.restarts > 0) {
      yield { label: 'the cache restarts empty', state: { ...state, cache: EMPTY, restarts: state.restarts - 1 } }
    }
  }

  const withWriter = (state: State, index: number, change: Partial<Writer>): State => ({
    ...state,
    writers: changedAt(state.writers, index, change),
  })

  function* writerSteps(state: State, index: number): Iterable<Step<State>> {
    const writer = state.writers[index]!
    const name = `W${index}`
    const t = `${name}.${writer.tries}`
    const unlocked = { ...state, x: -1 }
    switch (writer.at) {
      case 'start':
        if (state.x < 0 && state.shared.length === 0) {
          const locked = { at: 'locked', v: state.row + 1, tries: writer.tries + 1 } as const
          yield {
            label: `${name} locks the row at ${state.row}`,
            state: withWriter({ ...state, x: index }, index, locked),
          }
        }
        break
      case 'locked': {
        if (off.has('fenceBeforeCommit')) {
          yield { label: `${name} does not fence`, state: withWriter(state, index, { at: 'fenced' }) }
          break
        }
        const command: Command = { do: 'fence', v: writer.v, t }
        const { cache } = applyCommand(state.cache, command, off)
        yield { label: `${name} fences ${writer.v}`, state: withWriter({ ...state, cache }, index, { at: 'fenced' }) }
        if (state.late > 0) {
          const at = off.has('fenceAcknowledged') ? 'fenced' : 'rollback'
          const sent = { ...state, inFlight: [...state.inFlight, command], late: state.late - 1 }
          yield { label: `${name} hears nothing of its fence`, state: withWriter(sent, index, { at }) }
        }
        break
      }
      case 'rollback': {
        const at = writer.tries < WRITER_TRIES ? 'start' : 'done'
        yield { label: `${name} rolls back`, state: withWriter(unlocked, index, { at }) }
        break
      }
      case 'fenced':
        yield {
          label: `${name} commits ${writer.v}`,
          state: withWriter({ ...unlocked, row: writer.v }, index, { at: 'committed' }),
        }
        break
      case 'committed': {
        const told = { ...state, known: Math.max(state.known, writer.v) }
        yield { label: `${name} answers`, state: withWriter(told, index, { at: 'acknowledged' }) }
        break
      }
      case 'acknowledged':
        // Where it knows what was shown before, it sends only what has changed.
        yield* sends(state, index, { do: 'patch', v: writer.v, t, base: writer.v - 1 })
        yield* sends(state, index, { do: 'publish', v: writer.v, t })
        break
      case 'done':
      case 'dead':
        return
    }
    if (state.kills > 0 && writer.at !== 'start') {
      const killed = { ...(state.x === index ? unlocked : state), kills: state.kills - 1 }
      yield { label: `${name} is killed`, state: withWriter(killed, index, { at: 'dead' }) }
    }
  }

  function* sends(state: State, index: number, command: Command): Iterable<Step<State>> {
    const { cache, reply } = applyCommand(state.cache, command, off)
    const label = `W${index} sends its ${command.do}`
    yield { label: `${label}: ${reply}`, state: withWriter({ ...state, cache }, index, { at: 'done' }) }
    yield* lateOne(state, command, `${label} into the void`, sent => withWriter(sent, index, { at: 'done' }))
  }

  const withReader = (state: State, index: number, change: Partial<Reader>): State => ({
    ...state,
    readers: changedAt(state.readers, index, change),
  })

  /** A read ends: it must not show less than what was known before it began. */
  function returned(state: State, index: number, v: number): State {
    const reader = state.readers[index]!
    const stale =
      v < reader.floor ? `R${index} returned ${v} though ${reader.floor} was known before it began` : state.stale
    const told = { ...state, known: Math.max(state.known, v), stale }
    return withReader(told, index, { at: 'idle', left: reader.left - 1, floor: 0, v: 0, min: 0, t: '' })
  }

  function* lateOne(state: State, command: Command, label: string, go: (state: State) => State): Iterable<Step<State>> {
    if (state.late > 0)
      yield { label, state: go({ ...state, inFlight: [...state.inFlight, command], late: state.late - 1 }) }
  }

  function* readerSteps(state: State, index: number): Iterable<Step<State>> {
    const reader = state.readers[index]!
    const name = `R${index}`
    const t = `${name}.${reader.left}`
    const canShare = state.x < 0
    const share = (change: Partial<Reader>) =>
      withReader({ ...state, shared: [...state.shared, index] }, index, { v: state.row, ...change })
    switch (reader.at) {
      case 'idle':
        if (reader.left > 0)
          yield { label: `${name} begins`, state: withReader(state, index, { at: 'look', floor: state.known }) }
        return
      case 'look':
        if (state.cache.s === 'VALUE') {
          const { v } = state.cache
          const seen = state.cache.mixed
            ? { ...state, stale: `${name} is shown ${v} with chunks of another version` }
            : state
          yield { label: `${name} hits ${v}`, state: returned(seen, index, v) }
          yield { label: `${name} finds ${v} with old totals`, state: withReader(state, index, { at: 'old', v }) }
        } else yield { label: `${name} misses`, state: withReader(state, index, { at: 'ask' }) }
        break
      case 'ask': {
        const { cache, reply } = applyCommand(state.cache, { do: 'lease', t }, off)
        const [kind, min = '0', token = ''] = reply.split(' ')
        const asked = { ...state, cache }
        if (kind === 'L') yield { label: `${name} leases`, state: withReader(asked, index, { at: 'leased' }) }
        else if (kind === 'V')
          yield { label: `${name} finds it filled`, state: withReader(asked, index, { at: 'look' }) }
        else if (kind === 'B')
          yield { label: `${name} finds it busy`, state: withReader(asked, index, { at: 'plain' }) }
        else
          yield {
            label: `${name} sees the fence ${min}`,
            state: withReader(asked, index, { at: 'fenced', min: Number(min), t: token }),
          }
        yield* lateOne(state, { do: 'lease', t }, `${name} hears nothing of its lease`, sent =>
          withReader(sent, index, { at: 'plain' }),
        )
        break
      }
      case 'old': {
        const command: Command = { do: 'renew', v: reader.v, t }
        const { cache, reply } = applyCommand(state.cache, command, off)
        const at = reply === 'L' ? 'leased' : 'plain'
        yield {
          label: `${name} renews ${reader.v}: ${reply}`,
          state: withReader({ ...state, cache }, index, { at, v: 0 }),
        }
        yield* lateOne(state, command, `${name} hears nothing of its renewal`, sent =>
          withReader(sent, index, { at: 'plain', v: 0 }),
        )
        break
      }
      case 'leased':
        if (off.has('fillUnderShareLock')) {
          yield {
            label: `${name} reads ${state.row} without a lock`,
            state: withReader(state, index, { at: 'filling', v: state.row }),
          }
        } else if (canShare)
          yield { label: `${name} reads ${state.row} under the share lock`, state: share({ at: 'filling' }) }
        yield { label: `${name} does not get the lock`, state: withReader(state, index, { at: 'plain' }) }
        break
      case 'filling': {
        const command: Command = { do: 'fill', v: reader.v, t }
        yield {
          label: `${name} fills ${reader.v}`,
          state: withReader({ ...state, cache: applyCommand(state.cache, command, off).cache }, index, {
            at: 'unlock',
          }),
        }
        yield* lateOne(state, command, `${name} hears nothing of its fill`, sent =>
          withReader(sent, index, { at: 'unlock' }),
        )
        break
      }
      case 'fenced': {
        // The fence’s writer may be alive: a plain read, and no fill.
        yield { label: `${name} reads and returns ${state.row}`, state: returned(state, index, state.row) }
        if (off.has('fenceIsNotFilledOver')) {
          const command: Command = { do: 'fill_fence', v: state.row, t: reader.t }
          const filled = { ...state, cache: applyCommand(state.cache, command, off).cache }
          yield {
            label: `${name} reads ${state.row} and fills over the fence`,
            state: returned(filled, index, state.row),
          }
        }
        // Or the fence looks abandoned, rightly or not: safety must not depend on a clock.
        if (off.has('resolveUnderShareLock')) {
          yield {
            label: `${name} reads ${state.row} to resolve, without a lock`,
            state: withReader(state, index, { at: 'resolving', v: state.row }),
          }
        } else if (canShare) yield { label: `${name} reads ${state.row} to resolve`, state: share({ at: 'resolving' }) }
        break
      }
      case 'resolving': {
        const command: Command = { do: 'resolve', v: reader.v, t: reader.t }
        yield {
          label: `${name} resolves ${reader.v}`,
          state: withReader({ ...state, cache: applyCommand(state.cache, command, off).cache }, index, {
            at: 'unlock',
          }),
        }
        yield* lateOne(state, command, `${name} hears nothing of its resolve`, sent =>
          withReader(sent, index, { at: 'unlock' }),
        )
        break
      }
      case 'unlock': {
        const free = { ...state, shared: state.shared.filter(other => other !== index) }
        yield { label: `${name} returns ${reader.v}`, state: returned(free, index, reader.v) }
        break
      }
      case 'plain':
        yield { label: `${name} reads and returns ${state.row}`, state: returned(state, index, state.row) }
        break
      case 'dead':
        return
    }
    if (state.kills > 0) {
      const killed = { ...state, shared: state.shared.filter(other => other !== index), kills: state.kills - 1 }
      yield { label: `${name} is killed`, state: withReader(killed, index, { at: 'dead' }) }
    }
  }

  function breach(state: State): string | undefined {
    if (state.stale !== '') return state.stale
    const isQuiet =
      state.inFlight.length === 0 &&
      state.writers.every(({ at }) => at === 'done' || at === 'dead') &&
      state.readers.every(({ at }) => at === 'idle' || at === 'dead')
    if (isQuiet && state.cache.s === 'VALUE' && state.cache.v < state.row) {
      return `${state.cache.v} stays cached though ${state.row} is committed`
    }
    return undefined
  }

  return { initial, next, breach }
}
