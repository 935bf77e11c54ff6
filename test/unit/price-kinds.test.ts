import { expect } from 'chai'
import { calculate } from '../../src/pricing/engine/calculate.ts'
import { sumOfShares } from '../../src/pricing/engine/arithmetic.ts'
import type { LineToPrice } from '../../src/pricing/engine/input.ts'
import { compileRules } from '../../src/pricing/engine/rules.ts'
import { checkRuleSet } from '../../src/model/rule-set-check.ts'

/** Kinds of fault that other shops have had: tables of inputs with the right values (the kinds' names stand beside them). */
type Line = readonly [sku: string, price: number, units: number, taxPercent?: number]

function priceOf(
  document: { policy?: object; groups?: object; promotions?: object[] },
  lines: readonly Line[],
  more: { shippingFee?: number; codes?: string[]; codeFacts?: Record<string, { pool?: string; uses: number }> } = {},
) {
  const checked = checkRuleSet({ currency: 'GBP', promotions: [], ...document })
  if (!('ruleSet' in checked)) throw new Error(JSON.stringify(checked.mistakes))
  return calculate(
    compileRules(checked.ruleSet),
    {
      lines: lines.map(
        ([sku, unitPrice, quantity, taxPercent]): LineToPrice => ({
          sku,
          unitPrice,
          quantity,
          categories: ['x'],
          tags: [],
          selected: true,
          taxPercent,
        }),
      ),
      codes: more.codes ?? [],
      codeFacts: more.codeFacts,
      shippingFee: more.shippingFee ?? 0,
      buyer: { groups: [], ordersPlaced: 0 },
      usage: {},
      currency: 'GBP',
      now: '2026-06-01T00:00:00Z',
    },
    { workMax: 1e6 },
  )
}

describe('goods that cost nothing', () => {
  const bogo = { id: 'b', name: 'b', kind: 'buy_get', buy: { units: 1 }, get: { units: 1 }, percent: 100 }
  const cheapestFree = { id: 'c', name: 'c', kind: 'percent_off', percent: 100, units: { max: 1, take: 'cheapest' } }
  const CASES: readonly [string, object, Line[], number][] = [
    ['buy one get one, two of 10.00', bogo, [['A', 1000, 2]], 1000],
    [
      'and a sample: not dearer than without it',
      bogo,
      [
        ['A', 1000, 2],
        ['S', 0, 1],
      ],
      1000,
    ],
    [
      'and three samples',
      bogo,
      [
        ['A', 1000, 2],
        ['S', 0, 3],
      ],
      1000,
    ],
    [
      'a sample is nothing that was bought',
      bogo,
      [
        ['A', 1000, 1],
        ['S', 0, 1],
      ],
      1000,
    ],
    [
      'buy two get one, with samples',
      { ...bogo, buy: { units: 2 } },
      [
        ['A', 900, 3],
        ['S', 0, 5],
      ],
      1800,
    ],
    [
      'the cheapest free, and a sample',
      cheapestFree,
      [
        ['A', 1000, 1],
        ['B', 400, 1],
        ['S', 0, 2],
      ],
      1000,
    ],
    ['nothing but samples', cheapestFree, [['S', 0, 2]], 0],
  ]
  for (const [what, promotion, lines, total] of CASES)
    it(`are no "cheapest item": ${what}`, () =>
      expect(priceOf({ promotions: [promotion] }, lines).totals.total).to.equal(total))
})

describe('delivery', () => {
  it('of nothing costs nothing', () =>
    expect(priceOf({}, [], { shippingFee: 495 }).totals).to.include({ shipping: 0, total: 0 }))
  it('of something costs its fee, also of what is given away', () => {
    expect(priceOf({}, [['A', 1000, 1]], { shippingFee: 495 }).totals.total).to.equal(1495)
    expect(priceOf({}, [['S', 0, 1]], { shippingFee: 495 }).totals.total).to.equal(495)
  })
})

