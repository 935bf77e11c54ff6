import { changedAt, type Model, type Step } from './checker.ts'

/**
 * The cache mode (src/cart/cache-mode.ts) as a model: how writes go on when the cache cannot be reached, while other instances may
 * still read it. One cart, one row of the mode, instances that each reach the cache or do not. What the fence protocol does
 * while the cache is reached is one step here; it has a model of its own. Time is left out: leases run out whenever they like.
 */
export const MODE_GUARDS = {
  writersFenceWhileOn: 'a writer that cannot fence does not commit while the mode is on',
  drainingBlocksCommits: 'no write commits while the mode is draining',
  offWaitsForLeases: 'the mode is off only when every lease has run out',
  modeIsShareLocked: 'a writer holds the row of the mode until it has committed',
  keysCarryTheEpoch: 'keys are new when the cache is on again',
  leaseForTheCache: 'the cache is read under a lease only',
} as const
export type ModeGuard = keyof typeof MODE_GUARDS

interface Instance {
  readonly reaches: boolean
  /** The epoch that it may read the cache of. */
  readonly lease: number | null
}

interface Writer {
  readonly at: 'start' | 'asked' | 'locked' | 'committed'
  readonly left: number
  /** The mode that it has read. */
  readonly mode: 'on' | 'draining' | 'off'
  readonly epoch: number
}

interface Reader {
  readonly at: 'idle' | 'leased' | 'miss'
  readonly left: number
  readonly floor: number
  readonly epoch: number
}

export interface ModeState {
  readonly row: number
  readonly known: number
  readonly mode: 'on' | 'draining' | 'off'
  readonly epoch: number
  /** By epoch: the version that is cached, or null. */
  readonly cache: readonly (number | null)[]
  readonly instances: readonly Instance[]
  readonly writers: readonly Writer[]
  readonly reader: Reader
  readonly cuts: number
  readonly stale: string
}

const EPOCHS = 3

