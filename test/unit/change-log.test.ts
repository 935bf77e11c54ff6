import { expect } from 'chai'
import fc from 'fast-check'
import { ChangeLog, fingerprintOf } from '../../src/catalog/change-log.ts'

const of = (...skus: string[]) => Buffer.from(fingerprintOf(skus), 'latin1')

describe('the latest changes of products', () => {
  const log = new ChangeLog(3)
  log.add('a', 10)
  log.add('b', 11)
  log.add('a', 12)

  const CASES: [string, readonly string[], number, boolean][] = [
    ['its change came after', ['a'], 11, true],
    ['its last change was that version', ['a'], 12, false],
    ['only another product has changed', ['b'], 11, false],
    ['one of several has changed', ['x', 'b', 'y'], 10, true],
    ['none is known to have changed', ['x', 'y'], 0, false],
    ['there are no products', [], 0, false],
  ]
  for (const [when, skus, since, expected] of CASES)
    it(`say ${expected} when ${when}`, () => {
      expect(log.haveChanged(of(...skus), since)).to.equal(expected)
      expect(skus.some(sku => log.hasChanged(sku, since))).to.equal(expected)
    })

  it('are not known any more where more products have changed since than are kept: then everything may have', () => {
    const full = new ChangeLog(4)
    for (const [at, sku] of ['a', 'b', 'c', 'd', 'e'].entries()) full.add(sku, at + 1)
    expect(full.haveChanged(of('x'), 1), 'before the last that was dropped').to.equal(true)
    expect(full.haveChanged(of('x'), 2)).to.equal(false)
    expect(full.haveChanged(of('c'), 2)).to.equal(true)
    expect(full.haveChanged(of('d', 'e'), 4)).to.equal(true)
    expect(full.haveChanged(of('d'), 4)).to.equal(false)
  })

  it('are gone after everything was forgotten', () => {
    const other = new ChangeLog(3)
    other.add('a', 5)
    other.forget(9)
    expect(other.haveChanged(of(), 8)).to.equal(true)
    expect(other.haveChanged(of('a'), 9)).to.equal(false)
  })

  it('never take a product that has changed for one that has not', () => {
    const sku = fc.string({ minLength: 1, maxLength: 12 })
    const changes = fc.array(fc.tuple(sku, fc.boolean()), { maxLength: 60 })
    fc.assert(
      fc.property(changes, fc.array(sku, { maxLength: 8 }), fc.integer({ min: 0, max: 70 }), (all, cart, since) => {
        const small = new ChangeLog(20)
        all.forEach(([changed], at) => small.add(changed, at + 1))
        const isChanged = all.some(([changed], at) => at + 1 > since && cart.includes(changed))
        if (isChanged) expect(small.haveChanged(of(...cart), since)).to.equal(true)
      }),
    )
  })
})
