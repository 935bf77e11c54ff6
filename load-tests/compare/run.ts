import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findGenerator } from '../runner/generator.ts'
import { findOrInstall } from '../../src/stack/programs.ts'
import { PROJECT, whenInterrupted } from '../../test/support/servers.ts'
import { versionOf } from './generators.ts'
import { checkOut, compareAgainst, COMPARED_BLOCKS } from './against.ts'
import { GOALS, judge, type Verdict, type Window } from './goals.ts'
import { expiries, memory } from './claims.ts'
import { priceChanges } from './price-changes.ts'
import { createLab, nameOf, thereAndBack, TooNoisy, type Unit } from './lab.ts'
import { chartOf, type Latency, type Report, tableOf } from './report.ts'
import { median } from './statistics.ts'

const HELP = `npm run compare -- [BLOCK…] [options]

Measures cartload beside other ways to do the same work, on this machine, over loopback, each with its own servers:
  floor     the same nginx and bare node:http, the Redis protocol by hand: what is physically needed, with what cartload
            has learned of fewer writes, empty requests, the CPU's scheduler and Unix sockets; also behind the shortest
            nginx configuration (floor-bare), and behind that without anything learned (floor-plain)
  typical   express, express-session, knex, one database: what a team writes in a week
  fastify   the product's own code behind fastify
Units of a block are run in turn, there and back (ABBA); a figure is the median of the ratios of the rounds, with its 95 % interval.

Blocks (default: all)
  view      warm views: 10 lines, the first page of 500, 100 lines, If-None-Match, past nginx
  add       adding a line to a cart of 10 and of 500, durable
  products  product pages, and deep ones
  instances the same view with 1, 2 and 4 instances: 64 connections in all, the same rate for each (also past nginx), and the same in all
  login     logins
  mixed     TPC-W's shopping shares
  expiry    loads from the database when a hot key expires
  catalogue warm views with a million products, while 1, 10 and 100 prices change per second
  memory    memory of an instance under load for a long time

Options
  --against COMMIT     compares with that version of cartload instead of other services: blocks ${COMPARED_BLOCKS.join(', ')}.
                       Both take turns until the 95 % interval of each ratio is at most ± 3 % wide or 60 rounds are over;
                       a ratio whose upper end is above 1.05 is not met
  --pairs N            rounds of each block (default 10)
  --seconds N          of one window (default 15)
  --memory-minutes N   (default 10)
  --no-latency         leave out the latencies at a fixed rate
  --out DIR            where compare.json, compare.md and compare.svg go (default .cartload/reports)
  --help

All by default takes about two hours. Needs nginx, Redis, MariaDB and wrk (installed with apt where missing).
Ends with status 1 when a goal is not met, 2 when the machine was too busy with something else.`

/** Far from what one can do, so that four on a small machine still keep up. */
const RATE_EACH = 300