describe('a maximum amount', () => {
  const upTo = (maxAmount: number, more: object = {}) => ({
    id: 'm',
    name: 'm',
    kind: 'percent_off',
    percent: 10,
    when: { maxAmount },
    ...more,
  })
  for (const [amount, total] of [
    [949, 854],
    [950, 855],
    [951, 951],
    [2000, 2000],
  ] as const)
    it(`of 9.50: a cart of ${amount / 100} costs ${total / 100}`, () => {
      const { totals, outcomes } = priceOf({ promotions: [upTo(950)] }, [['A', amount, 1]])
      expect(totals.total).to.equal(total)
      expect(outcomes[0]).to.include(
        amount <= 950 ? { status: 'applied' } : { status: 'refused', reason: 'max_amount' },
      )
    })
  it('is of list prices: what another promotion takes off does not open it', () => {
    const rules = [{ id: 'h', name: 'h', kind: 'percent_off', percent: 50, priority: 1 }, upTo(600)]
    expect(priceOf({ promotions: rules }, [['A', 1000, 1]]).totals.total).to.equal(500)
  })
})

describe('tax', () => {
  const added = (at: string) => ({ policy: { tax: { prices: 'exclude-tax', at } } })
  it('of 8.875 % on 7,650.00 is 678.94', () =>
    expect(priceOf(added('line'), [['A', 765_000, 1, 8.875]]).totals.tax).to.equal(67_894))
  for (const [percent, tax] of [
    [8.875, 888],
    [8.125, 813],
    [4.712, 471],
    [0.001, 0],
    [9.999, 1000],
    [100, 10_000],
  ] as const)
    it(`of ${percent} % on 100.00 is ${tax / 100}`, () =>
      expect(priceOf(added('line'), [['A', 10_000, 1, percent]]).totals.tax).to.equal(tax))
  it('of 8.875 % contained in 108.88 is 8.88', () =>
    expect(priceOf({}, [['A', 10_888, 1, 8.875]]).totals.tax).to.equal(888))

  it('rounded once on the order: 20 x 2.74 and 50 x 3.36 less 8 %, 20 % on top, is 41.00', () => {
    const less = { id: 'l', name: 'l', kind: 'percent_off', percent: 8, per: 'order' }
    const { totals, lines } = priceOf({ ...added('order'), promotions: [less] }, [
      ['A', 274, 20, 20],
      ['B', 336, 50, 20],
    ])
    expect(totals.tax).to.equal(4100)
    expect(lines.reduce((sum, line) => sum + line.tax, 0)).to.equal(4100)
  })
  for (const [what, lines, at, tax] of [
    [
      'three of 0.33 at 10 %, by line',
      [
        ['A', 33, 1, 10],
        ['B', 33, 1, 10],
        ['C', 33, 1, 10],
      ],
      'line',
      9,
    ],
    [
      'three of 0.33 at 10 %, once',
      [
        ['A', 33, 1, 10],
        ['B', 33, 1, 10],
        ['C', 33, 1, 10],
      ],
      'order',
      10,
    ],
    [
      'two rates, once: 0.55 at 10 % and 0.55 at 8.875 %',
      [
        ['A', 55, 1, 10],
        ['B', 55, 1, 8.875],
      ],
      'order',
      10,
    ],
    ['no rate at all', [['A', 55, 1]], 'order', 0],
  ] as const)
    it(`of ${what} is ${tax}`, () => {
      const { totals, lines: priced } = priceOf(added(at), lines)
      expect(totals.tax).to.equal(tax)
      expect(
        priced.reduce((sum, line) => sum + line.tax, 0),
        'lines add up',
      ).to.equal(tax)
    })

  it('adds fractions exactly, whatever their denominators', () => {
    const third = { n: 1n, d: 3n }
    expect(sumOfShares([third, third, third], 'half-up')).to.equal(1)
    expect(sumOfShares([third, { n: 1n, d: 6n }], 'half-up')).to.equal(1)
    expect(sumOfShares([third, { n: 1n, d: 6n }], 'half-even')).to.equal(0)
    expect(sumOfShares([], 'up')).to.equal(0)
  })
})

describe('one offer for a unit', () => {
  const trio = { id: 'trio', name: 'trio', kind: 'multi_buy', units: 3, price: 12_600, priority: 1 }
  const duo = { id: 'duo', name: 'duo', kind: 'multi_buy', units: 2, price: 9_000, priority: 2 }
  const half = { id: 'half', name: 'half', kind: 'percent_off', percent: 50, priority: 3 }
  const order = { id: 'order', name: 'order', kind: 'percent_off', percent: 10, per: 'order' }
  const CASES: readonly [string, object[], Line[], number][] = [
    ['three for 126 and two for 90, of five', [trio, duo], [['A', 5_000, 5]], 21_600],
    ['of four: three and one', [trio, duo], [['A', 5_000, 4]], 17_600],
    ['of seven: two threes and one', [trio, duo], [['A', 5_000, 7]], 30_200],
    ['of eight: two threes and a pair', [trio, duo], [['A', 5_000, 8]], 34_200],
    ['the rest at half price', [trio, half], [['A', 5_000, 4]], 15_100],
    ['a promotion of the whole order takes no unit', [trio, order], [['A', 5_000, 3]], 11_340],
    [
      'over two products',
      [trio, duo],
      [
        ['A', 5_000, 3],
        ['B', 5_000, 2],
      ],
      21_600,
    ],
  ]
  for (const [what, promotions, lines, total] of CASES)
    it(`${what}: ${total}`, () =>
      expect(priceOf({ policy: { units: 'one-offer' }, promotions }, lines).totals.total).to.equal(total))
})

