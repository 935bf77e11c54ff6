/** What a look at a dependency or at the host found. */
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
