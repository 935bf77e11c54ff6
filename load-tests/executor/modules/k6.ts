import { iterationNow } from '../context.ts'
import { sample } from '../samples.ts'

/** The module `k6`, as far as scenarios use it. */
type Checks<Value> = Readonly<Record<string, ((value: Value) => boolean) | boolean>>

export function check<Value>(value: Value, checks: Checks<Value>): boolean {
  const scenario = iterationNow()?.scenario ?? ''
  let all = true
  for (const [name, test] of Object.entries(checks)) {
    const passed = typeof test === 'function' ? test(value) : test
    sample('checks', `${scenario}\0${name}`, { scenario, check: name }, passed ? 1 : 0)
    if (!passed) all = false
  }
  return all
}

export function fail(message = 'the scenario gave up'): never {
  throw new Error(message)
}

export function sleep(): never {
  throw new Error("sleep() would stop all iterations of the thread: use setTimeout of 'k6/timers'")
}

export default { check, fail, sleep }
