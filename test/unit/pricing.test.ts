import { expect } from 'chai'
import fc from 'fast-check'
import { chunksOf, pageOf, readCartCursor, renderCart } from '../../src/cart/cart-rendering.ts'
import { renderChunks } from '../../src/cart/line-chunks.ts'
import { encodeCart, decodeCart } from '../../src/cart/cart-codec.ts'
import { type CartLine, type Lines, newLine } from '../../src/model/cart.ts'
import { splitPrice, plus, PRICE_PARTS, amountOf } from '../../src/model/money.ts'
import { NO_RULES } from '../../src/model/promotion.ts'
import { type CartRequest, priceCart as priceWith, NOTHING_GIVEN } from '../../src/pricing/price.ts'
import { compileRules } from '../../src/pricing/engine/rules.ts'
import type { Product } from '../../src/model/product.ts'
import { packCarts } from '../../src/pricing/worker.ts'

const catalog = {
  version: 7,
  products: new Map([
    ['a', { sku: 'a', name: 'A "quoted" name,\n with a break', price: 295, category: 'x' }],
    ['b', { sku: 'b', name: 'Bücher 📚', price: 1, category: 'x' }],
  ]),
}

const rules = { version: 0, stamp: 0, compiled: compileRules(NO_RULES('GBP')), usage: NOTHING_GIVEN }
const priceCart = (lines: CartRequest['lines'], sold: typeof catalog) =>
  priceWith({ lines, codes: [], buyerGroup: 'member' }, sold, rules, { currency: 'GBP', shippingFee: 0 })

describe('prices', () => {
  it('are quantity times the price of the catalogue; totals are of the selected lines', () => {
    const priced = priceCart(
      [
        { sku: 'a', quantity: 2, selected: true },
        { sku: 'b', quantity: 999, selected: false },
      ],
      catalog,
    )
    expect(priced.catalogVersion).to.equal(7)
    expect(priced.lines.map(line => line.total)).to.deep.equal([590, 999])
    expect(priced.totals).to.deep.equal({
      lines: 1,
      units: 2,
      subtotal: 590,
      discount: 0,
      shipping: 0,
      tax: 0,
      taxes: [],
      total: 590,
    })
  })

  it('of a product that is not sold any more are nothing, and it is not counted', () => {
    const { lines, totals } = priceCart([{ sku: 'gone', quantity: 2, selected: true }], catalog)
    expect(lines).to.deep.equal([{ name: 'gone', unitPrice: 0, subtotal: 0, discount: 0, total: 0, available: false }])
    expect(totals).to.deep.equal({
      lines: 0,
      units: 0,
      subtotal: 0,
      discount: 0,
      shipping: 0,
      tax: 0,
      taxes: [],
      total: 0,
    })
  })

  it('stop the process rather than leave the range of exact integers', () => {
    expect(() => amountOf(Number.MAX_SAFE_INTEGER, 2)).to.throw('exact integers')
    expect(() => plus(Number.MAX_SAFE_INTEGER, 1)).to.throw('exact integers')
  })

  const AMOUNTS: readonly [price: number, quantity: number, amount: number][] = [
    [0.5678, 300, 170],
    [0.5678, 1, 1],
    [0.4999, 1, 0],
    [0.005, 100, 1],
    [0.005, 99, 0],
    [1.005, 100, 101],
    [0.0001, 999_999, 100],
    [1234.5678, 10, 12_346],
    [99_999_999.9999, 999, 99_900_000_000],
    [250, 4, 1000],
  ]
  for (const [price, quantity, amount] of AMOUNTS)
    it(`of ${quantity} at ${price} minor units is ${amount}, rounded once`, () => {
      expect(amountOf(price, quantity)).to.equal(amount)
      const { whole, parts } = splitPrice(price)
      expect(whole + parts / PRICE_PARTS).to.equal(price)
    })

  it('reach a thread as they were, each once, with the version of each cart', () => {
    const all = [...catalog.products.values()]
    const cart = (version: number, products: readonly Product[]) => ({
      request: { lines: [], codes: [], buyerGroup: 'guest' },
      catalog: { version, products: new Map(products.map(product => [product.sku, product])) },
    })
    const { products, carts } = packCarts([cart(9, all), cart(8, all.slice(1))])
    expect(JSON.parse(products)).to.deep.equal(all)
    expect(carts.map(({ catalogVersion }) => catalogVersion)).to.deep.equal([9, 8])
    expect(carts.map(packed => packed.products)).to.deep.equal([
      all.map((_, at) => at),
      all.slice(1).map((_, at) => at + 1),
    ])
  })
})

const NO_CART = {
  version: 1,
  catalogVersion: 7,
  digest: '',
  mergedInto: undefined,
  lines: [],
  codes: [],
  buyerGroup: 'member',
  ordersPlaced: 0,
  uses: {},
  rulesStamp: 0,
  totals: '',
  pricedAtMs: 0,
}

