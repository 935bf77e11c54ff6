import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { createEvaluation } from '../../src/pricing/engine/evaluation.ts'
import { split } from '../../src/pricing/engine/arithmetic.ts'
import { type Calculation, calculate } from '../../src/pricing/engine/calculate.ts'
import type { CartToPrice, LineToPrice } from '../../src/pricing/engine/input.ts'
import { buildProblem } from '../../src/pricing/engine/build-problem.ts'
import type { Problem } from '../../src/pricing/engine/problem.ts'
import { compileRules } from '../../src/pricing/engine/rules.ts'
import { evaluateCombination, solve } from '../../src/pricing/engine/search.ts'
import { runVector } from '../oracle/adapter.ts'
import { readAllocations, readVectors } from '../oracle/vectors.ts'
import { type Case, cases, promotionOf, ruleSetOf } from '../support/rule-sets.ts'
import { PROJECT } from '../support/servers.ts'

const WORK_MAX = 1e9
const ORACLE = join(PROJECT, '..', 'shared', 'oracle')

const lineOf = (sku: string, quantity: number, unitPrice: number, more: Partial<LineToPrice> = {}): LineToPrice => ({
  sku,
  quantity,
  unitPrice,
  categories: [],
  tags: [],
  selected: true,
  ...more,
})

function cartOf(lines: readonly LineToPrice[], more: Partial<CartToPrice> = {}): CartToPrice {
  return {
    currency: 'EUR',
    lines,
    codes: [],
    buyer: { ordersPlaced: 0, groups: [] },
    shippingFee: 0,
    now: '2026-06-01T00:00:00Z',
    usage: {},
    ...more,
  }
}

function priceWith(promotions: readonly object[], cart: CartToPrice, more: object = {}): Calculation {
  const list = promotions.map((fields, at) => ({ id: `p${at}`, name: `promotion ${at}`, ...fields }))
  return calculate(compileRules(ruleSetOf({ currency: cart.currency, promotions: list, ...more })), cart, {
    workMax: WORK_MAX,
  })
}

/** Every subset that the rules allow, tried one after the other. Knows nothing of the search. */
function cheapest(problem: Problem): number {
  const evaluation = createEvaluation(problem)
  const { steps, codesMax } = problem
  let best = Number.POSITIVE_INFINITY
  for (let mask = 0; mask < 1 << steps.length; mask++) {
    const chosen = steps.filter((_, at) => (mask >> at) & 1)
    const groups = chosen.flatMap(step => step.group ?? [])
    const stop = chosen.findIndex(step => step.promotion.stops)
    const isLegal =
      new Set(groups).size === groups.length &&
      new Set(chosen.flatMap(step => step.code ?? [])).size <= codesMax &&
      (stop < 0 || stop === chosen.length - 1) &&
      (chosen.length <= 1 || !chosen.some(step => step.promotion.exclusive))
    if (isLegal) best = Math.min(best, evaluateCombination(evaluation, at => ((mask >> at) & 1) === 1).total)
  }
  return best
}

