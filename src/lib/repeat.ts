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
    const run = () => void work().catch(onError).finally(again)
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