describe('units that are sold as one thing', () => {
  const trio = { id: 'trio', name: 'trio', kind: 'multi_buy', units: 3, price: 12_600, priority: 1 }
  const duo = { id: 'duo', name: 'duo', kind: 'multi_buy', units: 2, price: 9_000, priority: 2 }
  for (const [units, total] of [
    [5, 21_600],
    [6, 25_200],
    [7, 30_200],
    [8, 34_200],
  ] as const)
    it(`are fresh with fresh-first too: ${units} cost ${total}`, () =>
      expect(
        priceOf({ policy: { units: 'fresh-first' }, promotions: [trio, duo] }, [['A', 5_000, units]]).totals.total,
      ).to.equal(total))
})

describe('tax by rate', () => {
  it('adds up to the tax, with delivery among it, the highest rate first', () => {
    const { totals } = priceOf(
      { policy: { tax: { shippingPercent: 19 } } },
      [
        ['A', 10_000, 1, 19],
        ['B', 10_000, 1, 7],
        ['C', 500, 1],
      ],
      { shippingFee: 495 },
    )
    expect(totals.taxes).to.deep.equal([
      { percent: 19, amount: 1597 + 79 },
      { percent: 7, amount: 654 },
    ])
    expect(totals.tax).to.equal(1597 + 79 + 654)
  })
})

describe('a group that excludes by line', () => {
  const member = (id: string, fields: object) => ({ id, name: id, group: 'offers', ...fields })
  const bogo = member('bogo', { kind: 'buy_get', buy: { units: 1 }, get: { units: 1 } })
  const third = member('third', { kind: 'percent_off', percent: 30 })
  const pair = member('pair', { kind: 'multi_buy', units: 2, price: 1_500 })
  const halfA = member('half', { kind: 'percent_off', percent: 50, scope: { skus: ['A'] } })
  const items = [
    { scope: { skus: ['A'] }, units: 1 },
    { scope: { skus: ['B'] }, units: 1 },
  ]
  const tiers = [
    { distinct: 2, percent: 10 },
    { distinct: 3, percent: 20 },
  ]
  const each = (...skus: string[]): Line[] => skus.map(sku => [sku, 1_000, 1])
  const CASES: readonly [string, object[], Line[], number][] = [
    ['buy one get one or 30 %, two of one product', [bogo, third], [['A', 1_000, 2]], 1_000],
    ['three of one product', [bogo, third], [['A', 1_000, 3]], 2_000],
    ['a line that was bought for another to be free has its member', [bogo, third], each('A', 'B'), 1_000],
    [
      '30 % is better where the free one is cheap',
      [bogo, third],
      [
        ['A', 1_000, 1],
        ['B', 100, 1],
      ],
      770,
    ],
    ['a pair for 15.00 or half off one of it', [pair, halfA], each('A', 'B'), 1_500],
    ['a pair of the other two, and half off the first', [pair, halfA], each('A', 'B', 'C'), 2_000],
    ['two pairs are better than half off one', [pair, halfA], each('A', 'B', 'C', 'D'), 3_000],
    [
      'a bundle or 40 % off a part of it',
      [member('b', { kind: 'bundle', items, price: 1_500 }), { ...halfA, percent: 40 }],
      each('A', 'B'),
      1_500,
    ],
    [
      'a bundle or 60 % off a part of it',
      [member('b', { kind: 'bundle', items, price: 1_500 }), { ...halfA, percent: 60 }],
      each('A', 'B'),
      1_400,
    ],
    [
      'a smaller set, and half off what it leaves',
      [member('set', { kind: 'set', tiers }), halfA],
      each('A', 'B', 'C'),
      2_300,
    ],
    [
      'three for 25.00 or two for 17.00, of five',
      [member('trio', { kind: 'multi_buy', units: 3, price: 2_500 }), { ...pair, price: 1_700 }],
      [['A', 1_000, 5]],
      4_400,
    ],
    [
      'the better of two that take each line by itself',
      [member('three', { kind: 'amount_off', per: 'unit', amount: 300 }), { ...halfA, percent: 20 }],
      each('A', 'B'),
      1_400,
    ],
    [
      '30 % off the two dearest, or half off one of them',
      [{ ...third, units: { max: 2 } }, halfA],
      each('A', 'B', 'C'),
      1_900,
    ],
    [
      'a line that no other wants',
      [bogo, halfA],
      [
        ['A', 100, 1],
        ['B', 1_000, 2],
      ],
      1_050,
    ],
  ]
  for (const [what, promotions, lines, total] of CASES) {
    it(`gives a line to one member only: ${what}: ${total}`, () => {
      const { totals, gap, lines: priced } = priceOf({ groups: { offers: { scope: 'line' } }, promotions }, lines)
      expect({ total: totals.total, gap }).to.deep.equal({ total, gap: 0 })
      for (const line of priced) expect(line.discounts.length).to.be.at.most(1)
    })
  }

  it('keeps one member a line with offers for fresh units, and for one unit each', () => {
    for (const units of ['fresh-first', 'one-offer']) {
      const document = { policy: { units }, groups: { offers: { scope: 'line' } }, promotions: [pair, halfA] }
      expect(priceOf(document, each('A', 'B')).totals.total, units).to.equal(1_500)
    }
  })

  it('says that it did not try every way to share many lines out, and by how much another could be cheaper', () => {
    const lines = each(...Array.from({ length: 12 }, (_, at) => `P${at}`))
    const { totals, gap } = priceOf({ groups: { offers: { scope: 'line' } }, promotions: [pair, third] }, lines)
    expect(totals.total).to.equal(8_400)
    expect(gap).to.be.above(0)
  })
})

