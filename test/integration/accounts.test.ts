import { expect } from 'chai'
import { createConnection, type Connection } from 'mysql2/promise'
import { isAppError } from '../../src/lib/errors.ts'
import { slotOf } from '../../src/sharding/slots.ts'
import { loginRows, userRows } from '../../src/store/users.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { newEmail } from '../support/client.ts'
import { testServers } from '../support/servers.ts'

/** Registrations that died between their steps (accounts/registration.ts names them). */
describe('a registration', () => {
  let app: TestApp
  let admins: Connection[]
  before(async () => {
    app = await startApp()
    admins = await Promise.all(testServers().adminUrls.shards.map(uri => createConnection({ uri })))
  })
  after(async () => {
    await app.close()
    await Promise.all(admins.map(admin => admin.end()))
  })

  const register = (email: string) => app.registrations.register({ email, password: 'a long password', name: '' })
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      (error: unknown) => (isAppError(error) ? error.code : String(error)),
    )
  async function reserve(email: string, userId: string, ageS: number): Promise<void> {
    await app.router.write(email, (tx, { slot }) => loginRows.reserve(tx, email, slot, userId))
    const admin = admins[slotOf(email) < 512 ? 0 : 1] as Connection
    await admin.query('UPDATE logins SET reserved_at = reserved_at - INTERVAL ? SECOND WHERE address = ?', [
      ageS,
      email,
    ])
  }
  const users = async (email: string) => {
    const counts = await Promise.all(
      admins.map(admin => admin.query("SELECT user_id FROM users WHERE email = ? AND kind = 'member'", [email])),
    )
    return counts.flatMap(([rows]) => rows as { user_id: string }[]).length
  }

  it('that is still under way is not disturbed', async () => {
    const email = newEmail()
    await reserve(email, '8000001', 0)
    expect(await codeOf(register(email))).to.equal('email_taken')
  })

  it('that died before the user was made does not lock the address out', async () => {
    const email = newEmail()
    await reserve(email, '8000002', 60)
    const { id } = await register(email)
    expect(await loginRows.find(app.router.of(email), email, 10)).to.include({ userId: id, state: 'confirmed' })
    expect(await users(email)).to.equal(1)
  })

  it('that was given up cannot be finished late by the process that began it', async () => {
    const email = newEmail()
    await reserve(email, '8000003', 60)
    await register(email)
    const late = app.router.write('8000003', (tx, { slot }) =>
      userRows.insert(tx, { id: '8000003', slot, kind: 'member', email, name: '', passwordHash: 'x' }),
    )
    expect(await codeOf(late)).to.include('DuplicateKeyError')
    expect(await users(email)).to.equal(1)
  })

  it('that died before it was confirmed is a user, and the address is taken', async () => {
    const email = newEmail()
    const { id } = await register(email)
    const admin = admins[slotOf(email) < 512 ? 0 : 1] as Connection
    await admin.query(
      "UPDATE logins SET state = 'reserved', reserved_at = reserved_at - INTERVAL 60 SECOND WHERE address = ?",
      [email],
    )
    expect(await codeOf(register(email))).to.equal('email_taken')
    expect(await loginRows.find(app.router.of(email), email, 10)).to.include({ userId: id })
  })

  it('that races with others for an abandoned address makes one user', async () => {
    const email = newEmail()
    await reserve(email, '8000005', 60)
    const codes = await Promise.all([1, 2, 3, 4, 5].map(() => codeOf(register(email))))
    expect(codes.filter(code => code === 'none')).to.have.length(1)
    expect(await users(email)).to.equal(1)
  })
})
