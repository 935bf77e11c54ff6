import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import { countedBy } from '../../test/support/metrics.ts'
import { closedLoop } from './generators.ts'
import { type Verdict, verdictOf } from './goals.ts'
import type { Lab, Unit } from './lab.ts'
import { residentMb } from './meter.ts'
import { estimate, median } from './statistics.ts'

/** The goals that are not ratios of two windows. */
const EXPIRIES = 20

/** Under load on one key it is made to expire again and again; how often do the instances together go to the database for it? */
export async function expiries(lab: Lab, say: (text: string) => void): Promise<Verdict[]> {
  const { stack, servers, cookies } = await lab.get('cartload')
  const redis = new Redis(servers.cacheAdmin)
  const counted = (metric: string, results: readonly string[]) => countedBy(stack.opsUrls, metric, results)
  const keys = [
    {
      what: 'a cart',
      unit: { path: '/v1/cart', headers: { cookie: cookies[0] ?? '' } },
      pattern: `{u:${/^sid=(\d+)\./.exec(cookies[0] ?? '')?.[1]}}:*`,
      metric: 'cartload_cart_reads_total',
      loads: ['filled', 'unfilled', 'resolved', 'degraded'],
    },
    {
      what: 'a product page',
      unit: { path: '/v1/products?limit=20', headers: {} },
      pattern: 'listing:*',
      metric: 'cartload_catalog_page_reads_total',
      loads: ['filled', 'unfilled', 'degraded'],
    },
  ]
  try {
    const verdicts: Verdict[] = []
    for (const { what, unit, pattern, metric, loads } of keys) {
      const requests = lab.write(`expiry-${metric}`, [{ method: 'GET', ...unit }])
      const load = closedLoop([stack.url], requests, EXPIRIES / 2 + 2)
      await sleep(1_000)
      const found: number[] = []
      for (let n = 0; n < EXPIRIES; n++) {
        const before = await counted(metric, loads)
        const names = await redis.keys(pattern)
        if (names.length === 0) throw new Error(`nothing is cached for ${what}`)
        await redis.del(...names)
        await sleep(350)
        found.push((await counted(metric, loads)) - before)
      }
      await load
      say(`expiry of ${what}: ${found.join(' ')} loads`)
      const figure = { median: Math.max(...found), low: Math.min(...found), high: Math.max(...found) }
      verdicts.push(
        verdictOf(`expiry of ${what} under load, loads from the database (most of ${EXPIRIES})`, figure, {
          atMost: 1,
          unit: '',
        }),
      )
    }
    return verdicts
  } finally {
    redis.disconnect()
  }
}

const SAMPLE_MS = 5_000

/** The mix for a long time; resident memory of the instances. */
export async function memory(lab: Lab, minutes: number, say: (text: string) => void): Promise<Verdict[]> {
  const unit: Unit = { stack: 'cartload', scenario: 'mixed' }
  const { stack } = await lab.get('cartload')
  const requests = await lab.requestsOf(unit)
  const pids = await stack.instancePids()
  const samples: number[][] = pids.map(() => [])
  say(`memory: ${minutes} minutes of the mix`)
  const load = closedLoop([stack.url], requests, Math.round(minutes * 60))
  let isOver = false
  const ended = load.finally(() => {
    isOver = true
  })
  while (!isOver) {
    for (const [index, pid] of pids.entries()) samples[index]?.push(residentMb(pid))
    await Promise.race([ended, sleep(SAMPLE_MS)])
  }
  await ended
  const quarter = (list: readonly number[], n: number) =>
    list.slice(Math.floor((list.length * (n - 1)) / 4), Math.floor((list.length * n) / 4))
  const growth = samples.map(list => median(quarter(list, 4)) / median(quarter(list, 3)))
  const most = samples.map(list => Math.max(...quarter(list, 4)))
  say(
    `memory: at most ${most.map(mb => mb.toFixed(0)).join(', ')} MB; growth ${growth.map(g => g.toFixed(3)).join(', ')}`,
  )
  return [
    verdictOf(`memory of an instance after ${minutes} minutes, MB`, estimate(most), { atMost: 160, unit: 'MB' }),
    verdictOf('memory, last quarter against the third', estimate(growth), { atMost: 1.02 }),
  ]
}
