/** What a cached cart is of. */
export interface CartMeta {
  readonly version: number
  readonly catalogVersion: number
  /** What the rules were, and when the totals were calculated: ms since 1970. */
  readonly rulesStamp: number
  readonly pricedAtMs: number
  readonly lines: number
}

/** What is asked of a cached cart before it is shown. */
export interface Stamped extends CartMeta {
  /** Of its products; undefined where an older release has cached it. */
  readonly fingerprint: Uint8Array | undefined
}

/** A hit holds only the chunks that were asked for. */
export interface CartHit extends Stamped {
  readonly head: Buffer
  readonly firstChunk: number
  readonly chunks: readonly Buffer[]
  /** Head and first chunk in one, where that is what was asked for. */
  readonly page?: Buffer
}

/** `of`: version and fingerprint; those of another version were left behind by an older release. */
export function stampedOf(meta: Buffer, of: Buffer | null | undefined): Stamped {
  const { numbers } = readNumbers(meta, 5)
  const [version = 0, catalogVersion = 0, rulesStamp = 0, pricedAtMs = 0, lines = 0] = numbers
  const found = of && readNumbers(of, 1)
  const fingerprint = of && found?.numbers[0] === version ? of.subarray(found.end) : undefined
  return { version, catalogVersion, rulesStamp, pricedAtMs, lines, fingerprint }
}

const BAR = 0x7c
const LINE_END = 0x0a

/** Reads ASCII decimals that bars separate, without making strings of them. `end`: the first byte after the last one and its bar. */
function readNumbers(bytes: Buffer, max: number): { numbers: number[]; end: number } {
  const numbers: number[] = []
  let value = 0
  let at = 0
  for (; at < bytes.length && numbers.length < max; at++) {
    const byte = bytes[at] as number
    if (byte === LINE_END) break
    if (byte === BAR) {
      numbers.push(value)
      value = 0
    } else value = value * 10 + (byte - 48)
  }
  if (numbers.length < max) numbers.push(value)
  return { numbers, end: at }
}

/**
 * A first page as it is cached: `m`, the number of bytes of the head, the fingerprint, a line end, head, first chunk (cart-functions.lua). The rest of it
 * is parsed only when it is asked for.
 */
export class PageHit implements CartHit {
  readonly version: number
  readonly catalogVersion: number
  readonly rulesStamp: number
  readonly pricedAtMs: number
  readonly lines: number
  readonly firstChunk = 0
  readonly page: Buffer
  readonly #headBytes: number
  readonly #whole: Buffer
  readonly #numbersEnd: number
  readonly #lineEnd: number

  constructor(whole: Buffer) {
    const { numbers, end } = readNumbers(whole, 6)
    this.version = numbers[0] ?? 0
    this.catalogVersion = numbers[1] ?? 0
    this.rulesStamp = numbers[2] ?? 0
    this.pricedAtMs = numbers[3] ?? 0
    this.lines = numbers[4] ?? 0
    this.#headBytes = numbers[5] ?? 0
    this.#whole = whole
    this.#numbersEnd = end
    this.#lineEnd = whole.indexOf(LINE_END, end)
    this.page = whole.subarray(this.#lineEnd + 1)
  }

  get fingerprint(): Uint8Array | undefined {
    // An older release has ended the line after the last number.
    if (this.#whole[this.#numbersEnd - 1] !== BAR) return undefined
    return this.#whole.subarray(this.#numbersEnd, this.#lineEnd)
  }

  get head(): Buffer {
    return this.page.subarray(0, this.#headBytes)
  }

  get chunks(): Buffer[] {
    return [this.page.subarray(this.#headBytes)]
  }
}
