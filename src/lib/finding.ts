/** Exit status of a process that must not run like this; PM2 does not start it again (ecosystem.config.js). As in sysexits.h. */
export const EXIT_WRONG_CONFIGURATION = 78

/** One result of a check of a dependency or of the host. */
export interface Finding {
  /** What it is about: `shard-0`, `cache`, `host`. */
  readonly subject: string
  /**
   * `wrong`: cartload must not run like this. `away`: it cannot be reached now. `advice`: it runs, and should be changed. `fine`: as it must be.
   */
  readonly kind: 'wrong' | 'away' | 'advice' | 'fine'
  /** A sentence that says what to change. */
  readonly text: string
}

/** Whether something must be changed, or be reached again, before all is well. */
export const isFault = ({ kind }: Finding): boolean => kind === 'wrong' || kind === 'away'

/** The results of the checks of one server. */
export interface Check {
  readonly findings: readonly Finding[]
  /** Empty when it could not be reached; `role` too. */
  readonly version: string
  readonly role: string
  /** Its clock less this machine's, in milliseconds; undefined when it could not be asked. */
  readonly clockMs: number | undefined
}
