import { expect } from 'chai'
import { isStarved } from '../support/stopwatch.ts'
import { type CellResult, type JourneyLab, JOURNEYS, MISSING, modesOf, startJourneyLab } from '../faults/journeys.ts'

/** The table journey × missing dependency of docs/reliability.md, cell by cell. */
describe('a shopper', function () {
  this.timeout(300_000)
  let lab: JourneyLab

  before(async () => {
    lab = await startJourneyLab()
  })
  after(() => lab.stop())

  for (const missing of MISSING) {
    for (const mode of modesOf(missing)) {
      describe(`while ${missing.name} is ${missing.proxies.length === 0 ? 'missing' : mode}`, () => {
        let results: CellResult[]
        before(async () => {
          results = await lab.measure(missing, mode)
          // What takes its time because others have the machine says nothing: it is measured again.
          for (let again = 0; again < 2 && isStarved() && results.some(one => one.problem !== undefined); again++)
            results = await lab.measure(missing, mode)
        })
        for (const journey of JOURNEYS) {
          it(`${journey}: ${missing.cells[journey].how}`, () => {
            const result = results.find(one => one.journey === journey)
            expect(result?.problem, JSON.stringify(result)).to.equal(undefined)
          })
        }
      })
    }
  }
})
