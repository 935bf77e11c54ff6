import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { scheduleOf } from '../faults/schedule.ts'
import { ROWS } from '../faults/rows.ts'
import { checkCarts } from '../history/carts.ts'
import { checkOrders, type OrderSeen, type Try } from '../history/orders.ts'
import { type CartEdit, createRecorder, type Operation, type Outcome, readHistory } from '../history/recorder.ts'
import { checkSessions } from '../history/sessions.ts'

/** The checkers must see each kind of breach, and nothing where there is none. */
let nextId = 0
const base = (invokedUs: number, completedUs: number | undefined) => ({
  id: nextId++,
  client: 0,
  invokedUs,
  completedUs,
})
const write = (from: number, to: number, edit: CartEdit, version: number, contents: string): Operation => ({
  ...base(from, to),
  kind: 'write',
  user: 'u',
  edit,
  outcome: { result: 'ok', version, contents },
})
const unheard = (from: number, edit: CartEdit): Operation => ({
  ...base(from, from + 50),
  kind: 'write',
  user: 'u',
  edit,
  outcome: { result: 'info' },
})
const read = (from: number, to: number, version: number, contents: string): Operation => ({
  ...base(from, to),
  kind: 'read',
  user: 'u',
  outcome: { result: 'ok', version, contents },
})
const add = (sku: string, quantity = 1): CartEdit => ({ do: 'add', sku, quantity })

const faultsOf = (operations: readonly Operation[]) => {
  const { lost, duplicated, stale, unexplained } = checkCarts(operations)
  return { lost, duplicated, stale, unexplained }
}
const CLEAN = { lost: 0, duplicated: 0, stale: 0, unexplained: 0 }

describe('the checker of cart histories', () => {
  it('accepts what a linearizable cart does', () => {
    const history = [
      read(0, 1, 0, ''),
      write(2, 10, add('A'), 1, 'A:1'),
      read(3, 9, 0, ''), // beside the write: either is right
      write(5, 12, add('B', 2), 2, 'A:1,B:2'),
      read(13, 14, 2, 'A:1,B:2'),
      write(15, 16, { do: 'set', sku: 'B', quantity: 2 }, 2, 'A:1,B:2'), // changes nothing
      write(17, 18, { do: 'clear' }, 3, ''),
    ]
    expect(faultsOf(history)).to.deep.equal(CLEAN)
    expect(checkCarts(history)).to.include({ reads: 3, writes: 4, acknowledged: 4, unknown: 0 })
  })

  it('lets an unknown write have happened, or not, but once and not before it was sent', () => {
    const unknown = unheard(2, add('A'))
    expect(faultsOf([unknown, read(100, 101, 0, '')])).to.deep.equal(CLEAN)
    expect(faultsOf([unknown, read(3, 4, 1, 'A:1')])).to.deep.equal(CLEAN)
    expect(faultsOf([unknown, read(0, 1, 1, 'A:1')]).unexplained).to.equal(1)
    expect(faultsOf([unknown, read(3, 4, 1, 'A:1'), read(5, 6, 2, 'A:2')]).duplicated).to.equal(1)
  })

  it('finds its way through versions that were not seen', () => {
    const history = [unheard(1, add('A')), unheard(2, add('B')), unheard(3, add('C')), read(200, 201, 3, 'A:1,B:1,C:1')]
    expect(faultsOf(history)).to.deep.equal(CLEAN)
    expect(faultsOf([...history.slice(0, 3), read(200, 201, 3, 'A:1,B:2,C:1')]).unexplained).to.equal(1)
  })

  it('lets prices move the version of a cart, and counts it', () => {
    const history = [write(1, 2, add('A'), 1, 'A:1'), read(3, 4, 2, 'A:1')]
    expect(faultsOf(history)).to.deep.equal(CLEAN)
    expect(checkCarts(history).repriced).to.equal(1)
  })

  it('sees a stale read, also one that is answered less than another was', () => {
    expect(faultsOf([write(1, 2, add('A'), 1, 'A:1'), read(3, 4, 0, '')]).stale).to.equal(1)
    const history = [write(1, 20, add('A'), 1, 'A:1'), read(2, 3, 1, 'A:1'), read(4, 5, 0, '')]
    expect(faultsOf(history).stale).to.equal(1)
  })

  it('sees a lost write', () => {
    const overwritten = [write(1, 5, add('A'), 1, 'A:1'), write(2, 6, add('B'), 1, 'B:1')]
    expect(faultsOf(overwritten).lost, 'two writes made one version').to.be.above(0)
    const gone = [write(1, 2, add('A'), 1, 'A:1'), write(3, 4, add('B'), 2, 'B:1')]
    expect(faultsOf(gone).lost, 'the next version does not have it').to.equal(1)
    const rolledBack = [write(1, 2, add('A'), 1, 'A:1'), read(50, 51, 0, '')]
    expect(faultsOf(rolledBack).lost, 'the last look does not find it').to.equal(1)
  })

  it('sees a write that took effect twice', () => {
    expect(faultsOf([write(1, 2, add('A'), 1, 'A:1'), read(3, 4, 2, 'A:2')]).duplicated).to.equal(1)
  })

  it('sees contents that no write made', () => {
    expect(faultsOf([write(1, 2, add('A'), 1, 'A:1'), read(3, 4, 2, 'A:1,X:9')]).unexplained).to.equal(1)
  })

  it('does not give up on hundreds of unknown writes', () => {
    const history: Operation[] = []
    for (let n = 0; n < 400; n++) history.push(unheard(n, add(`P${n % 8}`, 1 + (n % 3))))
    history.push(write(1_000, 1_001, add('Z'), 1, 'Z:1'), read(1_002, 1_003, 1, 'Z:1'))
    expect(faultsOf(history)).to.deep.equal(CLEAN)
  })
})

