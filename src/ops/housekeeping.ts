import { FIXED } from '../model/limits.ts'
import type { Database } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Log } from '../telemetry/log.ts'

/** Forgets idempotency keys that are past their time, a little at a time. Any number of instances may do it at once. */
export function startHousekeeping(shards: readonly Database[], log: Log, everyMs = 600_000): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  async function sweep(): Promise<void> {
    for (const shard of shards) {
      while (!stopped && (await idempotencyKeys.sweep(shard, FIXED.idempotencyKeepHours)) > 0);
    }
  }

  function again(): void {
    if (stopped) return
    const jitter = 0.5 + Math.random() // instances that started together must not sweep together
    timer = setTimeout(() => {
      sweep()
        .catch((error: unknown) => log.warn({ err: error }, 'old idempotency keys could not be swept'))
        .finally(again)
    }, everyMs * jitter)
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
