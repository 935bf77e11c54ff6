import { unavailable } from './errors.ts'

/**
 * A circuit breaker for one dependency: after a run of failures calls fail at once instead of waiting. When its time is
 * over, one call probes the dependency; the others go on failing. Ours, because every command to Redis passes it: without a
 * promise of its own (docs/performance.md).
 */
export interface Breaker {
  /** Call before the work; then call exactly one of `succeeded` and `failed`. @throws AppError `unavailable` naming the dependency while it is open */
  enter(): void
  succeeded(): void
  failed(error: unknown): void
  /** All three around `work`. @throws AppError `unavailable` while the circuit is open; else whatever `work` throws */
  run<T>(work: () => Promise<T>): Promise<T>
  isOpen(): boolean
}

interface BreakerOptions {
  readonly name: string
  readonly failuresToOpen: number
  readonly openMs: number
  /** Which errors say that the dependency is ill (not: that the request was wrong). */
  readonly isFailure: (error: unknown) => boolean
  /** Called for each failure, when the circuit opens, and when it closes. */
  readonly watch?: BreakerWatch
}

export interface BreakerWatch {
  failed(): void
  opened(error: unknown): void
  closed(): void
}

/** `Breaker` says what its functions throw. */
export function createBreaker({ name, failuresToOpen, openMs, isFailure, watch }: BreakerOptions): Breaker {
  let failures = 0
  let openUntil = 0
  let isProbing = false

  function enter(): void {
    if (failures < failuresToOpen) return
    if (isProbing || performance.now() < openUntil) throw unavailable(name, new Error('its circuit is open'))
    isProbing = true
  }

  function succeeded(): void {
    if (failures >= failuresToOpen) watch?.closed()
    failures = 0
    isProbing = false
  }

  function failed(error: unknown): void {
    if (isFailure(error)) {
      failures++
      watch?.failed()
      if (failures === failuresToOpen) watch?.opened(error)
      if (failures >= failuresToOpen) openUntil = performance.now() + openMs
    }
    isProbing = false
  }

  return {
    enter,
    succeeded,
    failed,
    async run(work) {
      enter()
      try {
        const result = await work()
        succeeded()
        return result
      } catch (error) {
        failed(error)
        throw error
      }
    },
    isOpen: () => failures >= failuresToOpen && (isProbing || performance.now() < openUntil),
  }
}
