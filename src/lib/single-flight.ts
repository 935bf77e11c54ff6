/** Calls for one key that overlap share one execution and its result, error included. */
export interface SingleFlight<T> {
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
 * Looks until something is seen, twice at most: a look that was under way already may have been too early, and the next one, which
 * begins after this call, sees all that there was.
 */
export async function lookFor(isSeen: () => boolean, look: () => Promise<void>): Promise<void> {
  for (let looks = 0; looks < 2 && !isSeen(); looks++) await look()
}
