import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/** Of /proc/PID/stat, counted from 1 (proc_pid_stat(5)). */
const POLICY_FIELD = 41
const SCHED_OTHER = 0

/**
 * Gives all threads of this process, and those it starts from now on, Linux's policy SCHED_BATCH (sched(7)): the same share of the CPU as before,
 * but a woken thread waits until the core is free or the running process's slice is over, instead of preempting it. An instance that is not woken for
 * each request alone finds more of them at once, and one write to Redis or one commit serves them all. It is felt when cores are full: 0.86 of
 * the CPU for a warm view with two instances on two cores, 0.82 with four (docs/performance.md, finding 44).
 *
 * A policy that was set already is left alone, and other systems have none.
 * @returns whether the policy was changed
 * @throws Error when `chrt` (util-linux) is not there or was refused
 */
export async function scheduleAsBatch(): Promise<boolean> {
  if (policyOf('self') !== SCHED_OTHER) return false
  await promisify(execFile)('chrt', ['--batch', '--all-tasks', '--pid', '0', String(process.pid)])
  return true
}

/** The scheduling policy of a process, as a number (0 other, 3 batch, 5 idle); undefined where there is no /proc. */
export function policyOf(pid: number | 'self'): number | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The name, in brackets, is the second field and may itself hold spaces and brackets.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[POLICY_FIELD - 3])
}
