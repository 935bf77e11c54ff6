import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { createConnection, type Connection } from 'mysql2/promise'
import { unavailable } from '../../src/lib/errors.ts'
import { slotOf } from '../../src/sharding/slots.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { testServers } from '../support/servers.ts'

const PAGE = { offset: 0, limit: 100 }

/** Changes of many carts of one shard that arrive together. */
describe('changes of many carts', () => {
  let one: TestApp
  let two: TestApp
  let shard: Connection
  /** Carts whose next fence on instance one is not acknowledged. */
  const unfenced = new Set<string>()

  before(async () => {
    ;[one, two] = await Promise.all([
      startApp(
        {},
        {},
        {
          wrap: {
            cacheRedis: redis => ({
              ...redis,
              call: (library, name, keys, args) => {
                const userIds = keys.map(key => /^\{u:(\d+)\}/.exec(key)?.[1] ?? '')
                if (name === 'fence' && userIds.some(userId => unfenced.delete(userId)))
                  return Promise.reject(unavailable('cache', new Error('planted')))
                return redis.call(library, name, keys, args)
              },
            }),
          },
        },
      ),
      startApp(),
    ])
    shard = await createConnection({ uri: testServers().adminUrls.shards[0] as string })
  })
  after(async () => {
    await Promise.all([one.close(), two.close(), shard.end()])
  })

  async function carts(count: number): Promise<string[]> {
    const found: string[] = []
    while (found.length < count) {
      const userId = await one.registrations.newGuest()
      if (slotOf(userId) < 512) found.push(userId)
    }
    return found
  }
  const add = (app: TestApp, userId: string, key?: string) =>
    app.carts.addLines(
      { userId, idempotency: key === undefined ? undefined : { key, fingerprint: 'f' } },
      [{ sku: 'T-001', quantity: 1 }],
      ['#/sku'],
    )
  const stateOf = async (app: TestApp, userId: string) => {
    const { body } = await app.reader.view(userId, PAGE)
    const { version, lines } = JSON.parse(body.toString()) as { version: number; lines: { quantity: number }[] }
    return { version, quantities: lines.map(({ quantity }) => quantity) }
  }
  const once = { version: 1, quantities: [1] }
  const groups = async (app: TestApp) => {
    const { values } = await app.metrics.cartGroups.get()
    const of = (name: string) => values.find(({ metricName }) => metricName?.endsWith(name))?.value ?? 0
    return { transactions: of('_count'), carts: of('_sum') }
  }

  it('are written in few transactions, each cart as if it were alone', async () => {
    const before = await groups(one)
    const users = await carts(24)
    const changed = await Promise.all(users.map((userId, at) => add(one, userId, at % 2 ? `key-${at}` : undefined)))
    expect(changed.map(({ version }) => version)).to.deep.equal(users.map(() => 1))
    const after = await groups(one)
    expect(after.carts - before.carts).to.equal(24)
    expect(after.transactions - before.transactions).to.be.below(8)
    for (const userId of users) expect(await stateOf(two, userId)).to.deep.equal(once)
    const again = await Promise.all(users.map((userId, at) => add(two, userId, at % 2 ? `key-${at}` : `new-${at}`)))
    expect(again.map(({ replayed }) => replayed)).to.deep.equal(users.map((_, at) => at % 2 === 1))
    expect(again.map(({ version }) => version)).to.deep.equal(users.map((_, at) => (at % 2 ? 1 : 2)))
  })

  it('go through when one of the carts has moved on', async () => {
    const users = await carts(8)
    await Promise.all(users.map(userId => add(one, userId)))
    const [moved] = users
    await shard.query('UPDATE carts SET version = 7 WHERE user_id = ?', [moved])
    const changed = await Promise.all(users.map(userId => add(one, userId)))
    expect(changed.map(({ version }) => version)).to.deep.equal([8, 2, 2, 2, 2, 2, 2, 2])
    for (const userId of users) expect((await stateOf(two, userId)).quantities).to.deep.equal([2])
  })

  it('happen once for each key, whichever instance they come to', async () => {
    const users = await carts(12)
    const both = await Promise.all(
      [one, two, one, two].map(app => Promise.all(users.map(userId => add(app, userId, 'same')))),
    )
    expect(both.flat().filter(({ replayed }) => !replayed)).to.have.length(users.length)
    for (const userId of users) expect(await stateOf(one, userId)).to.deep.equal(once)
  })

  it('lose nothing to changes of the same carts on another instance', async () => {
    const users = await carts(10)
    const rounds = Array.from({ length: 6 }, () => [one, two]).flat()
    await Promise.all(rounds.flatMap(app => users.map(userId => add(app, userId))))
    for (const userId of users) expect(await stateOf(one, userId)).to.deep.equal({ version: 12, quantities: [12] })
  })

  it('of a group that waits for a lock go through; the next group does not wait for it', async () => {
    const users = await carts(12)
    const [locked] = users
    await shard.query('START TRANSACTION')
    await shard.query('UPDATE carts SET version = version WHERE user_id = ?', [locked])
    const first = users.slice(0, 6).map(userId => add(one, userId))
    let isFirstDone = false
    const firstDone = Promise.all(first).then(() => {
      isFirstDone = true
    })
    await sleep(20)
    await Promise.all(users.slice(6).map(userId => add(one, userId)))
    expect(isFirstDone, 'the group with the locked cart').to.equal(false)
    await Promise.all(first.slice(1)) // alone, after the server has given up waiting for the lock
    expect(isFirstDone, 'the locked cart itself').to.equal(false)
    await shard.query('ROLLBACK')
    await firstDone
    for (const userId of users) expect(await stateOf(two, userId)).to.deep.equal(once)
  })

  it('are not committed without a fence', async () => {
    const users = await carts(6)
    unfenced.add(users[3] ?? '')
    await Promise.all(users.map(userId => add(one, userId)))
    expect(unfenced.size).to.equal(0)
    for (const userId of users) expect(await stateOf(two, userId)).to.deep.equal(once)
  })

  it('go alone over one endpoint that may be several servers', async () => {
    const { addresses } = testServers()
    const single = await startApp({ router: 'single' }, { shards: addresses.shards.slice(0, 1) })
    try {
      const users = await carts(6)
      await Promise.all(users.map(userId => add(single, userId)))
      expect((await groups(single)).carts).to.equal(0)
      for (const userId of users) expect(await stateOf(single, userId)).to.deep.equal(once)
    } finally {
      await single.close()
    }
  })
})
