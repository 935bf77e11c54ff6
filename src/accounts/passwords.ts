import { hash, verify } from '@node-rs/argon2'
import { createBulkhead, type Bulkhead } from '../lib/bulkhead.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/**
 * argon2id with parameters of the OWASP cheat sheet (7 MiB, 5 passes, 1 lane: as strong as 19 MiB and 2 passes, and a third
 * cheaper here), on libuv's threads. One check holds 7 MiB and a core for ten milliseconds or more, so few run at once (one, as there is an
 * instance for each core), and the queue is bounded.
 */
export interface Passwords {
  /** @throws AppError `overloaded` */
  hash(password: string): Promise<string>
  /**
   * With `undefined` (no such user) it does the same work and says no, so that the answer takes as long. `beforehand` runs
   * when its turn has come, and may still refuse: a login that waited must not pass a throttle that has closed meanwhile.
   */
  verify(passwordHash: string | undefined, password: string, beforehand?: () => Promise<void>): Promise<boolean>
  /** True when a stored hash was made with weaker parameters than today's. */
  isOutdated(passwordHash: string): boolean
}

const ARGON2ID = 2
export const PARAMETERS = { algorithm: ARGON2ID, memoryCost: 7_168, timeCost: 5, parallelism: 1 }
const PREFIX = `$argon2id$v=19$m=${PARAMETERS.memoryCost},t=${PARAMETERS.timeCost},p=${PARAMETERS.parallelism}$`
/** The hash of a random password that was thrown away: a login without an account is compared with it. */
const NO_ACCOUNT = `${PREFIX}i5ARQM8pyMRbqN93H5edDg$HGUl+b0dvYf4bOP5FgrCs7jVd5lP/vvQMvddBoB1E0o`

/** One form for what keyboards send in two (NIST SP 800-63B, 3.1.1.2). */
const passwordForm = (password: string): string => password.normalize('NFKC')

export function createPasswords(
  { passwordChecksMax, loginsWaitingMax }: Pick<Limits, 'passwordChecksMax' | 'loginsWaitingMax'>,
  metrics: Metrics,
): Passwords {
  const waits = metrics.poolWaits.labels({ pool: 'passwords' })
  const gate: Bulkhead = createBulkhead(
    {
      name: 'passwords',
      concurrencyMax: passwordChecksMax,
      queueMax: loginsWaitingMax,
      waitMsMax: FIXED.passwordWaitMsMax,
    },
    waitedMs => waits.observe(waitedMs / 1000),
  )
  metrics.watch('cartload_passwords_waiting', 'Password checks waiting for a place', gate.waiting)
  const hashed = (password: string) => gate.run(() => hash(passwordForm(password), PARAMETERS))

  return {
    hash: hashed,
    async verify(passwordHash, password, beforehand) {
      const matches = await gate.run(async () => {
        await beforehand?.()
        const known = passwordHash ?? NO_ACCOUNT
        if (await verify(known, passwordForm(password))) return true
        // Hashes of before: of the text as it came. Tried only where it makes a difference.
        return passwordForm(password) !== password && (await verify(known, password))
      })
      return matches && passwordHash !== undefined
    },
    isOutdated: passwordHash => !passwordHash.startsWith(PREFIX),
  }
}
