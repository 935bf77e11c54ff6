import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

export interface Progress {
  readonly line: number
  /** Rows up to there that were refused. */
  readonly refused: number
}

/** Up to which line a file has been imported. */
export function createMemory(path: string) {
  return {
    read: (): Progress =>
      existsSync(path)
        ? { refused: 0, ...(JSON.parse(readFileSync(path, 'utf8')) as { line: number }) }
        : { line: 0, refused: 0 },
    /** Renamed into place, so that a kill leaves the old one or the new one. */
    write(progress: Progress): void {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(`${path}.new`, JSON.stringify(progress))
      renameSync(`${path}.new`, path)
    },
    forget: () => rmSync(path, { force: true }),
  }
}
