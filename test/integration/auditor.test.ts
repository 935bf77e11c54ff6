import { expect } from 'chai'
import { startAuditor } from '../../src/cart/cache-auditor.ts'
import { createCartCache, keyOf } from '../../src/cache/cart-cache.ts'
import type { RedisConnection } from '../../src/lib/redis.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { withApp } from '../support/app.ts'
import { eventually, newMember } from '../support/client.ts'
import { connectTo } from '../support/redis.ts'
import { testServers } from '../support/servers.ts'

/** What the auditor says of carts that were tampered with. */
describe('the auditor', () => {
  const app = withApp({ auditPerSecond: 200 })
  let connection: RedisConnection

  before(async () => {
    connection = await connectTo(testServers().addresses.cacheRedis)
  })
  after(() => connection.close())

  async function audited() {
    const { router, limits, metrics } = app()
    let epoch = 0
    const modes = {
      lease: () => epoch,
      suspend: async () => undefined,
      renew: async () => undefined,
      settle: async () => undefined,
      stop: () => undefined,
    }
    const cache = createCartCache(connection)
    const auditor = startAuditor({ router, cache, modes, limits, perSecond: 0, metrics, log: createLog('silent') })
    const member = await newMember(app().url)
    await member.post('/v1/cart/lines', {
      lines: [
        { sku: 'T-001', quantity: 2 },
        { sku: 'T-002', quantity: 1 },
      ],
    })
    await member.put('/v1/cart/lines/T-002', { quantity: 1, selected: false, note: 'für "später"' })
    const pattern = `{u:${member.userId}}:cart:`
    await eventually('the cart is cached', async () => {
      await member.get('/v1/cart')
      for (epoch = 1; epoch < 50; epoch++)
        if ((await connection.client.hget(`${pattern}${epoch}`, 's')) === 'V') return true
      return false
    })
    const key = { userId: member.userId, epoch }
    return { key, audit: () => auditor.audit(key), database: router.of(member.userId) }
  }

  it('finds nothing wrong with a cart as it was written, and audits by itself', async () => {
    const { audit } = await audited()
    expect(await audit()).to.equal('same')
    await eventually('carts are compared', async () => {
      const text = await app().metrics.registry.metrics()
      return Number(/cart_audits_total\{result="same"\} (\d+)/.exec(text)?.[1] ?? 0) > 0
    })
  })

  it('finds a cart that the database has a newer version of', async () => {
    const { key, audit, database } = await audited()
    await database.run('UPDATE carts SET version = version + 1 WHERE user_id = ?', [key.userId])
    expect(await audit()).to.equal('behind')
  })

  it('finds a cart of which the database has lost the last change', async () => {
    const { key, audit, database } = await audited()
    await database.run('UPDATE carts SET version = version - 1 WHERE user_id = ?', [key.userId])
    expect(await audit()).to.equal('ahead')
  })

  it('finds a line that was changed by hand', async () => {
    const { key, audit, database } = await audited()
    await database.run("UPDATE cart_lines SET quantity = 7 WHERE user_id = ? AND sku = 'T-001'", [key.userId])
    expect(await audit()).to.equal('differs')
  })

  it('says nothing of a cart that is not cached', async () => {
    const { key, audit } = await audited()
    await connection.client.del(keyOf(key))
    expect(await audit()).to.equal('moved')
  })
})
