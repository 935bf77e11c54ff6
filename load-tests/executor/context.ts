import { AsyncLocalStorage } from 'node:async_hooks'
import type { CookieJar } from './modules/cookies.ts'

/** What the code of a scenario can ask about the iteration that it runs in. Iterations of one thread overlap, so it follows the asynchronous calls. */
export interface Iteration {
  readonly scenario: string
  /** Counted over all threads, from 0. */
  readonly indexInTest: number
  /** Virtual users: as many as iterations can overlap. From 1. */
  readonly vu: number
  readonly iterationOfVu: number
  readonly jar: CookieJar
  /** When its first request was due, on the clock of `performance.now()`; taken by that request. */
  dueAt: number | undefined
}

const storage = new AsyncLocalStorage<Iteration>()

export const iterationNow = (): Iteration | undefined => storage.getStore()
export const runIteration = <T>(iteration: Iteration, work: () => T): T => storage.run(iteration, work)
