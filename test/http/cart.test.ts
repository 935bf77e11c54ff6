import { expect } from 'chai'
import { Redis } from 'ioredis'
import { withApp } from '../support/app.ts'
import { type Client, clientOf, encodeCart, type Json, newMember, PASSWORD } from '../support/client.ts'
import { testServers } from '../support/servers.ts'

/** Products of more than two pages. */
const MANY = Array.from({ length: 45 }, (_, n) => `T-${String(n + 1).padStart(3, '0')}`)

describe('the cart over HTTP', () => {
  const app = withApp()
  let me: Client
  beforeEach(async () => {
    me = await newMember(app().url)
  })

  it('answers a change with the line that changed, on whatever page it is', async () => {
    await me.post('/v1/cart/lines', { lines: MANY.map(sku => ({ sku, quantity: 1 })) })
    const last = MANY.at(-1)
    const { body } = await me.put(`/v1/cart/lines/${last}`, { quantity: 7 })
    expect(body.changed.map((line: Json) => [line.sku, line.quantity])).to.deep.equal([[last, 7]])
    expect(body.lines.some((line: Json) => line.sku === last)).to.equal(false)
    expect((await me.delete(`/v1/cart/lines/${last}`)).body.changed).to.deep.equal([])
  })

  describe('several lines at once', () => {
    it('are set, selected, noted and removed, all in one version', async () => {
      await me.post('/v1/cart/lines', { lines: ['T-001', 'T-002', 'T-003'].map(sku => ({ sku, quantity: 2 })) })
      const { version } = await encodeCart(me)
      const lines = [
        { sku: 'T-001', quantity: 5 },
        { sku: 'T-002', quantity: 0 },
        { sku: 'T-003', selected: false, note: 'later' },
        { sku: 'T-004', quantity: 1 },
      ]
      const set = await me.put('/v1/cart/lines', { lines })
      expect([set.status, set.body.version]).to.deep.equal([200, version + 1])
      expect((await encodeCart(me)).lines).to.deep.equal({ 'T-001': 5, 'T-003': 2, 'T-004': 1 })
      const third = set.body.lines.find((line: { sku: string }) => line.sku === 'T-003')
      expect(third).to.include({ selected: false, note: 'later' })
      expect((await me.put('/v1/cart/lines', { lines })).body.version, 'the same again').to.equal(version + 1)
    })

    it('are not changed at all where one of them cannot be', async () => {
      await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 2 })
      const before = await encodeCart(me)
      const first = { sku: 'T-001', quantity: 9 }
      for (const [line, status, code] of [
        [{ sku: 'NOT-SOLD', quantity: 1 }, 422, 'product_unknown'],
        [{ sku: 'T-002', selected: false }, 404, 'line_not_found'],
        [{ sku: 'T-002', quantity: 1_000_000 }, 422, 'line_quantity_max'],
        [{ sku: 'T-002' }, 400, 'invalid_request'],
        [first, 400, 'invalid_request'],
      ] as const) {
        const { status: got, body } = await me.put('/v1/cart/lines', { lines: [first, line] })
        expect([got, body.code], JSON.stringify(line)).to.deep.equal([status, code])
      }
      expect(await encodeCart(me)).to.deep.equal(before)
    })
  })

  it('is empty at version 0 for a new user', async () => {
    const { status, body, headers } = await me.get('/v1/cart')
    expect(status).to.equal(200)
    expect(headers.get('etag')).to.equal('"0"')
    expect(body).to.deep.equal({
      version: 0,
      versions: body.versions,
      currency: 'GBP',
      totals: { lines: 0, units: 0, subtotal: 0, discount: 0, shipping: 0, tax: 0, taxes: [], total: 0 },
      promotions: [],
      gifts: [],
      codes: [],
      hints: [],
      counts: { lines: 0, units: 0 },
      lines: [],
      page: { limit: 20, next: null },
      stale: null,
    })
  })

  it('answers an add with the cart as GET gives it', async () => {
    const added = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 3 })
    expect(added.status).to.equal(200)
    expect(added.headers.get('etag')).to.equal('"1"')
    expect(added.body.lines).to.deep.equal([
      {
        sku: 'T-001',
        name: 'Test Thing 001',
        quantity: 3,
        selected: true,
        note: '',
        unitPrice: 101,
        subtotal: 303,
        discount: 0,
        total: 303,
        available: true,
      },
    ])
    expect(added.body.totals).to.deep.equal({
      lines: 1,
      units: 3,
      subtotal: 303,
      discount: 0,
      shipping: 0,
      tax: 0,
      taxes: [],
      total: 303,
    })
    const { changed, ...cart } = added.body
    expect(changed).to.deep.equal(cart.lines)
    expect((await me.get('/v1/cart')).body).to.deep.equal(cart)
  })

  it('adds several lines in one call, all or none', async () => {
    const good = await me.post('/v1/cart/lines', {
      lines: [
        { sku: 'T-001', quantity: 1 },
        { sku: 'T-002', quantity: 2 },
      ],
    })
    expect(good.body.lines.map((line: { sku: string }) => line.sku)).to.deep.equal(['T-001', 'T-002'])
    const bad = await me.post('/v1/cart/lines', {
      lines: [
        { sku: 'T-003', quantity: 1 },
        { sku: 'NOPE', quantity: 2 },
      ],
    })
    expect(bad.status).to.equal(422)
    expect(bad.body.code).to.equal('product_unknown')
    expect(bad.body.errors).to.deep.equal([
      { in: 'body', pointer: '#/lines/1/sku', detail: "There is no product 'NOPE'." },
    ])
    expect((await me.get('/v1/cart')).body.version).to.equal(1)
  })

  it('sets quantity, note and selection; totals are of the selected lines', async () => {
    await me.post('/v1/cart/lines', {
      lines: [
        { sku: 'T-001', quantity: 1 },
        { sku: 'T-002', quantity: 2 },
      ],
    })
    await me.put('/v1/cart/lines/T-001', { quantity: 5, note: 'gift, please 🎁' })
    const { body } = await me.put('/v1/cart/lines/T-002', { selected: false })
    expect(body.version).to.equal(3)
    expect(body.totals).to.deep.equal({
      lines: 1,
      units: 5,
      subtotal: 505,
      discount: 0,
      shipping: 0,
      tax: 0,
      taxes: [],
      total: 505,
    })
    expect(body.counts).to.deep.equal({ lines: 2, units: 7 })
    expect(body.lines[0].note).to.equal('gift, please 🎁')
    expect(body.lines[1]).to.include({ selected: false, total: 204 })
    const { changed, ...cart } = body
    expect((await me.get('/v1/cart')).body).to.deep.equal(cart)
    expect(changed).to.deep.equal([cart.lines[1]])
  })

  it('removes a line, removes it again without a change, and clears', async () => {
    await me.post('/v1/cart/lines', {
      lines: [
        { sku: 'T-001', quantity: 1 },
        { sku: 'T-002', quantity: 2 },
      ],
    })
    expect((await me.delete('/v1/cart/lines/T-001')).body.version).to.equal(2)
    expect((await me.delete('/v1/cart/lines/T-001')).body.version).to.equal(2)
    expect((await me.delete('/v1/cart')).body).to.include({ version: 3 })
    expect((await me.delete('/v1/cart')).body).to.include({ version: 3 })
    expect((await me.get('/v1/cart')).body.lines).to.deep.equal([])
  })

  it('answers 404 to a note for a line that is not there', async () => {
    const { status, body } = await me.put('/v1/cart/lines/T-009', { note: 'x' })
    expect(status).to.equal(404)
    expect(body.code).to.equal('line_not_found')
  })

  it('keeps its limits of lines and quantities, and says so', async () => {
    const lines = Array.from({ length: 500 }, (_, n) => ({ sku: `T-${String(n + 1).padStart(3, '0')}`, quantity: 1 }))
    expect((await me.post('/v1/cart/lines', { lines })).status).to.equal(200)
    const tooMany = await me.post('/v1/cart/lines', { sku: 'T-501', quantity: 1 })
    expect(tooMany.status).to.equal(422)
    expect(tooMany.body).to.include({ code: 'cart_lines_max', max: 500 })
    expect((await me.put('/v1/cart/lines/T-001', { quantity: 999 })).status).to.equal(200)
    const tooMuch = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    expect(tooMuch.status).to.equal(422)
    expect(tooMuch.body).to.include({ code: 'line_quantity_max', max: 999 })
    expect(Object.keys((await encodeCart(me)).lines)).to.have.length(500)
  })

  describe('in pages', () => {
    beforeEach(async () => {
      await me.post('/v1/cart/lines', { lines: MANY.map(sku => ({ sku, quantity: 1 })) })
    })

    for (const limit of [1, 7, 20, 44, 45, 100]) {
      it(`of ${limit} shows every line once, in order, with the totals of the whole cart`, async () => {
        const seen: string[] = []
        let path = `/v1/cart?limit=${limit}`
        for (let pages = 0; pages < 50; pages++) {
          const { body } = await me.get(path)
          seen.push(...body.lines.map((line: { sku: string }) => line.sku))
          expect(body.totals).to.include({ lines: 45, units: 45 })
          if (body.page.next === null) break
          expect(body.lines).to.have.length(limit)
          path = `/v1/cart?limit=${limit}&cursor=${body.page.next}`
        }
        expect(seen).to.deep.equal(MANY)
      })
    }

    it('has 20 lines unless asked', async () => {
      expect((await me.get('/v1/cart')).body.lines).to.have.length(20)
    })

    /** The second page, of 10 lines, after an edit between the pages. */
    const secondPages: Readonly<Record<string, readonly [edit: () => Promise<unknown>, from: number]>> = {
      'nothing changed': [() => Promise.resolve(), 10],
      'a line before it was removed': [() => me.delete('/v1/cart/lines/T-001'), 10],
      'a line of it was removed': [() => me.delete(`/v1/cart/lines/${MANY[10]}`), 11],
      'the last line before it was removed': [() => me.delete(`/v1/cart/lines/${MANY[9]}`), 10],
      'the two last lines before it were removed': [
        () => me.put('/v1/cart/lines', { lines: [8, 9].map(at => ({ sku: MANY[at], quantity: 0 })) }),
        10,
      ],
      'all but its last lines before it were removed': [
        () => me.put('/v1/cart/lines', { lines: [0, 1, 2, 3, 4, 5, 6].map(at => ({ sku: MANY[at], quantity: 0 })) }),
        10,
      ],
      'a line was added': [() => me.post('/v1/cart/lines', { sku: 'T-400', quantity: 1 }), 10],
      'a quantity was changed': [() => me.put(`/v1/cart/lines/${MANY[3]}`, { quantity: 7 }), 10],
    }
    for (const [what, [edit, from]] of Object.entries(secondPages)) {
      it(`goes on with the next page where ${what}`, async () => {
        const first = await me.get('/v1/cart?limit=10')
        await edit()
        const second = await me.get(`/v1/cart?limit=10&cursor=${first.body.page.next}`)
        expect(second.status).to.equal(200)
        expect(second.body.lines.map((line: { sku: string }) => line.sku)).to.deep.equal(MANY.slice(from, from + 10))
        expect(second.body.version).to.equal(first.body.version + (what === 'nothing changed' ? 0 : 1))
      })
    }

    it('ends where everything was removed meanwhile', async () => {
      const { body } = await me.get('/v1/cart?limit=10')
      await me.delete('/v1/cart')
      const after = await me.get(`/v1/cart?limit=10&cursor=${body.page.next}`)
      expect([after.status, after.body.lines, after.body.page.next]).to.deep.equal([200, [], null])
    })

    it('has as many lines after a change as the client asks for, and always every changed line', async () => {
      const change = { lines: MANY.slice(0, 30).map(sku => ({ sku, quantity: 2 })) }
      for (const [query, lines] of [
        ['', 20],
        ['?limit=0', 0],
        ['?limit=3', 3],
      ] as const) {
        const { body } = await me.put(`/v1/cart/lines${query}`, change)
        expect(body.lines).to.have.length(lines)
        const next = await me.get(`/v1/cart?limit=1&cursor=${body.page.next}`)
        expect(next.body.lines[0].sku).to.equal(MANY[lines])
      }
      const other = { lines: MANY.map(sku => ({ sku, quantity: 3 })) }
      expect((await me.put('/v1/cart/lines?limit=0', other)).body.changed).to.have.length(MANY.length)
      expect((await me.put('/v1/cart/lines?limit=101', other)).body).to.include({ code: 'invalid_request' })
    })

    it('is not needed for one line', async () => {
      for (const sku of [MANY[0], MANY[44]]) {
        const whole = (await me.get('/v1/cart?limit=100')).body
        const line = await me.get(`/v1/cart/lines/${sku}`)
        expect(line.body).to.deep.equal(whole.lines.find((one: { sku: string }) => one.sku === sku))
        const etag = line.headers.get('etag') ?? ''
        expect(etag).to.equal(`"${whole.version}"`)
        expect((await me.get(`/v1/cart/lines/${sku}`, { 'If-None-Match': etag })).status).to.equal(304)
      }
      const none = await me.get('/v1/cart/lines/T-401')
      expect([none.status, none.body.code, none.body.sku]).to.deep.equal([404, 'line_not_found', 'T-401'])
      expect((await clientOf(me.url).get('/v1/cart/lines/T-401')).status).to.equal(401)
    })

    for (const cursor of ['nonsense', 'WzFd', Buffer.from('["cart",1,-5]').toString('base64url')]) {
      it(`refuses the cursor '${cursor}'`, async () => {
        const { status, body } = await me.get(`/v1/cart?cursor=${cursor}`)
        expect(status).to.equal(400)
        expect(body.errors[0]).to.include({ in: 'query', pointer: '#/cursor' })
      })
    }
  })

  describe('with versions', () => {
    it('answers 304 to a view of what the client has, and 200 after a change', async () => {
      const { headers } = await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      const etag = headers.get('etag') ?? ''
      const same = await me.get('/v1/cart', { 'If-None-Match': etag })
      expect(same.status).to.equal(304)
      expect(same.text).to.equal('')
      expect(same.headers.get('etag')).to.equal(etag)
      expect((await me.get('/v1/cart', { 'If-None-Match': `W/"7", ${etag}` })).status).to.equal(304)
      await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      expect((await me.get('/v1/cart', { 'If-None-Match': etag })).status).to.equal(200)
    })

    it('answers 304 to any page of what the client has, and never to who is logged out', async () => {
      await me.post('/v1/cart/lines', { lines: MANY.map(sku => ({ sku, quantity: 1 })) })
      const { headers, body } = await me.get('/v1/cart?limit=30')
      const paths = ['/v1/cart?limit=30', '/v1/cart?limit=100', `/v1/cart?limit=30&cursor=${body.page.next}`]
      const again = (path: string) => me.get(path, { 'If-None-Match': headers.get('etag') ?? '' })
      for (const path of paths) {
        const same = await again(path)
        expect({ path, status: same.status, text: same.text }).to.deep.equal({ path, status: 304, text: '' })
        expect(same.headers.get('etag')).to.equal(headers.get('etag'))
        expect((await me.get(path, { 'If-None-Match': '"0"' })).status).to.equal(200)
      }
      await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      expect(await Promise.all(paths.map(async path => (await again(path)).status))).to.deep.equal([200, 200, 200])
      const { headers: newer } = await me.get('/v1/cart')
      const cache = new Redis(testServers().adminUrls.cache)
      try {
        // Of all that is cached only two fields are asked for: what it is of, and the fingerprint of its products.
        await cache.config('RESETSTAT')
        expect((await me.get('/v1/cart?limit=100', { 'If-None-Match': newer.get('etag') ?? '' })).status).to.equal(304)
        const asked = await cache.info('commandstats')
        expect(asked).to.include('cmdstat_hmget:calls=1,').and.not.include('cmdstat_mget')
      } finally {
        cache.disconnect()
      }
      await me.delete('/v1/sessions/current')
      const statuses = paths.map(
        async path => (await me.get(path, { 'If-None-Match': newer.get('etag') ?? '' })).status,
      )
      expect(await Promise.all(statuses)).to.deep.equal([401, 401, 401])
    })

    it('refuses a change on top of a version that is over, with 412 and the version that is', async () => {
      await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      await me.post('/v1/cart/lines', { sku: 'T-002', quantity: 1 })
      const late = await me.post('/v1/cart/lines', { sku: 'T-003', quantity: 1 }, { 'If-Match': '"1"' })
      expect(late.status).to.equal(412)
      expect(late.body).to.include({ code: 'version_mismatch', version: 2 })
      const right = await me.post('/v1/cart/lines', { sku: 'T-003', quantity: 1 }, { 'If-Match': '"2"' })
      expect(right.status).to.equal(200)
      expect((await me.put('/v1/cart/lines/T-003', { quantity: 2 }, { 'If-Match': 'seven' })).status).to.equal(400)
    })

    it('keeps the adds of two tabs that race', async () => {
      const adds = Array.from({ length: 30 }, (_, n) =>
        me.post('/v1/cart/lines', { sku: n % 2 ? 'T-001' : 'T-002', quantity: 1 }),
      )
      const versions = (await Promise.all(adds)).map(answer => answer.body.version).sort((a, b) => a - b)
      expect(versions).to.deep.equal(Array.from({ length: 30 }, (_, n) => n + 1))
      expect((await encodeCart(me)).lines).to.deep.equal({ 'T-001': 15, 'T-002': 15 })
    })
  })

  describe('with an Idempotency-Key', () => {
    const add = { sku: 'T-001', quantity: 2 }

    it('carries a repeated request out once and gives the stored answer', async () => {
      const first = await me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'k1' })
      await me.post('/v1/cart/lines', { sku: 'T-002', quantity: 1 })
      const again = await me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'k1' })
      expect(again.status).to.equal(200)
      expect(again.text).to.equal(first.text)
      expect(again.headers.get('idempotency-replayed')).to.equal('true')
      expect(again.headers.get('etag')).to.equal('"1"')
      expect((await encodeCart(me)).lines).to.deep.equal({ 'T-001': 2, 'T-002': 1 })
    })

    it('reads the key quoted, as the draft standard writes it, and bare', async () => {
      await me.post('/v1/cart/lines', add, { 'Idempotency-Key': '"k1"' })
      expect(
        (await me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'k1' })).headers.get('idempotency-replayed'),
      ).to.equal('true')
    })

    it('refuses the key for another body or route with 422', async () => {
      await me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'k1' })
      expect((await me.post('/v1/cart/lines', { ...add, quantity: 3 }, { 'Idempotency-Key': 'k1' })).status).to.equal(
        422,
      )
      const other = await me.delete('/v1/cart', { 'Idempotency-Key': 'k1' })
      expect(other.status).to.equal(422)
      expect(other.body.code).to.equal('idempotency_mismatch')
    })

    it('belongs to one user only', async () => {
      const other = await newMember(app().url)
      await me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'shared' })
      const answer = await other.post('/v1/cart/lines', { sku: 'T-005', quantity: 1 }, { 'Idempotency-Key': 'shared' })
      expect(answer.status).to.equal(200)
      expect(answer.headers.get('idempotency-replayed')).to.equal(null)
    })

    it('carries duplicates in flight out once', async () => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => me.post('/v1/cart/lines', add, { 'Idempotency-Key': 'race' })),
      )
      for (const answer of answers) expect(answer.status).to.be.oneOf([200, 409])
      expect((await encodeCart(me)).lines).to.deep.equal({ 'T-001': 2 })
    })

    it('replays also when If-Match would refuse by now', async () => {
      const headers = { 'Idempotency-Key': 'k', 'If-Match': '"0"' }
      await me.post('/v1/cart/lines', add, headers)
      expect((await me.post('/v1/cart/lines', add, headers)).status).to.equal(200)
    })

    it('does not keep the answer of a request that was refused', async () => {
      expect(
        (await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 }, { 'Idempotency-Key': 'k', 'If-Match': '"9"' }))
          .status,
      ).to.equal(412)
      expect(
        (await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 }, { 'Idempotency-Key': 'k', 'If-Match': '"0"' }))
          .status,
      ).to.equal(200)
    })

    for (const key of ['', ' ', 'ä', 'x'.repeat(256)]) {
      it(`refuses '${key.slice(0, 5)}' as a key, or takes it as none`, async () => {
        const { status } = await me.post('/v1/cart/lines', add, {
          'Idempotency-Key': encodeURI(key).includes('%C3') ? 'a b' : key,
        })
        expect(status).to.equal(400)
      })
    }
  })

  describe('of a guest', () => {
    it('is empty and makes no session while nothing is written', async () => {
      const { status, body, headers } = await clientOf(app().url).get('/v1/cart')
      expect(status).to.equal(200)
      expect(body.version).to.equal(0)
      expect(headers.get('set-cookie')).to.equal(null)
    })

    it('begins with the first write, which gives the guest a session', async () => {
      const guest = await newGuest(app().url)
      expect((await encodeCart(guest)).lines).to.deep.equal({ 'T-001': 2 })
      const who = await guest.get('/v1/me')
      expect(who.body).to.include({ guest: true })
      expect(who.body).not.to.have.property('email')
    })

    it('goes over into the cart of the user at login, the larger quantity of each line', async () => {
      const member = await newMember(app().url)
      await member.post('/v1/cart/lines', {
        lines: [
          { sku: 'T-001', quantity: 5 },
          { sku: 'T-003', quantity: 1 },
        ],
      })
      const guest = await newGuest(app().url)
      await guest.post('/v1/cart/lines', {
        lines: [
          { sku: 'T-002', quantity: 4 },
          { sku: 'T-003', quantity: 6 },
        ],
      })
      const guestToken = guest.token
      const login = await guest.post('/v1/sessions', { email: member.email, password: PASSWORD })
      expect(login.body.merged).to.deep.equal({ lines: 2, leftOut: 0 })
      expect(login.body.token).not.to.equal(guestToken)
      expect((await encodeCart(member)).lines).to.deep.equal({ 'T-001': 5, 'T-003': 6, 'T-002': 4 })
      expect((await clientOf(app().url, guestToken).get('/v1/cart')).status).to.equal(401)
    })

    it('comes back out when the merge is undone, once, except what was changed since', async () => {
      const member = await newMember(app().url)
      await member.post('/v1/cart/lines', { sku: 'T-003', quantity: 1 })
      const guest = await newGuest(app().url)
      await guest.post('/v1/cart/lines', { sku: 'T-003', quantity: 6 })
      await guest.post('/v1/sessions', { email: member.email, password: PASSWORD })
      const undone = await member.post('/v1/cart/merge/undo')
      expect(undone.status).to.equal(200)
      expect((await encodeCart(member)).lines).to.deep.equal({ 'T-003': 1 })
      const again = await member.post('/v1/cart/merge/undo')
      expect(again.status).to.equal(404)
      expect(again.body.code).to.equal('merge_not_found')
    })

    it('is merged once when several logins of one guest race', async () => {
      const member = await newMember(app().url)
      const guest = await newGuest(app().url)
      const logins = await Promise.all(
        [1, 2, 3, 4].map(() =>
          clientOf(app().url, guest.token).post('/v1/sessions', { email: member.email, password: PASSWORD }),
        ),
      )
      for (const login of logins) expect(login.status).to.equal(201)
      expect(await encodeCart(member)).to.deep.equal({ version: 1, lines: { 'T-001': 2 } })
    })
  })

  it('does not show one user that another has a cart', async () => {
    const other = await newMember(app().url)
    await other.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    const stolen = clientOf(app().url, `${other.userId}.${'A'.repeat(43)}`)
    const absent = clientOf(app().url, `9999999999.${'A'.repeat(43)}`)
    const [one, two] = [await stolen.get('/v1/cart'), await absent.get('/v1/cart')]
    expect(one.status).to.equal(401)
    expect({ ...one.body, traceId: '' }).to.deep.equal({ ...two.body, traceId: '' })
  })
})

async function newGuest(url: string): Promise<Client> {
  const guest = clientOf(url)
  const first = await guest.post('/v1/cart/lines', { sku: 'T-001', quantity: 2 })
  expect(first.status).to.equal(200)
  expect(first.headers.get('set-cookie')).to.match(/^sid=/)
  guest.token = first.headers.get('x-session-token') ?? undefined
  return guest
}
