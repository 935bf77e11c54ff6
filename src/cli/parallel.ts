/** Runs `work` on every item, at most `width` at once. Stops taking new items after the first failure, and throws it. */
export async function eachOf<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let failure: { error: unknown } | undefined
  async function lane(): Promise<void> {
    while (!failure) {
      const next = await iterator.next()
      if (next.done) return
      try {
        await work(next.value)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  if (failure) throw failure.error
}
