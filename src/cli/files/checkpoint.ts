import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

interface Position {
  readonly line: number
  /** Rows up to there that were refused. */
  readonly refused: number
}

/** Before the first line. */
export const START: Position = { line: 0, refused: 0 }

/** Up to which line a file has been imported. */
export function createCheckpoint(path: string) {
  return {
    read: (): Position =>
      existsSync(path) ? { ...START, ...(JSON.parse(readFileSync(path, 'utf8')) as Partial<Position>) } : START,
    /** Renamed into place, so that a kill leaves the old one or the new one. */
    write(position: Position): void {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(`${path}.new`, JSON.stringify(position))
      renameSync(`${path}.new`, path)
    },
    clear: () => rmSync(path, { force: true }),
  }
}
