/**
 * Bytes that are ready to be sent, each as one character: Node.js writes such text in one piece with the head of an answer, a buffer in a
 * second one, which costs 8 µs more (docs/performance.md).
 */
export class Bytes {
  readonly latin1: string

  constructor(latin1: string) {
    this.latin1 = latin1
  }

  /** The text that the bytes are in UTF-8. */
  toString(): string {
    return Buffer.from(this.latin1, 'latin1').toString()
  }
}