describe('a bundle whose items want the same products', () => {
  const of = (scope: object, units = 1) => ({ scope, units })
  const [any, onlyA] = [of({}), of({ skus: ['A'] })]
  const bundle = (items: object[], fields: object) => [{ id: 'b', name: 'b', kind: 'bundle', items, ...fields }]
  const CASES: readonly [string, object[], Line[], number][] = [
    [
      'any and A',
      bundle([any, onlyA], { price: 1_500 }),
      [
        ['A', 1_000, 1],
        ['B', 1_000, 1],
      ],
      1_500,
    ],
    [
      'A and any',
      bundle([onlyA, any], { price: 1_500 }),
      [
        ['A', 1_000, 1],
        ['B', 1_000, 1],
      ],
      1_500,
    ],
    ['two of A', bundle([any, onlyA], { price: 1_500 }), [['A', 1_000, 2]], 1_500],
    ['only one A', bundle([any, onlyA], { price: 1_500 }), [['A', 1_000, 1]], 1_000],
    [
      'two bundles',
      bundle([any, onlyA], { price: 1_500 }),
      [
        ['A', 1_000, 2],
        ['B', 1_000, 2],
      ],
      3_000,
    ],
    [
      'the dearest of what is there',
      bundle([any, onlyA], { price: 1_500 }),
      [
        ['A', 1_000, 1],
        ['B', 800, 1],
        ['C', 1_200, 1],
      ],
      2_300,
    ],
    [
      'any two',
      bundle([any, any], { price: 1_000 }),
      [
        ['A', 900, 1],
        ['B', 700, 1],
        ['C', 300, 1],
      ],
      1_300,
    ],
    [
      'A and B, B and C, C',
      bundle([of({ skus: ['A', 'B'] }), of({ skus: ['B', 'C'] }), of({ skus: ['C'] })], { price: 1_000 }),
      [
        ['A', 600, 1],
        ['B', 500, 1],
        ['C', 400, 1],
      ],
      1_000,
    ],
    [
      'a percentage',
      bundle([any, onlyA], { percent: 50 }),
      [
        ['A', 1_000, 1],
        ['B', 600, 1],
      ],
      800,
    ],
    [
      'an amount for each',
      bundle([any, onlyA], { amount: 200 }),
      [
        ['A', 1_000, 2],
        ['B', 600, 3],
      ],
      3_400,
    ],
  ]
  for (const [what, promotions, lines, total] of CASES)
    it(`finds who stands for what: ${what}: ${total}`, () => {
      const { totals, gap } = priceOf({ promotions }, lines)
      expect({ total: totals.total, gap }).to.deep.equal({ total, gap: 0 })
    })
})

