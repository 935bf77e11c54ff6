import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROJECT } from '../../test/support/servers.ts'
import { flame, type Frame } from './chart.ts'
import { createLab } from './lab.ts'
import type { ScenarioName } from './scenarios.ts'

const HELP = `node load-tests/compare/flame.ts [SCENARIO] [--seconds N] [--out DIR]

CPU profile of one instance under a scenario (default view-10, 20 s, 64 connections through nginx), as a flame graph: flame-SCENARIO.svg.
Widths are times in JavaScript's main thread, waiting left out.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '20' },
    out: { type: 'string', default: join(PROJECT, '.cartload', 'reports') },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const scenario = (positionals[0] ?? 'view-10') as ScenarioName

const WAITING = new Set(['(idle)', '(program)'])

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const dir = mkdtempSync(join(tmpdir(), 'cl-flame-'))
const lab = createLab(text => console.error(text), {
  nodeArgs: ['--cpu-prof', `--cpu-prof-dir=${dir}`, '--cpu-prof-interval=200'],
})
try {
  const unit = { stack: 'cartload', scenario } as const
  await lab.prepare(unit, 1)
  await lab.window(unit, Number(values.seconds))
  await lab.stopStack('cartload') // the profile is written when the process ends
  const files = readdirSync(dir).map(name => readFileSync(join(dir, name), 'utf8'))
  const largest = files.reduce((a, b) => (b.length > a.length ? b : a), '')
  const root = frameOf(JSON.parse(largest) as Profile)
  mkdirSync(values.out, { recursive: true })
  const file = join(values.out, `flame-${scenario}.svg`)
  writeFileSync(file, flame(`One instance under ${scenario}: where its time goes`, root))
  console.log(file)
} finally {
  await lab.close()
  rmSync(dir, { recursive: true, force: true })
}

/** Merges what was called from one place into one frame, the widest first. */
function frameOf({ nodes, samples, timeDeltas }: Profile): Frame {
  const self = new Map<number, number>()
  for (const [index, id] of samples.entries()) self.set(id, (self.get(id) ?? 0) + (timeDeltas[index] ?? 0))
  const byId = new Map(nodes.map(node => [node.id, node]))
  const merge = (ids: readonly number[]): Frame[] => {
    const groups = new Map<string, number[]>()
    for (const id of ids) {
      const name = nameOf(id)
      if (!WAITING.has(name)) groups.set(name, [...(groups.get(name) ?? []), id])
    }
    return [...groups].map(([name, group]) => ({
      name,
      origin: originOf(byId.get(group[0] ?? 0)?.callFrame.url ?? ''),
      self: group.reduce((sum, id) => sum + (self.get(id) ?? 0), 0),
      children: merge(group.flatMap(id => byId.get(id)?.children ?? [])),
    }))
  }
  const nameOf = (id: number) => {
    const { functionName, url, lineNumber } = byId.get(id)?.callFrame ?? { functionName: '', url: '', lineNumber: 0 }
    const file = url.replace(/^.*node_modules\//, '').replace(`file://${PROJECT}/`, '')
    return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`
  }
  return { name: 'all', origin: 'engine', self: 0, children: merge(nodes[0]?.children ?? []) }
}

function originOf(url: string): Frame['origin'] {
  if (url.startsWith('node:')) return 'node'
  if (url.includes('node_modules/ioredis')) return 'redis client'
  if (url.includes('node_modules/')) return 'other packages'
  return url === '' ? 'engine' : 'ours'
}
