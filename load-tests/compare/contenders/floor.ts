import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { connect, type ListenOptions } from 'node:net'
import { dirname } from 'node:path'
import { scheduleAsBatch } from '../../../src/ops/cpu-scheduling.ts'

/**
 * The floor: what a view of a cart costs when nothing is done that is not physically needed. `node:http` without a framework, one
 * socket to each of the two Redis servers, their protocol by hand, the cart passed through as bytes. It knows no errors, no limits, no
 * metrics and no security, and is no way to build a service. It knows what cartload has learned of fewer writes, of empty requests, of the
 * CPU's scheduler and of Unix sockets; the plain one does not.
 */
const [port, sessions, cache] = ['PORT', 'SESSIONS', 'CACHE'].map(name => process.env[name] ?? '') as [
  string,
  string,
  string,
]

const isPlain = process.env['PLAIN'] === 'yes'
if (!isPlain) await scheduleAsBatch()

/** A client that can GET; replies come in the order of the commands. Unless it is plain, commands of one tick go out in one write. */
function redisAt(address: string): (key: string) => Promise<Buffer | undefined> {
  const { hostname, port: redisPort, username, password, searchParams } = new URL(address)
  const path = isPlain ? null : searchParams.get('path')
  const socket = connect(path === null ? { host: hostname, port: Number(redisPort), noDelay: true } : { path })
  const waiting: ((value: Buffer | undefined) => void)[] = [() => undefined]
  let first = 0
  let rest: Buffer | undefined
  socket.write(`AUTH ${username} ${password}\r\n`)
  socket.on('data', chunk => {
    let data = rest ? Buffer.concat([rest, chunk]) : chunk
    rest = undefined
    for (;;) {
      const end = data.indexOf('\r\n')
      if (end < 0) break
      let after = end + 2
      let value: Buffer | undefined
      if (data[0] === 0x24 && data[1] !== 0x2d) {
        const length = Number(data.toString('latin1', 1, end))
        after += length + 2
        if (data.length < after) break
        value = data.subarray(end + 2, end + 2 + length)
      }
      waiting[first++]?.(value)
      if (first === waiting.length) {
        waiting.length = 0
        first = 0
      }
      data = data.subarray(after)
    }
    if (data.length > 0) rest = data
  })
  let corked = false
  return key =>
    new Promise(resolve => {
      waiting.push(resolve)
      if (!isPlain && !corked) {
        corked = true
        socket.cork()
        setImmediate(() => {
          corked = false
          socket.uncork()
        })
      }
      socket.write(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`, 'latin1')
    })
}

const [session, cart] = [redisAt(sessions), redisAt(cache)]

const answer: RequestListener = (request, response) => {
  const token = request.headers.cookie?.slice(4) ?? '' // `sid=…`
  const user = token.slice(0, token.indexOf('.'))
  void Promise.all([session(token), cart(user)]).then(([known, body]) => {
    if (!known || !body) {
      response.writeHead(401).end()
      return
    }
    // Both servers were asked, as they must be; it has no versions, so a request with If-None-Match is always answered 304.
    if (request.headers['if-none-match'] !== undefined) {
      response.writeHead(304).end()
      return
    }
    response.writeHead(200, ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(body.length)])
    response.end(body)
  })
}

const listeners: ListenOptions[] = [{ port: Number(port), host: '127.0.0.1' }]
const { SOCKET } = process.env
if (SOCKET !== undefined) {
  mkdirSync(dirname(SOCKET))
  listeners.push({ path: SOCKET })
}
for (const address of listeners) {
  const server = createServer({ optimizeEmptyRequests: !isPlain }, answer).listen({ ...address, backlog: 4096 })
  await once(server, 'listening')
}
process.send?.('ready')
