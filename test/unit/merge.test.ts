import { expect } from 'chai'
import type { CartLine } from '../../src/model/cart.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { mergeCodes, mergeLines, undoMerge } from '../../src/model/merge.ts'

/** What a login does to what the guest had: nothing that the guest wanted to buy may disappear from the total. */
describe('a merge at login', () => {
  const line = (quantity: number, more: Partial<CartLine> = {}): CartLine => ({
    sku: 'A',
    position: 1,
    quantity,
    selected: true,
    note: '',
    ...more,
  })
  const CASES: readonly [string, CartLine[], CartLine[], Partial<CartLine>][] = [
    ['a line that only the guest has', [], [line(2, { note: 'red' })], { quantity: 2, selected: true, note: 'red' }],
    ['one that only the guest has, put aside', [], [line(2, { selected: false })], { quantity: 2, selected: false }],
    [
      'one that the user has put aside and the guest wants',
      [line(2, { selected: false })],
      [line(2)],
      { quantity: 2, selected: true },
    ],
    ['the same with more units', [line(2, { selected: false })], [line(5)], { quantity: 5, selected: true }],
    [
      'one that the user wants and the guest has put aside',
      [line(2)],
      [line(3, { selected: false })],
      { quantity: 3, selected: true },
    ],
    [
      'one that both have put aside',
      [line(2, { selected: false })],
      [line(2, { selected: false })],
      { quantity: 2, selected: false },
    ],
    ['a note of the user', [line(1, { note: 'mine' })], [line(1, { note: 'theirs' })], { note: 'mine' }],
    ['a note of the guest where the user has none', [line(1)], [line(1, { note: 'theirs' })], { note: 'theirs' }],
  ]
  for (const [what, user, guest, wanted] of CASES)
    it(`of ${what}; and its undo`, () => {
      const { lines, changes } = mergeLines(user, guest, 'larger', DEFAULT_LIMITS)
      expect(lines).to.have.length(1)
      expect(lines[0]).to.include(wanted)
      expect(
        undoMerge(lines, changes).map(({ sku, quantity, selected, note }) => ({ sku, quantity, selected, note })),
      ).to.deep.equal(user.map(({ sku, quantity, selected, note }) => ({ sku, quantity, selected, note })))
    })
  it('changes nothing where nothing is different', () => {
    const user = [line(2)]
    expect(mergeLines(user, [line(2)], 'larger', DEFAULT_LIMITS)).to.deep.include({ lines: user, changes: [] })
  })
  it('brings codes along, the same in another case once', () => {
    expect(mergeCodes(['SAVE'], ['save ', 'OTHER'])).to.deep.equal(['SAVE', 'OTHER'])
  })
})
