/** A list of undo steps: each resource pushes its own, they run last in, first out, and the first error is kept. */

export interface Closers {
  push(close: () => unknown): void
  /** Runs every step once, even when one fails; then throws the first failure. A second call does nothing. */
  closeAll(): Promise<void>
}

export function createClosers(): Closers {
  const steps: Array<() => unknown> = []
  return {
    push: close => void steps.push(close),
    async closeAll() {
      const failures: unknown[] = []
      for (const close of steps.splice(0).reverse()) {
        try {
          await close()
        } catch (error) {
          failures.push(error)
        }
      }
      if (failures.length > 0) throw failures[0]
    },
  }
}
