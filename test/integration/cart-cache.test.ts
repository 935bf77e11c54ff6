import { expect } from 'chai'
import { type CartCache, type CartKey, createCartCache, keyOf, pageKeyOf } from '../../src/cache/cart-cache.ts'
import { type PublishedCart, pack } from '../../src/cache/cart-packing.ts'
import type { RedisConnection } from '../../src/lib/redis.ts'
import { connectTo } from '../support/redis.ts'
import { testServers } from '../support/servers.ts'

/** The four states and the functions that move between them, on a real Redis; the races are those named in cart-cache.ts. */
describe('the cart cache protocol', () => {
  let redis: RedisConnection
  let cache: CartCache
  let users = 0
  let key: CartKey

  before(async () => {
    redis = await connectTo(testServers().adminUrls.cache)
    cache = createCartCache(redis)
  })
  after(() => redis.close())
  beforeEach(() => {
    key = { userId: `9${++users}`, epoch: 1 }
  })

  const cart = (version: number, chunks = ['{"a":1}']): PublishedCart => ({
    version,
    catalogVersion: 3,
    rulesStamp: 5,
    pricedAtMs: 7,
    lines: chunks.length,
    head: `head ${version}`,
    contents: '',
    fingerprint: '',
    chunks: { count: chunks.length, text: at => chunks[at] ?? '', isSame: () => false },
  })
  const fence = (minVersion: number, token: string) => cache.fence([{ key, minVersion, token }])
  const publish = (token: string, ...packed: Parameters<typeof pack>) => cache.publish(key, token, pack(...packed))
  const version = async () => (await cache.read(key, 0, 0))?.version
  const evict = () => redis.client.del(keyOf(key), pageKeyOf(key))

  async function filled(at: number): Promise<void> {
    const lease = await cache.lease(key, `t${at}`)
    expect(lease.kind).to.equal('leased')
    expect(await cache.fill(key, `t${at}`, cart(at))).to.equal(true)
  }

  it('leases an empty key to one reader, who fills it', async () => {
    expect(await version()).to.equal(undefined)
    expect((await cache.lease(key, 'r1')).kind).to.equal('leased')
    expect((await cache.lease(key, 'r2')).kind).to.equal('busy')
    expect(await cache.fill(key, 'r2', cart(1))).to.equal(false)
    expect(await cache.fill(key, 'r1', cart(1))).to.equal(true)
    expect(await version()).to.equal(1)
    expect((await cache.lease(key, 'r3')).kind).to.equal('value')
  })

  it('gives back the bytes that were put in, chunk by chunk', async () => {
    await cache.lease(key, 't')
    await cache.fill(key, 't', cart(12, ['one', 'zwei 🎁', 'three']))
    const hit = await cache.read(key, 1, 2)
    expect(hit).to.include({ version: 12, catalogVersion: 3, lines: 3, firstChunk: 1 })
    expect(hit?.head.toString()).to.equal('head 12')
    expect(hit?.chunks.map(String)).to.deep.equal(['zwei 🎁', 'three'])
  })

  it('fences before a commit and publishes after it', async () => {
    await filled(4)
    await fence(5, 'w')
    expect(await version()).to.equal(undefined)
    expect(await publish('w', cart(5))).to.equal(true)
    expect(await version()).to.equal(5)
  })

  it('R1: refuses a fill that was overtaken by a writer', async () => {
    await cache.lease(key, 'r')
    await fence(6, 'w')
    expect(await cache.fill(key, 'r', cart(5))).to.equal(false)
    await publish('w', cart(6))
    expect(await cache.fill(key, 'r', cart(5))).to.equal(false)
    expect(await version()).to.equal(6)
  })

  it('R2: keeps the fence of a writer that died after its commit, until a reader resolves it', async () => {
    await fence(6, 'dead')
    expect(await cache.lease(key, 'r')).to.include({ kind: 'fenced', minVersion: 6, token: 'dead' })
    expect(await cache.fill(key, 'r', cart(6))).to.equal(false)
    expect(await cache.resolve(key, 'dead', cart(6))).to.equal(true)
    expect(await version()).to.equal(6)
  })

  it('R3: lets a reader resolve the fence of a writer that died before its commit', async () => {
    await fence(6, 'dead')
    expect(await cache.resolve(key, 'other', cart(5))).to.equal(false)
    expect(await cache.resolve(key, 'dead', cart(5))).to.equal(true)
    expect(await version()).to.equal(5)
  })

  it('R4: takes over a fence of the same version, so that a late resolve of the dead one is refused', async () => {
    await fence(6, 'dead')
    await fence(6, 'live')
    expect(await cache.resolve(key, 'dead', cart(5))).to.equal(false)
    expect(await publish('live', cart(6))).to.equal(true)
    expect(await cache.resolve(key, 'dead', cart(5))).to.equal(false)
    expect(await version()).to.equal(6)
  })

  it('R5: does not let a writer publish over a key that was evicted and leased', async () => {
    await fence(6, 'w')
    await evict()
    expect((await cache.lease(key, 'r')).kind).to.equal('leased')
    expect(await publish('w', cart(6))).to.equal(false)
    expect(await cache.fill(key, 'r', cart(6))).to.equal(true)
  })

  it('R6: a late fence on a key that was evicted is not taken for what is committed', async () => {
    await fence(7, 'w')
    await evict()
    await fence(6, 'late')
    expect((await cache.lease(key, 'r')).kind).to.equal('fenced')
    expect(await cache.fill(key, 'r', cart(6))).to.equal(false)
    expect(await publish('w', cart(7))).to.equal(false)
    expect(await version()).to.equal(undefined)
  })

  it('fences many carts at once, each for itself', async () => {
    await filled(8)
    const other = { ...key, userId: `${key.userId}1` }
    await cache.fence([
      { key, minVersion: 8, token: 'late' },
      { key: other, minVersion: 3, token: 'w' },
    ])
    expect(await version()).to.equal(8)
    expect(await cache.lease(other, 'r')).to.include({ kind: 'fenced', minVersion: 3, token: 'w' })
  })

  it('makes the first page of what was sent and of what the fence has kept', async () => {
    await filled(4)
    await fence(5, 'w')
    const same = { ...cart(5), head: 'head ä5', chunks: { count: 1, text: () => 'not sent', isSame: () => true } }
    expect(await publish('w', same, { version: 4, lines: [0] })).to.equal(true)
    const hit = await cache.read(key, 0, 0)
    expect(hit?.page?.toString()).to.equal('head ä5{"a":1}')
    expect(hit?.head.toString()).to.equal('head ä5')
    expect(hit?.chunks.map(String)).to.deep.equal(['{"a":1}'])
    await fence(6, 'x')
    await publish('x', cart(6, []), { version: 5, lines: [0] })
    expect((await cache.read(key, 0, 0))?.page?.toString()).to.equal('head 6')
  })

  it('keeps a newer value and a higher fence against a late fence', async () => {
    await filled(8)
    await fence(7, 'late')
    expect(await version()).to.equal(8)
    await fence(10, 'w')
    await fence(9, 'late')
    expect(await cache.lease(key, 'r')).to.include({ kind: 'fenced', minVersion: 10, token: 'w' })
  })

  describe('sends only what has changed', () => {
    /** Of three chunks the second. */
    const changed = (to: number, isSame = (at: number) => at !== 1): PublishedCart => ({
      ...cart(to, ['one', `two of ${to}`, 'three']),
      chunks: { count: 3, text: at => (at === 1 ? `two of ${to}` : `sent ${at}`), isSame },
    })
    const before = (was: number, lines = 60) => ({ version: was, lines: Array.from({ length: lines }) })
    const shown = async () => (await cache.read(key, 1, 4))?.chunks.map(String)

    beforeEach(async () => {
      await cache.lease(key, 't')
      await cache.fill(key, 't', cart(4, ['one', 'two of 4', 'three', 'four']))
    })

    it('on top of the version whose chunks the fence has kept', async () => {
      await fence(5, 'w')
      expect(await shown()).to.equal(undefined)
      expect(await publish('w', changed(5), before(4, 80))).to.equal(true)
      expect(await shown()).to.deep.equal(['two of 5', 'three'])
      expect(await version()).to.equal(5)
      await fence(6, 'x')
      expect(await publish('x', changed(6), before(5))).to.equal(true)
      expect(await shown()).to.deep.equal(['two of 6', 'three'])
    })

    for (const [what, begin] of Object.entries({
      'those of another version': () => fence(5, 'dead'),
      nothing: evict,
    })) {
      it(`and leaves the cart to be filled by its next reader where the fence kept ${what}`, async () => {
        await begin()
        await fence(6, 'w')
        expect(await publish('w', changed(6), before(5))).to.equal(false)
        expect(await shown()).to.equal(undefined)
        expect((await cache.lease(key, 'r')).kind).to.equal('leased')
        await cache.fill(key, 'r', changed(6))
        expect(await shown()).to.deep.equal(['two of 6', 'sent 2'])
      })
    }

    it('and nothing without its fence', async () => {
      await fence(5, 'w')
      await fence(5, 'another')
      expect(await publish('w', changed(5), before(4))).to.equal(false)
      expect(await shown()).to.equal(undefined)
    })
  })

  it('takes commands twice without harm', async () => {
    await fence(2, 'w')
    await publish('w', cart(2))
    expect(await publish('w', cart(2))).to.equal(false)
    await fence(3, 'x')
    expect(await publish('w', cart(2))).to.equal(false)
    expect(await version()).to.equal(undefined)
  })

  it('turns a value with old totals into a lease for one of many readers', async () => {
    await filled(4)
    const old = await cache.read(key, 0, 0)
    if (!old) throw new Error('no hit')
    const kinds = await Promise.all(['a', 'b', 'c'].map(async token => (await cache.renew(key, token, old)).kind))
    expect(kinds.toSorted()).to.deep.equal(['busy', 'busy', 'leased'])
  })

  it('keeps epochs apart', async () => {
    await filled(4)
    expect(await cache.read({ ...key, epoch: 2 }, 0, 0)).to.equal(undefined)
  })

  it('lets every state run out by itself', async () => {
    const ttl = () => redis.client.pttl(keyOf(key))
    await cache.lease(key, 't')
    expect(await ttl()).to.be.within(1, 3000)
    await cache.fill(key, 't', cart(1))
    expect(await ttl()).to.be.within(60_000, 900_000)
    await fence(2, 'w')
    expect(await ttl()).to.be.within(1, 10_000)
  })

  it('loads its functions again when Redis has lost them', async () => {
    await redis.client.function('FLUSH')
    await filled(1)
    expect(await version()).to.equal(1)
  })
})
