import { hash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { socketOf } from '../../src/config/config.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Client, newMember } from '../support/client.ts'
import { testServers } from '../support/servers.ts'

interface Answer {
  readonly status: number | undefined
  readonly text: string
}

describe('the Unix socket of an instance', () => {
  let dir: string
  let socket: string
  let app: TestApp
  let me: Client
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'cl-doors-'))
    socket = socketOf(join(dir, 'sockets'), 0)
  })
  after(() => rmSync(dir, { recursive: true }))

  beforeEach(async () => {
    app = await startApp({ socketDir: join(dir, 'sockets') })
    me = await newMember(app.url)
  })
  afterEach(() => app.close())

  const send = (method: string, path: string, headers: Record<string, string>, body?: string) =>
    new Promise<Answer>((resolve, reject) => {
      const sent = request({ socketPath: socket, method, path, headers }, answer => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (part: string) => (text += part))
        answer.on('end', () => resolve({ status: answer.statusCode, text }))
      })
      sent.on('error', reject)
      sent.end(body)
    })

  it('is the same service as the port: one session, one cart', async () => {
    await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 2 })
    const { status, text } = await send('GET', '/v1/cart', { Authorization: `Bearer ${me.token}` })
    expect({ status, text }).to.deep.equal({ status: 200, text: (await me.get('/v1/cart')).text })
  })

  it('believes nginx, who is the one to open it, where a client comes from', async () => {
    const address = '203.0.113.77'
    const body = JSON.stringify({ sku: 'T-001', quantity: 1 })
    const headers = { 'Content-Type': 'application/json', 'X-Forwarded-For': address }
    expect((await send('POST', '/v1/cart/lines', headers, body)).status).to.equal(200)
    const admin = new Redis(testServers().adminUrls.sessions)
    try {
      const counted = await admin.get(`guests:${hash('sha256', address, 'base64url').slice(0, 22)}`)
      expect(Number(counted)).to.equal(1)
    } finally {
      admin.disconnect()
    }
  })

  it('is made anew where a killed instance has left one', async () => {
    await app.close()
    expect(existsSync(socket)).to.equal(false)
    const killed = createServer().listen(socket)
    await new Promise(resolve => killed.once('listening', resolve))
    app = await startApp({ socketDir: join(dir, 'sockets') })
    expect((await send('GET', '/v1/cart', {})).status).to.equal(200)
    killed.close()
  })

  it('closes with the port when the instance drains, after what is under way', async () => {
    const late: Answer[] = []
    const draining = app.drain.run(app.doors)
    // Asked on the socket only: the drain sees these requests too, and does not end between them.
    for (let done = false; !done; ) {
      const answer = await Promise.race([
        send('GET', '/v1/products?limit=1', {}).catch(() => undefined),
        draining.then(() => undefined),
      ])
      if (answer) late.push(answer)
      else done = true
    }
    await draining
    expect(late.filter(({ status }) => status === 200)).to.not.have.length(0)
    expect(late.every(({ status }) => status === 200 || status === 502)).to.equal(true)
    expect(app.doors.map(door => door.listening)).to.deep.equal([false, false])
    expect(existsSync(socket)).to.equal(false)
  })
})
