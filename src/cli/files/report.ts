import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Rows that were refused, one JSON object a line: complete on disk when the command ends, however it ends. */
export interface Report {
  /** Begins anew, or goes on after the rows that were refused before. */
  open(before?: number): void
  reject(line: number, reason: string): void
  count(): number
  /** What was rejected so far is on disk. */
  sync(): void
  /** Says where it is, when there is something in it. */
  end(): void
}

/** Written in pieces of this size, and at the end. */
const BUFFER_CHARS = 65_536

export function createReport(path: string): Report {
  let file: number | undefined
  let goesOn = false
  let count = 0
  let waiting = ''
  function flush(): void {
    if (waiting === '') return
    if (file === undefined) {
      mkdirSync(dirname(resolve(path)), { recursive: true })
      file = openSync(path, goesOn ? 'a' : 'w')
    }
    writeSync(file, waiting)
    waiting = ''
  }
  return {
    open(before) {
      goesOn = before !== undefined
      count = before ?? 0
      if (!goesOn) rmSync(path, { force: true })
    },
    reject(line, reason) {
      count++
      waiting += `${JSON.stringify({ line, reason })}\n`
      if (waiting.length > BUFFER_CHARS) flush()
    },
    count: () => count,
    sync: flush,
    end() {
      flush()
      if (file !== undefined) closeSync(file)
      if (count > 0) console.log(`${count} rows were refused; line numbers and reasons: ${path}`)
    },
  }
}
