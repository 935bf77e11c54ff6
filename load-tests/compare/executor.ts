import { parseArgs } from 'node:util'
import { step, table } from '../../src/cli/terminal.ts'
import { PROJECT, whenInterrupted } from '../../test/support/servers.ts'
import { findGenerator } from '../runner/generator.ts'
import { findWrk, fixedRate, paced } from './generators.ts'
import { createLab, type Unit } from './lab.ts'
import { cpuOfEnded } from './meter.ts'
import { median } from './statistics.ts'

const HELP = `node load-tests/compare/executor.ts [--rounds N] [--seconds N] [--high RATE] [--low RATE]

What the executor can do and whether it measures right, against the floor server behind nginx on this machine:
  1. a high rate (5,000 views a second for 60 s): how many were dropped
  2. a low rate (1,200): how much of a core it takes
  3. the same low rate beside wrk, in turn: rate and median of the service time`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '60' },
    high: { type: 'string', default: '5000' },
    low: { type: 'string', default: '1200' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const [rounds, seconds, high, low] = [values.rounds, values.seconds, values.high, values.low].map(Number) as [
  number,
  number,
  number,
  number,
]
const ROUND_SECONDS = 10
const WARM_SECONDS = 3
const VIRTUAL_USERS = 1_000

const unit: Unit = { stack: 'floor', scenario: 'view-10' }
const executor = findGenerator('executor')
await findWrk(`${PROJECT}/.cartload`, console.error)
const lab = createLab(() => undefined)
whenInterrupted(lab.close)
try {
  await step('start the floor server and fill it', () => lab.prepare(unit, WARM_SECONDS))
  const { stack } = await lab.get(unit.stack)
  const requests = await lab.requestsOf(unit)
  const open = async (rate: number, time: number) => {
    const before = cpuOfEnded()
    const result = await fixedRate(executor, stack.url, requests, { rate, seconds: time, virtualUsers: VIRTUAL_USERS })
    return { ...result, cores: (cpuOfEnded() - before) / time }
  }
  const full = await open(high, seconds)
  console.log(
    `${high}/s for ${seconds} s: ${full.requests} requests, ${full.dropped} dropped, ${full.cores.toFixed(2)} cores, median ${full.medianMs.toFixed(2)} ms from when they were due, service time ${full.serviceMedianMs.toFixed(2)} ms`,
  )
  const pairs: { wrk: number; executor: number; due: number; rate: number; cores: number }[] = []
  for (let round = 1; round <= rounds; round++) {
    const closed = await paced([stack.url], requests, { rate: low, seconds: ROUND_SECONDS })
    const rate = closed.requests / closed.seconds
    const own = await open(Math.round(rate), ROUND_SECONDS)
    pairs.push({
      wrk: closed.medianMs,
      executor: own.serviceMedianMs,
      due: own.medianMs,
      rate: own.requests / ROUND_SECONDS / rate,
      cores: own.cores,
    })
  }
  const rows = pairs.map((pair, at) => [
    String(at + 1),
    pair.wrk.toFixed(3),
    pair.executor.toFixed(3),
    pair.due.toFixed(3),
    `${((pair.rate - 1) * 100).toFixed(2)} %`,
    pair.cores.toFixed(2),
  ])
  console.log(table(['round', 'wrk ms', 'service ms', 'from due ms', 'rate off by', 'cores'], rows))
  const of = (key: 'wrk' | 'executor' | 'due' | 'rate' | 'cores') => median(pairs.map(pair => pair[key]))
  console.log(
    `medians: wrk ${of('wrk').toFixed(3)} ms, executor ${of('executor').toFixed(3)} ms (from when they were due ${of('due').toFixed(3)} ms), ${of('cores').toFixed(2)} cores at ${low}/s`,
  )
} finally {
  await lab.close()
}
process.exit(0)
