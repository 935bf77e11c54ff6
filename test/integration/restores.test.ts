import { expect } from 'chai'
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { startApp, type TestApp } from '../support/app.ts'
import { type Client, clientOf, eventually, newMember } from '../support/client.ts'
import { shardOf, testServers } from '../support/servers.ts'

/** A database that is restored to an earlier state while the cache still has carts of the time after it. */
describe('after a restore', () => {
  let app: TestApp | undefined
  let db: Connection
  let member: Client & { userId: string }
  const running = () => app ?? expect.fail('no app')

  async function begin(): Promise<void> {
    app = await startApp()
    member = await newMember(app.url)
    const url = testServers().adminUrls.shards[shardOf(member.userId)] ?? ''
    db = await createConnection({ uri: url, supportBigNumbers: true, bigNumberStrings: true, dateStrings: true })
  }
  async function startAgain(): Promise<void> {
    app = await startApp()
    member = Object.assign(clientOf(app.url, member.token), { userId: member.userId })
  }
  afterEach(async () => {
    await app?.close()
    app = undefined
    await db.end()
  })

  const tables: Readonly<Record<string, string>> = {
    carts: 'user_id = ?',
    cart_lines: 'user_id = ?',
    cache_mode: '? IS NOT NULL',
    restore_clock: '? IS NOT NULL',
  }
  type Backup = Readonly<Record<string, RowDataPacket[]>>

  /** The rows of one cart, and those that say how old the database is. */
  async function backUp(): Promise<Backup> {
    const rows = Object.entries(tables).map(async ([table, where]) => {
      const [found] = await db.query<RowDataPacket[]>(`SELECT * FROM ${table} WHERE ${where}`, [member.userId])
      return [table, found] as const
    })
    return Object.fromEntries(await Promise.all(rows))
  }

  async function restore(backup: Backup, except: readonly string[] = []): Promise<void> {
    await db.beginTransaction()
    for (const [table, where] of Object.entries(tables)) {
      if (except.includes(table)) continue
      await db.query(`DELETE FROM ${table} WHERE ${where}`, [member.userId])
      for (const row of backup[table] ?? []) await db.query(`INSERT INTO ${table} SET ?`, [row])
    }
    await db.commit()
  }

  const ticks = async (): Promise<number> => {
    const [[row]] = await db.query<RowDataPacket[]>("SELECT ticks FROM restore_clock WHERE name = 'ticks'")
    return Number(row?.['ticks'])
  }

  const epoch = async (): Promise<number> => {
    const [[row]] = await db.query<RowDataPacket[]>('SELECT epoch FROM cache_mode')
    return Number(row?.['epoch'])
  }

  const quantity = async () => (await member.get('/v1/cart')).body.lines[0].quantity as number

  /** 1 when the backup is made, 5 in the future that is lost, and that is cached. */
  async function lostFuture(change?: () => Promise<void>): Promise<Backup> {
    await member.put('/v1/cart/lines/T-001', { quantity: 1 })
    const backup = await backUp()
    const before = await ticks()
    await eventually('the clock goes on', async () => (await ticks()) > before + 1)
    await change?.()
    await member.put('/v1/cart/lines/T-001', { quantity: 5 })
    expect(await quantity()).to.equal(5)
    return backup
  }

  /** The one that an older release would take next. */
  async function nextEpoch(): Promise<void> {
    await db.query('UPDATE cache_mode SET epoch = epoch + 1')
    await eventually('the new epoch is read', async () => {
      const { lease } = running().modes
      return lease(running().router.of(member.userId)) === (await epoch())
    })
  }

  it('no cart of the lost future is shown by an instance that starts', async () => {
    await begin()
    const backup = await lostFuture()
    await running().close()
    await restore(backup)
    await startAgain()
    expect(await quantity()).to.equal(1)
    await member.put('/v1/cart/lines/T-002', { quantity: 2 })
    expect(await quantity()).to.equal(1)
  })

  it('nor by one that has gone on meanwhile, once it has heard of it', async () => {
    await begin()
    const backup = await lostFuture(nextEpoch)
    await restore(backup)
    await eventually('the restored cart is shown', async () => (await quantity()) === 1, 5_000)
    await eventually('the cache is on again', async () => {
      const [[row]] = await db.query<RowDataPacket[]>('SELECT state FROM cache_mode')
      return row?.['state'] === 'on'
    })
    expect(await epoch()).to.be.above(Number(backup['cache_mode']?.[0]?.['epoch']) + 1)
    expect(await quantity()).to.equal(1)
  })

  it('it would be shown if nothing said that the database is behind (the control); the command drops it', async () => {
    await begin()
    const backup = await lostFuture()
    await running().close()
    await restore(backup, ['restore_clock'])
    await startAgain()
    expect(await quantity()).to.equal(5)
    await running().modes.renew(running().router.of(member.userId))
    expect(await quantity()).to.equal(1)
  })

  it('of the global database the catalogue gets a version that was never used', async () => {
    await begin()
    const { catalog } = running()
    const url = testServers().adminUrls.global
    const global = await createConnection({ uri: url })
    try {
      const before = catalog.version()
      const clock = async () => {
        const [[row]] = await global.query<RowDataPacket[]>('SELECT ticks FROM restore_clock')
        return Number(row?.['ticks'])
      }
      const first = await clock()
      await eventually('the clock goes on', async () => (await clock()) > first + 1)
      await global.query('UPDATE restore_clock SET ticks = ?', [first])
      await eventually('the catalogue moves on', () => catalog.version() >= before + 10_000)
    } finally {
      await global.end()
    }
  })
})
