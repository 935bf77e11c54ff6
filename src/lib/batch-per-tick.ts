/**
 * Batches calls made in one tick of the event loop into one (as DataLoader does): `load` gets all arguments and returns one
 * result for each, in the same order. The batch starts when the tick has nothing more to read (`setImmediate`), so no call waits for
 * another tick. All calls of a batch share one promise, and its failure; `finish` makes each call's own answer of its result.
 */
export function batchPerTick<Wanted, Loaded, Answer = Loaded>(
  load: (wanted: Wanted[]) => Promise<readonly Loaded[]>,
  finish?: (loaded: Loaded, wanted: Wanted) => Answer | Promise<Answer>,
): (wanted: Wanted) => Promise<Answer> {
  let batch: Batch<Wanted, Loaded> | undefined
  function begin(): Batch<Wanted, Loaded> {
    const wanted: Wanted[] = []
    const loaded = new Promise<void>(resolve => setImmediate(resolve)).then(() => {
      batch = undefined
      return load(wanted)
    })
    return { wanted, loaded }
  }
  return async one => {
    const { wanted, loaded } = (batch ??= begin())
    const index = wanted.push(one) - 1
    const own = (await loaded)[index] as Loaded
    return finish ? finish(own, one) : (own as unknown as Answer)
  }
}

interface Batch<Wanted, Loaded> {
  readonly wanted: Wanted[]
  readonly loaded: Promise<readonly Loaded[]>
}
