import { expect } from 'chai'
import fc from 'fast-check'
import { isAppError } from '../../src/lib/errors.ts'
import {
  addLines,
  clearLines,
  differenceOf,
  type Edit,
  type Lines,
  newLine,
  removeLine,
  setLine,
} from '../../src/model/cart.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { type MergeRule, mergeLines, undoMerge } from '../../src/model/merge.ts'

const limits = { ...DEFAULT_LIMITS, cartLinesMax: 5, lineQuantityMax: 10 }
const cart = (...items: [string, number][]): Lines => items.map(([sku, quantity], at) => newLine(sku, quantity, at + 1))
const shown = (lines: Lines): string =>
  lines.map(line => `${line.sku}${line.selected ? '' : '(off)'}:${line.quantity}`).join(' ')

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (isAppError(error)) return error.code
    throw error
  }
  return 'none'
}

describe('a cart', () => {
  const edits: { what: string; before: Lines; edit: Edit; after: string }[] = [
    {
      what: 'adds a new product at the end',
      before: cart(['a', 1]),
      edit: addLines([{ sku: 'b', quantity: 2 }], limits),
      after: 'a:1 b:2',
    },
    {
      what: 'adds to the quantity of a line that is there',
      before: cart(['a', 1], ['b', 1]),
      edit: addLines([{ sku: 'a', quantity: 2 }], limits),
      after: 'a:3 b:1',
    },
    {
      what: 'adds several, one of them twice',
      before: [],
      edit: addLines(
        [
          { sku: 'a', quantity: 1 },
          { sku: 'b', quantity: 1 },
          { sku: 'a', quantity: 2 },
        ],
        limits,
      ),
      after: 'a:3 b:1',
    },
    {
      what: 'sets a quantity',
      before: cart(['a', 1], ['b', 1]),
      edit: setLine('a', { quantity: 7 }, limits),
      after: 'a:7 b:1',
    },
    {
      what: 'makes the line whose quantity is set',
      before: cart(['a', 1]),
      edit: setLine('b', { quantity: 7 }, limits),
      after: 'a:1 b:7',
    },
    {
      what: 'removes the line whose quantity is set to 0',
      before: cart(['a', 1], ['b', 1]),
      edit: setLine('a', { quantity: 0 }, limits),
      after: 'b:1',
    },
    {
      what: 'unselects a line',
      before: cart(['a', 1]),
      edit: setLine('a', { selected: false }, limits),
      after: 'a(off):1',
    },
    { what: 'removes a line', before: cart(['a', 1], ['b', 1]), edit: removeLine('a'), after: 'b:1' },
    { what: 'removes all lines', before: cart(['a', 1], ['b', 1]), edit: clearLines, after: '' },
  ]
  for (const { what, before, edit, after } of edits) it(what, () => expect(shown(edit(before))).to.equal(after))

  const nothing: { what: string; edit: Edit }[] = [
    { what: 'a removal of what is not there', edit: removeLine('x') },
    { what: 'a quantity that is set to what it is', edit: setLine('a', { quantity: 1 }, limits) },
    { what: 'a selection of what is selected', edit: setLine('a', { selected: true }, limits) },
  ]
  for (const { what, edit } of nothing) {
    it(`is the same object after ${what}, so that nothing is written`, () => {
      const before = cart(['a', 1])
      expect(edit(before)).to.equal(before)
    })
  }

  const refused: { what: string; before: Lines; edit: Edit; code: string }[] = [
    {
      what: 'a sum above the line limit',
      before: cart(['a', 6]),
      edit: addLines([{ sku: 'a', quantity: 5 }], limits),
      code: 'line_quantity_max',
    },
    {
      what: 'a set quantity above the line limit',
      before: [],
      edit: setLine('a', { quantity: 11 }, limits),
      code: 'line_quantity_max',
    },
    {
      what: 'one line too many',
      before: cart(['a', 1], ['b', 1], ['c', 1], ['d', 1], ['e', 1]),
      edit: addLines([{ sku: 'f', quantity: 1 }], limits),
      code: 'cart_lines_max',
    },
    {
      what: 'one line too many by setting it',
      before: cart(['a', 1], ['b', 1], ['c', 1], ['d', 1], ['e', 1]),
      edit: setLine('f', { quantity: 1 }, limits),
      code: 'cart_lines_max',
    },
    {
      what: 'a note on a line that is not there',
      before: [],
      edit: setLine('a', { note: 'x' }, limits),
      code: 'line_not_found',
    },
  ]
  for (const { what, before, edit, code } of refused) {
    it(`refuses ${what} with ${code}`, () => expect(codeOf(() => edit(before))).to.equal(code))
  }

  it('names the entry of several that is too large', () => {
    try {
      addLines(
        [
          { sku: 'a', quantity: 1 },
          { sku: 'b', quantity: 11 },
        ],
        limits,
      )([])
      expect.fail('was accepted')
    } catch (error) {
      expect(isAppError(error) && error.errors[0]?.pointer).to.equal('#/lines/1/quantity')
    }
  })

  const arbitraryLines = fc
    .uniqueArray(fc.record({ sku: fc.constantFrom(...'abcdefghij'), quantity: fc.integer({ min: 1, max: 10 }) }), {
      selector: item => item.sku,
    })
    .map(items => cart(...items.map(({ sku, quantity }): [string, number] => [sku, quantity])))
  const wide = { ...limits, cartLinesMax: 100, lineQuantityMax: 1000 }

  it('is rebuilt by applying the difference of two states to the first', () => {
    fc.assert(
      fc.property(arbitraryLines, arbitraryLines, (before, after) => {
        const { upserts, removals } = differenceOf(before, after)
        const rows = new Map(before.map(line => [line.sku, line]))
        for (const sku of removals) rows.delete(sku)
        for (const line of upserts) rows.set(line.sku, line)
        const byPosition = (lines: Iterable<Lines[number]>) =>
          [...lines].sort((a, b) => a.position - b.position || a.sku.localeCompare(b.sku))
        expect(byPosition(rows.values())).to.deep.equal(byPosition(after))
      }),
    )
  })

  it('never has two lines in one place, whatever is done to it', () => {
    const step = fc.oneof(
      fc
        .record({ sku: fc.constantFrom(...'abcdef'), quantity: fc.integer({ min: 1, max: 3 }) })
        .map(item => addLines([item], wide)),
      fc.constantFrom(...'abcdef').map(sku => removeLine(sku)),
      fc
        .record({ sku: fc.constantFrom(...'abcdef'), quantity: fc.integer({ min: 0, max: 3 }) })
        .map(({ sku, quantity }) => setLine(sku, { quantity }, wide)),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const lines = steps.reduce<Lines>((current, edit) => edit(current), [])
        expect(new Set(lines.map(line => line.position)).size).to.equal(lines.length)
        expect(new Set(lines.map(line => line.sku)).size).to.equal(lines.length)
      }),
    )
  })

  describe('merged at login', () => {
    const rules: [MergeRule, string][] = [
      ['larger', 'a:5 b:1 c:3'],
      ['sum', 'a:7 b:1 c:3'],
      ['guest', 'a:2 b:1 c:3'],
      ['user', 'a:5 b:1 c:3'],
    ]
    for (const [rule, after] of rules) {
      it(`by the rule '${rule}'`, () => {
        expect(shown(mergeLines(cart(['a', 5], ['b', 1]), cart(['a', 2], ['c', 3]), rule, limits).lines)).to.equal(
          after,
        )
      })
    }

    it('stops at the line limit', () => {
      expect(shown(mergeLines(cart(['a', 8]), cart(['a', 7]), 'sum', limits).lines)).to.equal('a:10')
    })

    it('keeps guest lines that find no room', () => {
      const { lines, leftOut } = mergeLines(
        cart(['a', 1], ['b', 1], ['c', 1], ['d', 1]),
        cart(['e', 1], ['f', 1]),
        'larger',
        limits,
      )
      expect(shown(lines)).to.equal('a:1 b:1 c:1 d:1 e:1')
      expect(shown(leftOut)).to.equal('f:1')
    })

    it('loses nothing under the default rule', () => {
      fc.assert(
        fc.property(arbitraryLines, arbitraryLines, (user, guest) => {
          const { lines } = mergeLines(user, guest, 'larger', wide)
          const after = new Map(lines.map(line => [line.sku, line.quantity]))
          for (const line of [...user, ...guest]) expect(after.get(line.sku)).to.be.at.least(line.quantity)
        }),
      )
    })

    it('is taken back exactly when nothing changed since', () => {
      fc.assert(
        fc.property(
          arbitraryLines,
          arbitraryLines,
          fc.constantFrom<MergeRule>('larger', 'sum', 'guest', 'user'),
          (user, guest, rule) => {
            const merge = mergeLines(user, guest, rule, wide)
            expect(shown(undoMerge(merge.lines, merge.changes))).to.equal(shown(user))
          },
        ),
      )
    })

    it('leaves alone what was changed after the merge when it is taken back', () => {
      const merge = mergeLines(cart(['a', 1]), cart(['a', 4], ['b', 2]), 'larger', limits)
      const since = setLine('b', { quantity: 9 }, limits)(merge.lines)
      expect(shown(undoMerge(since, merge.changes))).to.equal('a:1 b:9')
    })
  })
})