describe('the price engine', () => {
  describe('finds the lowest total', () => {
    const runs = Number(process.env['PRICING_CASES'] ?? 4_000)
    const STEPS_MAX = 10

    it(`as exhaustive search does, in ${runs} small random cases`, function () {
      this.timeout(900_000)
      const seed = Number(process.env['PRICING_SEED'] ?? Date.now() % 1_000_000)
      console.log(`      seed ${seed} (PRICING_SEED)`)
      let compared = 0
      const sizes = { lines: 4, promotions: 9, quantityMax: 5, competing: 0.5 }
      fc.assert(
        fc.property(cases(sizes), ({ ruleSet, cart }) => {
          const problem = buildProblem(compileRules(ruleSet), cart)
          fc.pre(problem.steps.length <= STEPS_MAX)
          const { total, bound } = solve(createEvaluation(problem), { choice: 'lowest-total', workMax: WORK_MAX })
          expect(total, 'found').to.equal(cheapest(problem))
          expect(bound, 'proved').to.equal(total)
          compared++
        }),
        { numRuns: runs, seed },
      )
      expect(compared).to.equal(runs)
    })

    it('and sees a search that misses one (the control)', () => {
      const [found] = fc.sample(
        cases({ lines: 3, promotions: 6, quantityMax: 4, competing: 0.8 }).filter(({ ruleSet, cart }) => {
          const problem = buildProblem(compileRules(ruleSet), cart)
          const first = solve(createEvaluation(problem), { choice: 'in-order', workMax: WORK_MAX }).total
          return problem.steps.length <= STEPS_MAX && first > cheapest(problem)
        }),
        { numRuns: 1, seed: 1 },
      )
      expect(found, 'a case in which taking what comes is not the best').to.not.equal(undefined)
    })

    it('leaves a small promotion out where it would cost a large one', () => {
      const priced = priceWith(
        [
          { kind: 'percent_off', percent: 10 },
          { kind: 'amount_off', amount: 3000, when: { minAmount: 10_000, basis: 'current' } },
        ],
        cartOf([lineOf('a', 1, 10_500)]),
      )
      expect(priced.totals.total).to.equal(7500)
      expect(priced.outcomes[0]).to.deep.include({ status: 'beaten', reason: 'dearer_with_it' })
    })

    it('never claims more than it knows when the work is over, and the same every time', () => {
      let unproved = 0
      fc.assert(
        fc.property(
          cases({ lines: 5, promotions: 10, quantityMax: 9, competing: 0.6 }),
          fc.nat(3000),
          (one, workMax) => {
            const rules = compileRules(one.ruleSet)
            // Where the choice of units itself is not proved there is always a gap.
            fc.pre(buildProblem(rules, one.cart).unproved.length === 0)
            const best = calculate(rules, one.cart, { workMax: WORK_MAX })
            const short = calculate(rules, one.cart, { workMax })
            expect(best.gap).to.equal(0)
            expect(best.totals.total).to.be.within(short.totals.total - short.gap, short.totals.total)
            expect(calculate(rules, one.cart, { workMax })).to.deep.equal(short)
            if (short.gap > 0) unproved++
          },
        ),
        { numRuns: 400 },
      )
      expect(unproved, 'cases whose search was cut off').to.be.above(10)
    })
  })

  describe('keeps its laws in random carts', () => {
    const sizes = { lines: 6, promotions: 8, quantityMax: 30, competing: 0.4 }
    const priceOf = ({ ruleSet, cart }: Case) => calculate(compileRules(ruleSet), cart, { workMax: WORK_MAX })
    const check = (law: (one: Case) => void, numRuns = 1500, currency = 'EUR') =>
      fc.assert(fc.property(cases(sizes, currency), law), { numRuns })

    it('parts sum to the whole', () =>
      check(one => {
        const { lines, totals, outcomes } = priceOf(one)
        const counted = lines.filter((_, at) => one.cart.lines[at]?.selected)
        const sum = (pick: (line: (typeof lines)[number]) => number) =>
          counted.reduce((all, line) => all + pick(line), 0)
        for (const line of lines) {
          expect(line.discounts.reduce((all, part) => all + part.amount, 0)).to.equal(line.discount)
          expect(line.subtotal - line.discount).to.equal(line.total)
        }
        expect(sum(line => line.subtotal)).to.equal(totals.subtotal)
        expect(sum(line => line.discount)).to.equal(totals.discount)
        expect(totals.subtotal - totals.discount + totals.shipping).to.equal(totals.total)
        expect(totals.discount + totals.shippingDiscount).to.equal(
          outcomes.reduce((all, outcome) => all + outcome.amount, 0),
        )
      }))

    it('no line costs less than the floor, or less than nothing, or parts of a cent', () =>
      check(one => {
        const { lines, totals } = priceOf(one)
        for (const [at, line] of lines.entries()) {
          const { quantity = 0, unitPrice = 0, floorPrice = 0, selected } = one.cart.lines[at] ?? {}
          if (selected) expect(line.total).to.be.at.least(quantity * Math.min(unitPrice, floorPrice))
          expect(Number.isSafeInteger(line.total) && line.discount >= 0).to.equal(true)
        }
        expect(totals.shipping).to.be.at.least(0)
      }))

    it('one promotion more never makes the order dearer', () =>
      check(one => {
        const withIt = priceOf(one)
        for (const left of one.ruleSet.promotions) {
          const fewer = { ...one.ruleSet, promotions: one.ruleSet.promotions.filter(other => other !== left) }
          expect(withIt.totals.total).to.be.at.most(priceOf({ ...one, ruleSet: fewer }).totals.total)
        }
      }))

    it('the order of the lines does not matter', () =>
      check(one => {
        const turned = { ...one.cart, lines: [...one.cart.lines].reverse() }
        const { lines, ...rest } = priceOf(one)
        const { lines: reversed, ...others } = priceOf({ ...one, cart: turned })
        expect([...reversed].reverse()).to.deep.equal(lines)
        expect(others).to.deep.equal(rest)
      }, 500))

    it('also in a currency without minor units', () =>
      check(
        one => {
          expect(Number.isSafeInteger(priceOf(one).totals.total)).to.equal(true)
        },
        200,
        'JPY',
      ))

    it('a line of 6,000 pieces takes the work of a line of one', () => {
      const promotions = [
        { kind: 'percent_off', percent: 10 },
        { kind: 'buy_get', buy: { units: 2 }, get: { units: 1 } },
        { kind: 'multi_buy', units: 3, price: 250 },
        { kind: 'set', tiers: [{ distinct: 2, percent: 5 }] },
      ]
      const workOf = (quantity: number) =>
        priceWith(promotions, cartOf([lineOf('a', quantity, 100), lineOf('b', quantity, 130)])).work
      expect(workOf(6000)).to.be.at.most(workOf(3) * 3)
    })
  })

  describe('prices', () => {
    const shirts = { categories: ['shirts'] }
    const shirt = (sku: string, quantity: number, price: number) => lineOf(sku, quantity, price, shirts)
    const table: [string, object[], CartToPrice, number, object?][] = [
      ['nothing', [], cartOf([]), 0],
      [
        'a percentage off, rounded half up on each line',
        [{ kind: 'percent_off', percent: 10 }],
        cartOf([lineOf('a', 1, 5)]),
        4,
      ],
      ['a fixed price', [{ kind: 'fixed_price', price: 70 }], cartOf([lineOf('a', 3, 100)]), 210],
      [
        'volume tiers',
        [
          {
            kind: 'volume',
            tiers: [
              { from: 3, percent: 10 },
              { from: 10, price: 50 },
            ],
          },
        ],
        cartOf([lineOf('a', 10, 100), lineOf('b', 3, 100), lineOf('c', 1, 100)]),
        870,
      ],
      [
        'two for one, the cheapest free',
        [{ kind: 'buy_get', buy: { units: 1 }, get: { units: 1 } }],
        cartOf([lineOf('a', 1, 100), lineOf('b', 2, 60), lineOf('c', 1, 90)]),
        190,
      ],
      [
        'another thing for half the price',
        [
          {
            kind: 'buy_get',
            buy: { scope: shirts, units: 2 },
            get: { scope: { skus: ['sock'] }, units: 1 },
            percent: 50,
          },
        ],
        cartOf([shirt('a', 5, 1000), lineOf('sock', 4, 200)]),
        5600,
      ],
      [
        'three mixed for a price, dearest first',
        [{ kind: 'multi_buy', units: 3, price: 1000, scope: shirts }],
        cartOf([shirt('a', 2, 500), shirt('b', 2, 400)]),
        1400,
      ],
      [
        'a bundle',
        [
          {
            kind: 'bundle',
            items: [
              { scope: { skus: ['a'] }, units: 1 },
              { scope: { skus: ['b'] }, units: 2 },
            ],
            price: 500,
          },
        ],
        cartOf([lineOf('a', 2, 300), lineOf('b', 5, 150)]),
        1150,
      ],
      [
        'sets of different books',
        [
          {
            kind: 'set',
            tiers: [
              { distinct: 2, percent: 5 },
              { distinct: 3, percent: 10 },
              { distinct: 4, percent: 20 },
              { distinct: 5, percent: 25 },
            ],
          },
        ],
        cartOf([
          lineOf('1', 2, 800),
          lineOf('2', 2, 800),
          lineOf('3', 2, 800),
          lineOf('4', 1, 800),
          lineOf('5', 1, 800),
        ]),
        5120,
      ],
      [
        '30 off for every 200',
        [{ kind: 'threshold', every: { amount: 20_000, off: 3000 } }],
        cartOf([lineOf('a', 1, 45_000)]),
        39_000,
      ],
      [
        'the higher step of a ladder',
        [
          {
            kind: 'threshold',
            tiers: [
              { from: 100, amount: 10 },
              { from: 200, amount: 30 },
            ],
          },
        ],
        cartOf([lineOf('a', 2, 100)]),
        170,
      ],
      [
        'delivery for nothing',
        [{ kind: 'shipping', price: 0, when: { minAmount: 100 } }],
        cartOf([lineOf('a', 1, 100)], { shippingFee: 490 }),
        100,
      ],
      [
        'no lower than the floor',
        [{ kind: 'percent_off', percent: 90 }],
        cartOf([lineOf('a', 2, 100, { floorPrice: 80 })]),
        160,
      ],
      [
        'no more than the budget has left',
        [{ kind: 'percent_off', percent: 50, budget: 1000 }],
        cartOf([lineOf('a', 1, 1000)], { usage: { p0: { uses: 9, usesByBuyer: 0, spent: 900 } } }),
        900,
      ],
      [
        'each line by the best offer of a group',
        [
          { kind: 'percent_off', percent: 10, group: 'g' },
          { kind: 'percent_off', percent: 20, scope: shirts, group: 'g' },
        ],
        cartOf([lineOf('a', 1, 100), shirt('b', 1, 100)]),
        170,
        { groups: { g: { scope: 'line' } } },
      ],
      [
        'no line kept from the best offer by a bundle that cannot be made, to reach a threshold',
        [
          { kind: 'percent_off', percent: 50, group: 'g' },
          {
            kind: 'bundle',
            items: [
              { scope: {}, units: 2 },
              { scope: {}, units: 2 },
            ],
            percent: 5,
            group: 'g',
          },
          { kind: 'percent_off', per: 'order', percent: 50, when: { minAmount: 200, basis: 'current' } },
        ],
        cartOf([lineOf('a', 1, 200), lineOf('b', 1, 100)]),
        150,
        { groups: { g: { scope: 'line' } } },
      ],
      [
        'the order by the best of a group',
        [
          { kind: 'percent_off', percent: 10, group: 'g' },
          { kind: 'percent_off', percent: 20, scope: shirts, group: 'g' },
        ],
        cartOf([lineOf('a', 1, 900), shirt('b', 1, 100)]),
        900,
        { groups: { g: { scope: 'order' } } },
      ],
      [
        'percentages one after the other',
        [
          { kind: 'percent_off', percent: 50 },
          { kind: 'percent_off', percent: 50 },
        ],
        cartOf([lineOf('a', 1, 100)]),
        25,
      ],
      [
        'or all of the list price',
        [
          { kind: 'percent_off', percent: 40 },
          { kind: 'percent_off', percent: 40 },
        ],
        cartOf([lineOf('a', 1, 100)]),
        20,
        { policy: { percentages: 'parallel' } },
      ],
    ]
    for (const [what, promotions, cart, total, more] of table) {
      it(what, () => expect(priceWith(promotions, cart, more).totals.total).to.equal(total))
    }

    const found: [string, object[], CartToPrice, number, object?][] = [
      [
        'a threshold that is reached only because lines are rounded',
        [
          { kind: 'percent_off', percent: 1 },
          { kind: 'threshold', every: { amount: 3, off: 1 } },
          { kind: 'percent_off', percent: 34, per: 'order', when: { minAmount: 2428, basis: 'current' } },
        ],
        cartOf([lineOf('s0', 4, 344), lineOf('s1', 1, 933), lineOf('s2', 1, 143)]),
        // 2452 less 1 % of each line is 2428; less 34 % is 1602. The 817 for every 3 would leave it below the threshold.
        1602,
      ],
      [
        'units of the whole order, in groups only',
        [{ kind: 'percent_off', percent: 50, per: 'order', units: { groupsOf: 3 } }],
        cartOf([lineOf('a', 2, 100)]),
        200,
      ],
      [
        'one unit of the order',
        [{ kind: 'amount_off', amount: 1000, units: { max: 1 } }],
        cartOf([lineOf('a', 1, 100), lineOf('b', 1, 100)]),
        100,
      ],
      [
        'a minimum that is not reached any more',
        [
          { kind: 'percent_off', percent: 50, per: 'order' },
          {
            kind: 'threshold',
            every: { amount: 10, off: 1 },
            priority: 200,
            when: { minAmount: 150, basis: 'current' },
          },
        ],
        cartOf([lineOf('a', 2, 100)]),
        100,
      ],
      [
        'no code where codes are not accepted',
        [{ kind: 'percent_off', percent: 50, code: 'A', exclusive: true }],
        cartOf([lineOf('a', 1, 100)], { codes: ['A'] }),
        100,
        { policy: { codesMax: 0 } },
      ],
      [
        'units rounded by themselves, never dearer for a cent less',
        [
          { kind: 'amount_off', amount: 1, per: 'line', priority: 1 },
          { kind: 'percent_off', percent: 50 },
        ],
        cartOf([lineOf('a', 10, 1)]),
        0,
        { policy: { rounding: { at: 'unit' } } },
      ],
      [
        'one off for every one, in carts of any size',
        [
          { kind: 'percent_off', percent: 50, per: 'order' },
          { kind: 'threshold', every: { amount: 1, off: 1 }, priority: 200, when: { basis: 'current' } },
        ],
        cartOf([lineOf('a', 999, 100_000_000)]),
        0,
      ],
    ]
    for (const [what, promotions, cart, total, more] of found) {
      it(what, () => expect(priceWith(promotions, cart, more).totals.total).to.equal(total))
    }

    it('tax that is contained, and tax that is added', () => {
      const cart = cartOf([lineOf('a', 3, 333, { taxPercent: 20 })])
      expect(priceWith([], cart).totals).to.include({ tax: 167, total: 999 })
      const added = { policy: { tax: { prices: 'exclude-tax' } } }
      expect(priceWith([], cart, added).totals).to.include({ tax: 200, total: 1199 })
    })

    it('and puts a gift beside the lines', () => {
      const { gifts } = priceWith(
        [{ kind: 'gift', sku: 'mug', units: 1, perUnits: 2, scope: shirts }],
        cartOf([shirt('a', 5, 100)]),
      )
      expect(gifts).to.deep.equal([{ sku: 'mug', quantity: 2, promotion: 'p0' }])
    })
  })

  describe('explains', () => {
    const cart = cartOf([lineOf('a', 1, 9580)], { codes: ['SUMMER', 'NOPE'] })
    const reasons: [string, object, object][] = [
      [
        'what is missing to the next step',
        { kind: 'threshold', tiers: [{ from: 10_000, amount: 3000 }] },
        { status: 'refused', reason: 'min_amount', missing: 420, next: { missing: 420, amount: 3000 } },
      ],
      [
        'a minimum spend',
        { kind: 'amount_off', amount: 500, when: { minAmount: 10_000 } },
        { status: 'refused', reason: 'min_amount', missing: 420 },
      ],
      [
        'a start to come',
        { kind: 'percent_off', percent: 5, when: { from: '2027-01-01T00:00:00Z' } },
        { status: 'refused', reason: 'not_started' },
      ],
      [
        'an end that was',
        { kind: 'percent_off', percent: 5, when: { until: '2026-01-01T00:00:00Z' } },
        { status: 'refused', reason: 'ended' },
      ],
      [
        'products that are not there',
        { kind: 'percent_off', percent: 5, scope: { skus: ['b'] } },
        { status: 'refused', reason: 'no_matching_lines' },
      ],
      [
        'an order that is not the fifth',
        { kind: 'percent_off', percent: 5, when: { orderNumber: 5 } },
        { status: 'refused', reason: 'order_number' },
      ],
      [
        'a group of buyers',
        { kind: 'percent_off', percent: 5, when: { buyerGroups: ['vip'] } },
        { status: 'refused', reason: 'buyer_group' },
      ],
      [
        'a code that applies',
        { kind: 'percent_off', percent: 5, code: 'summer' },
        { status: 'applied', code: 'SUMMER', amount: 479 },
      ],
    ]
    for (const [what, promotion, outcome] of reasons) {
      it(what, () => expect(priceWith([promotion], cart).outcomes[0]).to.deep.include(outcome))
    }

    it('never a code that was not entered', () =>
      expect(
        priceWith([{ kind: 'percent_off', percent: 5, code: 'SECRET' }], cart).outcomes.map(one => one.code),
      ).to.deep.equal(['SUMMER', 'NOPE']))

    it('a code that does not exist', () => {
      const unknown = priceWith([], cart).outcomes.find(one => one.code === 'NOPE')
      expect(unknown).to.deep.include({ status: 'refused', reason: 'code_unknown' })
    })

    it('which one of a group was better', () => {
      const groups = { groups: { g: { scope: 'order' } } }
      const { outcomes } = priceWith(
        [
          { kind: 'percent_off', percent: 5, group: 'g' },
          { kind: 'percent_off', percent: 6, group: 'g' },
        ],
        cart,
        groups,
      )
      expect(outcomes[0]).to.deep.include({ status: 'beaten', reason: 'group' })
      expect(outcomes[0]?.detail).to.contain("'p1'")
    })
  })

  describe('agrees with what others publish', () => {
    before(function () {
      if (existsSync(ORACLE)) return
      console.log(`      skipped: the published cases are not there (${ORACLE})`)
      this.skip()
    })

    it('in every undisputed vector that can be expressed, and in all but a few kinds', () => {
      const verdicts = readVectors(ORACLE)
        .filter(vector => !vector.disputed)
        .map(vector => ({ id: vector.id, ...runVector(vector) }))
      expect(verdicts.filter(one => one.kind === 'failed')).to.deep.equal([])
      expect(verdicts.filter(one => one.kind === 'passed').length).to.be.at.least(verdicts.length * 0.9)
    })

    it('and says of a vector that throws that it failed, and of a field that is not read that it is not', () => {
      const vector = readVectors(ORACLE).find(one => one.promotions[0]?.kind === 'percent_items' && !one.expected.lines)
      if (!vector) throw new Error('no such vector')
      const [first] = vector.promotions
      const wrong = { ...vector, expected: { ...vector.expected, total: -1 } }
      expect(runVector(wrong).kind).to.equal('failed')
      expect(runVector({ ...vector, promotions: [{ ...first!, percent: 'ten' }] }).kind).to.equal('failed')
      const unread = { ...wrong, promotions: [{ ...first!, colour: 'red' }] }
      expect(runVector(unread)).to.deep.equal({
        kind: 'not expressible',
        feature: 'the field promotions[0].colour is not read',
      })
      const passed = runVector({ ...vector, promotions: [{ ...first!, colour: 'red' }, ...vector.promotions.slice(1)] })
      expect(passed).to.deep.equal({ kind: 'passed', unread: ['promotions[0].colour'] })
    })

    it('in the splits that largest remainder reproduces', () => {
      const splits = readAllocations(ORACLE).filter(
        one => one.reproduced_by.includes('largest_remainder_ties_first') && !/any order/.test(one.note ?? ''),
      )
      expect(splits.length).to.be.above(20)
      for (const { id, amount, weights, expected } of splits) expect(split(amount, weights), id).to.deep.equal(expected)
    })
  })

  it('reads a promotion with its defaults', () =>
    expect(promotionOf({ kind: 'percent_off', percent: 5 })).to.include({ priority: 100, per: 'line' }))
})