describe('a recorded history', () => {
  it('has what was sent before it was sent, and is read back, half a line at the end or not', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cartload-history-'))
    const file = join(dir, 'history.ndjson')
    const recorder = createRecorder(file)
    const told: Outcome = { result: 'ok', version: 1, contents: 'A:1' }
    await recorder.record(1, { kind: 'write', user: 'u', edit: add('A'), key: 'k' }, async () => {
      expect(readHistory(file)).to.have.length(1)
      expect(readHistory(file)[0]?.outcome).to.equal(undefined)
      return told
    })
    recorder.close()
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"id":1,"kind":"re`)
    const read1 = readHistory(file)
    rmSync(dir, { recursive: true })
    expect(read1).to.have.length(1)
    expect(read1[0]).to.deep.include({ kind: 'write', user: 'u', key: 'k', outcome: told })
    expect(read1[0]?.completedUs).to.be.at.least(read1[0]?.invokedUs ?? Number.NaN)
  })
})

describe('the checker of sessions', () => {
  const use = (from: number, to: number, isAccepted: boolean): Operation => ({
    ...base(from, to),
    kind: 'request',
    session: 's',
    outcome: { result: 'ok', isAccepted },
  })
  const logout = (from: number, to: number, result: 'ok' | 'info'): Operation => ({
    ...base(from, to),
    kind: 'logout',
    session: 's',
    outcome: { result },
  })

  it('sees a session that comes back, and one that is gone too early', () => {
    expect(checkSessions([use(0, 1, true), logout(2, 3, 'ok'), use(4, 5, false)])).to.include({
      resurrected: 0,
      lost: 0,
    })
    expect(checkSessions([logout(2, 3, 'ok'), use(4, 5, true)]).resurrected).to.equal(1)
    expect(checkSessions([use(0, 1, false), logout(2, 3, 'ok')]).lost).to.equal(1)
  })

  it('sees a session that was refused and comes back, whichever request ended it', () => {
    expect(checkSessions([logout(2, 3, 'info'), use(4, 5, false), use(6, 7, true)]).resurrected).to.equal(1)
  })

  it('takes an unknown end for neither', () => {
    const ends = [logout(2, 3, 'info')]
    expect(checkSessions([...ends, use(4, 5, true)])).to.include({ resurrected: 0, lost: 0 })
    expect(checkSessions([...ends, use(4, 5, false)])).to.include({ resurrected: 0, lost: 0 })
  })
})

