import { hash } from '@node-rs/argon2'
import { expect } from 'chai'
import { AppError } from '../../src/lib/errors.ts'
import { userRows } from '../../src/store/users.ts'
import { withApp } from '../support/app.ts'
import { clientOf, newEmail, newMember, PASSWORD } from '../support/client.ts'

describe('accounts and sessions over HTTP', () => {
  const app = withApp()

  describe('registering', () => {
    it('answers 201 with id and e-mail, and nothing of the password', async () => {
      const email = newEmail()
      const { status, body, text } = await clientOf(app().url).post('/v1/accounts', {
        email,
        password: PASSWORD,
        name: 'Ann',
      })
      expect(status).to.equal(201)
      expect(body).to.include({ email, name: 'Ann' })
      expect(body.id).to.match(/^\d+$/)
      expect(text).not.to.include(PASSWORD)
    })

    it('refuses an address that is taken, in any case and form', async () => {
      const email = newEmail()
      const client = clientOf(app().url)
      await client.post('/v1/accounts', { email, password: PASSWORD })
      for (const again of [email, email.toUpperCase(), ` ${email} `]) {
        const { status, body } = await client.post('/v1/accounts', { email: again, password: PASSWORD })
        expect(status).to.equal(409)
        expect(body.code).to.equal('email_taken')
        expect(body.errors[0].pointer).to.equal('#/email')
      }
    })

    it('makes one account when one address registers many times at once', async () => {
      const email = newEmail()
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => clientOf(app().url).post('/v1/accounts', { email, password: PASSWORD })),
      )
      expect(answers.filter(answer => answer.status === 201)).to.have.length(1)
      expect(answers.filter(answer => answer.status === 409)).to.have.length(7)
    })

    it('replays the answer to a retry with the same key', async () => {
      const client = clientOf(app().url)
      const account = { email: newEmail(), password: PASSWORD }
      const first = await client.post('/v1/accounts', account, { 'Idempotency-Key': 'reg-1' })
      const again = await client.post('/v1/accounts', account, { 'Idempotency-Key': 'reg-1' })
      expect(again.status).to.equal(201)
      expect(again.body).to.deep.equal(first.body)
      expect(again.headers.get('idempotency-replayed')).to.equal('true')
      const other = await client.post(
        '/v1/accounts',
        { ...account, password: 'another password' },
        { 'Idempotency-Key': 'reg-1' },
      )
      expect(other.status).to.equal(422)
    })

    const wrong: [string, unknown, string][] = [
      ['no e-mail', { password: PASSWORD }, '#/email'],
      ['an e-mail that is none', { email: 'nameless', password: PASSWORD }, '#/email'],
      ['a short password', { email: 'a@b.example', password: 'short' }, '#/password'],
      ['a password that is an object', { email: 'a@b.example', password: { password: 1 } }, '#/password'],
      ['an e-mail that is a list', { email: ['a@b.example'], password: PASSWORD }, '#/email'],
      ['an unknown field', { email: 'a@b.example', password: PASSWORD, isAdmin: true }, '#/isAdmin'],
      ['a name with control characters', { email: 'a@b.example', password: PASSWORD, name: 'a\u0000b' }, '#/name'],
    ]
    for (const [what, body, pointer] of wrong) {
      it(`refuses ${what} and points at it`, async () => {
        const answer = await clientOf(app().url).post('/v1/accounts', body)
        expect(answer.status).to.equal(400)
        expect(answer.headers.get('content-type')).to.equal('application/problem+json')
        expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).to.include(pointer)
      })
    }
  })

  describe('logging in', () => {
    it('gives a token that works as a bearer and as a cookie', async () => {
      const member = await newMember(app().url)
      const session = await clientOf(app().url).post('/v1/sessions', { email: member.email, password: PASSWORD })
      expect(session.status).to.equal(201)
      expect(new Date(session.body.expiresAt).getTime()).to.be.above(Date.now())
      const cookie = session.headers.get('set-cookie') ?? ''
      expect(cookie).to.match(/^sid=[^;]+; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Lax$/)
      const byBearer = await clientOf(app().url, session.body.token).get('/v1/me')
      expect(byBearer.body.email).to.equal(member.email)
      const browser = clientOf(app().url)
      browser.cookie = cookie.split(';')[0]
      expect((await browser.get('/v1/me')).body.id).to.equal(member.userId)
    })

    it('gives a new token each time', async () => {
      const member = await newMember(app().url)
      const login = () => clientOf(app().url).post('/v1/sessions', { email: member.email, password: PASSWORD })
      expect((await login()).body.token).not.to.equal((await login()).body.token)
    })

    it('renews a hash of other parameters, and does without where there is no place for it', async () => {
      const { passwords, router } = app()
      const member = await newMember(app().url)
      const database = router.of(member.userId)
      const login = () => clientOf(app().url).post('/v1/sessions', { email: member.email, password: PASSWORD })
      const stored = async () => (await userRows.find(database, member.userId))?.passwordHash ?? ''
      const old = await hash(PASSWORD, { memoryCost: 19_456, timeCost: 2, parallelism: 1 })
      await userRows.rehash(database, member.userId, await stored(), old)
      const { hash: hashNow } = passwords
      passwords.hash = () => Promise.reject(new AppError('overloaded', 'no place'))
      try {
        expect((await login()).status).to.equal(201)
        expect(await stored()).to.equal(old)
      } finally {
        passwords.hash = hashNow
      }
      expect((await login()).status).to.equal(201)
      const renewed = await stored()
      expect(renewed).not.to.equal(old)
      expect(passwords.isOutdated(renewed)).to.equal(false)
      expect((await login()).status).to.equal(201)
      expect(await stored()).to.equal(renewed)
    })

    it('answers an unknown address and a wrong password alike', async () => {
      const member = await newMember(app().url)
      const client = clientOf(app().url)
      const unknown = await client.post('/v1/sessions', { email: newEmail(), password: PASSWORD })
      const wrong = await client.post('/v1/sessions', { email: member.email, password: 'not the password' })
      expect(unknown.status).to.equal(401)
      expect(wrong.status).to.equal(401)
      const { traceId: _, ...one } = unknown.body
      const { traceId: __, ...other } = wrong.body
      expect(one).to.deep.equal(other)
    })

    it('slows down guessing on one account, and says how long to wait', async () => {
      const member = await newMember(app().url)
      const client = clientOf(app().url)
      const statuses: number[] = []
      for (let n = 0; n < 7; n++) {
        const { status, headers } = await client.post('/v1/sessions', {
          email: member.email,
          password: 'wrong password',
        })
        statuses.push(status)
        if (status === 429) expect(Number(headers.get('retry-after'))).to.be.at.least(1)
      }
      expect(statuses.slice(0, 5)).to.deep.equal([401, 401, 401, 401, 401])
      expect(statuses.at(-1)).to.equal(429)
      expect((await client.post('/v1/sessions', { email: member.email, password: PASSWORD })).status).to.equal(429)
    })
  })

  describe('ending sessions', () => {
    it('logs out: the token is worth nothing at once', async () => {
      const member = await newMember(app().url)
      expect((await member.delete('/v1/sessions/current')).status).to.equal(204)
      const { status, body } = await member.get('/v1/me')
      expect(status).to.equal(401)
      expect(body.code).to.equal('session_ended')
    })

    it('logs out everywhere, and others stay logged in', async () => {
      const member = await newMember(app().url)
      const other = await newMember(app().url)
      const second = (await clientOf(app().url).post('/v1/sessions', { email: member.email, password: PASSWORD })).body
        .token
      expect((await member.delete('/v1/sessions')).status).to.equal(204)
      expect((await member.get('/v1/me')).status).to.equal(401)
      expect((await clientOf(app().url, second).get('/v1/me')).status).to.equal(401)
      expect((await other.get('/v1/me')).status).to.equal(200)
    })

    it('takes the cookie of a session that is over away from the browser', async () => {
      const browser = clientOf(app().url)
      browser.cookie = `sid=1.${'a'.repeat(43)}`
      const answer = await browser.get('/v1/me')
      expect(answer.status).to.equal(401)
      expect(answer.headers.get('set-cookie')).to.match(/^sid=; .*1970/)
    })

    it('changes the password: this session goes on, the others end, the old password is over', async () => {
      const member = await newMember(app().url)
      const other = clientOf(
        app().url,
        (await clientOf(app().url).post('/v1/sessions', { email: member.email, password: PASSWORD })).body.token,
      )
      const change = { current: PASSWORD, next: 'a new long password' }
      expect(
        (await member.put('/v1/me/password', { ...change, current: 'not it at all' })).body.errors[0].pointer,
      ).to.equal('#/current')
      expect((await member.put('/v1/me/password', change)).status).to.equal(204)
      expect((await member.get('/v1/me')).status).to.equal(200)
      expect((await other.get('/v1/me')).status).to.equal(401)
      const login = (password: string) => clientOf(app().url).post('/v1/sessions', { email: member.email, password })
      expect((await login(PASSWORD)).status).to.equal(401)
      expect((await login(change.next)).status).to.equal(201)
      expect((await member.put('/v1/me/password', { current: change.next, next: 'and another one' })).status).to.equal(
        204,
      )
    })

    it('replays a password change with the same key instead of refusing the old password', async () => {
      const member = await newMember(app().url)
      const change = { current: PASSWORD, next: 'a new long password' }
      expect((await member.put('/v1/me/password', change, { 'Idempotency-Key': 'pw' })).status).to.equal(204)
      const again = await member.put('/v1/me/password', change, { 'Idempotency-Key': 'pw' })
      expect(again.status).to.equal(204)
      expect(again.headers.get('idempotency-replayed')).to.equal('true')
      const other = await member.put(
        '/v1/me/password',
        { ...change, next: 'quite another one' },
        { 'Idempotency-Key': 'pw' },
      )
      expect(other.status).to.equal(422)
    })

    it('refuses a session of an older epoch, should one have survived in Redis', async () => {
      const member = await newMember(app().url)
      await app().router.write(member.userId, tx =>
        tx.run('UPDATE users SET session_epoch = session_epoch + 1 WHERE user_id = ?', [member.userId]),
      )
      expect((await member.get('/v1/me')).status).to.equal(401)
    })
  })

  it('lets few guesses pass when many are made at once', async () => {
    const member = await newMember(app().url)
    const guess = () => clientOf(app().url).post('/v1/sessions', { email: member.email, password: 'wrong password' })
    const statuses = (await Promise.all(Array.from({ length: 40 }, guess))).map(answer => answer.status)
    expect(statuses.filter(status => status === 401).length).to.be.at.most(10)
    expect(statuses.filter(status => status === 429).length).to.be.at.least(30)
  })

  it('refuses an address that normalising makes too long', async () => {
    const answer = await clientOf(app().url).post('/v1/accounts', {
      email: `${'\ufdfa'.repeat(20)}@a.bc`,
      password: PASSWORD,
    })
    expect(answer.status).to.equal(400)
  })

  it('keeps the cookie for https apart, with the __Host- prefix', async () => {
    const { startApp } = await import('../support/app.ts')
    const secure = await startApp({ publicUrl: 'https://shop.example', secureCookies: true })
    try {
      const email = newEmail()
      const client = clientOf(secure.url)
      await client.post('/v1/accounts', { email, password: PASSWORD })
      const session = await client.post('/v1/sessions', { email, password: PASSWORD })
      expect(session.headers.get('set-cookie')).to.match(
        /^__Host-sid=[^;]+; Path=\/; .*HttpOnly; SameSite=Lax; Secure$/,
      )
      client.cookie = `sid=${session.body.token}`
      expect((await client.get('/v1/me')).status).to.equal(401)
      client.cookie = `__Host-sid=${session.body.token}`
      expect((await client.get('/v1/me')).status).to.equal(200)
    } finally {
      await secure.close()
    }
  })

  describe('a change with a cookie', () => {
    const cases: [string, Record<string, string>, number][] = [
      ['from another site', { 'Sec-Fetch-Site': 'cross-site' }, 403],
      ['from another host of the same site', { 'Sec-Fetch-Site': 'same-site' }, 403],
      ['from a page with another origin', { Origin: 'https://evil.example' }, 403],
      ['from our own page', { 'Sec-Fetch-Site': 'same-origin' }, 200],
      ['from a client that is no browser', {}, 200],
    ]
    for (const [what, headers, status] of cases) {
      it(`${what} is answered ${status}`, async () => {
        const member = await newMember(app().url)
        const browser = clientOf(app().url)
        browser.cookie = `sid=${member.token}`
        const { request } = await import('node:http')
        // fetch would not let a test say where it comes from
        const got = await new Promise<number>((resolve, reject) => {
          const outgoing = request(
            `${app().url}/v1/cart`,
            { method: 'DELETE', headers: { ...headers, Cookie: browser.cookie } },
            response => {
              response.resume()
              resolve(response.statusCode ?? 0)
            },
          )
          outgoing.once('error', reject)
          outgoing.end()
        })
        expect(got).to.equal(status)
      })
    }
  })
})
