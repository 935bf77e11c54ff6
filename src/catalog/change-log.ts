/**
 * The latest changes of products, so that what was made of some products can be known to be as good as new: the version that changed each
 * product last, for as many products as it holds. Products go by 30 bits of a hash, and so does the fingerprint of a cart. Two products
 * with the same bits make a cart be priced once more, never once less.
 */
export class ChangeLog {
  readonly #versions = new Map<number, number>()
  readonly #productsMax: number
  #completeSince = 0

  /** @param productsMax of how many products the last change is kept */
  constructor(productsMax: number) {
    this.#productsMax = productsMax
  }

  /** Changes come in the order of their versions. */
  add(sku: string, version: number): void {
    const hash = hashOf(sku)
    this.#versions.delete(hash)
    this.#versions.set(hash, version) // the last place, so that the first is the oldest change
    if (this.#versions.size <= this.#productsMax) return
    for (const [oldest, itsVersion] of this.#versions) {
      this.#versions.delete(oldest)
      this.#completeSince = Math.max(this.#completeSince, itsVersion)
      break
    }
  }

  /** Nothing is known of what happened before this version. */
  forget(version: number): void {
    this.#versions.clear()
    this.#completeSince = version
  }

  /** Whether a product has changed after a version; also when that is not known any more. */
  hasChanged(sku: string, since: number): boolean {
    return since < this.#completeSince || (this.#versions.get(hashOf(sku)) ?? 0) > since
  }

  /** The same of all products of a fingerprint. */
  haveChanged(fingerprint: Uint8Array, since: number): boolean {
    if (since < this.#completeSince) return true
    for (let at = 0; at < fingerprint.length; at += DIGITS) {
      const version = this.#versions.get(readHash(fingerprint, at))
      if (version !== undefined && version > since) return true
    }
    return false
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
