import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import { GOALS, judge, verdictOf, type Window } from '../../load-tests/compare/goals.ts'
import { measure } from '../../load-tests/compare/meter.ts'
import { estimate, median } from '../../load-tests/compare/statistics.ts'

/** The arithmetic of `npm run compare`: what it says must follow from what it measured. */
describe('the comparison', () => {
  const window = (unit: string, cpuUs: number, rate = 1): Window => ({
    unit,
    cpuUs,
    rate,
    parts: {},
    others: 0,
    stolen: 0,
  })

  it('knows the median, and an interval around it that follows from the values alone', () => {
    expect(median([3, 1, 2])).to.equal(2)
    expect(median([4, 1, 2, 3])).to.equal(2.5)
    const values = [1, 1.1, 0.9, 1.2, 1, 0.95, 1.05, 1.3, 0.8, 1]
    const { low, median: middle, high } = estimate(values)
    expect(middle).to.equal(1)
    expect(low).to.be.within(0.8, 1)
    expect(high).to.be.within(1, 1.3)
    expect(estimate(values)).to.deep.equal(estimate(values))
    expect(estimate([2, 2, 2])).to.deep.equal({ low: 2, median: 2, high: 2 })
  })

  it('compares the windows of one round with each other', () => {
    const goal = { row: 'a row', of: 'a', to: 'b', measure: 'cpu', atMost: 0.6 } as const
    // The machine became twice as slow in the second round: the ratio is the same.
    const windows = [window('a', 50), window('b', 100), window('a', 100), window('b', 200)]
    expect(judge(goal, windows)).to.deep.include({ figure: { low: 0.5, median: 0.5, high: 0.5 }, isMet: true })
    expect(judge({ ...goal, atMost: 0.4 }, windows)?.isMet).to.equal(false)
    expect(judge({ row: '', of: 'a', to: 'b', measure: 'rate', atLeast: 2 }, windows)?.isMet).to.equal(false)
    expect(judge(goal, windows.slice(0, 3)), 'rounds that do not match').to.equal(undefined)
  })

  it('says when the interval reaches over the goal', () => {
    const figure = { low: 0.9, median: 1, high: 1.2 }
    expect(verdictOf('', figure, { atMost: 1.1 })).to.deep.include({ isMet: true, isClear: false })
    expect(verdictOf('', figure, { atMost: 1.3 })).to.deep.include({ isMet: true, isClear: true })
    expect(verdictOf('', figure, { atLeast: 0.95 })).to.deep.include({ isMet: true, isClear: false })
    expect(verdictOf('', figure, { atMost: 0.8 })).to.deep.include({ isMet: false })
  })

  it('has a goal for each row of the table, of units that are measured', () => {
    expect(GOALS).to.have.length(23)
    for (const { atMost, atLeast } of GOALS)
      expect([atMost, atLeast].filter(bar => bar !== undefined)).to.have.length(1)
  })

  it('counts the CPU of a process, whatever it waits for', async function () {
    if (process.platform !== 'linux') this.skip()
    const busy = async () => {
      const before = process.cpuUsage()
      const spent = () => process.cpuUsage(before).user + process.cpuUsage(before).system
      while (spent() < 300_000); // microseconds of this process, however long they take
    }
    const { used } = await measure([process.pid], () => [], busy)
    expect(used.parts.node).to.be.within(0.1, 0.6)
    const { used: idle } = await measure(
      [process.pid],
      () => [],
      () => new Promise(resolve => setTimeout(resolve, 300)),
    )
    expect(idle.parts.node).to.be.below(0.1)
    expect(used.sum).to.equal(used.parts.node)
  })

  it('takes nothing away for a thread that has worked before, and ends meanwhile', async function () {
    if (process.platform !== 'linux') this.skip()
    const work = 'for (const until = performance.now() + 500; performance.now() < until; );'
    const thread = new Worker(
      `${work} require('node:worker_threads').parentPort.postMessage(''); setInterval(() => 0, 1e6)`,
      {
        eval: true,
      },
    )
    await once(thread, 'message')
    const { used } = await measure(
      [process.pid],
      () => [],
      () => thread.terminate(),
    )
    expect(used.parts.node).to.be.within(0, 0.2)
  })
})
