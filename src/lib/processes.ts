import { existsSync, readFileSync } from 'node:fs'

/** True when the process is there and its command line says that it is ours (process numbers are reused). */
export function isRunning(pid: number, mark: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
    if (of('stat').split(') ').at(-1)?.startsWith('Z')) return false
    return of('cmdline').includes(mark)
  } catch {
    return !existsSync('/proc/self') // no /proc on this system: believe the number
  }
}