export function cacheModeModel(
  bounds: { writes: number; reads: number; cuts: number },
  switchedOff: readonly ModeGuard[] = [],
): Model<ModeState> {
  const off = new Set(switchedOff)
  const initial: ModeState = {
    row: 0,
    known: 0,
    mode: 'on',
    epoch: 0,
    cache: Array.from({ length: EPOCHS }, () => null),
    instances: [0, 1].map(() => ({ reaches: true, lease: 0 })),
    writers: [0, 1].map(() => ({ at: 'start', left: bounds.writes, mode: 'on', epoch: 0 })),
    reader: { at: 'idle', left: bounds.reads, floor: 0, epoch: 0 },
    cuts: bounds.cuts,
    stale: '',
  }
  const keyOf = (epoch: number) => (off.has('keysCarryTheEpoch') ? 0 : epoch)
  const cached = (state: ModeState, epoch: number, v: number | null): ModeState => ({
    ...state,
    cache: state.cache.map((old, at) => (at === keyOf(epoch) ? v : old)),
  })
  const withInstance = (state: ModeState, index: number, change: Partial<Instance>): ModeState => ({
    ...state,
    instances: changedAt(state.instances, index, change),
  })
  const withWriter = (state: ModeState, index: number, change: Partial<Writer>): ModeState => ({
    ...state,
    writers: changedAt(state.writers, index, change),
  })
  const isHeld = (state: ModeState) =>
    !off.has('modeIsShareLocked') && state.writers.some(({ at }) => at === 'asked' || at === 'locked')

  function* next(state: ModeState): Iterable<Step<ModeState>> {
    for (const [index, { reaches, lease }] of state.instances.entries()) {
      if (state.mode === 'on' && lease !== state.epoch)
        yield {
          label: `I${index} leases epoch ${state.epoch}`,
          state: withInstance(state, index, { lease: state.epoch }),
        }
      if (lease !== null)
        yield { label: `I${index}'s lease runs out`, state: withInstance(state, index, { lease: null }) }
      if (state.cuts > 0)
        yield {
          label: `I${index} ${reaches ? 'loses' : 'finds'} the cache`,
          state: withInstance({ ...state, cuts: state.cuts - 1 }, index, { reaches: !reaches }),
        }
    }
    for (const index of state.writers.keys()) yield* writerSteps(state, index)
    yield* readerSteps(state)
    // Changing the mode waits for the writers that have read it.
    if (!isHeld(state)) {
      const free = off.has('offWaitsForLeases') || state.instances.every(({ lease }) => lease === null)
      if (state.mode === 'draining' && free) yield { label: 'the mode is off', state: { ...state, mode: 'off' } }
      if (state.mode === 'off' && state.epoch + 1 < EPOCHS)
        yield {
          label: `the mode is on, epoch ${state.epoch + 1}`,
          state: { ...state, mode: 'on', epoch: state.epoch + 1 },
        }
    }
  }

  /** Writer n works on instance n. */
  function* writerSteps(state: ModeState, index: number): Iterable<Step<ModeState>> {
    const writer = state.writers[index]!
    const { reaches } = state.instances[index]!
    const name = `W${index}`
    switch (writer.at) {
      case 'start': {
        const asked = { at: 'asked', mode: state.mode, epoch: state.epoch } as const
        if (writer.left > 0) yield { label: `${name} reads mode ${state.mode}`, state: withWriter(state, index, asked) }
        return
      }
      case 'asked':
        if (state.writers.every(({ at }) => at !== 'locked'))
          yield { label: `${name} locks the row`, state: withWriter(state, index, { at: 'locked' }) }
        return
      case 'locked': {
        const v = state.row + 1
        const commit = (from: ModeState) => withWriter({ ...from, row: v }, index, { at: 'committed' })
        if (writer.mode === 'on' && reaches) {
          // Fenced, committed and published: the key shows the new version from here on, or nothing.
          yield { label: `${name} fences and commits ${v}`, state: commit(cached(state, writer.epoch, null)) }
        } else if (writer.mode === 'on') {
          if (off.has('writersFenceWhileOn'))
            yield { label: `${name} commits ${v} without a fence`, state: commit(state) }
          const back = withWriter(state, index, { at: 'start' })
          const drains = state.mode === 'on' && state.epoch === writer.epoch
          yield { label: `${name} rolls back and drains`, state: drains ? { ...back, mode: 'draining' } : back }
        } else if (writer.mode === 'off' || off.has('drainingBlocksCommits')) {
          yield { label: `${name} commits ${v}, mode ${writer.mode}`, state: commit(state) }
        } else yield { label: `${name} waits`, state: withWriter(state, index, { at: 'start' }) }
        return
      }
      case 'committed':
        yield {
          label: `${name} answers`,
          state: withWriter({ ...state, known: Math.max(state.known, state.row) }, index, {
            at: 'start',
            left: writer.left - 1,
          }),
        }
        return
    }
  }

  /** The reader works on instance 1. */
  function* readerSteps(state: ModeState): Iterable<Step<ModeState>> {
    const { reader } = state
    const { lease, reaches } = state.instances[1]!
    const go = (change: Partial<Reader>): ModeState => ({ ...state, reader: { ...reader, ...change } })
    const returned = (from: ModeState, v: number): ModeState => ({
      ...from,
      known: Math.max(from.known, v),
      stale: v < reader.floor ? `a reader returned ${v} though ${reader.floor} was known before it began` : from.stale,
      reader: { at: 'idle', left: reader.left - 1, floor: 0, epoch: 0 },
    })
    switch (reader.at) {
      case 'idle': {
        if (reader.left === 0) return
        const epoch = off.has('leaseForTheCache') ? state.epoch : lease
        if (epoch === null)
          yield { label: 'R begins without a lease', state: go({ at: 'miss', floor: state.known, epoch: -1 }) }
        else
          yield { label: `R begins under a lease of ${epoch}`, state: go({ at: 'leased', floor: state.known, epoch }) }
        return
      }
      case 'leased': {
        const v = state.cache[keyOf(reader.epoch)] ?? null
        if (!reaches) yield { label: 'R does not reach the cache', state: go({ at: 'miss', epoch: -1 }) }
        else if (v === null) yield { label: 'R misses', state: go({ at: 'miss' }) }
        else yield { label: `R hits ${v}`, state: returned(state, v) }
        return
      }
      case 'miss': {
        yield { label: `R reads ${state.row}`, state: returned(state, state.row) }
        // A fill happens under the share lock: no writer is between its lock and its commit.
        if (reader.epoch >= 0 && reaches && state.writers.every(({ at }) => at !== 'locked'))
          yield {
            label: `R reads and fills ${state.row}`,
            state: returned(cached(state, reader.epoch, state.row), state.row),
          }
        return
      }
    }
  }

  return { initial, next, breach: state => (state.stale === '' ? undefined : state.stale) }
}
