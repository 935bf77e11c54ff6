import { type Iteration, iterationNow } from '../context.ts'

/** The module `k6/execution`: what an iteration may ask about itself. */
function now(): Iteration {
  const iteration = iterationNow()
  if (!iteration) throw new Error('k6/execution has something to say only within an iteration')
  return iteration
}

export const scenario = {
  get name(): string {
    return now().scenario
  },
  get iterationInTest(): number {
    return now().indexInTest
  },
}

export const vu = {
  get idInTest(): number {
    return now().vu
  },
  get iterationInScenario(): number {
    return now().iterationOfVu
  },
}

export default { scenario, vu }
