import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Series } from './readings.ts'

/** A page that stands alone: its charts, their program and their data are in it, and it loads nothing from elsewhere. */
export interface Page {
  readonly title: string
  readonly about: string
  readonly verdict: { readonly text: string; readonly passed: boolean }
  readonly charts: readonly Chart[]
  readonly tables: readonly Table[]
}

export interface Chart {
  readonly title: string
  /** What one should know to read it. */
  readonly note: string
  readonly xLabel: string
  readonly x: readonly number[]
  readonly series: readonly Line[]
  readonly isStacked?: boolean
  readonly isLog?: boolean
  /** Points that were measured, joined where a line makes sense. */
  readonly isScatter?: boolean
  /** The scale goes up to here at least. */
  readonly top?: number
  /** Charts with the same word show the same moment. */
  readonly sync?: string
}

export interface Line {
  readonly label: string
  readonly values: readonly (number | null)[]
  readonly colour?: number
  readonly dashed?: boolean
}

export interface Table {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

const ASSETS = join(import.meta.dirname, 'page')
const require = createRequire(import.meta.url)
const uplot = (file: string) => readFileSync(join(dirname(require.resolve('uplot')), file), 'utf8')
const asset = (file: string) => readFileSync(join(ASSETS, file), 'utf8')
/** Read before anything is measured: what is missing must not be missed at the end of a long run. */
const STYLE = `${uplot('uPlot.min.css')}\n${asset('page.css')}`
const PROGRAMS = [uplot('uPlot.iife.min.js'), asset('charts.js')]

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escape = (text: string) => text.replace(/[&<>"]/g, each => ENTITIES[each] ?? each)

export function htmlOf({ title, about, verdict, charts, tables }: Page): string {
  const data = charts.map(
    (chart, index) =>
      `<script type="application/json" id="chart-${index}">${JSON.stringify(chart).replaceAll('<', '\\u003c')}</script>`,
  )
  const figures = charts.map(
    ({ title: caption, note }, index) =>
      `<figure><figcaption>${escape(caption)}<small>${escape(note)}</small></figcaption><div data-chart="chart-${index}"></div></figure>`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escape(title)}</title>
<style>${STYLE}</style>
<main>
<h1>${escape(title)}</h1>
<p class="about">${escape(about)}</p>
<pre class="verdict${verdict.passed ? '' : ' failed'}">${escape(verdict.text)}</pre>
<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>
<h2>Charts</h2>
<div class="charts">
${figures.join('\n')}
</div>
${tables.map(tableOf).join('\n')}
</main>
${data.join('\n')}
${PROGRAMS.map(program => `<script>${program}</script>`).join('\n')}
</html>
`
}

/** The page and what it was made of, beside each other, and where they are. `startedAt`: ISO 8601. */
export function writeReport(dir: string, startedAt: string, name: string, summary: object, html: string): void {
  const file = join(dir, `${startedAt.replace(/[:T]/g, '-').slice(0, 19)}-${name}`)
  writeFileSync(`${file}.json`, `${JSON.stringify(summary)}\n`)
  writeFileSync(`${file}.html`, html)
  console.log(`\nReport       ${file}.html\nSummary      ${file}.json`)
}

function tableOf({ title, head, rows }: Table): string {
  const isOfNumbers = head.map((_, column) => rows.every(row => NUMBER.test(row[column] ?? '')))
  const line = (row: readonly string[], tag: 'th' | 'td') =>
    `<tr>${row.map((cell, column) => `<${tag}${isOfNumbers[column] ? ' class="number"' : ''}>${escape(cell)}</${tag}>`).join('')}</tr>`
  const body = rows.map(row => line(row, 'td')).join('\n')
  return `<h2>${escape(title)}</h2>\n<div class="wide"><table><thead>${line(head, 'th')}</thead><tbody>\n${body}\n</tbody></table></div>`
}

const NUMBER = /^[\d.,]+( (ms|s|%|µs))?$/

/** Lines of the series of these names; `name *` stands for all that begin so, `name ~` too, with that left out of their labels. */
export function linesOf({ values }: Series, ...names: readonly string[]): Line[] {
  return names.flatMap(wanted => {
    const start = /[*~]$/.test(wanted) ? wanted.slice(0, -1) : undefined
    return Object.entries(values)
      .filter(([name, all]) => (start === undefined ? name === wanted : name.startsWith(start)) && all.some(isKnown))
      .map(([name, all]) => ({ label: wanted.endsWith('~') ? name.slice(start?.length) : name, values: all }))
  })
}

const isKnown = (value: number | null) => value !== null
