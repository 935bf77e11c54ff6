import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Session } from 'node:inspector/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { newMember } from '../support/client.ts'
import { PROJECT } from '../support/servers.ts'

/** How many files a warm `GET /v1/cart` passes, and the walk through them in docs/architecture.md. */
const FILES_MAX = 20
const VIEWS = 300

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

  /** Files of src in which a function is called by each of many requests; background work calls its functions less often. */
  async function filesOf(token: string): Promise<string[]> {
    const session = new Session()
    session.connect()
    const source = `${pathToFileURL(join(PROJECT, 'src')).href}/`
    try {
      await session.post('Profiler.enable')
      await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
      await session.post('Profiler.takePreciseCoverage') // what was counted before
      const since = performance.now()
      for (let n = 0; n < VIEWS; n++) expect(await view(token)).to.equal(200)
      const { result } = await session.post('Profiler.takePreciseCoverage')
      await sleep(performance.now() - since)
      const idle = new Map<string, number>()
      for (const { url, functions } of (await session.post('Profiler.takePreciseCoverage')).result)
        for (const { ranges } of functions) idle.set(`${url} ${ranges[0]?.startOffset}`, ranges[0]?.count ?? 0)
      return result
        .filter(({ url, functions }) =>
          functions.some(({ ranges: [range] }) => {
            const count = range?.count ?? 0
            // Called as often without requests: background work, such as that of sales which other tests have left open.
            return count >= VIEWS && (idle.get(`${url} ${range?.startOffset}`) ?? 0) * 4 < count
          }),
        )
        .filter(({ url }) => url.startsWith(source))
        .map(({ url }) => url.slice(source.length))
        .sort()
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
