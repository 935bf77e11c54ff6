import { hash } from 'node:crypto'

/**
 * Which codes a file has had so far, in bounded memory: a million take 25 MB. 96 bits of a hash stand for a code; two of a million codes share one
 * with a probability of 1e-17.
 */
export interface Seen {
  /** False when the code was there before. */
  add(code: string): boolean
  has(code: string): boolean
}

const WORDS = 3
const LOAD_MAX = 0.75
const SLOTS_MIN = 1 << 10
/** A file that claims to have more lines has to show them. */
const EXPECTED_MAX = 3_000_000

/** `expected`: how many there may be, so that the table need not grow. */
export function createSeen(expected = 0): Seen {
  let slots = SLOTS_MIN
  while (slots * LOAD_MAX < Math.min(expected, EXPECTED_MAX)) slots *= 2
  let table = new Uint32Array(slots * WORDS)
  let count = 0

  /** The slot of a hash, or the free one where it belongs. Empty slots are zero, which no hash is. */
  function find(words: Uint32Array, into: Uint32Array, size: number): number {
    let slot = words[0]! & (size - 1)
    for (;;) {
      const at = slot * WORDS
      const isFree = (into[at]! | into[at + 1]! | into[at + 2]!) === 0
      if (isFree || words.every((word, index) => into[at + index] === word)) return at
      slot = (slot + 1) & (size - 1)
    }
  }

  function grow(): void {
    const next = new Uint32Array(slots * 2 * WORDS)
    for (let at = 0; at < table.length; at += WORDS) {
      const words = table.subarray(at, at + WORDS)
      if (words.some(word => word !== 0)) next.set(words, find(words, next, slots * 2))
    }
    slots *= 2
    table = next
  }

  const wordsOf = (code: string) => new Uint32Array(new Uint8Array(hash('sha256', code, 'buffer')).buffer, 0, WORDS)
  const isAt = (words: Uint32Array, at: number) => words.every((word, index) => table[at + index] === word)

  return {
    has(code) {
      const words = wordsOf(code)
      return isAt(words, find(words, table, slots))
    },
    add(code) {
      const words = wordsOf(code)
      const at = find(words, table, slots)
      if (isAt(words, at)) return false
      table.set(words, at)
      if (++count > slots * LOAD_MAX) grow()
      return true
    },
  }
}