describe('a set', () => {
  const tiers = [
    { distinct: 2, percent: 10 },
    { distinct: 3, percent: 30 },
  ]
  const set = { id: 'set', name: 'set', kind: 'set', tiers }

  it('of different prices has the best grouping, and says so', () => {
    const { totals, gap } = priceOf({ promotions: [set] }, [
      ['A', 1_000, 2],
      ['B', 500, 1],
      ['C', 100, 1],
    ])
    expect({ total: totals.total, gap }).to.deep.equal({ total: 2_120, gap: 0 })
  })

  it('of more products than can be searched is proved where one percentage is the most there is', () => {
    const lines = Array.from({ length: 12 }, (_, at): Line => [`P${at}`, 100 + at, 1 + at * 7])
    const one = { ...set, tiers: [{ distinct: 3, percent: 30 }] }
    const { totals, gap } = priceOf({ promotions: [one] }, lines)
    // 474 units make 158 sets of three, and no product has more than that: all units have 30 % off, rounded by line.
    const right = lines.map(([, price, units]) => Math.round(price * units * 0.3))
    expect({ gap, off: totals.discount }).to.deep.equal({ gap: 0, off: right.reduce((sum, off) => sum + off, 0) })
  })

  it('and says otherwise by how much another grouping could be cheaper', () => {
    const lines = Array.from({ length: 12 }, (_, at): Line => [`P${at}`, 100 + at * 300, 1 + at * 7])
    const steps = [2, 3, 5, 7].map((distinct, at) => ({ distinct, percent: [4, 15, 16, 40][at] }))
    expect(priceOf({ promotions: [{ ...set, tiers: steps }] }, lines).gap).to.be.above(0)
  })
})

describe('a gift', () => {
  it('changes no price', () => {
    const promotions = [
      {
        id: 'a',
        name: 'a',
        kind: 'threshold',
        tiers: [{ from: 100, amount: 2 }],
        scope: { skus: ['D', 'E'] },
        priority: 0,
      },
      { id: 'b', name: 'b', kind: 'threshold', every: { amount: 1, off: 1 }, scope: { skus: ['B', 'E'] }, priority: 1 },
      { id: 'z', name: 'z', kind: 'amount_off', amount: 1, scope: { skus: ['C'] }, priority: 3 },
    ]
    const gift = { id: 'g', name: 'g', kind: 'gift', sku: 'G', scope: { skus: ['B', 'C', 'D', 'E'] }, priority: 2 }
    const lines: Line[] = [
      ['A', 0, 1],
      ['B', 2, 1],
      ['C', 1, 1],
      ['D', 1, 1],
      ['E', 99, 1],
    ]
    for (const list of [promotions, [...promotions, gift]])
      expect(priceOf({ promotions: list }, lines).totals.total, `${list.length} promotions`).to.equal(0)
  })
})

describe('prices below a cent', () => {
  const tenth = { id: 't', name: 't', kind: 'percent_off', percent: 10 }
  const some = { ...tenth, units: { max: 100 } }
  const trio = { id: 'trio', name: 'trio', kind: 'multi_buy', units: 100, price: 50 }
  const unit = { rounding: { at: 'unit' } }
  const CASES: readonly [string, object, Line[], number][] = [
    ['300 at 0.005678', {}, [['G', 0.5678, 300]], 170],
    ['less 10 %', { promotions: [tenth] }, [['G', 0.5678, 300]], 153],
    ['less 10 %, rounded by unit', { promotions: [tenth], policy: unit }, [['G', 0.5678, 300]], 153],
    ['less 10 % of 100 of them', { promotions: [some] }, [['G', 0.5678, 300]], 164],
    ['100 for 0.50', { promotions: [trio] }, [['G', 0.5678, 300]], 150],
    [
      'beside whole prices',
      { promotions: [tenth] },
      [
        ['G', 0.5678, 300],
        ['A', 1000, 1],
      ],
      1053,
    ],
    ['from an amount on', { promotions: [{ ...tenth, when: { minAmount: 171 } }] }, [['G', 0.5678, 300]], 170],
    [
      'one for 1.00 of 10,000 at 1.004',
      { promotions: [{ ...trio, units: 1, price: 100 }] },
      [['G', 100.4, 10_000]],
      1_000_000,
    ],
    [
      'four for 1.33 of 999 at 0.3345',
      { promotions: [{ ...trio, units: 4, price: 133 }] },
      [['G', 33.45, 999]],
      33_218,
    ],
    [
      '0.10 off the order',
      { promotions: [{ id: 'o', name: 'o', kind: 'amount_off', amount: 10 }] },
      [['G', 0.5678, 300]],
      160,
    ],
  ]
  for (const [what, document, lines, total] of CASES)
    it(`are paid by the line: ${what}: ${total}`, () => {
      const { totals, lines: priced } = priceOf(document, lines)
      expect(totals.total).to.equal(total)
      expect(priced.reduce((sum, line) => sum + line.total, 0)).to.equal(total)
      for (const line of priced)
        expect(Number.isInteger(line.subtotal) && Number.isInteger(line.discount)).to.equal(true)
    })

  it('are taxed by the line, also where tax is rounded by unit', () => {
    const policy = { tax: { prices: 'exclude-tax', at: 'unit' } }
    expect(priceOf({ policy }, [['G', 0.5678, 300, 20]]).totals).to.include({ tax: 34, total: 204 })
  })
})

