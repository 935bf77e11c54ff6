import type { Points } from './points.ts'
import type { Reading } from './readings.ts'
import { between } from './readings.ts'
import { ms, percent, shown } from './verdict.ts'

/** How the load goes, while it goes: one line that is written over on a terminal, a line every five seconds elsewhere. */
const EVERY_MS = 1_000
const PLAIN_EVERY = 5

export function showProgress(points: Points, readings: readonly Reading[], cores: number): { stop(): void } {
  const since = Date.now()
  let shows = 0
  const isTerminal = process.stdout.isTTY
  const timer = setInterval(() => {
    if (!isTerminal && ++shows % PLAIN_EVERY !== 0) return
    const line = lineOf(points, readings, cores, Math.round((Date.now() - since) / 1000))
    if (isTerminal) process.stdout.write(`\r\u001b[2K  ${line}`)
    else console.log(`  ${line}`)
  }, EVERY_MS)
  return {
    stop() {
      clearInterval(timer)
      if (isTerminal) process.stdout.write('\r\u001b[2K')
    },
  }
}

/** Of the last second that is over; later ones may still have points under way. */
function lineOf(points: Points, readings: readonly Reading[], cores: number, seconds: number): string {
  const at = [...points.seconds.keys()].at(-2)
  const second = at === undefined ? undefined : points.seconds.get(at)
  const all = [...points.seconds.values()]
  const failed = all.reduce((sum, each) => sum + each.failed + each.failedChecks, 0)
  const dropped = all.reduce((sum, each) => sum + each.dropped, 0)
  const [before, after] = readings.slice(-2)
  const now = before && after ? between(before, after, cores) : {}
  const load = second
    ? `${shown(second.requests)}/s, median ${ms(second.times.percentile(50) / 1000)}, p99 ${ms(second.times.percentile(99) / 1000)}`
    : 'users log in'
  const cpu = now['machine busy'] === undefined ? '' : `, CPU ${percent(now['machine busy'])}`
  return `${String(seconds).padStart(4)} s  ${load}, ${failed} failed, ${dropped} dropped${cpu}`
}