const BLOCKS: Readonly<Record<string, readonly Unit[]>> = {
  view: [
    { stack: 'cartload', scenario: 'view-10' },
    { stack: 'floor', scenario: 'view-10' },
    { stack: 'floor-bare', scenario: 'view-10' },
    { stack: 'floor-plain', scenario: 'view-10' },
    { stack: 'fastify', scenario: 'view-10' },
    { stack: 'typical', scenario: 'view-10' },
    { stack: 'cartload', scenario: 'view-10', direct: true },
    { stack: 'floor', scenario: 'view-10', direct: true },
    { stack: 'cartload', scenario: 'view-500' },
    { stack: 'cartload', scenario: 'view-304' },
    { stack: 'floor', scenario: 'view-304' },
    { stack: 'cartload', scenario: 'view-100' },
    { stack: 'cartload', scenario: 'view-100-304' },
  ],
  add: [
    { stack: 'cartload', scenario: 'add-10' },
    { stack: 'typical', scenario: 'add-10' },
    { stack: 'cartload', scenario: 'add-500' },
    { stack: 'typical', scenario: 'add-500' },
  ],
  products: [
    { stack: 'cartload', scenario: 'products' },
    { stack: 'typical', scenario: 'products' },
    { stack: 'cartload', scenario: 'products-deep' },
    { stack: 'typical', scenario: 'products-deep' },
  ],
  instances: [
    { stack: 'cartload-1', scenario: 'view-10' },
    { stack: 'cartload-2', scenario: 'view-10' },
    { stack: 'cartload-4', scenario: 'view-10' },
    { stack: 'floor-1', scenario: 'view-10' },
    { stack: 'floor-4', scenario: 'view-10' },
    { stack: 'cartload-1', scenario: 'view-10', rate: RATE_EACH },
    { stack: 'cartload-1', scenario: 'view-10', rate: RATE_EACH, direct: true },
    { stack: 'cartload-2', scenario: 'view-10', rate: 2 * RATE_EACH },
    { stack: 'cartload-4', scenario: 'view-10', rate: 4 * RATE_EACH },
    { stack: 'cartload-1', scenario: 'view-10', rate: 4 * RATE_EACH },
    { stack: 'cartload-2', scenario: 'view-10', rate: 4 * RATE_EACH },
  ],
  login: [
    { stack: 'cartload', scenario: 'login' },
    { stack: 'typical', scenario: 'login' },
  ],
  mixed: [
    { stack: 'cartload', scenario: 'mixed' },
    { stack: 'cartload', scenario: 'mixed', direct: true },
    { stack: 'typical', scenario: 'mixed' },
    { stack: 'fastify', scenario: 'mixed' },
  ],
}
const LATENCY_BLOCKS = ['view', 'add', 'products', 'mixed']
const CLAIMS = ['expiry', 'catalogue', 'memory']
const WARM_SECONDS = 15

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    against: { type: 'string' },
    pairs: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '15' },
    'memory-minutes': { type: 'string', default: '10' },
    'no-latency': { type: 'boolean', default: false },
    out: { type: 'string', default: join(PROJECT, '.cartload', 'reports') },
    help: { type: 'boolean', default: false },
  },
})
const known = values.against === undefined ? [...Object.keys(BLOCKS), ...CLAIMS] : COMPARED_BLOCKS
const wanted = positionals.length > 0 ? positionals : known
const unknown = wanted.find(block => !known.includes(block))
const number = (name: 'pairs' | 'seconds' | 'memory-minutes', max: number) => {
  const value = Number(values[name])
  if (Number.isFinite(value) && value > 0 && value <= max) return value
  console.error(`--${name} takes a number up to ${max}, not '${values[name]}'`)
  process.exit(64)
}
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
if (unknown) {
  console.error(`there is no block '${unknown}'; there are ${known.join(', ')}`)
  process.exit(64)
}
const [pairs, seconds, minutes] = [number('pairs', 100), number('seconds', 120), number('memory-minutes', 120)]
const say = (text: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

await findOrInstall(['wrk'], join(PROJECT, '.cartload'), say)
const checkout = values.against === undefined ? undefined : checkOutOrExit(values.against)
const generator = values['no-latency'] || checkout ? undefined : findGenerator()
const lab = createLab(say, { generator, against: checkout?.project })
whenInterrupted(async () => {
  await lab.close()
  checkout?.remove()
})

const windows: (Window & { readonly round: number })[] = []
const latencies: Latency[] = []
const verdicts: Verdict[] = []
try {
  if (checkout) {
    const options = { commit: checkout.commit, blocks: wanted, seconds, warmSeconds: WARM_SECONDS, say }
    verdicts.push(...(await compareAgainst(lab, { ...options, onWindow: window => windows.push(window) })))
  } else await compareWithOthers()
} catch (error) {
  // What was found until then is reported all the same.
  process.exitCode = 2
  if (error instanceof TooNoisy)
    console.error(`\n${error.message}: nothing can be said on such a machine. Stop what runs beside, and begin again.`)
  else console.error(error)
} finally {
  await lab.close()
  checkout?.remove()
}
await report()

function checkOutOrExit(commit: string) {
  try {
    return checkOut(commit, say)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exit(64)
  }
}

async function compareWithOthers(): Promise<void> {
  for (const [index, block] of wanted.entries()) {
    const units = BLOCKS[block]
    if (!units) continue
    await runBlock(block, units)
    const later = new Set(wanted.slice(index + 1).flatMap(name => (BLOCKS[name] ?? []).map(({ stack }) => stack)))
    for (const { stack } of units) if (!later.has(stack) && stack !== 'cartload') await lab.stopStack(stack)
  }
  if (wanted.includes('expiry')) verdicts.push(...(await expiries(lab, say)))
  if (wanted.includes('catalogue')) verdicts.push(...(await priceChanges(lab, { rounds: pairs, seconds, say })))
  if (wanted.includes('memory')) verdicts.push(...(await memory(lab, minutes, say)))
}

async function runBlock(block: string, units: readonly Unit[]): Promise<void> {
  // Those at a fixed rate are stacks that are warm by then.
  for (const unit of units.filter(({ rate }) => rate === undefined)) {
    say(`${block}: warming ${nameOf(unit)}`)
    await lab.prepare(unit, WARM_SECONDS)
  }
  for (const { round, unit } of thereAndBack(units, pairs)) {
    const window = await lab.window(unit, seconds)
    windows.push({ ...window, round })
    say(`${block} ${round}/${pairs}: ${window.unit} ${window.cpuUs.toFixed(0)} µs, ${window.rate.toFixed(0)}/s`)
  }
  if (generator && LATENCY_BLOCKS.includes(block)) await runLatencies(block, units)
}

/** At half of what the slowest of the same scenario can do. */
async function runLatencies(block: string, units: readonly Unit[]): Promise<void> {
  const first = units.filter(unit => !unit.direct && unit.scenario === units[0]?.scenario)
  const ratesOf = (unit: Unit) => windows.filter(({ unit: name }) => name === nameOf(unit)).map(({ rate }) => rate)
  const rate = Math.max(1, Math.floor(Math.min(...first.map(unit => median(ratesOf(unit)))) / 2))
  for (const { round, unit } of thereAndBack(first, pairs)) {
    const times = await lab.latency(unit, rate, seconds)
    if (!times) {
      say(`${block} latency ${round}/${pairs}: ${nameOf(unit)} did not keep up with ${rate}/s, which is left out`)
      continue
    }
    latencies.push({ unit: nameOf(unit), rate, round, ...times })
    say(`${block} latency ${round}/${pairs}: ${nameOf(unit)} at ${rate}/s p99 ${times.p99Ms.toFixed(1)} ms`)
  }
}

async function report(): Promise<void> {
  const ofWindows = GOALS.flatMap(goal => judge(goal, windows) ?? [])
  const redis = await versionOf('redis-server', '--version')
  const result: Report = {
    at: new Date().toISOString(),
    command: `npm run compare -- ${process.argv
      .slice(2)
      .filter((word, index, all) => word !== '--out' && all[index - 1] !== '--out')
      .join(' ')}`.trim(),
    machine: {
      cores: availableParallelism(),
      cpu: cpus()[0]?.model.trim() ?? '',
      memoryGb: Math.round(totalmem() / 2 ** 30),
      kernel: `${release()} ${arch()}`,
      versions: [`Node ${process.version}`, redis.replace(/ sha=.*/, ''), await versionOf('mariadbd', '--version')],
    },
    pairs: checkout ? Math.max(0, ...windows.map(({ round }) => round)) : pairs,
    seconds,
    verdicts: [...ofWindows, ...verdicts],
    windows,
    latencies,
  }
  const out = values.out
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'compare.json'), `${JSON.stringify(result, undefined, 1)}\n`)
  writeFileSync(join(out, 'compare.md'), tableOf(result))
  writeFileSync(join(out, 'compare.svg'), chartOf(result))
  console.log(tableOf(result))
  console.log(`\n${join(out, 'compare.json')}, compare.md, compare.svg`)
  if (result.verdicts.some(verdict => !verdict.isMet)) process.exitCode ??= 1
}