describe('the view of a cart', () => {
  const rendered = (count: number) => {
    const lines = Array.from({ length: count }, (_, n) => ({
      ...newLine(n % 2 ? 'a' : 'b', n + 1, n + 1),
      note: n === 3 ? ',\n{"x":1}' : '',
    }))
    return { lines, cart: renderCart(5, 'GBP', lines, priceCart(lines, catalog), 1) }
  }

  it('cut from chunks is the same as made for the page, for every offset and limit', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 70 }),
        fc.integer({ min: 0, max: 80 }),
        fc.integer({ min: 1, max: 100 }),
        (count, offset, limit) => {
          const { lines, cart } = rendered(count)
          const { first, last } = chunksOf({ offset, limit })
          const hit = {
            ...cart,
            firstChunk: first,
            fingerprint: undefined,
            head: Buffer.from(cart.head),
            chunks: Array.from({ length: cart.chunks.count }, (_, at) => Buffer.from(cart.chunks.text(at))).slice(
              first,
              last + 1,
            ),
          }
          for (const source of [cart, hit]) {
            const body = JSON.parse(pageOf(source, { offset, limit }).body.toString())
            expect(body.lines.map((line: { quantity: number }) => line.quantity)).to.deep.equal(
              lines.slice(offset, offset + limit).map(l => l.quantity),
            )
            expect(body.page.next === null).to.equal(offset + limit >= count)
            if (body.page.next)
              expect(readCartCursor(body.page.next)).to.deep.equal({
                version: 5,
                offset: offset + limit,
                after: lines
                  .slice(Math.max(offset, offset + limit - 3), offset + limit)
                  .map(line => line.sku)
                  .toReversed(),
              })
          }
        },
      ),
    )
  })

  describe('after a change', () => {
    const line = fc.record({
      sku: fc.constantFrom('a', 'b', 'not sold'),
      quantity: fc.integer({ min: 1, max: 9 }),
      selected: fc.boolean(),
      note: fc.constantFrom('', '', '', 'zum Geburtstag 🎁', ',\n'),
      position: fc.integer({ min: 1, max: 900 }),
      left: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined, freq: 9 }),
    })
    const lineOf = ({ left, ...rest }: { left: number | undefined } & Omit<CartLine, 'left'>): CartLine =>
      left === undefined ? rest : { ...rest, left }
    const lines = fc.array(line, { minLength: 25, maxLength: 90 }).map(all => all.map(lineOf))
    const discounts = fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 90, maxLength: 90 })
    const priced = (some: Lines, off: readonly number[]) => {
      const { lines: list, ...rest } = priceCart(some, catalog)
      return {
        ...rest,
        lines: list.map((one, at) => ({ ...one, discount: off[at] ?? 0, total: one.subtotal - (off[at] ?? 0) })),
      }
    }

    it('keeps exactly the chunks that show the same', () => {
      let kept = 0
      fc.assert(
        fc.property(
          lines,
          fc.array(fc.tuple(fc.constantFrom('change', 'remove', 'add'), fc.nat(89), line), { maxLength: 3 }),
          discounts,
          fc.option(discounts),
          fc.boolean(),
          (before, edits, off, otherOff, otherCatalog) => {
            const first = renderChunks(before, priced(before, off))
            const known = decodeCart(encodeCart({ ...NO_CART, lines: before, shown: first.shown }))
            if (!known) throw new Error('the contents cannot be read')
            expect(known.lines).to.deep.equal(before)
            const after = [...known.lines]
            for (const [what, at, other] of edits)
              after.splice(at, what === 'add' ? 0 : 1, ...(what === 'remove' ? [] : [lineOf(other)]))
            const now = { ...priced(after, otherOff ?? off), catalogVersion: otherCatalog ? 9 : catalog.version }
            const whole = renderChunks(after, now)
            const changed = renderChunks(after, now, known)
            expect(changed.shown).to.deep.equal(whole.shown)
            for (let chunk = 0; chunk < whole.count; chunk++) {
              expect(changed.text(chunk)).to.equal(whole.text(chunk))
              if (!changed.isSame(chunk)) continue
              kept++
              expect(chunk).to.be.below(first.count)
              expect(first.text(chunk)).to.equal(whole.text(chunk))
            }
          },
        ),
        { numRuns: 400 },
      )
      expect(kept, 'chunks that were kept').to.be.above(20)
    })
  })

  it('has a digest of everything shown but the version', () => {
    const { lines, cart } = rendered(3)
    const again = (name: string, version = 5) => {
      const moved = {
        version: 8,
        products: new Map(catalog.products).set('a', { sku: 'a', name, price: 295, category: 'x' }),
      }
      return renderCart(version, 'GBP', lines, priceCart(lines, moved), 1).digest
    }
    const name = catalog.products.get('a')?.name ?? ''
    expect(again(name, 6)).to.equal(cart.digest)
    expect(again('another name')).not.to.equal(cart.digest)
  })
})
