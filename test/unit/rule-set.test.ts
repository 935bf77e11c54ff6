import { expect } from 'chai'
import { checkRuleSet } from '../../src/model/rule-set-check.ts'

/** A rule set is refused as a whole, and every mistake in it is named at once, with its path. */
describe('a rule set', () => {
  const mistakesOf = (document: unknown) => {
    const checked = checkRuleSet(document)
    return 'mistakes' in checked ? checked.mistakes.map(({ path }) => path) : []
  }
  const withPromotions = (...promotions: object[]) => ({ currency: 'EUR', promotions })
  const good = { id: 'a', name: 'A', kind: 'percent_off', percent: 10 }

  it('with five different mistakes is refused naming all five', () => {
    const document = {
      currency: 'euro',
      groups: { offers: { scope: 'line' } },
      promotions: [
        { ...good, percent: 120 },
        { ...good, id: 'b', discount: 5 },
        {
          id: 'c',
          name: 'C',
          kind: 'threshold',
          tiers: [
            { from: 200, amount: 20 },
            { from: 100, amount: 30 },
          ],
        },
        { ...good, id: 'd', when: { from: '2026-02-01T00:00:00Z', until: '2026-01-01T00:00:00Z' } },
      ],
    }
    expect(mistakesOf(document)).to.have.members([
      '/currency',
      '/promotions/0/percent',
      '/promotions/1/discount',
      '/promotions/2/tiers/1',
      '/promotions/3/when/until',
    ])
  })

  const wrong: [string, unknown, string][] = [
    ['that is no object', 'x', ''],
    ['of a kind that does not exist', withPromotions({ ...good, kind: 'magic' }), '/promotions/0/kind'],
    ['with an id twice', withPromotions(good, { ...good, percent: 5 }), '/promotions/1/id'],
    ['with a stage that is not one', withPromotions({ ...good, stage: 'later' }), '/promotions/0/stage'],
    [
      'with two rewards',
      withPromotions({ id: 'a', name: 'A', kind: 'multi_buy', units: 3, price: 1, percent: 5 }),
      '/promotions/0',
    ],
    ['with neither tiers nor every', withPromotions({ id: 'a', name: 'A', kind: 'threshold' }), '/promotions/0'],
    ['with a percentage of three decimals', withPromotions({ ...good, percent: 1.005 }), '/promotions/0/percent'],
    [
      'with an order promotion in a group by line',
      { ...withPromotions({ ...good, per: 'order', group: 'g' }), groups: { g: { scope: 'line' } } },
      '/promotions/0/group',
    ],
    [
      'with a group by line that stands in two places',
      {
        ...withPromotions({ ...good, group: 'g' }, { ...good, id: 'second', group: 'g', priority: 3 }),
        groups: { g: { scope: 'line' } },
      },
      '/promotions/1/priority',
    ],
    [
      'with an exclusive one in a group',
      withPromotions({ ...good, exclusive: true, group: 'g' }),
      '/promotions/0/exclusive',
    ],
    [
      'with a percentage of the order over a scope',
      withPromotions({ ...good, per: 'order', scope: { skus: ['x'] } }),
      '/promotions/0/scope',
    ],
    [
      'with a line promotion that counts current prices',
      withPromotions({ ...good, when: { minAmount: 5, basis: 'current' } }),
      '/promotions/0/when/basis',
    ],
    [
      'with negative money',
      withPromotions({ id: 'a', name: 'A', kind: 'amount_off', amount: -5 }),
      '/promotions/0/amount',
    ],
  ]
  for (const [what, document, path] of wrong) {
    it(`${what} is refused at ${path || 'the top'}`, () => expect(mistakesOf(document)).to.deep.equal([path]))
  }

  it('without promotions is fine', () => expect(mistakesOf(withPromotions())).to.deep.equal([]))
})
