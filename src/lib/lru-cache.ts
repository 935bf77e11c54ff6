/** A map of at most `entriesMax` entries: the least recently used goes first. With `ttlMs`, an entry is gone after that time. */
export interface LruCache<Value> {
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  delete(key: string): void
}

export function createLruCache<Value>(entriesMax: number, ttlMs = Number.POSITIVE_INFINITY): LruCache<Value> {
  const entries = new Map<string, { readonly value: Value; readonly untilMs: number }>()
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      if (entry.untilMs !== Number.POSITIVE_INFINITY && performance.now() >= entry.untilMs) return undefined
      entries.set(key, entry)
      return entry.value
    },
    set(key, value) {
      entries.delete(key)
      const untilMs = ttlMs === Number.POSITIVE_INFINITY ? ttlMs : performance.now() + ttlMs
      entries.set(key, { value, untilMs })
      const [oldest] = entries.keys()
      if (entries.size > entriesMax && oldest !== undefined) entries.delete(oldest)
    },
    delete: key => void entries.delete(key),
  }
}
