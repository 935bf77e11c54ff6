/**
 * A time limit that a busy process does not mistake for a slow server: when the timer itself comes late, because the event loop was
 * blocked or the process was stopped, the answer may have arrived meanwhile, and gets a moment to be read.
 */
const STALL_MS = 30
const AFTER_STALL_MS = 50
const STALLS_MAX = 3

/** @throws Error when there is no answer after `msMax`, or whatever `work` throws */
export function within<T>(work: Promise<T>, msMax: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout
    let stalls = 0
    const arm = (ms: number) => {
      const dueMs = performance.now() + ms
      timer = setTimeout(() => {
        if (performance.now() - dueMs > STALL_MS && stalls++ < STALLS_MAX) arm(AFTER_STALL_MS)
        else reject(new Error(`no answer after ${msMax} ms`))
      }, ms)
    }
    arm(msMax)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
