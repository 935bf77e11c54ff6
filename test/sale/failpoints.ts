import { parseArgs } from 'node:util'
import { prepareRounds, type RoundResult, type Scenario, SCENARIOS } from './scenarios.ts'
import { bareShop } from './shop.ts'

/** Every scenario so many times; exit status 0 when every check of every round held. */
const HELP = `node test/sale/failpoints.ts [--times N] [--only TEXT] [--at-once N]

Real databases and Redis, instances that die or are stopped at a step of an order, and the checks after each.

  --times N    rounds of each scenario (default 20)
  --only TEXT  only scenarios whose name has this in it
  --at-once N  rounds at the same time (default 4; those that kill a database are alone)
  --naive      the control: stock kept by read, check, write; must be found wrong`

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '20' },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '4' },
    naive: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const scenarios = SCENARIOS.filter(({ name }) => name.includes(values.only))
  if (scenarios.length === 0) {
    console.error(`no scenario has '${values.only}' in its name: ${SCENARIOS.map(({ name }) => name).join(', ')}`)
    return 64
  }
  const all = scenarios.flatMap(scenario => Array.from({ length: Number(values.times) }, () => scenario))
  const shop = await bareShop()
  try {
    const rounds = await prepareRounds(shop, all.length, values.naive ? { PLANT: 'naive-stock' } : {})
    const results: RoundResult[] = []
    const work = async (queue: Scenario[]) => {
      for (let scenario = queue.shift(); scenario; scenario = queue.shift()) {
        const result = await rounds.run(scenario)
        results.push(result)
        for (const fault of result.faults) console.log(`  ${scenario.name}: ${fault}`)
        if (results.length % 20 === 0) console.log(`${results.length} of ${all.length} rounds`)
      }
    }
    const queue = all.filter(scenario => scenario.meanwhile !== 'database-killed')
    await Promise.all(Array.from({ length: Number(values['at-once']) }, () => work(queue)))
    await work(all.filter(scenario => scenario.meanwhile === 'database-killed'))
    await rounds.close()
    console.table(
      Object.fromEntries(
        scenarios.map(scenario => {
          const own = results.filter(result => result.scenario === scenario)
          const worst = Math.max(...own.map(result => result.settleMs))
          const faults = own.filter(result => result.faults.length > 0).length
          return [
            scenario.name,
            { rounds: own.length, faults, 'settled after at most': `${(worst / 1000).toFixed(1)} s` },
          ]
        }),
      ),
    )
    const faulty = results.filter(result => result.faults.length > 0)
    const sold = results.reduce((sum, result) => sum + result.sold, 0)
    const of = (pattern: RegExp) => faulty.filter(({ faults }) => faults.some(fault => pattern.test(fault))).length
    console.log(
      `sold=${sold} oversold=${of(/stock is/)} undersold=${of(/stock is|settled only/)} lost=${of(/^0 orders|is (pending|failed|expired)/)} duplicated=${of(/^[2-9] orders/)}`,
    )
    return faulty.length === 0 && results.length === all.length ? 0 : 1
  } finally {
    await shop.stop()
  }
}

process.exitCode = await main()
