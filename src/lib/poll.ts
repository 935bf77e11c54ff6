/**
 * Does something again and again, the next time a wait after the last has ended; so it never overlaps itself, and a failure is
 * told and does not end it. It keeps no process alive.
 */
export function repeat(
  work: () => Promise<unknown>,
  waitMs: number | (() => number),
  onError: (error: unknown) => void,
): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  function again(): void {
    if (stopped) return
    // What fails because the process is ending is no failure.
    const run = () =>
      void work()
        .catch(error => (stopped ? undefined : onError(error)))
        .finally(again)
    timer = setTimeout(run, typeof waitMs === 'number' ? waitMs : waitMs())
    timer.unref()
  }

  again()
  return {
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
