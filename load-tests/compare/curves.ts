import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROJECT, whenInterrupted } from '../../test/support/servers.ts'
import { curves } from './chart.ts'
import { createLab, nameOf, thereAndBack, type Unit } from './lab.ts'
import { median } from './statistics.ts'

const HELP = `node load-tests/compare/curves.ts [--rounds N] [--seconds N] [--out DIR]

CPU per request (every process) of a warm view and of a durable add: over lines in the cart, different users, instances and shards.
Prints the figures; writes curve-lines.svg, curve-users.svg, curve-instances.svg and curve-shards.svg.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    out: { type: 'string', default: join(PROJECT, '.cartload', 'reports') },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}

interface Point {
  readonly x: number
  readonly unit: Unit
}

const LINES = [1, 10, 50, 100, 250, 495]
const USERS = [1, 16, 128, 1000]
const AXES: readonly { name: string; axis: string; of: Readonly<Record<string, readonly Point[]>> }[] = [
  {
    name: 'lines',
    axis: 'lines in the cart',
    of: {
      view: LINES.map(x => ({ x, unit: { stack: 'cartload', scenario: `view-of-${x}` } })),
      add: LINES.map(x => ({ x, unit: { stack: 'cartload', scenario: `add-to-${x}` } })),
    },
  },
  {
    name: 'users',
    axis: 'different users',
    of: { view: USERS.map(x => ({ x, unit: { stack: 'cartload', scenario: `view-by-${x}` } })) },
  },
  {
    name: 'instances',
    axis: 'instances',
    of: {
      view: [1, 2, 3, 4].map(x => ({ x, unit: { stack: `cartload-${x}`, scenario: 'view-10' } })),
      add: [1, 2, 3, 4].map(x => ({ x, unit: { stack: `cartload-${x}`, scenario: 'add-10' } })),
    },
  },
  {
    name: 'shards',
    axis: 'shards',
    of: {
      view: [1, 2, 4].map(x => ({ x, unit: { stack: `shards-${x}`, scenario: 'view-10' } })),
      add: [1, 2, 4].map(x => ({ x, unit: { stack: `shards-${x}`, scenario: 'add-10' } })),
    },
  },
]

const say = (text: string) => console.error(text)
const lab = createLab(say, { ladder: LINES })
whenInterrupted(lab.close)
mkdirSync(values.out, { recursive: true })
try {
  for (const { name, axis, of } of AXES) {
    const found = new Map<string, number[]>()
    const units = Object.values(of).flatMap(points => points.map(point => point.unit))
    for (const unit of units) await lab.prepare(unit, 4)
    for (const { round, unit } of thereAndBack(units, Number(values.rounds))) {
      const { cpuUs } = await lab.window(unit, Number(values.seconds))
      found.set(nameOf(unit), [...(found.get(nameOf(unit)) ?? []), cpuUs])
      say(`${name} ${round}: ${nameOf(unit)} ${cpuUs.toFixed(0)} µs`)
    }
    const shown = Object.entries(of).map(([curve, points]) => ({
      name: curve,
      points: points.map(({ x, unit }) => ({ x, y: median(found.get(nameOf(unit)) ?? []) })),
    }))
    writeFileSync(
      join(values.out, `curve-${name}.svg`),
      curves(`CPU per request by ${axis}`, { x: axis, y: 'µs' }, shown),
    )
    for (const { name: curve, points } of shown)
      console.log(`${name}, ${curve}: ${points.map(({ x, y }) => `${x}: ${y.toFixed(0)} µs`).join(', ')}`)
    for (const { stack } of units) if (stack !== 'cartload') await lab.stopStack(stack)
  }
} finally {
  await lab.close()
}
