import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import { jsonBody } from '../../src/http/json-body.ts'
import { isAppError } from '../../src/lib/errors.ts'

/** A real server, and requests written byte by byte. */
describe('reading a JSON body', () => {
  const BYTES_MAX = 60
  let server: Server
  /** What became of each request. */
  let outcomes: unknown[]

  before(async () => {
    const read = jsonBody(BYTES_MAX)
    server = createServer((request, response) => {
      const done = (error?: unknown) => {
        const outcome =
          error === undefined ? (request as { body?: unknown }).body : isAppError(error) ? error.code : error
        outcomes.push(outcome)
        response.end(JSON.stringify({ outcome }))
      }
      try {
        void read(request, response, done)
      } catch (error) {
        done(error)
      }
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
  })
  after(() => void server.close())
  beforeEach(() => {
    outcomes = []
  })

  const json = 'Content-Type: application/json'

  /** Writes the pieces one by one, each after the one before has been taken, and waits for the answer. */
  async function send(headers: readonly string[], ...pieces: (string | Buffer)[]): Promise<unknown> {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.setNoDelay(true)
    let answer = ''
    const answered = new Promise<string>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('data', data => {
        answer += data.toString()
        const body = /\r\n\r\n(\{.*\})$/.exec(answer)?.[1]
        if (body !== undefined) resolve(body)
      })
    })
    const head = ['POST / HTTP/1.1', 'Host: a', ...headers].join('\r\n')
    for (const piece of [`${head}\r\n\r\n`, ...pieces]) {
      await new Promise(resolve => socket.write(piece, resolve))
      await turn()
    }
    const { outcome } = JSON.parse(await answered) as { outcome?: unknown }
    socket.destroy()
    return outcome
  }
  const whole = (text: string, ...headers: string[]) =>
    send([json, `Content-Length: ${Buffer.byteLength(text)}`, ...headers], text)

  it('takes objects and lists', async () => {
    expect(await whole('{"a":"ä 🎁"}')).to.deep.equal({ a: 'ä 🎁' })
    expect(await whole(' [1, 2] ')).to.deep.equal([1, 2])
  })

  it('takes a body in pieces, cut in the middle of a character', async () => {
    const bytes = Buffer.from('{"a":"🎁"}')
    const pieces = [bytes.subarray(0, 8), bytes.subarray(8, 9), bytes.subarray(9)]
    expect(await send([json, `Content-Length: ${bytes.length}`], ...pieces)).to.deep.equal({ a: '🎁' })
  })

  it('takes a body of unknown length', async () => {
    const chunks = ['5\r\n{"a":\r\n', '2\r\n1}\r\n', '0\r\n\r\n']
    expect(await send([json, 'Transfer-Encoding: chunked'], ...chunks)).to.deep.equal({ a: 1 })
  })

  it('takes a byte order mark for none of the text', async () => {
    expect(await whole('\ufeff{"a":1}')).to.deep.equal({ a: 1 })
  })

  it('finds nothing where there is nothing', async () => {
    expect(await send([json])).to.equal(undefined)
    expect(await send([json, 'Content-Length: 0'])).to.equal(undefined)
    expect(await send([json, 'Transfer-Encoding: chunked'], '0\r\n\r\n')).to.equal(undefined)
    expect(outcomes).to.deep.equal([undefined, undefined, undefined])
  })

  for (const text of ['{"a":', '"x"', 'null', '1', '{"a":1}x', '\u0000', 'a=1', ' ']) {
    it(`refuses ${JSON.stringify(text)}`, async () => {
      expect(await whole(text)).to.equal('malformed_body')
    })
  }

  it('takes exactly the largest body, and no byte more', async () => {
    const text = (bytes: number) => `{"a":"${'x'.repeat(bytes - 8)}"}`
    expect(await whole(text(BYTES_MAX))).to.have.property('a')
    expect(await whole(text(BYTES_MAX + 1))).to.equal('body_too_large')
  })

  it('refuses a body that becomes too large, once', async () => {
    const chunk = `20\r\n${'x'.repeat(32)}\r\n`
    expect(await send([json, 'Transfer-Encoding: chunked'], chunk, chunk, chunk, '0\r\n\r\n')).to.equal(
      'body_too_large',
    )
    expect(outcomes).to.deep.equal(['body_too_large'])
  })

  it('says once that a body ended early', async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\n${json}\r\nContent-Length: 9\r\n\r\n`)
    const [request] = (await once(server, 'request')) as [IncomingMessage]
    const begun = once(request, 'data')
    socket.write('{"a"')
    await begun
    const closed = new Promise(resolve => request.on('close', resolve))
    socket.destroy()
    await closed
    expect(outcomes).to.deep.equal(['malformed_body'])
  })

  const types: [string, unknown][] = [
    ['application/json; charset=utf-8', { a: 1 }],
    ['Application/JSON;charset="UTF-8"', { a: 1 }],
    ['application/json; charset=utf-16', 'unsupported_media_type'],
    ['application/json; charset=', 'unsupported_media_type'],
    ['application/jsonp', 'unsupported_media_type'],
    ['text/plain', 'unsupported_media_type'],
  ]
  for (const [type, outcome] of types) {
    it(`${type}: ${typeof outcome === 'string' ? 'refused' : 'taken'}`, async () => {
      expect(await send([`Content-Type: ${type}`, 'Content-Length: 7'], '{"a":1}')).to.deep.equal(outcome)
    })
  }

  it('refuses a body without a type, and one that is compressed', async () => {
    expect(await send(['Content-Length: 7'], '{"a":1}')).to.equal('unsupported_media_type')
    expect(await whole('{"a":1}', 'Content-Encoding: gzip')).to.equal('unsupported_media_type')
    expect(await whole('{"a":1}', 'Content-Encoding: identity')).to.deep.equal({ a: 1 })
  })
})
