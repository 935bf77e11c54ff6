/**
 * A small explicit-state model checker: breadth first over every interleaving, so the first counter-example is a shortest one.
 * States are plain data; two states are the same when their JSON is.
 */
export interface Model<State> {
  readonly initial: State
  /** Every step that can be taken from a state. */
  next(state: State): Iterable<Step<State>>
  /** What is wrong with a state, or undefined. */
  breach(state: State): string | undefined
}

export interface Step<State> {
  readonly label: string
  readonly state: State
}

export interface Result {
  readonly states: number
  /** False when `statesMax` ended the search before all was seen. */
  readonly isComplete: boolean
  readonly breach: { readonly what: string; readonly trace: readonly string[] } | undefined
}

/** A list with one of its parts changed. */
export const changedAt = <T>(list: readonly T[], index: number, change: Partial<T>): T[] =>
  list.map((one, at) => (at === index ? { ...one, ...change } : one))

export function explore<State>(model: Model<State>, statesMax = Number.POSITIVE_INFINITY): Result {
  const cameFrom = new Map<string, { parent: string; label: string }>()
  const keyOf = (state: State) => JSON.stringify(state)
  const first = keyOf(model.initial)
  cameFrom.set(first, { parent: '', label: '' })
  let frontier: { key: string; state: State }[] = [{ key: first, state: model.initial }]

  function traceTo(end: string): string[] {
    const labels: string[] = []
    for (let key = end; key !== first; ) {
      const { parent, label } = cameFrom.get(key) ?? { parent: first, label: '?' }
      labels.unshift(label)
      key = parent
    }
    return labels
  }

  while (frontier.length > 0) {
    const reached: typeof frontier = []
    for (const { key, state } of frontier) {
      const what = model.breach(state)
      if (what !== undefined) return { states: cameFrom.size, isComplete: true, breach: { what, trace: traceTo(key) } }
      for (const step of model.next(state)) {
        const next = keyOf(step.state)
        if (cameFrom.has(next)) continue
        if (cameFrom.size >= statesMax) return { states: cameFrom.size, isComplete: false, breach: undefined }
        cameFrom.set(next, { parent: key, label: step.label })
        reached.push({ key: next, state: step.state })
      }
    }
    frontier = reached
  }
  return { states: cameFrom.size, isComplete: true, breach: undefined }
}
