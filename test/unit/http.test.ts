import { expect } from 'chai'
import { matches, readIfMatch } from '../../src/http/conditional.ts'
import { problemOf, STATUS } from '../../src/http/errors.ts'
import { pointerOf } from '../../src/http/route.ts'
import { AppError } from '../../src/lib/errors.ts'
import { decodeCursor, encodeCursor } from '../../src/model/cursor.ts'
import { newToken, parseToken, sessionKey } from '../../src/sessions/sessions.ts'
import { waitAfter } from '../../src/sessions/throttle.ts'
import { createGenerator } from '../../src/cli/generator.ts'
import { readBasket } from '../../src/cli/basket.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { escapeHtml } from '../../src/web/pages.ts'

describe('small rules', () => {
  describe('If-None-Match', () => {
    const cases: [string | undefined, boolean][] = [
      ['"7"', true],
      ['W/"7"', true],
      ['"6", "7"', true],
      ['*', true],
      ['"8"', false],
      ['7', false],
      [undefined, false],
    ]
    for (const [header, expected] of cases) {
      it(`${header} ${expected ? 'matches' : 'does not match'} "7"`, () =>
        expect(matches(header, '"7"')).to.equal(expected))
    }
  })

  describe('If-Match', () => {
    it('names a version', () => expect(readIfMatch('"12"')).to.equal(12))
    it('is no condition when it is a star', () => expect(readIfMatch('*')).to.equal(undefined))
    for (const wrong of ['12', 'W/"12"', '"a"', '"1", "2"']) {
      it(`${wrong} is refused`, () => expect(() => readIfMatch(wrong)).to.throw(AppError))
    }
  })

  it('a JSON pointer escapes what it must', () => expect(pointerOf(['a/b', 'c~d', '0'])).to.equal('#/a~1b/c~0d/0'))

  it('every error code has a client or server status', () => {
    for (const status of Object.values(STATUS)) expect(status).to.be.within(400, 503)
  })

  it('an internal error says nothing of its inside', () => {
    const problem = problemOf(new AppError('internal', 'password hunter2 leaked'), 't')
    expect(JSON.stringify(problem)).not.to.include('hunter2')
  })

  it('a cursor comes back as it was, and garbage does not', () => {
    expect(decodeCursor(encodeCursor(['x', 1]), ['string', 'number'])).to.deep.equal(['x', 1])
    for (const garbage of [
      '',
      '%%%',
      encodeCursor([1, 1]),
      encodeCursor(['x']),
      Buffer.from('{}').toString('base64url'),
    ]) {
      expect(decodeCursor(garbage, ['string', 'number'])).to.equal(undefined)
    }
  })

  describe('a session token', () => {
    it('has 256 random bits and names its user', () => {
      const tokens = Array.from({ length: 1000 }, () => newToken('123'))
      expect(new Set(tokens.map(token => token.text)).size).to.equal(1000)
      expect(Buffer.from(tokens[0]?.text.split('.')[1] ?? '', 'base64url')).to.have.length(32)
      expect(parseToken(tokens[0]?.text ?? '')).to.deep.equal(tokens[0])
    })
    it('is not in the name of its key', () => {
      const token = newToken('123')
      expect(sessionKey(token)).not.to.include(token.text.split('.')[1])
      expect(sessionKey(token)).to.match(/^\{u:123\}:session:/)
    })
    for (const wrong of [
      '',
      '123',
      '123.short',
      `0.${'a'.repeat(43)}`,
      `x.${'a'.repeat(43)}`,
      `1.${'a'.repeat(44)}`,
      `1.${'a'.repeat(42)}*`,
    ]) {
      it(`'${wrong.slice(0, 12)}' is none`, () => expect(parseToken(wrong)).to.equal(undefined))
    }
  })

  describe('the wait after failed logins', () => {
    const cases: [number, number, number][] = [
      [-1, 0, 0],
      [0, 0, 1000],
      [1, 0, 2000],
      [3, 500, 7500],
      [3, 9000, 0],
      [30, 0, 900_000],
      [1000, 0, 900_000],
    ]
    for (const [excess, sinceMs, wait] of cases) {
      it(`is ${wait} ms, ${sinceMs} ms after failure ${excess} beyond the free ones`, () =>
        expect(waitAfter(excess, sinceMs)).to.equal(wait))
    }
  })

  it('HTML is escaped', () => expect(escapeHtml(`<a href="x">'&`)).to.equal('&#60;a href=&#34;x&#34;&#62;&#39;&#38;'))
})

