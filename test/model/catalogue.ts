import { changedAt, type Model, type Step } from './checker.ts'

/**
 * Changes of the catalogue as a model: one product and one cached cart that holds it, writers that change this product or another one, two
 * instances that learn of changes, read the product, show and price the cart, and one order. A price is the version that made it. Between any two
 * steps any other may come. Names are those of src/catalog and of src/store/catalog-watermark.ts.
 */
export const CATALOGUE_GUARDS = {
  floorBeforeCommit: 'shards know of a version before it is committed',
  learnIsWhole: 'an instance moves to a version together with its changes',
  changeLeavesMemory: 'a change takes its product out of memory',
  readAgain: 'a product that has changed while it was read is read again',
  cartIsChecked: 'a cached cart is shown only where its product has not changed since it was priced',
  decideAsksFloor: 'an order is decided by an instance that has heard of all that was announced',
  decideChecksProduct: 'an order is decided only where its product has not changed since it was priced',
} as const
export type CatalogueGuard = keyof typeof CATALOGUE_GUARDS

interface Writer {
  readonly at: 'start' | 'locked' | 'announced' | 'committed' | 'acknowledged' | 'dead'
  readonly v: number
}

interface Instance {
  readonly version: number
  /** What it knows to be the last change of the product. */
  readonly logged: number
  /** What it should know: the last change up to its version. */
  readonly heard: number
  readonly memory: number | null
  readonly reading: { readonly since: number; readonly price: number | null } | null
}

interface Priced {
  readonly stamp: number
  readonly price: number
}

export interface CatalogueState {
  readonly version: number
  /** The version that changed the product last. */
  readonly changed: number
  readonly floor: number
  /** The last change of the product that was acknowledged. */
  readonly acknowledged: number
  readonly writers: readonly Writer[]
  readonly instances: readonly Instance[]
  readonly cart: Priced | null
  readonly order: { readonly at: 'start' | 'priced' | 'done'; readonly priced: Priced | null }
  readonly kills: number
  readonly wrong: string
}

export interface CatalogueBounds {
  /** What each writer changes: the product, or another one. */
  readonly writers: readonly ('product' | 'other')[]
  readonly instances: number
  readonly kills: number
}

