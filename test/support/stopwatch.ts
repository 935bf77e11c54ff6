import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * Time in which some processes could run: wall-clock time less what they spent waiting for a core (the run queue, from the scheduler's own count)
 * and what the hypervisor gave to other machines. A bound that states a promise of the product is held against this: on a quiet machine it is
 * the time on the wall, on a starved one it does not fail because others were running. Of each process the thread that waited longest counts;
 * processes that take part one after the other are added up.
 */
export interface Elapsed {
  readonly wallMs: number
  readonly lostMs: number
  readonly ranMs: number
}

export function startStopwatch(pids: () => readonly number[] = () => [process.pid]): () => Elapsed {
  const since = performance.now()
  const before = new Map(pids().map(pid => [pid, waitsOf(pid)]))
  const stolenBefore = stolenMs()
  return () => {
    const wallMs = performance.now() - since
    let lostMs = (stolenMs() - stolenBefore) / availableParallelism()
    for (const pid of pids()) {
      const known = before.get(pid)
      const waits = [...waitsOf(pid)].map(([thread, ms]) => ms - (known?.get(thread) ?? 0))
      lostMs += Math.max(0, ...waits)
    }
    lostMs = Math.min(lostMs, wallMs * LOST_SHARE_MAX)
    return { wallMs, lostMs, ranMs: wallMs - lostMs }
  }
}

/** More of the time never counts as lost, so that every bound can be missed. */
const LOST_SHARE_MAX = 0.8

/** Milliseconds in the run queue, by thread; empty for a process that is gone, and where the system does not say. */
function waitsOf(pid: number): Map<string, number> {
  const waits = new Map<string, number>()
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const [, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
      waits.set(thread, Number(waited) / 1e6)
    }
  } catch {
    // it has ended meanwhile
  }
  return waits
}

/** From this share of the time on in which something waited for a core, a machine is starved: others want what it has, and more. */
const STARVED_PERCENT = 75

/** Whether the machine was starved in the last ten seconds, by the kernel's own count (pressure stall information); false where it does not say. */
export function isStarved(): boolean {
  try {
    return Number(/some avg10=([\d.]+)/.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1] ?? 0) > STARVED_PERCENT
  } catch {
    return false
  }
}

const JIFFY_MS = 10

function stolenMs(): number {
  try {
    const line = readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
    return Number(line.trim().split(/\s+/)[8] ?? 0) * JIFFY_MS
  } catch {
    return 0
  }
}
