import { repeat } from '../lib/poll.ts'
import { FIXED } from '../model/limits.ts'
import type { Database } from '../store/database.ts'
import { idempotencyKeys } from '../store/idempotency.ts'
import type { Log } from '../telemetry/log.ts'
import { createFailureLog } from '../telemetry/outages.ts'

/** Forgets idempotency keys that are past their time, a little at a time. Any number of instances may do it at once. */
export function startHousekeeping(shards: readonly Database[], log: Log, everyMs = 600_000): { stop(): void } {
  let stopped = false

  async function sweep(): Promise<void> {
    for (const shard of shards) {
      while (!stopped && (await idempotencyKeys.sweep(shard, FIXED.idempotencyKeepHours)) > 0);
    }
  }

  const jittered = () => everyMs * (0.5 + Math.random()) // instances that started together must not sweep together
  const sweeping = repeat(sweep, jittered, createFailureLog(log, 'old idempotency keys could not be swept'))
  return {
    stop() {
      stopped = true
      sweeping.stop()
    },
  }
}
