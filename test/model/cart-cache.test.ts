import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { type RedisConnection, readLibrary } from '../../src/lib/redis.ts'
import { connectTo } from '../support/redis.ts'
import { PROJECT, testServers } from '../support/servers.ts'
import { explore } from './checker.ts'
import {
  applyCommand,
  type Bounds,
  type Cache,
  cartCacheModel,
  type Command,
  type Guard,
  GUARDS,
} from './cart-cache.ts'

const SMALL: readonly Bounds[] = [
  { writers: 1, readers: 1, reads: 2, kills: 1, restarts: 1, late: 1 },
  { writers: 2, readers: 1, reads: 2, kills: 1, restarts: 0, late: 1 },
  { writers: 1, readers: 2, reads: 1, kills: 1, restarts: 1, late: 0 },
  { writers: 2, readers: 1, reads: 2, kills: 0, restarts: 1, late: 1 },
]
/** Where each guard is needed: small bounds in which its lack shows. */
const ONE: Bounds = { writers: 1, readers: 1, reads: 2, kills: 1, restarts: 1, late: 1 }
const TWO: Bounds = { writers: 2, readers: 1, reads: 2, kills: 1, restarts: 0, late: 1 }
const NEEDED: Readonly<Record<Guard, Bounds>> = {
  fenceBeforeCommit: ONE,
  fenceAcknowledged: ONE,
  fenceTakesOverEqual: TWO,
  fillUnderShareLock: ONE,
  fillWithToken: ONE,
  publishWithToken: TWO,
  patchOnItsBase: TWO,
  fenceIsNotFilledOver: { ...TWO, kills: 0, restarts: 1 },
  resolveUnderShareLock: ONE,
  resolveWithToken: TWO,
}

describe('the model of the cart cache protocol', function () {
  this.timeout(300_000)

  for (const bounds of SMALL) {
    it(`has no breach within ${JSON.stringify(bounds)}`, () => {
      const { states, isComplete, breach } = explore(cartCacheModel(bounds))
      console.log(`      ${states} states`)
      expect(breach).to.equal(undefined)
      expect(isComplete).to.equal(true)
    })
  }

  for (const guard of Object.keys(GUARDS) as Guard[]) {
    it(`needs that ${GUARDS[guard]}`, () => {
      const { breach } = explore(cartCacheModel(NEEDED[guard], [guard]))
      expect(breach?.trace.length, 'a counter-example').to.be.above(2)
    })
  }

  describe('does what the functions in Redis do', () => {
    const library = readLibrary(join(PROJECT, 'src/cache/cart-functions.lua'))
    let redis: RedisConnection

    before(async () => {
      redis = await connectTo(testServers().addresses.cacheRedis)
    })
    after(() => redis.close())

    async function real(key: string, command: Exclude<Command, { do: 'fill_fence' }>): Promise<string> {
      const small = (v: number) => [command.t, v, 60_000, `m${v}`, `h${v}`, 'd', 'f']
      const value = (v: number) => [...small(v), 1, `chunk of ${v}`]
      const args = {
        fence: () => [60_000, (command as { v: number }).v, command.t],
        lease: () => [command.t, 60_000],
        renew: () => [command.t, 60_000, `m${(command as { v: number }).v}`],
        publish: () => value((command as { v: number }).v),
        // What it says of one chunk is that it has not changed, and of another that it is gone.
        patch: () => [(command as { base: number }).base, 3, 2, ...small((command as { v: number }).v)],
        resolve: () => value((command as { v: number }).v),
        fill: () => value((command as { v: number }).v),
      }[command.do]()
      const reply = await redis.call(library, command.do, [key, pageOf(key)], args)
      return Array.isArray(reply) ? reply.slice(0, 3).join(' ') : String(reply)
    }

    const pageOf = (key: string) => `${key}:page`
    const pageFor = ({ v }: { v: number }) => `m${v}|2|f\nh${v}`

    async function stateOf(key: string): Promise<Cache> {
      const { s, v, t = '', k } = await redis.run(client => client.hgetall(key))
      if (s === 'V') return { s: 'VALUE', v: Number(v) }
      if (s === 'L') return { s: 'LEASE', t }
      const kept = k === undefined ? {} : { kept: Number(k) }
      return s === 'F' ? { s: 'FENCE', v: Number(v), t, ...kept } : { s: 'EMPTY' }
    }

    it('command by command, in random histories', async () => {
      const t = fc.constantFrom('a', 'b', 'c')
      const v = fc.integer({ min: 1, max: 4 })
      const command = fc.oneof(
        fc.record({ do: fc.constantFrom('fence', 'publish', 'fill', 'resolve', 'renew'), v, t }),
        fc.record({ do: fc.constant('patch'), v, t, base: v }),
        fc.record({ do: fc.constant('lease'), t }),
        fc.record({ do: fc.constant('evict'), what: fc.constantFrom('hash', 'page') }),
      ) as fc.Arbitrary<Exclude<Command, { do: 'fill_fence' }> | { do: 'evict'; what: 'hash' | 'page' }>
      let history = 0
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 3, maxLength: 14 }), async commands => {
          const key = `{model}:${history++}`
          let cache: Cache = { s: 'EMPTY' }
          let chunk = ''
          for (const one of commands) {
            if (one.do === 'evict') {
              await redis.run(client => client.del(one.what === 'hash' ? key : pageOf(key)))
              if (one.what === 'hash') cache = { s: 'EMPTY' }
              continue
            }
            const expected = applyCommand(cache, one)
            expect(await real(key, one), JSON.stringify(one)).to.equal(expected.reply)
            const wasSet = expected.cache !== cache && expected.cache.s === 'VALUE'
            cache = expected.cache
            expect(await stateOf(key)).to.deep.equal(cache)
            // A patch leaves the chunks that it does not bring, and nothing else does.
            if (wasSet && one.do !== 'patch') chunk = `chunk of ${(one as { v: number }).v}`
            const fields = await redis.run(client => client.hgetall(key))
            if (cache.s === 'VALUE')
              expect(Object.keys(fields).toSorted()).to.deep.equal(['1', 'd', 'f', 'h', 'm', 's', 'v'])
            if (cache.s === 'VALUE') expect(fields['1']).to.equal(chunk)
            // The page comes with the value, may be evicted by itself or outlive the hash, and never stands beside a fence or a lease.
            const page = await redis.run(client => client.get(pageOf(key)))
            if (wasSet) expect(page).to.not.equal(null)
            if (cache.s === 'VALUE' && page !== null) expect(page).to.equal(pageFor(cache))
            if (cache.s === 'FENCE' || cache.s === 'LEASE') expect(page).to.equal(null)
          }
          await redis.run(client => client.del(key, pageOf(key)))
        }),
        { numRuns: 300 },
      )
    })
  })
})
