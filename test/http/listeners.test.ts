import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { socketOf } from '../../src/config/config.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Client, eventually, newMember } from '../support/client.ts'
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
  let admin: Redis
  before(() => {
    admin = new Redis(testServers().adminUrls.sessions)
    dir = mkdtempSync(join(tmpdir(), 'cl-unix-'))
    socket = socketOf(join(dir, 'sockets'), 0)
  })
  after(() => {
    admin.disconnect()
    rmSync(dir, { recursive: true })
  })

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

  /** How many guests were counted for an address: what the instance took for the client's. */
  const guestsFrom = async (address: string) =>
    Number(await admin.get(`guests:${hash('sha256', address, 'base64url').slice(0, 22)}`))

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
    expect(await guestsFrom(address)).to.equal(1)
  })

  it('is believed by where it leads, not by the want of an address', async () => {
    // Without trusted proxies the header counts for nothing on the port; on the socket it does.
    await app.close()
    app = await startApp({ socketDir: join(dir, 'sockets'), trustedProxies: ['203.0.113.1'] })
    const body = JSON.stringify({ sku: 'T-001', quantity: 1 })
    const headers = { 'Content-Type': 'application/json', 'X-Forwarded-For': '203.0.113.78' }
    await fetch(`${app.url}/v1/cart/lines`, { method: 'POST', headers, body })
    expect(await guestsFrom('203.0.113.78')).to.equal(0)
    // Nor does a client get further by naming the socket itself.
    const naming = { ...headers, 'X-Forwarded-For': '203.0.113.79, unix' }
    await send('POST', '/v1/cart/lines', naming, body)
    expect(await guestsFrom('203.0.113.79')).to.equal(0)
    await send('POST', '/v1/cart/lines', headers, body)
    expect(await guestsFrom('203.0.113.78')).to.equal(1)
  })

  it('is for owner and group only', () => {
    expect(statSync(socket).mode & 0o777).to.equal(0o660)
    expect(statSync(join(dir, 'sockets')).mode & 0o007).to.equal(0)
  })

  it('is made anew where a killed instance has left one', async () => {
    await app.close()
    expect(existsSync(socket)).to.equal(false)
    const listening = `process.getBuiltinModule('net').createServer().listen(${JSON.stringify(socket)}, () => console.log('ready'))`
    const killed = spawn(process.execPath, ['-e', listening], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(killed.stdout, 'data')
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    expect(existsSync(socket)).to.equal(true)
    app = await startApp({ socketDir: join(dir, 'sockets') })
    expect((await send('GET', '/v1/cart', {})).status).to.equal(200)
  })

  it('is not taken from an instance that lives', async () => {
    const started = startApp({ socketDir: join(dir, 'sockets') })
    expect(
      await started.then(
        () => 'started',
        (error: Error) => error.message,
      ),
    ).to.include('another instance listens on')
    expect((await send('GET', '/v1/cart', {})).status).to.equal(200)
  })

  it('closes with the port when the instance drains, and not while requests come on the socket', async () => {
    let isOver = false
    const draining = app.drain.run(app.listeners).then(() => (isOver = true))
    const ask = async () => (await send('GET', '/v1/products?limit=1', {})).status
    await eventually('the instance sends requests away', async () => (await ask()) === 502)
    // For longer than the quiet that a drain waits for.
    for (const until = performance.now() + 600; performance.now() < until; ) expect(await ask()).to.equal(502)
    expect(isOver).to.equal(false)
    await draining
    expect(app.listeners.map(listener => listener.listening)).to.deep.equal([false, false])
    expect(existsSync(socket)).to.equal(false)
  })
})
