/** Calls for one key that overlap share one execution and its result, error included. */
interface SingleFlight<T> {
  run(key: string, work: () => Promise<T>): Promise<T>
}

export function createSingleFlight<T>(): SingleFlight<T> {
  const flights = new Map<string, Promise<T>>()
  return {
    run(key, work) {
      const flying = flights.get(key)
      if (flying) return flying
      const flight = work().finally(() => flights.delete(key))
      flights.set(key, flight)
      return flight
    },
  }
}

/**
 * Looks until something is seen, twice at most. The first look may be one that was under way already: it may have been too early, or
 * about to fail. The second begins after this call, and sees all that there was. @throws what the second throws
 */
export async function lookFor(isSeen: () => boolean, look: () => Promise<void>): Promise<void> {
  if (isSeen()) return
  await look().catch(() => undefined)
  if (!isSeen()) await look()
}
