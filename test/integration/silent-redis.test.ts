import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { connectRedis, type RedisConnection } from '../../src/lib/redis.ts'
import { FIXED } from '../../src/model/limits.ts'
import { type Proxy, startProxy } from '../faults/proxy.ts'
import { eventually } from '../support/client.ts'
import { testServers } from '../support/servers.ts'

/** A connection that neither side has closed, and that delivers nothing any more: the next hop has forgotten it. */
describe('a connection to Redis that has died silently', () => {
  let proxy: Proxy
  let redis: RedisConnection

  before(async () => {
    const url = new URL(testServers().addresses.cacheRedis)
    proxy = await startProxy(Number(url.port))
    url.port = String(proxy.port)
    redis = connectRedis(
      {
        name: 'cache',
        url: url.href,
        commandMsMax: 50,
        connectMsMax: FIXED.redisConnectMsMax,
        failuresToOpen: FIXED.breakerFailures,
        openMs: 100,
      },
      () => undefined,
    )
    await eventually('the connection is ready', () => redis.client.status === 'ready')
  })
  after(async () => {
    await redis.close()
    await proxy.close()
  })

  const answers = () =>
    redis.ping().then(
      () => true,
      () => false,
    )

  it('is replaced, while new connections go through', async () => {
    const firstId = await redis.run(client => client.client('ID'))
    // The server's side is closed with the next answer; the client's stays open, and what it sends is lost.
    proxy.set({ halfCloseChance: 1 })
    expect(await answers()).to.equal(false)
    proxy.set({})
    await eventually('commands are answered again', answers)
    expect(await redis.run(client => client.client('ID'))).not.to.equal(firstId)
  })

  it('stays as it is when only a few commands are late', async () => {
    const id = await redis.run(client => client.client('ID'))
    proxy.set({ latencyMs: 80 })
    for (let n = 0; n < 2; n++) expect(await answers()).to.equal(false)
    proxy.set({})
    await eventually('commands are answered again', answers)
    expect(await redis.run(client => client.client('ID'))).to.equal(id)
  })

  it('is made anew where ioredis has given up, as it does when a failover is announced while it connects', async () => {
    redis.client.disconnect()
    await eventually('the client has ended', () => redis.client.status === 'end')
    await eventually('commands are answered again', answers)
  })

  it('stays closed when it was closed', async () => {
    await redis.close()
    await eventually('the client has ended', () => redis.client.status === 'end')
    await sleep(1_000)
    expect(redis.client.status).to.equal('end')
  })
})
