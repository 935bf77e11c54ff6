import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel'
import { unavailable } from './errors.ts'

/** A circuit breaker for one dependency: after a run of failures it answers at once instead of making everybody wait. */
export interface Breaker {
  /** @throws AppError `unavailable` naming the dependency while the circuit is open; else whatever `work` throws */
  run<T>(work: () => Promise<T>): Promise<T>
  isOpen(): boolean
}

export interface BreakerOptions {
  readonly name: string
  readonly failuresToOpen: number
  readonly openMs: number
  /** Which errors say that the dependency is ill (not: that the request was wrong). */
  readonly isFailure: (error: unknown) => boolean
}

export function createBreaker(options: BreakerOptions): Breaker {
  const circuit = circuitBreaker(handleWhen(options.isFailure), {
    halfOpenAfter: options.openMs,
    breaker: new ConsecutiveBreaker(options.failuresToOpen),
  })
  return {
    async run(work) {
      try {
        return await circuit.execute(work)
      } catch (error) {
        if (error instanceof BrokenCircuitError) throw unavailable(options.name, error)
        throw error
      }
    },
    isOpen: () => circuit.state === CircuitState.Open,
  }
}
