import { expect } from 'chai'
import { createConnection } from 'mysql2/promise'
import { isAppError } from '../../src/lib/errors.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { slotOf } from '../../src/sharding/slots.ts'
import { cartRows } from '../../src/store/carts.ts'
import { type Database, DuplicateKeyError, openDatabase } from '../../src/store/database.ts'
import { idempotencyKeys } from '../../src/store/idempotency.ts'
import { createIds } from '../../src/store/ids.ts'
import { migrateShards, migrationStatus } from '../../src/store/migrate.ts'
import { createSingleRouter, createSlotRouter, type Router } from '../../src/store/shard-router.ts'
import { loginRows, userRows } from '../../src/store/users.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { testServers } from '../support/servers.ts'

const log = createLog('silent')
let ids = 7_000_000

describe('the store', () => {
  const opened: Database[] = []
  const open = (name: string, url: string, limits = DEFAULT_LIMITS) => {
    const database = openDatabase({ name, url, limits }, createMetrics(), log)
    opened.push(database)
    return database
  }
  let shards: Database[]
  let router: Router

  before(async () => {
    shards = testServers().addresses.shards.map((url, index) => open(`shard-${index}`, url))
    router = await createSlotRouter(shards)
  })
  after(() => Promise.all(opened.map(database => database.close())))

  async function newCart(): Promise<string> {
    const id = String(++ids)
    await router.write(id, async (tx, { slot }) => {
      await userRows.insert(tx, { id, slot, kind: 'guest', email: '', name: '', passwordHash: '' })
      await cartRows.insert(tx, id, slot, 'member')
    })
    return id
  }
  const to = (version: number) => ({
    version,
    catalogVersion: 1,
    digest: 'd',
    codes: [],
    rulesStamp: 0,
    totals: '',
    pricedAtMs: 0,
    ordersPlaced: 0,
    uses: {},
  })

  it('refuses writes for which there is no room, says so, reads on, and knows when there is room again', async () => {
    const { addresses, adminUrls } = testServers()
    const admin = await createConnection(adminUrls.shards[0]!)
    try {
      // A table that cannot grow gives the very error of a full disk: 1114.
      await admin.query('SET SESSION max_heap_table_size = 16384')
      await admin.query('CREATE TABLE no_room (n INT NOT NULL PRIMARY KEY, text CHAR(250) NOT NULL) ENGINE = MEMORY')
      const database = open('shard-0', addresses.shards[0]!)
      const other = open('shard-1', addresses.shards[1]!)
      const insert = (n: number) =>
        database.transaction(tx => tx.run('INSERT INTO no_room (n, text) VALUES (?, ?)', [n, 'x'.repeat(250)]))
      let error: unknown
      let written = 0
      for (; error === undefined && written < 10_000; written++)
        error = await insert(written).then(
          () => undefined,
          (found: unknown) => found,
        )
      expect(isAppError(error, 'unavailable') && [error.extra, error.retryAfterS]).to.deep.equal([
        { dependency: 'shard-0' },
        1,
      ])
      expect([database.isFull(), other.isFull()]).to.deep.equal([true, false])
      // More refusals than a breaker waits for: the shard is read all the same.
      for (let again = 0; again < 20; again++)
        expect(isAppError(await insert(written).catch((found: unknown) => found), 'unavailable')).to.equal(true)
      expect((await database.rows('SELECT n FROM no_room WHERE n = 0', [])).length).to.equal(1)
      expect(database.isFull()).to.equal(true)
      await admin.query('DELETE FROM no_room')
      await insert(1)
      expect(database.isFull()).to.equal(false)
    } finally {
      await admin.query('DROP TABLE IF EXISTS no_room')
      await admin.end()
    }
  })

  it('writes where the slot says and nowhere else', async () => {
    const id = await newCart()
    const owner = slotOf(id) < 512 ? 0 : 1
    expect(await cartRows.load(shards[owner] as Database, id)).to.include({ version: 0 })
    expect(await cartRows.load(shards[1 - owner] as Database, id)).to.equal(undefined)
  })

  it('loses no update: of two that read the same version, one is told', async () => {
    const id = await newCart()
    const results = await Promise.all(
      [1, 2, 3, 4].map(() => router.write(id, tx => cartRows.advance(tx, id, 0, to(1)))),
    )
    expect(results.filter(Boolean)).to.have.length(1)
  })

  it('undoes everything of a transaction that fails', async () => {
    const id = await newCart()
    const failed = router.write(id, async (tx, { slot }) => {
      await cartRows.advance(tx, id, 0, to(1))
      await cartRows.writeLines(tx, id, slot, {
        upserts: [{ sku: 'x', quantity: 1, selected: true, note: '', position: 1 }],
        removals: [],
      })
      throw new Error('stop')
    })
    expect(await failed.catch((error: Error) => error.message)).to.equal('stop')
    expect(await cartRows.load(router.of(id), id)).to.deep.include({ version: 0, lines: [] })
  })

  it('advances many carts at once, or says that one of them was elsewhere', async () => {
    const [a, b, c] = [await newCartOn(0), await newCartOn(0), await newCartOn(0)]
    const shard = shards[0] as Database
    const advance = (userIds: readonly string[], version: number) => {
      const carts = userIds.map(userId => ({ userId, slot: slotOf(userId), buyerGroup: 'member', to: to(version) }))
      return shard
        .transaction(async tx => {
          const [outcome] = await tx.batch([cartRows.advanceMany(carts)])
          if (!cartRows.haveAdvanced(outcome, userIds.length)) throw new Error('elsewhere')
        })
        .then(
          () => 'all',
          ({ message }: Error) => (message.includes('out of range') ? 'elsewhere' : message),
        )
    }
    const versions = async () =>
      (await Promise.all([a, b, c].map(id => cartRows.load(shard, id)))).map(cart => cart?.version)
    expect(await advance([a, b, c], 1)).to.equal('all')
    expect(await versions()).to.deep.equal([1, 1, 1])
    expect(await advance([a], 2)).to.equal('all')
    for (const version of [1, 2, 3, 4]) {
      expect(await advance([a, b, c], version), `to ${version}`).to.equal('elsewhere')
      expect(await versions()).to.deep.equal([2, 1, 1])
    }
    const gone = String(BigInt(c) + 1_000_000n)
    expect(await advance([b, gone], 2), 'a cart that is not there').to.equal('elsewhere')
    expect(await cartRows.load(shard, gone)).to.equal(undefined)
    await shard.transaction(tx => cartRows.mergeGuestCart(tx, c, a))
    expect(await advance([b, c], 3), 'a cart that has been handed over').to.equal('elsewhere')
    expect(await advance([b], 2)).to.equal('all')
    expect(await versions()).to.deep.equal([2, 2, 2])
  })

  it('does not advance a cart that was elsewhere, whatever mode the server is in', async () => {
    const id = await newCartOn(0)
    const connection = await createConnection({ uri: testServers().adminUrls.shards[0] as string })
    const { sql, values } = cartRows.advanceMany([{ userId: id, slot: slotOf(id), buyerGroup: 'member', to: to(7) }])
    try {
      for (const mode of ['', 'STRICT_ALL_TABLES', 'NO_UNSIGNED_SUBTRACTION']) {
        await connection.query('SET SESSION sql_mode = ?', [mode])
        const failed = await connection.query(sql, [...values]).catch((error: unknown) => error)
        expect(failed, mode).to.include({ errno: 1690 })
      }
    } finally {
      await connection.end()
    }
    expect((await cartRows.load(shards[0] as Database, id))?.version).to.equal(0)
  })

  it('runs a batch up to the first statement that fails, and keeps nothing of it', async () => {
    const id = await newCartOn(0)
    const shard = shards[0] as Database
    const claims = ['k', 'k'].map(key => {
      const answer = { fingerprint: 'f', status: 200, version: 1, body: "it's; DELETE FROM carts; -- {}" }
      return idempotencyKeys.claimMany([{ userId: id, slot: slotOf(id), key, answer }])
    })
    const failed = await shard.transaction(tx => tx.batch(claims)).catch((error: Error) => error.name)
    expect(failed).to.equal('DuplicateKeyError')
    expect(await idempotencyKeys.find(shard, id, 'k')).to.equal(undefined)
    await shard.transaction(tx => tx.batch(claims.slice(1)))
    expect((await idempotencyKeys.find(shard, id, 'k'))?.body).to.equal("it's; DELETE FROM carts; -- {}")
    expect(await cartRows.load(shard, id)).to.include({ version: 0 })
  })

  it('runs a transaction that met a deadlock again', async () => {
    const [a, b] = [await newCartOn(0), await newCartOn(0)]
    const shard = shards[0] as Database
    let runs = 0
    const crossing = (first: string, second: string) =>
      shard.transaction(async tx => {
        runs++
        await cartRows.loadLocked(tx, first)
        await new Promise(resolve => setTimeout(resolve, 50))
        await cartRows.loadLocked(tx, second)
      })
    await Promise.all([crossing(a, b), crossing(b, a)])
    expect(runs).to.be.above(2)
  })

  async function newCartOn(shard: number): Promise<string> {
    for (;;) {
      const id = await newCart()
      if (slotOf(id) < 512 === (shard === 0)) return id
    }
  }

  it('claims an idempotency key once', async () => {
    const id = await newCart()
    const answer = { fingerprint: 'f', status: 200, version: 1, body: '{}' }
    const claim = () => router.write(id, (tx, { slot }) => idempotencyKeys.claim(tx, id, slot, 'k', answer))
    await claim()
    expect(await claim().catch((error: unknown) => error)).to.be.instanceOf(DuplicateKeyError)
    expect(await idempotencyKeys.find(router.of(id), id, 'k')).to.deep.equal(answer)
  })

  it('forgets idempotency keys by age, and younger ones not', async () => {
    const id = await newCart()
    const answer = { fingerprint: 'f', status: 200, version: 1, body: '{}' }
    await router.write(id, (tx, { slot }) => idempotencyKeys.claim(tx, id, slot, 'old', answer))
    await router.write(id, (tx, { slot }) => idempotencyKeys.claim(tx, id, slot, 'new', answer))
    const admin = await createConnection({ uri: testServers().adminUrls.shards[slotOf(id) < 512 ? 0 : 1] ?? '' })
    await admin.query(
      "UPDATE idempotency SET created_at = created_at - INTERVAL 49 HOUR WHERE user_id = ? AND idempotency_key = 'old'",
      [id],
    )
    await admin.end()
    expect(await idempotencyKeys.sweep(router.of(id), 48)).to.equal(1)
    expect(await idempotencyKeys.find(router.of(id), id, 'old')).to.equal(undefined)
    expect(await idempotencyKeys.find(router.of(id), id, 'new')).to.deep.equal(answer)
  })

  it('hands out ids in blocks, never one twice, from several instances', async () => {
    const global = open('global', testServers().addresses.global)
    const makers = [createIds(global, 'user', 10), createIds(global, 'user', 10)] as const
    const made = await Promise.all(Array.from({ length: 100 }, (_, n) => (n % 2 ? makers[0] : makers[1]).next()))
    expect(new Set(made).size).to.equal(100)
  })

  describe('behind the guard of a slot', () => {
    const slot = () => slotOf('424242')
    let admins: Awaited<ReturnType<typeof createConnection>>[]
    before(async () => {
      admins = await Promise.all(testServers().adminUrls.shards.map(uri => createConnection({ uri })))
    })
    after(async () => {
      for (const admin of admins) {
        await admin.query('UPDATE slots SET shard = ?, epoch = 9, state = ? WHERE slot = ?', [
          slot() < 512 ? 'shard-0' : 'shard-1',
          'active',
          slot(),
        ])
        await admin.end()
      }
    })

    it('an instance with an old map is told, learns the new one and writes to the new owner', async () => {
      const stale = await createSlotRouter(shards)
      const before = stale.of('424242').name
      const after = before === 'shard-0' ? 'shard-1' : 'shard-0'
      for (const admin of admins)
        await admin.query('UPDATE slots SET shard = ?, epoch = 2 WHERE slot = ?', [after, slot()])
      const wrote = await stale.write('424242', async (_, guard) => guard.shard)
      expect(wrote).to.equal(after)
      expect(stale.of('424242').name).to.equal(after)
    })

    it('nothing is written while a slot moves; the client is told to come back', async () => {
      for (const admin of admins)
        await admin.query("UPDATE slots SET state = 'moving', epoch = 3 WHERE slot = ?", [slot()])
      const refused = await router.write('424242', async () => 'written').catch((error: unknown) => error)
      expect(isAppError(refused, 'unavailable')).to.equal(true)
    })
  })

  it('works the same through the single router', async () => {
    const single = createSingleRouter(shards[0] as Database)
    const id = await newCartOn(0)
    expect(single.of(id).name).to.equal('shard-0')
    expect(
      await single.write(id, (tx, guard) => cartRows.advance(tx, id, 0, to(guard.cache.epoch > 0 ? 1 : 9))),
    ).to.equal(true)
    expect(await cartRows.load(single.of(id), id)).to.include({ version: 1 })
  })

  it('bounds the queue for its connections and says so', async () => {
    const small = open('shard-0', testServers().addresses.shards[0] ?? '', {
      ...DEFAULT_LIMITS,
      mysqlConnectionsMax: 1,
      mysqlQueueMax: 2,
      mysqlWaitMsMax: 200,
    })
    const slow = () => small.transaction(() => new Promise(resolve => setTimeout(resolve, 300)))
    const codes = await Promise.all(
      Array.from({ length: 6 }, () =>
        slow().then(
          () => 'ok',
          (error: unknown) => (isAppError(error) ? error.code : String(error)),
        ),
      ),
    )
    expect(codes.filter(code => code === 'overloaded').length).to.be.at.least(4)
    expect(await small.rows('SELECT 1 AS one')).to.deep.equal([{ one: 1 }])
  })

  it('gives up on a statement that takes too long, and goes on with a new connection', async () => {
    const database = open('shard-0', testServers().addresses.shards[0] ?? '', {
      ...DEFAULT_LIMITS,
      statementMsMax: 100,
    })
    const gone = await database.rows('SELECT SLEEP(2)').catch((error: unknown) => error)
    expect(isAppError(gone, 'unavailable')).to.equal(true)
    expect(await database.rows('SELECT 2 AS two')).to.deep.equal([{ two: 2 }])
  })

  it('names a server that is not there', async () => {
    const url = new URL(testServers().addresses.shards[0] ?? '')
    url.port = '1'
    const gone = await open('shard-9', url.href)
      .rows('SELECT 1')
      .catch((error: unknown) => error)
    expect(isAppError(gone) && gone.extra['dependency']).to.equal('shard-9')
  })

  it('is migrated once, however many try at once, and an empty shard beside owners is refused', async () => {
    const admin = testServers().adminUrls.shards[0] ?? ''
    const connection = await createConnection({ uri: admin })
    const names = ['migrate_0', 'migrate_1', 'migrate_2']
    const urls = names.map(name => admin.replace(/\/cartload$/, `/${name}`))
    try {
      for (const name of names) await connection.query(`CREATE DATABASE ${name}`)
      const two = urls.slice(0, 2)
      const reports = (await Promise.all([1, 2, 3].map(() => migrateShards(two)))).flat()
      expect(reports.filter(report => report.applied.length > 0)).to.have.length(2)
      expect((await migrationStatus(urls[0] ?? '', 'shard')).pending).to.deep.equal([])
      const [rows] = await connection.query(
        'SELECT MIN(slot) AS first, COUNT(*) AS slots FROM migrate_1.slots WHERE shard = ?',
        ['shard-1'],
      )
      expect(rows).to.deep.equal([{ first: 512, slots: 512 }])
      const refused = await migrateShards(urls).catch((error: Error) => error.message)
      expect(refused).to.include('shard-2: a database without slots')
    } finally {
      for (const name of names) await connection.query(`DROP DATABASE IF EXISTS ${name}`)
      await connection.end()
    }
  })

  it('gives the application no right to change tables', async () => {
    const refused = await (shards[0] as Database)
      .rows('CREATE TABLE cartload.x (a INT)')
      .catch((error: { errno?: number }) => error.errno)
    expect(refused).to.equal(1142)
  })

  it('keeps the login directory: a reservation is taken over from its holder only', async () => {
    const address = `${Date.now()}@directory.example`
    await router.write(address, (tx, { slot }) => loginRows.reserve(tx, address, slot, '11'))
    expect(await router.write(address, tx => loginRows.takeOver(tx, address, '99', '12'))).to.equal(false)
    expect(await router.write(address, tx => loginRows.takeOver(tx, address, '11', '12'))).to.equal(true)
    await router.write(address, tx => loginRows.confirm(tx, address, '12'))
    expect(await router.write(address, tx => loginRows.takeOver(tx, address, '12', '13'))).to.equal(false)
    expect(await loginRows.find(router.of(address), address, 10)).to.deep.equal({
      userId: '12',
      state: 'confirmed',
      abandoned: false,
    })
  })
})
