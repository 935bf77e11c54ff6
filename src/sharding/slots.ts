import xxhash from 'xxhash-wasm'

/** XXH64 with seed 0, which Vitess's `xxhash` vindex is: rows stay where they are when the shards become Vitess shards. */
export const { h64: xxhash64 } = await xxhash()

/** Everything that is sharded has a slot; each shard owns one contiguous range of slots. */
export const SLOTS = 1024

/**
 * The slot of a user id (its decimal text) or of a login address: the first 10 bits of the key's Vitess keyspace id,
 * which is XXH64 written little-endian. So slots 0-255 are Vitess shard `-40`, 256-511 are `40-80`, and so on.
 */
export function slotOf(key: string): number {
  let slot = known.get(key)
  if (slot === undefined) {
    slot = calculate(key)
    if (known.size >= KNOWN_MAX) known.clear() // cheaper than an LRU
    known.set(key, slot)
  }
  return slot
}

/** The hash takes some microseconds, and every request asks for it. */
const known = new Map<string, number>()
const KNOWN_MAX = 20_000

function calculate(key: string): number {
  const hash = xxhash64(key)
  return Number((hash & 0xffn) << 2n) | Number((hash >> 14n) & 0x3n)
}

/** What the slot map calls the owners, in the order of their addresses. */
export const shardName = (index: number): string => `shard-${index}`

interface SlotRange {
  readonly first: number
  readonly last: number
}

/** Splits all slots evenly over `shards` owners, in order. */
export function evenRanges(shards: number): SlotRange[] {
  return Array.from({ length: shards }, (_, index) => ({
    first: Math.ceil((SLOTS * index) / shards),
    last: Math.ceil((SLOTS * (index + 1)) / shards) - 1,
  }))
}
