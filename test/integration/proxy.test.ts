import { connect, createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Proxy, startProxy, type Toxics } from '../faults/proxy.ts'
import { startStopwatch } from '../support/stopwatch.ts'

/** The proxy of the fault runner does what it says: a fault that is not there would prove nothing. */
describe('the proxy', () => {
  let echo: Server
  let proxy: Proxy
  let ended = 0

  before(async () => {
    echo = createServer(socket => {
      socket.on('data', chunk => socket.write(chunk))
      socket.on('error', () => undefined)
      socket.on('end', () => ended++)
    })
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve))
    proxy = await startProxy((echo.address() as AddressInfo).port)
  })
  afterEach(() => proxy.set({}))
  after(async () => {
    await proxy.close()
    await new Promise(resolve => echo.close(resolve))
  })

  /** Sends a text and says what came back, in how many pieces and after how long; `undefined` when the connection was lost. */
  async function exchange(text: string, toxics: Toxics, msMax = 1_000) {
    const socket = connect({ host: '127.0.0.1', port: proxy.port })
    await new Promise(resolve => socket.once('connect', resolve))
    proxy.set(toxics)
    const elapsed = startStopwatch()
    const pieces: string[] = []
    let isLost = false
    socket.on('data', chunk => pieces.push(chunk.toString()))
    socket.on('error', () => {
      isLost = true
    })
    socket.on('close', () => {
      isLost = true
    })
    socket.write(text)
    while (pieces.join('').length < text.length && !isLost && elapsed().ranMs < msMax) await sleep(1)
    return {
      text: pieces.join(''),
      pieces: pieces.length,
      isLost,
      ms: elapsed().wallMs,
      ranMs: elapsed().ranMs,
      socket,
    }
  }

  it('lets everything through as it is', async () => {
    const { text, isLost, socket } = await exchange('x'.repeat(100_000), {})
    expect([text.length, isLost]).to.deep.equal([100_000, false])
    socket.destroy()
  })

  it('delays, each way', async () => {
    const { text, ms, ranMs, socket } = await exchange('hello', { latencyMs: 60, jitterMs: 10 })
    expect(text).to.equal('hello')
    expect(ms).to.be.at.least(100)
    expect(ranMs).to.be.below(500)
    socket.destroy()
  })

  it('cuts into slices, in order', async () => {
    // So many slices that a reader who comes late does not find all of them at once.
    const sent = Array.from({ length: 200 }, (_, n) => String(n % 10)).join('')
    const { text, pieces, socket } = await exchange(sent, { sliceBytes: 1 }, 10_000)
    expect(text).to.equal(sent)
    expect(pieces).to.be.above(3)
    socket.destroy()
  })

  it('resets when the answer comes, after the server has done its work', async () => {
    const { text, isLost } = await exchange('done', { resetChance: 1 })
    expect([text, isLost]).to.deep.equal(['', true])
  })

  it('resets what is open, and what is opened, while it is cut', async () => {
    const { socket } = await exchange('hello', {})
    const gone = new Promise(resolve => socket.once('close', resolve))
    proxy.set({ isCut: true })
    await gone
    const late = connect({ host: '127.0.0.1', port: proxy.port })
    late.on('error', () => undefined)
    await new Promise(resolve => late.once('close', resolve))
  })

  for (const blackHole of ['requests', 'answers', 'both'] as const) {
    it(`holds back ${blackHole}, and delivers them late`, async () => {
      const { text, isLost, socket } = await exchange('late', { blackHole }, 150)
      expect([text, isLost]).to.deep.equal(['', false])
      const arrived = new Promise(resolve => socket.once('data', chunk => resolve(chunk.toString())))
      proxy.set({})
      expect(await arrived).to.equal('late')
      socket.destroy()
    })
  }

  it('closes one side and leaves the other open', async () => {
    const before = ended
    const { text, isLost, socket } = await exchange('half', { halfCloseChance: 1 }, 150)
    expect([text, isLost], 'the client waits').to.deep.equal(['', false])
    expect(ended, 'the server has heard the end').to.equal(before + 1)
    socket.destroy()
  })
})