describe('the checker of orders and stock', () => {
  const order = (n: number, more: Partial<OrderSeen> = {}): OrderSeen => ({
    orderId: `o${n}`,
    userId: `u${n}`,
    key: `k${n}`,
    units: 1,
    total: 100,
    ...more,
  })
  const ok = (n: number, more: Partial<Try> = {}): Try => ({
    userId: `u${n}`,
    key: `k${n}`,
    result: 'ok',
    orderId: `o${n}`,
    total: 100,
    ...more,
  })
  const counters = (sold: number, free: number, held = 0) => [
    { item: 's:A', units: sold + free + held, free, held, sold },
  ]
  const verdictOf = (tries: Try[], orders: OrderSeen[], sold: number, units = 2) =>
    checkOrders({ item: 's:A', units, demand: 5, tries, orders, counters: counters(sold, units - sold) })

  it('accepts what is right', () => {
    expect(verdictOf([ok(1), ok(2)], [order(1), order(2)], 2)).to.deep.equal({
      sold: 2,
      oversold: 0,
      undersold: 0,
      lost: 0,
      duplicated: 0,
      contradicted: 0,
      broken: 0,
    })
  })

  for (const [what, verdict] of Object.entries({
    oversold: verdictOf([ok(1), ok(2), ok(3)], [order(1), order(2), order(3)], 2),
    undersold: verdictOf([ok(1)], [order(1)], 1),
    lost: verdictOf([ok(1), ok(2)], [order(1)], 1),
    duplicated: verdictOf([ok(1)], [order(1), order(3, { userId: 'u1', key: 'k1' })], 2),
    'duplicated ': verdictOf([ok(1), ok(1, { orderId: 'o2' }), ok(2)], [order(1), order(2)], 2),
    contradicted: verdictOf([ok(1, { total: 90 }), ok(2)], [order(1), order(2)], 2),
    'contradicted  ': verdictOf([ok(1)], [order(1), order(9)], 2),
    'contradicted ': verdictOf([ok(1), { ...ok(2), result: 'fail' }], [order(1), order(2)], 2),
    broken: checkOrders({
      item: 's:A',
      units: 2,
      demand: 5,
      tries: [ok(1), ok(2)],
      orders: [order(1), order(2)],
      counters: [{ item: 's:A', units: 2, free: 1, held: 0, sold: 2 }],
    }),
  })) {
    it(`sees what is ${what.trim()}`, () => {
      expect(verdict[what.trim() as keyof typeof verdict]).to.be.above(0)
    })
  }
})

describe('the schedule of faults', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(scheduleOf(ROWS, 7, 4, 9)).to.deep.equal(scheduleOf(ROWS, 7, 4, 9))
    expect(scheduleOf(ROWS, 7, 4, 9)).to.not.deep.equal(scheduleOf(ROWS, 8, 4, 9))
  })

  it('deals every row about equally often, and none twice in a round', () => {
    const schedule = scheduleOf(ROWS, 1, 20, 9)
    const times = Map.groupBy(schedule.flat(), ({ row }) => row)
    expect([...times.keys()].sort()).to.deep.equal(ROWS.map(({ id }) => id).sort())
    const counts = [...times.values()].map(({ length }) => length)
    expect(Math.max(...counts) - Math.min(...counts)).to.be.at.most(2)
    for (const round of schedule) expect(new Set(round.map(({ row }) => row)).size).to.equal(9)
  })
})
