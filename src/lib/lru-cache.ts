/**
 * A map that holds at most `max`, counted by entries or by what `weightOf` says of each: the least recently used goes first. With
 * `ttlMs`, an entry is gone after that time.
 */
export interface LruCache<Value> {
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  delete(key: string): void
  clear(): void
  /** So many, from the most recently used on. */
  keys(count: number): string[]
  /** The sum of the weights. */
  weight(): number
}

interface Entry<Value> {
  readonly value: Value
  readonly untilMs: number
  readonly weight: number
}

export function createLruCache<Value>(
  max: number,
  ttlMs = Number.POSITIVE_INFINITY,
  weightOf: (value: Value) => number = () => 1,
): LruCache<Value> {
  const entries = new Map<string, Entry<Value>>()
  let sum = 0
  function remove(key: string): Entry<Value> | undefined {
    const entry = entries.get(key)
    if (entry === undefined) return undefined
    entries.delete(key)
    sum -= entry.weight
    return entry
  }
  function put(key: string, entry: Entry<Value>): void {
    entries.set(key, entry)
    sum += entry.weight
  }
  return {
    get(key) {
      const entry = remove(key)
      if (entry === undefined) return undefined
      if (entry.untilMs !== Number.POSITIVE_INFINITY && performance.now() >= entry.untilMs) return undefined
      put(key, entry)
      return entry.value
    },
    set(key, value) {
      remove(key)
      const untilMs = ttlMs === Number.POSITIVE_INFINITY ? ttlMs : performance.now() + ttlMs
      put(key, { value, untilMs, weight: weightOf(value) })
      for (const oldest of entries.keys()) {
        if (sum <= max) break
        remove(oldest)
      }
    },
    delete: key => void remove(key),
    clear() {
      entries.clear()
      sum = 0
    },
    keys: count => [...entries.keys()].slice(-count).reverse(),
    weight: () => sum,
  }
}
