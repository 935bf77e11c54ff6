import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Finds and stops processes of ours whose supervisor has ended. */

/** The process numbers in the pid files of some folders. */
export function pidFiles(dirs: readonly string[]): number[] {
  return dirs.flatMap(dir => {
    if (!existsSync(dir)) return []
    const files = readdirSync(dir).filter(name => name.endsWith('.pid'))
    return files.map(name => Number.parseInt(readFileSync(join(dir, name), 'utf8'), 10))
  })
}

/** Workers of an nginx whose master was killed have no pid file; they are found by the log files that they hold open. */
export function nginxOrphans(logDir: string): number[] {
  if (!existsSync('/proc/self')) return []
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('nginx:')) return false
        return readdirSync(`/proc/${pid}/fd`).some(fd => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(logDir))
      } catch {
        return false // gone, or another user's
      }
    })
}

/** Asks a process to stop, waits, and in the end makes it. */
export async function stopProcess(pid: number): Promise<void> {
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      process.kill(pid, name)
      return true
    } catch {
      return false
    }
  }
  signal('SIGTERM')
  for (let waited = 0; waited < 15_000; waited += 50) {
    if (!signal(0)) return
    await sleep(50)
  }
  signal('SIGKILL')
}
