import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { messageOf } from '../../lib/errors.ts'
import { CommandError } from '../command.ts'

/**
 * The lines of a file that another program wrote: plain or gzipped (by its first bytes, not its name), in UTF-8, UTF-16 or
 * Windows-1252, with any end of line. Memory is bounded whatever the file holds: it is read in pieces, and a line has a most.
 */
export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
  /** True when it had more than the most; what was too much is gone. */
  readonly isTooLong: boolean
}

export const ENCODINGS = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const
export type Encoding = (typeof ENCODINGS)[number]

export interface FileFacts {
  readonly encoding: Encoding
  /** Whether it was guessed, not given: by a byte-order mark or not at all. */
  readonly isGuessed: boolean
  /** How many line ends it has, about. */
  readonly lines: number
  /** SHA-256 of its bytes: what a file is known by when an import goes on. */
  readonly contentHash: string
}

const LINE_CHARS_MAX = 1_048_576
const NEWLINE = 0x0a

/** Reads the file once: its hash, and its encoding unless that is given. @throws CommandError that names the line after which it cannot be read */
export async function factsOf(file: string, given?: Encoding): Promise<FileFacts> {
  const sha = createHash('sha256')
  const probe = createUtf8Probe()
  const stream = await bytesOf(file, chunk => sha.update(chunk))
  let head: Buffer = Buffer.alloc(0)
  let lines = 0
  await reading(
    file,
    () => ` past line ${lines}`,
    async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lines++
        if (head.length < 4) head = Buffer.concat([head, chunk.subarray(0, 4)])
        probe.accept(chunk)
      }
    },
  )
  const contentHash = sha.digest('hex')
  const marked = markOf(head)
  if (given !== undefined) return { encoding: given, isGuessed: false, lines, contentHash }
  if (marked !== undefined) return { encoding: marked, isGuessed: false, lines, contentHash }
  return { encoding: probe.isUtf8() ? 'utf-8' : 'windows-1252', isGuessed: !probe.isUtf8(), lines, contentHash }
}

/** @throws CommandError that names the line after which the file cannot be read */
export async function* linesOf(file: string, encoding: Encoding, charsMax = LINE_CHARS_MAX): AsyncGenerator<Line> {
  const decoder = new TextDecoder(encoding) // takes a byte-order mark away; what it cannot read becomes U+FFFD
  let number = 0
  let rest = ''
  let isTooLong = false
  let endedWithReturn = false
  const take = (): Line => {
    const line = { number: ++number, text: rest, isTooLong }
    rest = ''
    isTooLong = false
    return line
  }
  const stream = await bytesOf(file)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const text = decoder.decode(chunk, { stream: true })
      let start = endedWithReturn && text.startsWith('\n') ? 1 : 0
      if (text !== '') endedWithReturn = text.endsWith('\r')
      for (let at = nextEnd(text, start); at !== -1; at = nextEnd(text, start)) {
        if (rest.length + at - start > charsMax) isTooLong = true
        else rest += text.slice(start, at)
        yield take()
        start = text[at] === '\r' && text[at + 1] === '\n' ? at + 2 : at + 1
      }
      if (rest.length + text.length - start > charsMax) [isTooLong, rest] = [true, '']
      else if (!isTooLong) rest += text.slice(start)
    }
    if (!isTooLong) rest += decoder.decode() // of a character that is cut off; its row is refused
    if (rest !== '' || isTooLong) yield take()
  } catch (error) {
    throw new CommandError(`${file} cannot be read past line ${number}: ${messageOf(error)}`)
  } finally {
    stream.destroy()
  }
}

function nextEnd(text: string, from: number): number {
  const newline = text.indexOf('\n', from)
  const carriage = text.indexOf('\r', from)
  if (carriage === -1 || (newline !== -1 && newline < carriage)) return newline
  return carriage
}

/** The bytes of the file, unpacked where it is packed. */
async function bytesOf(file: string, raw: (chunk: Buffer) => void = () => undefined): Promise<Readable> {
  const isPacked = await reading(
    file,
    () => '',
    async () => {
      const handle = await open(file)
      try {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0)
        return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
      } finally {
        await handle.close()
      }
    },
  )
  const source = createReadStream(file)
  source.on('data', chunk => raw(chunk as Buffer))
  if (!isPacked) return source
  const unpacked = createGunzip()
  source.once('error', error => unpacked.destroy(error))
  unpacked.once('close', () => source.destroy())
  return source.pipe(unpacked)
}

async function reading<T>(file: string, where: () => string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new CommandError(`${file} cannot be read${where()}: ${messageOf(error)}`)
  }
}

function markOf(head: Buffer): Encoding | undefined {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return 'utf-8'
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le'
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be'
  // Without a mark: in text of Western shops every second byte of UTF-16 is zero.
  if (head.length >= 4 && head[0] !== 0 && head[1] === 0 && head[3] === 0) return 'utf-16le'
  if (head.length >= 4 && head[0] === 0 && head[1] !== 0 && head[2] === 0) return 'utf-16be'
  return undefined
}

/**
 * UTF-8 with a broken place here and there is still UTF-8 (those rows are refused); a file of another encoding has hardly any sequence that
 * could be UTF-8. So the two are counted.
 */
function createUtf8Probe() {
  let wanted = 0
  let good = 0
  let bad = 0
  return {
    accept(chunk: Buffer): void {
      for (const byte of chunk) {
        if (wanted > 0) {
          if ((byte & 0xc0) === 0x80) {
            if (--wanted === 0) good++
            continue
          }
          bad++
          wanted = 0
        }
        if (byte < 0x80) continue
        if (byte >= 0xc2 && byte <= 0xdf) wanted = 1
        else if (byte >= 0xe0 && byte <= 0xef) wanted = 2
        else if (byte >= 0xf0 && byte <= 0xf4) wanted = 3
        else bad++
      }
    },
    isUtf8: () => bad + (wanted > 0 ? 1 : 0) <= good,
  }
}
