import type { Line } from './lines.ts'

/**
 * Records of a CSV file, as strict as it must be so that nothing is swallowed: a quote that is not closed, or text after a closing quote, makes
 * one record that is reported, and reading goes on with the next line of the file. A library either gives up there or takes the rest of the
 * file for one cell. A quote within an unquoted cell stands for itself (15" Monitor); `\"` within a quoted one is a quote, as MySQL and PHP write it.
 */
type CsvRecord =
  | { readonly line: number; readonly cells: readonly string[] }
  | { readonly line: number; readonly problem: string }

export const DELIMITERS = { comma: ',', semicolon: ';', tab: '\t' } as const
export type Delimiter = (typeof DELIMITERS)[keyof typeof DELIMITERS]

/** A quoted cell may go over so many lines, such as a description. */
const RECORD_LINES_MAX = 1_000
const RECORD_CHARS_MAX = 1_048_576

/** Empty lines are passed over. The delimiter of the first record is detected unless it is given. */
export async function* recordsOf(lines: AsyncIterable<Line>, given?: Delimiter): AsyncGenerator<CsvRecord> {
  const source = lines[Symbol.asyncIterator]()
  let waiting: Line[] = []
  const next = async (): Promise<Line | undefined> => {
    const known = waiting.shift()
    if (known) return known
    const { done, value } = await source.next()
    return done ? undefined : value
  }
  let delimiter = given
  for (let first = await next(); first; first = await next()) {
    if (first.isTooLong) {
      yield { line: first.number, problem: 'the line is too long' }
      continue
    }
    if (first.text.trim() === '') continue
    delimiter ??= delimiterOf(first.text)
    const more: Line[] = []
    let text = first.text
    let read = cellsOf(text, delimiter)
    while (read === undefined) {
      const line = more.length < RECORD_LINES_MAX && text.length < RECORD_CHARS_MAX ? await next() : undefined
      if (!line || line.isTooLong) {
        if (line) more.push(line)
        break
      }
      more.push(line)
      text += `\n${line.text}`
      // Only a quote can close the cell.
      if (line.text.includes('"')) read = cellsOf(text, delimiter)
    }
    if (Array.isArray(read)) {
      if (read.some(cell => cell.trim() !== '')) yield { line: first.number, cells: read }
      continue
    }
    waiting = [...more, ...waiting]
    yield { line: first.number, problem: read ?? 'a quote is opened and never closed' }
  }
}

/** The cells; undefined when a quoted one is not closed; or what is wrong. */
export function cellsOf(text: string, delimiter: Delimiter): string[] | string | undefined {
  const cells: string[] = []
  let at = 0
  for (;;) {
    let start = at
    while (text[start] === ' ') start++
    if (text[start] !== '"') {
      const end = text.indexOf(delimiter, at)
      cells.push(end === -1 ? text.slice(at) : text.slice(at, end))
      if (end === -1) return cells
      at = end + 1
      continue
    }
    let cell = ''
    at = start + 1
    for (;;) {
      const quote = text.indexOf('"', at)
      if (quote === -1) return undefined
      const isDoubled = text[quote + 1] === '"'
      const isEscaped = text[quote - 1] === '\\' && quote > start + 1 && !isEnd(text, quote + 1, delimiter)
      if (isEscaped && !isDoubled) cell += `${text.slice(at, quote - 1)}"`
      else cell += text.slice(at, quote)
      if (isDoubled) {
        cell += '"'
        at = quote + 2
      } else if (isEscaped) at = quote + 1
      else {
        at = quote + 1
        break
      }
    }
    cells.push(cell)
    while (text[at] === ' ') at++
    if (at >= text.length) return cells
    if (text[at] !== delimiter) return 'there is text after a closing quote'
    at++
  }
}

const isEnd = (text: string, at: number, delimiter: string): boolean => {
  let end = at
  while (text[end] === ' ') end++
  return end >= text.length || text[end] === delimiter || text[end] === '\n'
}

/** The one that cuts the first record into the most cells; a comma where none does. */
function delimiterOf(text: string): Delimiter {
  const counts = Object.values(DELIMITERS).map(delimiter => {
    const cells = cellsOf(text, delimiter)
    return { delimiter, cells: Array.isArray(cells) ? cells.length : 0 }
  })
  return counts.toSorted((a, b) => b.cells - a.cells)[0]?.delimiter ?? ','
}
