import { expect } from 'chai'
import { type Proxy, startProxy } from '../faults/proxy.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { clientOf, eventually, newMember } from '../support/client.ts'
import { testServers } from '../support/servers.ts'

/** Two instances, each with its own way to a sessions Redis that may be replaced (sessions/master-lease.ts). */
describe('an instance that may not believe its sessions Redis', () => {
  const proxies: Proxy[] = []
  const apps: TestApp[] = []

  before(async () => {
    for (let instance = 0; instance < 2; instance++) {
      const url = new URL(testServers().addresses.sessionsRedis)
      const proxy = await startProxy(Number(url.port))
      proxies.push(proxy)
      url.port = String(proxy.port)
      apps.push(await startApp({ sessionsReplicas: 1 }, { sessionsRedis: url.href }))
    }
  })
  after(async () => {
    for (const app of apps) await app.close()
    for (const proxy of proxies) await proxy.close()
  })

  it('hands requests to one that may, as when it drains; and answers 503 where none may', async () => {
    const [here, there] = [apps[0]?.url ?? '', apps[1]?.url ?? '']
    const { token } = await newMember(there)
    const view = async (url: string) => (await clientOf(url, token).get('/v1/cart')).status
    const add = (url: string, key?: string) =>
      clientOf(url, token).post('/v1/cart/lines', { sku: 'T-001', quantity: 1 }, key ? { 'Idempotency-Key': key } : {})
    expect([await view(here), await view(there)]).to.deep.equal([200, 200])

    proxies[0]?.set({ blackHole: 'both' })
    await eventually('the instance hands reads on', async () => (await view(here)) === 502)
    expect((await add(here, 'once')).status, 'nginx gives a write with a key to another').to.equal(502)
    expect((await add(here)).status, 'and no other').to.equal(503)
    expect(await view(there)).to.equal(200)

    proxies[1]?.set({ blackHole: 'both' })
    await eventually('no other may either', async () => (await view(here)) === 503 && (await view(there)) === 503)

    for (const proxy of proxies) proxy.set({})
    await eventually('both are back', async () => (await view(here)) === 200 && (await view(there)) === 200)
  })
})
