import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Session } from 'node:inspector/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { newMember } from '../support/client.ts'
import { PROJECT } from '../support/servers.ts'

/** How many files a warm `GET /v1/cart` passes, and the walk through them in docs/architecture.md. */
const FILES_MAX = 20
const TRIES = 30

describe('a warm view of the cart', () => {
  const app = withApp()

  async function view(token: string): Promise<number | undefined> {
    const sent = request(`${app().url}/v1/cart`, { headers: { Authorization: `Bearer ${token}` } })
    sent.end()
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    answer.resume()
    await once(answer, 'end')
    return answer.statusCode
  }

  /** Files of src in which a function is called by one request. Background work may add some: the fewest of some tries count. */
  async function filesOf(token: string): Promise<string[]> {
    const session = new Session()
    session.connect()
    const source = `${pathToFileURL(join(PROJECT, 'src')).href}/`
    const called = async () => {
      const { result } = await session.post('Profiler.takePreciseCoverage') // since the one before
      return result
        .filter(({ url, functions }) => url.startsWith(source) && functions.some(({ ranges }) => ranges[0]?.count))
        .map(({ url }) => url.slice(source.length))
        .sort()
    }
    try {
      await session.post('Profiler.enable')
      await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
      const tries: string[][] = []
      for (let n = 0; n < TRIES; n++) {
        await called()
        expect(await view(token)).to.equal(200)
        tries.push(await called())
      }
      return tries.sort((a, b) => a.length - b.length)[0] ?? []
    } finally {
      await session.post('Profiler.stopPreciseCoverage')
      session.disconnect()
    }
  }

  it(`passes at most ${FILES_MAX} files, which docs/architecture.md names`, async () => {
    const me = await newMember(app().url)
    await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 2 })
    for (let n = 0; n < 3; n++) expect((await me.get('/v1/cart')).status).to.equal(200)
    const files = await filesOf(me.token ?? '')
    expect(files).to.include('cart/cart-reader.ts')
    expect(files.length, files.join(', ')).to.be.at.most(FILES_MAX)
    const walk = readFileSync(join(PROJECT, 'docs/architecture.md'), 'utf8')
    expect(files.filter(file => !walk.includes(file.replace(/\.ts$/, '')))).to.deep.equal([])
  })
})