describe('many codes of a promotion', () => {
  const offer = { id: 'm', name: 'm', kind: 'percent_off', percent: 10 }
  const listed = { ...offer, codes: ['Alpha', 'BETA'] }
  const pooled = { ...offer, codePool: 'spring' }
  const CASES: readonly [string, object, string[], Record<string, { pool?: string; uses: number }>, number][] = [
    ['one of the list, in another case', listed, [' alpha '], {}, 900],
    ['none of the list', listed, ['gamma'], {}, 1000],
    ['none at all', listed, [], {}, 1000],
    ['one that was used', listed, ['alpha'], { alpha: { uses: 1 } }, 1000],
    ['one that was used, and one that was not', listed, ['alpha', 'beta'], { alpha: { uses: 1 } }, 900],
    ['one that can be used twice', { ...listed, usesPerCode: 2 }, ['alpha'], { alpha: { uses: 1 } }, 900],
    ['one of the pool', pooled, ['X1'], { x1: { pool: 'spring', uses: 0 } }, 900],
    ['one of another pool', pooled, ['X1'], { x1: { pool: 'summer', uses: 0 } }, 1000],
    ['one of no pool', pooled, ['X1'], {}, 1000],
  ]
  for (const [what, promotion, codes, codeFacts, total] of CASES)
    it(`${what}: ${total}`, () =>
      expect(priceOf({ promotions: [promotion] }, [['A', 1000, 1]], { codes, codeFacts }).totals.total).to.equal(total))

  it('say of a second code what is so', () => {
    const lines: Line[] = [['A', 1000, 1]]
    const reasons = (promotion: object, codeFacts: Record<string, { uses: number }>) =>
      priceOf({ promotions: [promotion] }, lines, { codes: ['alpha', 'beta'], codeFacts }).outcomes.map(
        one => one.reason,
      )
    expect(reasons(listed, {})).to.deep.equal([undefined, 'code_not_needed'])
    expect(reasons(listed, { alpha: { uses: 1 }, beta: { uses: 1 } })).to.deep.equal(['code_used', 'code_used'])
    expect(reasons({ ...listed, when: { minAmount: 5000 } }, {})).to.deep.equal(['min_amount', 'min_amount'])
  })

  it('cost the same in whatever order they are entered, and are not called proved where codes are scarce', () => {
    const other = { id: 'n', name: 'n', kind: 'percent_off', percent: 10, codes: ['beta', 'gamma'] }
    const priced = [
      ['alpha', 'beta'],
      ['beta', 'alpha'],
    ].map(codes => priceOf({ policy: { codesMax: 1 }, promotions: [listed, other] }, [['A', 1000, 1]], { codes }))
    expect(priced.map(({ totals }) => totals.total)).to.deep.equal([810, 810])
    for (const { gap } of priced) expect(gap).to.be.above(0)
  })

  it('are named where they are wrong', () => {
    const wrong = (fields: object) => {
      const checked = checkRuleSet({ currency: 'GBP', promotions: [{ ...offer, ...fields }] })
      return 'mistakes' in checked ? checked.mistakes.map(({ path }) => path) : []
    }
    expect(wrong({ codes: ['a', 'A'] })).to.deep.equal(['/promotions/0/codes/1'])
    expect(wrong({ codes: ['a'], code: 'b' })).to.deep.equal(['/promotions/0'])
    expect(wrong({ usesPerCode: 2 })).to.deep.equal(['/promotions/0/usesPerCode'])
    expect(wrong({ codes: [] })).to.deep.equal(['/promotions/0/codes'])
    expect(wrong({ codes: ['..'] })).to.deep.equal(['/promotions/0/codes/0'])
    expect(wrong({ codePool: 'No Such' })).to.deep.equal(['/promotions/0/codePool'])
  })
})