describe('the generated shop', () => {
  const options = { seed: 1, products: 5000, linesMax: 500, quantityMax: 999 }

  it('is the same for the same seed and another for another', () => {
    const [one, same, other] = [
      createGenerator(options),
      createGenerator(options),
      createGenerator({ ...options, seed: 2 }),
    ]
    expect(one.product(42)).to.deep.equal(same.product(42))
    expect(one.cart(42)).to.deep.equal(same.cart(42))
    expect(one.cart(42)).not.to.deep.equal(other.cart(42))
  })

  it('has the shapes that were measured: lines, units, prices, popularity', () => {
    const generator = createGenerator(options)
    const carts = Array.from({ length: 4000 }, (_, index) => generator.cart(index))
    const quantile = (values: number[], at: number) => values.sort((a, b) => a - b)[Math.floor(values.length * at)] ?? 0
    const lines = carts.map(cart => cart.length)
    expect(quantile(lines, 0.5)).to.be.within(13, 17) // measured: 15
    expect(quantile(lines, 0.9)).to.be.within(45, 62) // measured: 54
    const units = carts.flat().map(line => line.quantity)
    expect(quantile(units, 0.5)).to.be.within(2, 4) // measured: 3
    expect(units.filter(quantity => quantity === 1).length / units.length).to.be.within(0.25, 0.32) // measured: 0.277
    const prices = Array.from({ length: 5000 }, (_, index) => generator.product(index).price)
    expect(quantile(prices, 0.5)).to.be.within(180, 240) // measured: 208
    const counts = new Map<string, number>()
    for (const { sku } of carts.flat()) counts.set(sku, (counts.get(sku) ?? 0) + 1)
    const top = [...counts.values()]
      .sort((a, b) => b - a)
      .slice(0, 500)
      .reduce((sum, count) => sum + count, 0)
    expect(top / carts.flat().length).to.be.within(0.36, 0.52) // measured: 0.44 in the top tenth
  })

  it('never has a product twice in a cart', () => {
    const generator = createGenerator({ ...options, products: 30 })
    for (let index = 0; index < 200; index++) {
      const cart = generator.cart(index)
      expect(new Set(cart.map(line => line.sku)).size).to.equal(cart.length)
    }
  })
})

describe('a line of a file of carts', () => {
  const cases: [string, string, string][] = [
    [
      'in the short form',
      '{"n":"536365","r":0,"l":[["A",6,255],["B",1,1],["A",2,255]]}',
      'cart 536365@import.example A:8 B:1',
    ],
    ['in the long form', '{"id":"7","email":"a@b.example","lines":[{"sku":"A","quantity":3}]}', 'cart a@b.example A:3'],
    ['of a return', '{"n":"C1","r":1,"l":[["A",6,255]]}', 'return'],
    ['that is not JSON', '{"n":', 'wrong not JSON'],
    [
      'with too many units',
      '{"n":"1","l":[["A",999,1],["A",1,1]]}',
      "wrong 1000 of 'A': at most 999 to a line (CARTLOAD_LINE_QUANTITY_MAX)",
    ],
    ['with a quantity of nothing', '{"n":"1","l":[["A",0,1]]}', 'wrong l.0.1: Too small: expected number to be >=1'],
    [
      'with an id that is none',
      '{"n":"../x","l":[["A",1,1]]}',
      'wrong n: Invalid string: must match pattern /^[\\w.-]{1,64}$/',
    ],
  ]
  for (const [what, text, expected] of cases) {
    it(what, () => {
      const basket = readBasket(text, DEFAULT_LIMITS)
      const shown =
        basket.kind === 'cart'
          ? `cart ${basket.email} ${basket.lines.map(line => `${line.sku}:${line.quantity}`).join(' ')}`
          : basket.kind === 'wrong'
            ? `wrong ${basket.reason}`
            : 'return'
      expect(shown).to.equal(expected)
    })
  }
})
