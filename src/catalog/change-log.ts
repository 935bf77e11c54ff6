/**
 * The latest changes of products, so that what was made of some products can be known to be as good as new: the version that changed each
 * product last, for as many products as it holds. Products go by 30 bits of a hash, and so does the fingerprint of a cart. Two products
 * with the same bits make a cart be priced once more, never once less.
 */
export class ChangeLog {
  // Two halves, of which the older one goes as a whole: to look for the oldest entry of one map takes longer the more have gone before it.
  #recent = new Map<number, number>()
  #older = new Map<number, number>()
  #olderUntil = 0
  #completeSince = 0
  readonly #halfMax: number

  /** @param productsMax of how many products the last change is kept at most; of half as many it is kept at least */
  constructor(productsMax: number) {
    this.#halfMax = Math.ceil(productsMax / 2)
  }

  /** Changes come in the order of their versions. */
  add(sku: string, version: number): void {
    this.#recent.set(hashOf(sku), version)
    if (this.#recent.size < this.#halfMax) return
    this.#completeSince = Math.max(this.#completeSince, this.#olderUntil)
    this.#older = this.#recent
    this.#olderUntil = version
    this.#recent = new Map()
  }

  /** Nothing is known of what happened before this version. */
  forget(version: number): void {
    this.#recent.clear()
    this.#older.clear()
    this.#olderUntil = version
    this.#completeSince = version
  }

  /** Whether a product has changed after a version; also when that is not known any more. */
  hasChanged(sku: string, since: number): boolean {
    return since < this.#completeSince || this.#versionOf(hashOf(sku)) > since
  }

  /** The same of all products of a fingerprint. */
  haveChanged(fingerprint: Uint8Array, since: number): boolean {
    if (since < this.#completeSince) return true
    for (let at = 0; at < fingerprint.length; at += DIGITS) {
      if (this.#versionOf(readHash(fingerprint, at)) > since) return true
    }
    return false
  }

  #versionOf(hash: number): number {
    return this.#recent.get(hash) ?? this.#older.get(hash) ?? 0
  }
}

/** The products of a cart, for `haveChanged`: ASCII, five characters for each. */
export function fingerprintOf(skus: Iterable<string>): string {
  let text = ''
  for (const sku of skus) {
    const hash = hashOf(sku)
    for (let digit = 0; digit < DIGITS; digit++) text += String.fromCharCode(ZERO + ((hash >>> (6 * digit)) & 63))
  }
  return text
}

const DIGITS = 5
const ZERO = 48

function readHash(bytes: Uint8Array, at: number): number {
  let hash = 0
  for (let digit = 0; digit < DIGITS; digit++) hash |= (((bytes[at + digit] ?? ZERO) - ZERO) & 63) << (6 * digit)
  return hash
}

/** FNV-1a, mixed once more (the end of MurmurHash3), of which 30 bits are kept: they fit a small integer, which maps find fastest. */
function hashOf(sku: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < sku.length; at++) hash = Math.imul(hash ^ sku.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}
