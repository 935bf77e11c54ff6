import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import { createStock, type Stock } from '../../src/inventory/inventory.ts'
import type { Outcome } from '../../src/inventory/reservation-batch.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { orderRows } from '../../src/store/orders.ts'
import { withApp } from '../support/app.ts'

/** Stock as orders use it, of two instances over the same rows. */
describe('stock', () => {
  const app = withApp()
  let instances: readonly [Stock, Stock]
  let item: string

  beforeEach(() => {
    const { router } = app()
    instances = [
      createStock({ router, instance: 0, metrics: createMetrics() }),
      createStock({ router, instance: 1, metrics: createMetrics() }),
    ]
    item = `s:${randomUUID()}`
  })

  const claim = (userId: string | number = '1', units = 1) => ({
    orderId: `${userId}-${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    userId: String(userId),
    units,
    lookMs: 60_000,
  })
  const levels = async () => {
    const { free, held, sold } = (await app().stock.levels(item)) ?? { free: -1, held: -1, sold: -1 }
    return [free, held, sold]
  }
  const kinds = (outcomes: readonly Outcome[]) => outcomes.map(outcome => outcome.is)

  it('sells the last unit once, and all of it, to a crowd on two instances', async () => {
    await app().inventory.set(item, { free: 37 })
    const claims = Array.from({ length: 200 }, (_, at) => claim(at + 1))
    const outcomes = await Promise.all(claims.map((one, at) => instances[at % 2]!.hold(item, one)))
    expect(kinds(outcomes).filter(is => is === 'done')).to.have.length(37)
    expect(await levels()).to.deep.equal([0, 37, 0])
    const held = claims.filter((_, at) => outcomes[at]?.is === 'done')
    await Promise.all(held.map((one, at) => instances[(at + 1) % 2]!.sell(item, one.orderId)))
    expect(await levels()).to.deep.equal([0, 0, 37])
    expect(await app().inventory.check(item, false)).to.deep.equal([])
  })

  it('claims together what comes together: 200 buyers cost a handful of transactions', async () => {
    await app().inventory.set(item, { free: 1_000 })
    const metrics = createMetrics()
    const stock = createStock({ router: app().router, instance: 0, metrics })
    await Promise.all(Array.from({ length: 200 }, (_, at) => stock.hold(item, claim(at + 1))))
    const [batches] = (await metrics.stockBatches.get()).values.filter(value => value.metricName?.endsWith('_count'))
    expect(batches?.value).to.be.within(1, 4)
  })

  it('makes a claim once for an order, and only for who was first', async () => {
    await app().inventory.set(item, { free: 10 })
    const one = claim()
    const outcomes = await Promise.all(instances.map(stock => stock.hold(item, one)))
    expect(kinds(outcomes).sort()).to.deep.equal(['done', 'present'])
    expect(
      kinds([await instances[0].sell(item, one.orderId), await instances[0].sell(item, one.orderId)]),
    ).to.deep.equal(['done', 'done'])
    expect(kinds([await instances[1].free(item, one.orderId)])).to.deep.equal(['missing'])
    expect(await levels()).to.deep.equal([9, 0, 1])
  })

  it('refuses late buyers from memory, but no retry that has one of the last', async () => {
    await app().inventory.set(item, { free: 1 })
    const one = claim()
    expect((await instances[0].hold(item, one)).is).to.equal('done')
    expect((await instances[0].hold(item, claim(2))).is).to.equal('short')
    const { rows } = app().router.of(item)
    expect(rows).to.be.a('function')
    expect((await instances[0].hold(item, one)).is, 'its own').to.equal('present')
    expect((await instances[0].hold(item, claim(3))).is).to.equal('short')
    await instances[0].free(item, one.orderId)
    expect((await instances[0].hold(item, claim(2))).is, 'free again').to.equal('done')
  })

  it('keeps limits by buyer also when both instances are asked at once', async () => {
    await app().inventory.set(item, { free: 100, perUserMax: 3 })
    for (let round = 1; round <= 10; round++) {
      const claims = Array.from({ length: 8 }, () => claim(round))
      const outcomes = await Promise.all(claims.map((one, at) => instances[at % 2]!.hold(item, one)))
      expect(kinds(outcomes).filter(is => is === 'done')).to.have.length(3)
      expect(outcomes.filter(outcome => outcome.is === 'limit')).to.deep.equal(
        Array.from({ length: 5 }, () => ({ is: 'limit', max: 3 })),
      )
    }
    expect(await levels()).to.deep.equal([70, 30, 0])
  })

  it('counts buyers also while there is no limit, for one that comes later', async () => {
    await app().inventory.set(item, { free: 100 })
    const early = claim(1, 2)
    await instances[0].hold(item, early)
    await app().inventory.set(item, { free: 98, perUserMax: 3 })
    expect((await instances[0].hold(item, claim(1, 2))).is).to.equal('limit')
    expect((await instances[1].hold(item, claim(1, 1))).is).to.equal('done')
    await instances[1].free(item, early.orderId)
    expect((await instances[0].hold(item, claim(1, 2))).is).to.equal('done')
    expect((await instances[0].hold(item, claim(1, 1))).is).to.equal('limit')
  })

  it('lets one claim whose counters do not fit fail alone', async () => {
    await app().inventory.set(item, { free: 20 })
    const broken = claim()
    await instances[0].hold(item, broken)
    const good = Array.from({ length: 5 }, (_, at) => claim(at + 2))
    for (const one of good) await instances[1].hold(item, one)
    await app().router.write(item, tx =>
      tx.run('UPDATE stock_buckets SET held = 0 WHERE item = ? AND bucket = 0', [item]),
    )
    const ids = [broken, ...good].map(one => one.orderId)
    const results = await Promise.allSettled(ids.map(orderId => instances[0].sell(item, orderId)))
    expect(results.map(result => result.status)).to.deep.equal(['rejected', ...good.map(() => 'fulfilled')])
    expect((await app().inventory.check(item, true))[0]?.repaired).to.equal(true)
    expect((await instances[0].sell(item, broken.orderId)).is).to.equal('done')
  })

  it('knows nothing of an item that is not there', async () => {
    expect((await instances[0].hold(item, claim())).is).to.equal('unknown-item')
    expect(await instances[0].levels(item)).to.equal(undefined)
  })

  it('refunds once for an id, and only what was sold', async () => {
    await app().inventory.set(item, { free: 5 })
    const one = claim(1, 3)
    await instances[0].hold(item, one)
    const refund = { orderId: one.orderId, refundId: 'r', units: 2 }
    expect((await instances[0].refund(item, refund)).is).to.equal('missing')
    await instances[0].sell(item, one.orderId)
    for (const stock of instances) expect((await stock.refund(item, refund)).is).to.equal('done')
    expect(await levels()).to.deep.equal([4, 0, 1])
    expect(await app().inventory.check(item, false)).to.deep.equal([])
  })

  it('agrees with a model after whatever two instances did at once', async function () {
    const operation = fc.record({
      kind: fc.constantFrom('hold', 'hold', 'hold', 'sell', 'free', 'refund'),
      order: fc.nat(11),
      units: fc.integer({ min: 1, max: 4 }),
      instance: fc.nat(1),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(operation, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 0, max: 30 }),
        async (waves, units) => {
          const own = `s:${randomUUID()}`
          await app().inventory.set(own, { free: units })
          const ids = Array.from(
            { length: 12 },
            (_, at) => `${at + 1}-${randomUUID().replaceAll('-', '').slice(0, 24)}`,
          )
          for (const wave of waves) {
            await Promise.all(
              wave.map(async ({ kind, order, units: count, instance }) => {
                const orderId = ids[order] ?? ''
                const stock = instances[instance] ?? instances[0]
                if (kind === 'hold')
                  await stock.hold(own, { orderId, userId: String(order + 1), units: count, lookMs: 60_000 })
                else if (kind === 'sell') await stock.sell(own, orderId)
                else if (kind === 'free') await stock.free(own, orderId)
                else await stock.refund(own, { orderId, refundId: 'r', units: 1 })
              }),
            )
            const now = await app().stock.levels(own)
            expect(now && now.free + now.held + now.sold).to.equal(units)
            expect(await app().inventory.check(own, false)).to.deep.equal([])
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  describe('is looked after', () => {
    it('set as it shall be, never below what is held and sold', async () => {
      expect(await app().inventory.set(item, { free: 5, perUserMax: 2 })).to.include({ units: 5, perUserMax: 2 })
      await instances[0].hold(item, claim(1, 2))
      expect(await app().inventory.set(item, { free: 10 })).to.include({ units: 12, free: 10, held: 2, perUserMax: 2 })
      const error = await app()
        .inventory.set(item, { total: 1 })
        .then(
          () => undefined,
          (thrown: Error) => thrown,
        )
      expect(error?.message).to.include('2 are held or sold')
      expect(await app().inventory.set(item, { total: 2, perUserMax: null })).to.include({
        free: 0,
        perUserMax: undefined,
      })
      expect(await app().inventory.check(item, false)).to.deep.equal([])
    })

    it('made once when two make it at once', async () => {
      await Promise.all([0, 1, 2].map(() => app().inventory.set(item, { total: 7 })))
      expect(await levels()).to.deep.equal([7, 0, 0])
      expect(await app().inventory.check(item, false)).to.deep.equal([])
    })

    it('counters that claims and ledger prove wrong are found, and set right when asked', async () => {
      await app().inventory.set(item, { free: 9 })
      const [one, two] = [claim(1, 2), claim(2, 3)]
      await instances[0].hold(item, one)
      await instances[1].hold(item, two)
      await instances[0].sell(item, one.orderId)
      const break_ = (sql: string) => app().router.write(item, tx => tx.run(sql, [item]))
      await break_('UPDATE stock_buckets SET free = free + 1 WHERE item = ? AND bucket = 2')
      await break_('UPDATE stock_buckets SET held = 0 WHERE item = ?')
      const invariants = await app().inventory.invariants()
      expect(invariants.holds).to.equal(false)
      expect(invariants.broken.map(broken => broken.item)).to.include(item)
      // Page by page it is found too, once, and the sums of the pages are those of the whole.
      const seen: string[] = []
      let units = 0
      for (let after: string | null = ''; after !== null; ) {
        const page: Awaited<ReturnType<ReturnType<typeof app>['inventory']['invariants']>> =
          await app().inventory.invariants(after, 3)
        seen.push(...page.broken.map(broken => broken.item))
        units += page.free + page.held + page.sold
        after = page.next
      }
      expect(seen).to.deep.equal(invariants.broken.map(broken => broken.item).sort())
      expect(units).to.equal(invariants.free + invariants.held + invariants.sold)
      const [found] = await app().inventory.check(item, false)
      expect(found).to.deep.include({ item, repaired: false })
      expect(found?.problem).to.include('free is 5 and must be 4').and.to.include('held is 0 and must be 3')
      expect((await app().inventory.check(item, true))[0]?.repaired).to.equal(true)
      expect(await app().inventory.check(item, false)).to.deep.equal([])
      expect(await levels()).to.deep.equal([4, 3, 2])
      await instances[1].free(item, two.orderId)
      expect(await levels()).to.deep.equal([7, 0, 2])
    })

    it('what orders and claims say of each other is compared, and contradictions are left alone', async () => {
      await app().inventory.set(item, { free: 9 })
      const one = claim()
      await instances[0].hold(item, one)
      await instances[0].sell(item, one.orderId)
      const findings = await app().reconciler.run(true)
      expect(findings.filter(finding => finding.item === item)).to.deep.equal([
        { item, problem: `1 sold to the order ${one.orderId}, which is not there (${item})`, repaired: false },
      ])
      const { userId, orderId } = one
      const held = [{ item, units: 2 }]
      await app().router.write(userId, (tx, { slot }) =>
        orderRows.insert(tx, slot, {
          userId,
          orderId,
          state: 'confirmed',
          key: undefined,
          fingerprint: '',
          cartVersion: undefined,
          total: 0,
          document: JSON.stringify({ held, atPayment: [] }),
          expiresInS: undefined,
        }),
      )
      const later = (await app().reconciler.run(true)).filter(finding => finding.item === item)
      expect(later.map(finding => finding.problem)).to.deep.equal([
        `the order ${orderId} is confirmed with 2, and claims 1`,
      ])
      await app().router.write(userId, tx => orderRows.changeState(tx, userId, orderId, 'confirmed', 'void'))
      await app().router.write(item, tx => tx.run("UPDATE stock_claims SET state = 'held' WHERE item = ?", [item]))
    })
  })
})
