import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** CPU time of processes, all threads, user and system, in seconds; from the scheduler's own count in nanoseconds. */
export type Part = 'nginx' | 'node' | 'redis' | 'database'

export interface Used {
  readonly seconds: number
  /** What the measured processes used, by what they are. */
  readonly parts: Readonly<Record<Part, number>>
  readonly sum: number
  /** Of each of the measured processes. */
  readonly byPid: ReadonlyMap<number, number>
  /** What other processes used (`except` left out), as a share of the whole machine. */
  readonly others: number
  /** What the hypervisor gave to other machines, the same way. */
  readonly stolen: number
}

interface Reading {
  readonly at: number
  /** By process and thread. */
  readonly byPid: ReadonlyMap<number, ReadonlyMap<string, number>>
  /** Taken by the hypervisor. */
  readonly stolen: number
}

/** Measures `pids` while `work` runs. Processes that `except` names are the generator's. */
export async function measure<T>(
  pids: readonly number[],
  except: () => readonly number[],
  work: () => Promise<T>,
): Promise<{ result: T; used: Used }> {
  const before = read()
  const result = await work()
  const after = read()
  const used = (pid: number) => usedBetween(before.byPid.get(pid), after.byPid.get(pid))
  const parts: Record<Part, number> = { nginx: 0, node: 0, redis: 0, database: 0 }
  for (const pid of pids) parts[partOf(pid)] += used(pid)
  const known = new Set([...pids, process.pid, ...except()])
  let others = 0
  for (const pid of after.byPid.keys()) if (!known.has(pid)) others += used(pid)
  const seconds = after.at - before.at
  const sum = Object.values(parts).reduce((a, b) => a + b, 0)
  const share = (cpuSeconds: number) => cpuSeconds / seconds / availableParallelism()
  const byPid = new Map(pids.map(pid => [pid, used(pid)]))
  return {
    result,
    used: { seconds, parts, sum, byPid, others: share(others), stolen: share(after.stolen - before.stolen) },
  }
}

/** Thread by thread: one that has ended meanwhile (databases end idle ones), or whose number another has now, takes nothing away. */
function usedBetween(before: ReadonlyMap<string, number> = new Map(), after: ReadonlyMap<string, number> = new Map()) {
  let sum = 0
  for (const [thread, seconds] of after) sum += Math.max(0, seconds - (before.get(thread) ?? 0))
  return sum
}

function read(): Reading {
  const byPid = new Map<number, ReadonlyMap<string, number>>()
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name)) byPid.set(Number(name), cpuOfThreads(Number(name)))
  }
  return { at: performance.now() / 1000, byPid, stolen: cpuOfMachine().stolen }
}

/** Seconds on a CPU, all threads that live; 0 for a process that is gone. */
export const cpuOf = (pid: number): number => [...cpuOfThreads(pid).values()].reduce((sum, seconds) => sum + seconds, 0)

function cpuOfThreads(pid: number): ReadonlyMap<string, number> {
  try {
    return new Map(readdirSync(`/proc/${pid}/task`).map(task => [task, cpuOfThread(pid, task)]))
  } catch {
    return new Map()
  }
}

/** Of one thread; without its name of the first one, which in Node.js runs the event loop. */
export function cpuOfThread(pid: number, task: number | string = pid): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e9
  } catch {
    return 0
  }
}

/** What all CPUs together have worked, and what the hypervisor has given to other machines meanwhile, in seconds. */
export function cpuOfMachine(): { readonly busy: number; readonly stolen: number } {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, stolen = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .slice(1)
    .map(ticks => Number(ticks) / 100)
  return { busy: user + nice + system + irq + softirq, stolen }
}

function partOf(pid: number): Part {
  try {
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8')
    if (name.startsWith('nginx')) return 'nginx'
    if (name.startsWith('redis') || name.startsWith('valkey')) return 'redis'
    return /^(mariadb|mysql)/.test(name) ? 'database' : 'node'
  } catch {
    return 'node'
  }
}

/** Of processes that this one started and that have ended, in seconds. */
export function cpuOfEnded(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / 100
}

/** Processes and all that they started: nginx's workers carry neither arguments nor environment that would name them. */
export function withChildren(pids: readonly number[]): number[] {
  const family = new Set(pids)
  for (let grown = true; grown; ) {
    grown = false
    for (const name of readdirSync('/proc')) {
      const pid = Number(name)
      if (!Number.isInteger(pid) || family.has(pid) || !family.has(parentOf(pid))) continue
      family.add(pid)
      grown = true
    }
  }
  return [...family]
}

function parentOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
  } catch {
    return 0
  }
}

/** Resident memory in MB. @throws Error for a process that is gone */
export function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kb) / 1024
}