export function catalogueModel(
  bounds: CatalogueBounds,
  switchedOff: readonly CatalogueGuard[] = [],
): Model<CatalogueState> {
  const off = new Set(switchedOff)
  const initial: CatalogueState = {
    version: 0,
    changed: 0,
    floor: 0,
    acknowledged: 0,
    writers: bounds.writers.map(() => ({ at: 'start', v: 0 })),
    instances: Array.from({ length: bounds.instances }, () => ({
      version: 0,
      logged: 0,
      heard: 0,
      memory: null,
      reading: null,
    })),
    cart: null,
    order: { at: 'start', priced: null },
    kills: bounds.kills,
    wrong: '',
  }
  const isLocked = ({ writers }: CatalogueState) => writers.some(({ at }) => at === 'locked' || at === 'announced')
  const withWriter = (state: CatalogueState, index: number, change: Partial<Writer>): CatalogueState => ({
    ...state,
    writers: changedAt(state.writers, index, change),
  })
  const withInstance = (state: CatalogueState, index: number, change: Partial<Instance>): CatalogueState => ({
    ...state,
    instances: changedAt(state.instances, index, change),
  })

  function* writerSteps(state: CatalogueState, index: number): Iterable<Step<CatalogueState>> {
    const { at, v } = state.writers[index]!
    const isOfProduct = bounds.writers[index] === 'product'
    const name = `W${index}`
    const announce = () => withWriter({ ...state, floor: Math.max(state.floor, v) }, index, { at: 'announced' })
    switch (at) {
      case 'start':
        if (!isLocked(state))
          yield { label: `${name} locks`, state: withWriter(state, index, { at: 'locked', v: state.version + 1 }) }
        break
      case 'locked':
        if (off.has('floorBeforeCommit'))
          yield { label: `${name} announces nothing`, state: withWriter(state, index, { at: 'announced' }) }
        else yield { label: `${name} announces ${v}`, state: announce() }
        break
      case 'announced': {
        const committed = { ...state, version: v, changed: isOfProduct ? v : state.changed }
        yield { label: `${name} commits ${v}`, state: withWriter(committed, index, { at: 'committed' }) }
        break
      }
      case 'committed': {
        const acknowledged = isOfProduct ? Math.max(state.acknowledged, v) : state.acknowledged
        yield { label: `${name} answers`, state: withWriter({ ...state, acknowledged }, index, { at: 'acknowledged' }) }
        break
      }
      case 'acknowledged':
      case 'dead':
        break
    }
    if (state.kills > 0 && !['start', 'acknowledged', 'dead'].includes(at))
      yield { label: `${name} dies`, state: withWriter({ ...state, kills: state.kills - 1 }, index, { at: 'dead' }) }
  }

  function* instanceSteps(state: CatalogueState, index: number): Iterable<Step<CatalogueState>> {
    const instance = state.instances[index]!
    const { version, logged, memory, reading } = instance
    const name = `I${index}`
    if (version < state.version) {
      const hasChanged = state.changed > instance.heard
      const forgotten = hasChanged && !off.has('changeLeavesMemory') ? { memory: null } : {}
      const log = off.has('learnIsWhole') ? {} : { logged: state.changed, ...forgotten }
      const learned = { version: state.version, heard: state.changed, ...log }
      yield { label: `${name} learns of ${state.version}`, state: withInstance(state, index, learned) }
    }
    if (off.has('learnIsWhole') && logged < state.changed)
      yield { label: `${name} logs`, state: withInstance(state, index, { logged: state.changed, memory: null }) }
    if (memory === null && reading === null)
      yield {
        label: `${name} begins to read`,
        state: withInstance(state, index, { reading: { since: version, price: null } }),
      }
    if (reading?.price === null)
      yield {
        label: `${name} reads ${state.changed}`,
        state: withInstance(state, index, { reading: { ...reading, price: state.changed } }),
      }
    else if (reading) {
      const isOld = logged > reading.since && !off.has('readAgain')
      yield {
        label: `${name} ${isOld ? 'reads again' : 'keeps what it read'}`,
        state: withInstance(state, index, { reading: null, memory: isOld ? null : reading.price }),
      }
    }
    if (memory !== null)
      yield { label: `${name} prices the cart`, state: { ...state, cart: { stamp: version, price: memory } } }
    const { cart } = state
    if (cart && (cart.stamp >= version || logged <= cart.stamp || off.has('cartIsChecked'))) {
      const wrong = cart.price < instance.heard ? `${name} showed ${cart.price} and has heard of ${instance.heard}` : ''
      if (wrong) yield { label: `${name} shows the cart`, state: { ...state, wrong } }
    }
  }

  /** Made by the first instance. */
  function* orderSteps(state: CatalogueState): Iterable<Step<CatalogueState>> {
    const { version, logged, memory } = state.instances[0]!
    const { at, priced } = state.order
    if (at === 'start' && memory !== null)
      yield {
        label: 'the order is priced',
        state: { ...state, order: { at: 'priced', priced: { stamp: version, price: memory } } },
      }
    if (at !== 'priced' || !priced) return
    const hasHeard = state.floor <= version || off.has('decideAsksFloor')
    if (!hasHeard) {
      // What was announced and given up is made good by a version in which nothing changes (`settle`).
      if (!isLocked(state) && state.version < state.floor)
        yield { label: 'the floor is settled', state: { ...state, version: state.floor } }
      return
    }
    if (logged > priced.stamp && !off.has('decideChecksProduct')) {
      yield { label: 'the order is priced anew', state: { ...state, order: { at: 'start', priced: null } } }
      return
    }
    const wrong =
      priced.price < state.acknowledged
        ? `the order was made at ${priced.price} after ${state.acknowledged} was answered`
        : ''
    yield { label: `the order is made at ${priced.price}`, state: { ...state, order: { at: 'done', priced }, wrong } }
  }

  return {
    initial,
    *next(state) {
      for (const index of state.writers.keys()) yield* writerSteps(state, index)
      for (const index of state.instances.keys()) yield* instanceSteps(state, index)
      yield* orderSteps(state)
    },
    breach: ({ wrong }) => (wrong === '' ? undefined : wrong),
  }
}
