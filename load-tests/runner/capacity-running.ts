import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommandError } from '../../src/cli/command.ts'
import { DEMO_EMAIL } from '../../src/cli/seed.ts'
import { step } from '../../src/cli/terminal.ts'
import { fixedRate, generatorPids, type Request, writeRequests } from '../compare/generators.ts'
import { cpuOfEnded, measure } from '../compare/meter.ts'
import type { Level } from './capacity-report.ts'
import { climb } from './climb.ts'
import type { Generator } from './generator.ts'
import { machineOf, textOf } from './machine.ts'
import { checkShop } from './preparations.ts'
import { ms, shown } from './verdict.ts'

/** What a shop that runs carries as it is: cart views, up until the service level breaks. It is loaded for real; nothing of it is changed. */
export interface RunningShop {
  readonly url: string
  readonly password: string
  readonly level: Level
  readonly generator: Generator
  /** Of its processes on this machine; none for a shop elsewhere. */
  readonly pids: readonly number[]
  readonly out: string
}

const USERS = 50
const FIRST_RATE = 50
const STEP_SECONDS = 4
/** As for a cluster of its own: users for answers that take twice as long as the level allows. */
const PATIENCE = 2

/** @throws CommandError when the shop does not answer, or its first step breaks the level */
export async function measureRunning(shop: RunningShop): Promise<void> {
  const { url, level, generator, pids } = shop
  await checkShop(url, shop.password)
  const dir = mkdtempSync(join(tmpdir(), 'cl-capacity-'))
  try {
    const views = await step(`log ${USERS} users in`, () => viewsOf(shop))
    const requests = writeRequests(dir, 'views', views)
    const steps: Step[] = []
    const carried = await climb(FIRST_RATE, async rate => {
      const virtualUsers = Math.ceil(Math.max(20, (rate * level.p99Ms * PATIENCE) / 1000))
      const before = cpuOfEnded()
      const { result, used } = await measure(pids, generatorPids, () =>
        fixedRate(generator, url, requests, { rate, seconds: STEP_SECONDS, virtualUsers }),
      )
      const holds = result.dropped === 0 && 1 - result.good <= level.errors && result.p99Ms <= level.p99Ms
      const cpuUs = pids.length === 0 ? undefined : (used.sum / Math.max(1, result.requests)) * 1e6
      const cores = (cpuOfEnded() - before) / used.seconds
      steps.push({ rate, holds, medianMs: result.medianMs, p99Ms: result.p99Ms, failed: 1 - result.good, cpuUs, cores })
      const cpu = cpuUs === undefined ? '' : `, ${shown(cpuUs)} µs of CPU a view`
      console.log(
        `  ${holds ? '✓' : '✗'} ${shown(rate)}/s: median ${ms(result.medianMs)}, p99 ${ms(result.p99Ms)}${cpu}`,
      )
      return holds
    })
    if (carried === 0)
      throw new CommandError(
        `even ${FIRST_RATE} views a second broke the service level (p99 ${level.p99Ms} ms): the shop or this machine is busy`,
      )
    const at = steps.findLast(({ rate, holds }) => holds && rate === carried)
    console.log(`
The shop at ${url} carries ${shown(carried)} cart views a second at p99 ≤ ${level.p99Ms} ms${at?.cpuUs === undefined ? '' : `, at ${shown(at.cpuUs)} µs of CPU a view`}.
The generator took ${(at?.cores ?? 0).toFixed(2)} cores beside it. ${textOf(await machineOf(generator))}
What a change and a login cost, and how it grows with instances, is measured on a cluster of its own: npm run capacity`)
    mkdirSync(shop.out, { recursive: true })
    const file = join(shop.out, `${new Date().toISOString().replaceAll(':', '-')}-capacity-running.json`)
    writeFileSync(file, JSON.stringify({ url, level, carried, steps }, undefined, 2))
    console.log(`Written: ${file}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

interface Step {
  readonly rate: number
  readonly holds: boolean
  readonly medianMs: number
  readonly p99Ms: number
  readonly failed: number
  readonly cpuUs: number | undefined
  readonly cores: number
}

async function viewsOf({ url, password }: RunningShop): Promise<Request[]> {
  const views: Request[] = []
  for (let user = 1; user <= USERS; user++) {
    const answer = await fetch(`${url}/v1/sessions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email: DEMO_EMAIL(user), password }),
    })
    const { token } = (await answer.json()) as { token?: string }
    if (token === undefined) throw new CommandError(`user ${user} could not log in (${answer.status}): npm run seed`)
    views.push({ method: 'GET', path: '/v1/cart', headers: { authorization: `Bearer ${token}` } })
  }
  return views
}
