import { styleText } from 'node:util'
import { Presets, SingleBar } from 'cli-progress'
import type { Step } from '../stack/stack.ts'

/** What commands show: steps with their times, a progress bar for long work, tables. Plain text where there is no terminal. */
export const step: Step = async (what, work) => {
  const since = performance.now()
  const said: string[] = []
  const seconds = () => `${((performance.now() - since) / 1000).toFixed(1)} s`.padStart(8)
  try {
    const result = await work(text => {
      said.push(text)
      console.log(`  ${styleText('dim', `${what}: ${text}`)}`)
    })
    console.log(`${styleText('green', '✓')} ${what.padEnd(60)} ${styleText('dim', seconds())}`)
    return result
  } catch (error) {
    console.log(`${styleText('red', '✗')} ${what.padEnd(60)} ${styleText('dim', seconds())}`)
    throw error
  }
}

export interface Progress {
  add(count?: number): void
  set(done: number): void
  end(): void
}

export function progress(what: string, total: number): Progress {
  if (!process.stdout.isTTY) return plainProgress(what, total)
  const bar = new SingleBar(
    { format: `  ${what} {bar} {value}/{total} | {eta_formatted} left`, hideCursor: true },
    Presets.shades_classic,
  )
  bar.start(total, 0)
  return { add: (count = 1) => bar.increment(count), set: done => bar.update(done), end: () => bar.stop() }
}

/** Every tenth of the way as a line. */
function plainProgress(what: string, total: number): Progress {
  let done = 0
  let shown = 0
  const show = () => {
    const tenth = total === 0 ? 10 : Math.floor((done / total) * 10)
    if (tenth <= shown) return
    shown = tenth
    console.log(`  ${what}: ${done}/${total} (${tenth * 10} %)`)
  }
  return {
    add(count = 1) {
      done += count
      show()
    },
    set(value) {
      done = value
      show()
    },
    end: () => undefined,
  }
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map(row => (row[column] ?? '').length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [styleText('bold', line(head)), ...rows.map(line)].join('\n')
}
