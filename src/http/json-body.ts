import type { IncomingMessage } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import { AppError } from '../lib/errors.ts'
import type { Middleware } from './pipeline.ts'

/**
 * Reads a JSON body into `request.body`: an object or a list, in UTF-8, not compressed, of at most `bytesMax` bytes; undefined where there is no body.
 * Ours because every write passes it: `express.json` makes a bare server's small POST a quarter dearer (docs/performance.md, finding 39).
 * @throws AppError `unsupported_media_type`, `body_too_large`, `malformed_body`, or passes it on
 */
export function jsonBody(bytesMax: number): Middleware {
  return (request: IncomingMessage & { body?: unknown }, _response, next) => {
    const bytes = bytesToCome(request)
    refuseOtherKinds(request)
    if (bytes === 0) return next()
    if (bytes !== undefined && bytes > bytesMax) throw tooLarge()
    if (request.destroyed) throw endedEarly()
    let text = ''
    let decoder: StringDecoder | undefined
    let read = 0
    let isOver = false
    const over = (error?: unknown) => {
      if (isOver) return
      isOver = true
      next(error)
    }
    request.on('data', (piece: Buffer) => {
      read += piece.length
      if (read > bytesMax) over(tooLarge())
      if (isOver) return
      if (piece.length === bytes) text = piece.toString()
      else text += (decoder ??= new StringDecoder()).write(piece) // a character may be cut in two
    })
    request.on('error', cause => over(endedEarly(cause)))
    request.on('end', () => {
      if (isOver) return
      try {
        request.body = parse(text + (decoder?.end() ?? ''))
      } catch (cause) {
        return over(new AppError('malformed_body', 'The body is not JSON.', { cause }))
      }
      over()
    })
  }
}

/** Undefined where it is not said. */
function bytesToCome({ headers }: IncomingMessage): number | undefined {
  if (headers['transfer-encoding'] !== undefined) return undefined
  return Number(headers['content-length'] ?? 0)
}

function refuseOtherKinds({ headers }: IncomingMessage): void {
  const type = headers['content-type']
  const encoding = headers['content-encoding']
  if (type !== 'application/json') {
    if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) {
      throw new AppError('unsupported_media_type', 'Send the body as application/json.')
    }
    const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(type)?.[1]
    if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
      throw new AppError('unsupported_media_type', 'Only UTF-8 is accepted.')
    }
  }
  if (encoding && encoding.toLowerCase() !== 'identity') {
    throw new AppError('unsupported_media_type', 'Compressed bodies are not accepted.')
  }
}

/** @throws SyntaxError for what is not JSON, and for JSON that is neither an object nor a list */
function parse(text: string): unknown {
  if (text === '') return undefined
  const value: unknown = JSON.parse(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text)
  if (typeof value !== 'object' || value === null) throw new SyntaxError('neither an object nor a list')
  return value
}

const BYTE_ORDER_MARK = 0xfeff

const tooLarge = () => new AppError('body_too_large', 'The body is too large.')
const endedEarly = (cause?: unknown) => new AppError('malformed_body', 'The body ended early.', { cause })
