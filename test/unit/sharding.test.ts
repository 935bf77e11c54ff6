import { expect } from 'chai'
import { evenRanges, SLOTS, slotOf, xxhash64 } from '../../src/sharding/slots.ts'

describe('sharding', () => {
  describe('XXH64', () => {
    const published: [string, string][] = [
      ['', 'ef46db3751d8e999'],
      ['a', 'd24ec4f1a98c6e5b'],
      ['abc', '44bc2cf5ad770999'],
      ['xxhash', '32dd38952c4bc720'],
      ['Nobody inspects the spammish repetition', 'fbcea83c8a378bf1'],
    ]
    for (const [text, hex] of published) {
      it(`gives the published value for '${text}'`, () => {
        expect(xxhash64(text).toString(16).padStart(16, '0')).to.equal(hex)
      })
    }
  })

  describe('the slot of a key', () => {
    /** Keyspace ids from the tests of Vitess's xxhash vindex. */
    const vitess: [string, number[]][] = [
      ['test1', [0xd0, 0x1a, 0xb7, 0xe4, 0xd6, 0x97, 0x8f, 0x0b]],
      ['test2', [0x87, 0xeb, 0x11, 0x71, 0x4c, 0x0a, 0x0e, 0x89]],
      ['testaverylongvaluetomakesurethisworks', [0x81, 0xd8, 0xc3, 0x8e, 0x0d, 0x85, 0x0e, 0x6a]],
      ['1', [0xd4, 0x64, 0x05, 0x36, 0x76, 0x12, 0xb4, 0xb7]],
      ['-1', [0xd8, 0xe2, 0xa6, 0xa7, 0xc8, 0xc7, 0x62, 0x3d]],
      ['18446744073709551615', [0x47, 0x7c, 0xfa, 0x8d, 0x6d, 0x8f, 0x1f, 0x8d]],
      ['9223372036854775807', [0xb3, 0x7e, 0xb0, 0x1f, 0x7b, 0xff, 0xaf, 0xd8]],
    ]
    for (const [key, keyspaceId] of vitess) {
      it(`is the first ten bits of the Vitess keyspace id of '${key}'`, () => {
        const bytes = Buffer.alloc(8)
        bytes.writeBigUInt64LE(xxhash64(key))
        expect([...bytes]).to.deep.equal(keyspaceId)
        expect(slotOf(key)).to.equal(((keyspaceId[0] ?? 0) << 2) | ((keyspaceId[1] ?? 0) >> 6))
      })
    }

    it('spreads consecutive ids evenly', () => {
      const counts = Array.from({ length: SLOTS }, () => 0)
      const ids = 100_000
      for (let id = 1_000_000; id < 1_000_000 + ids; id++) {
        const slot = slotOf(String(id))
        counts[slot] = (counts[slot] ?? 0) + 1
      }
      const mean = ids / SLOTS
      const chi2 = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
      expect(chi2 / (SLOTS - 1)).to.be.within(0.8, 1.2)
    })
  })

  for (const shards of [1, 2, 3, 4, 7, 16]) {
    it(`deals all slots to ${shards} shards in contiguous, nearly equal ranges`, () => {
      const ranges = evenRanges(shards)
      expect(ranges[0]?.first).to.equal(0)
      expect(ranges.at(-1)?.last).to.equal(SLOTS - 1)
      for (const [index, range] of ranges.slice(1).entries())
        expect(range.first).to.equal((ranges[index]?.last ?? 0) + 1)
      const sizes = ranges.map(range => range.last - range.first + 1)
      expect(Math.max(...sizes) - Math.min(...sizes)).to.be.at.most(1)
    })
  }
})
