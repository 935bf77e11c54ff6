import { hash, verify } from '@node-rs/argon2'
import { createGate, type Gate } from '../lib/gate.ts'
import { FIXED } from '../model/limits.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/**
 * argon2id with the parameters of the OWASP cheat sheet (19 MiB, 2 passes, 1 lane), on libuv's threads. One check holds
 * 19 MiB for tens of milliseconds, so few run at once, and the queue for them is bounded.
 */
export interface Passwords {
  /** @throws AppError `overloaded` */
  hash(password: string): Promise<string>
  /** With `undefined` (no such user) it does the same work and says no, so that the answer takes as long. */
  verify(passwordHash: string | undefined, password: string): Promise<boolean>
  /** True when a stored hash was made with weaker parameters than today's. */
  isOutdated(passwordHash: string): boolean
}

const ARGON2ID = 2
const PARAMETERS = { algorithm: ARGON2ID, memoryCost: 19_456, timeCost: 2, parallelism: 1 }
const PREFIX = '$argon2id$v=19$m=19456,t=2,p=1$'

export function createPasswords(waitingMax: number, metrics: Metrics): Passwords {
  const waits = metrics.poolWaits.labels({ pool: 'passwords' })
  const gate: Gate = createGate(
    {
      name: 'passwords',
      concurrencyMax: FIXED.passwordHashConcurrency,
      queueMax: waitingMax,
      waitMsMax: FIXED.passwordWaitMsMax,
    },
    waitedMs => waits.observe(waitedMs / 1000),
  )
  metrics.watch('cartload_passwords_waiting', 'Password checks waiting for a place', gate.waiting)
  let dummy: Promise<string> | undefined
  const hashed = (password: string) => gate.run(() => hash(password, PARAMETERS))

  return {
    hash: hashed,
    async verify(passwordHash, password) {
      dummy ??= hashed('a password that nobody has')
      const against = passwordHash ?? (await dummy)
      const matches = await gate.run(() => verify(against, password))
      return matches && passwordHash !== undefined
    },
    isOutdated: passwordHash => !passwordHash.startsWith(PREFIX),
  }
}