describe('policies of other systems', () => {
  const off = (amount: number) => ({ id: 'o', name: 'o', kind: 'amount_off', amount })
  const lines: Line[] = [
    ['A', 1000, 1],
    ['B', 3000, 2],
    ['C', 500, 1],
  ]
  const SPLITS: readonly [string, object, number, number[]][] = [
    ['by value', {}, 1000, [133, 800, 67]],
    ['evenly over lines', { split: 'even-lines' }, 1000, [334, 333, 333]],
    ['evenly over units', { split: 'even-units' }, 1000, [250, 500, 250]],
    ['evenly over lines, what one cannot have goes to the others', { split: 'even-lines' }, 3000, [1000, 1500, 500]],
    ['evenly, the remainder to the largest', { split: 'even-units', remainder: 'largest' }, 1001, [250, 501, 250]],
    ['the remainder to the first', { remainder: 'first' }, 1001, [135, 800, 66]],
    ['the remainder to the last', { remainder: 'last' }, 1001, [133, 800, 68]],
    ['the remainder to the largest', { remainder: 'largest' }, 1001, [133, 802, 66]],
  ]
  for (const [what, policy, amount, parts] of SPLITS)
    it(`split a discount ${what}`, () => {
      const priced = priceOf({ policy, promotions: [off(amount)] }, lines)
      expect(priced.lines.map(({ discount }) => discount)).to.deep.equal(parts)
    })

  const bogo = { id: 'b', name: 'b', kind: 'buy_get', buy: { units: 2 }, get: { units: 2 } }
  const groups = { id: 'g', name: 'g', kind: 'percent_off', percent: 50, units: { groupsOf: 2 } }
  const goods = { id: 't', name: 't', kind: 'threshold', tiers: [{ from: 2000, amount: 500 }] }
  const CASES: readonly [string, object, Line[], number][] = [
    ['buy two get two, of three: one is given', bogo, [['A', 1000, 3]], 2000],
    ['nothing where not all that are free are there', { ...bogo, complete: true }, [['A', 1000, 3]], 3000],
    ['all where they are', { ...bogo, complete: true }, [['A', 1000, 5]], 3000],
    [
      'whole groups of the products together',
      groups,
      [
        ['A', 1000, 1],
        ['B', 1000, 1],
      ],
      1000,
    ],
    [
      'whole groups of each line',
      { ...groups, units: { groupsOf: 2, groupsBy: 'line' } },
      [
        ['A', 1000, 1],
        ['B', 1000, 3],
      ],
      3000,
    ],
    [
      'a threshold that some products do not count for',
      { ...goods, when: { of: { exclude: { skus: ['B'] } } } },
      [
        ['A', 1500, 1],
        ['B', 1000, 1],
      ],
      2500,
    ],
    [
      'and the same with enough of the others',
      { ...goods, when: { of: { exclude: { skus: ['B'] } } } },
      [
        ['A', 2000, 1],
        ['B', 1000, 1],
      ],
      2500,
    ],
  ]
  for (const [what, promotion, cart, total] of CASES)
    it(`give ${what}: ${total}`, () => expect(priceOf({ promotions: [promotion] }, cart).totals.total).to.equal(total))

  it('make delivery free for some ways of delivery', () => {
    const free = (method: string) => ({
      id: 's',
      name: 's',
      kind: 'shipping',
      price: 0,
      when: { shippingMethods: [method] },
    })
    const cart: Line[] = [['A', 1000, 1]]
    expect(priceOf({ promotions: [free('standard')] }, cart, { shippingFee: 495 }).totals.total).to.equal(1000)
    const other = priceOf({ promotions: [free('express')] }, cart, { shippingFee: 495 })
    expect([other.totals.total, other.outcomes[0]?.reason]).to.deep.equal([1495, 'shipping_method'])
  })
})
