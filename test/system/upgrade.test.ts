import { rmSync } from 'node:fs'
import { expect } from 'chai'
import { clientOf, encodeCart } from '../support/client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { hasOldCommit, makeOldData, OLD_COMMIT, type OldData } from '../upgrade/old-data.ts'

/** What the old release accepted and acknowledged is what the new one shows. */
describe(`a data folder of ${OLD_COMMIT}`, function () {
  this.timeout(900_000)
  let old: OldData
  let cluster: Cluster

  before(async function () {
    if (!hasOldCommit()) {
      console.log(`      skipped: the commit ${OLD_COMMIT} is not in this clone (git fetch --unshallow)`)
      this.skip()
    }
    old = await makeOldData()
    cluster = await createCluster({}, { dataDir: old.dataDir, port: old.port })
    await cluster.up()
  })
  after(async () => {
    await cluster?.remove()
    if (old) rmSync(old.dataDir, { recursive: true, force: true })
  })

  it('holds people of all kinds', () => {
    console.log(`      ${old.people.length} people; refused by the old release: ${old.refused.join(', ')}`)
    expect(old.people.filter(({ email }) => email !== undefined)).to.have.length.above(6)
    expect(old.people.filter(({ token }) => token !== undefined)).to.have.length(4)
    expect(old.people.flatMap(({ orders }) => orders)).to.have.length.above(5)
  })

  it('is migrated, and a second start has nothing to do', async () => {
    const { stdout } = await cluster.cli('migrate', '--status')
    expect(stdout.match(/ none$/gm)).to.have.length(3)
    await cluster.up()
  })

  /** A login for members, the token that they had for guests. */
  async function clientFor({ email, password, token }: OldData['people'][number]) {
    if (token !== undefined) return clientOf(cluster.url, token)
    const session = await clientOf(cluster.url).post('/v1/sessions', { email, password })
    expect(session.status, `${JSON.stringify(email)} logs in`).to.equal(201)
    return clientOf(cluster.url, session.body.token)
  }

  it('lets every member log in and every guest go on, with the carts and orders that they had', async () => {
    for (const person of old.people) {
      const client = await clientFor(person)
      const name = person.email ?? 'a guest'
      expect((await encodeCart(client)).lines, name).to.deep.equal(person.lines)
      expect((await client.get('/v1/cart')).body.totals.total, name).to.equal(person.total)
      for (const { id, state, total } of person.orders)
        expect((await client.get(`/v1/orders/${id}`)).body, name).to.include({ id, state, total })
    }
  })

  it('keeps rules, stock, sales and operators', async () => {
    const [one] = old.people
    if (!one) throw new Error('no user was made')
    const client = await clientFor(one)
    expect(
      (await client.get('/v1/cart')).body.promotions.map(({ promotion }: { promotion: string }) => promotion),
    ).to.deep.equal(['ten-off'])
    for (const [sku, units] of Object.entries(old.stock))
      expect((await client.get(`/v1/stock/${sku}`)).body, sku).to.include({ left: units })
    expect((await client.get(`/v1/sales/${old.saleId}`)).body).to.include({ state: 'upcoming', left: 30 })
    const operator = clientOf(cluster.url, old.operator)
    expect((await operator.get('/v1/rule-sets')).status).to.equal(200)
  })

  it('goes on: an order of what was in a cart', async () => {
    const person = old.people.find(({ orders, email }) => orders.length === 0 && email !== undefined)
    if (!person) throw new Error('every user has ordered')
    const client = await clientFor(person)
    const { version } = (await client.get('/v1/cart')).body
    const placed = await client.post('/v1/orders', { cartVersion: version }, { 'Idempotency-Key': 'after-the-upgrade' })
    expect([placed.status, placed.body.total]).to.deep.equal([201, person.total])
  })
})
