import { type Bar, bars } from './chart.ts'
import type { Open } from './generators.ts'
import type { Verdict, Window } from './goals.ts'
import { estimate, median } from './statistics.ts'

export interface Latency extends Open {
  readonly unit: string
  readonly rate: number
  readonly round: number
}

export interface Report {
  readonly at: string
  readonly command: string
  readonly machine: {
    readonly cores: number
    readonly cpu: string
    readonly memoryGb: number
    readonly kernel: string
    readonly versions: readonly string[]
  }
  readonly pairs: number
  readonly seconds: number
  readonly verdicts: readonly Verdict[]
  readonly windows: readonly (Window & { readonly round: number })[]
  readonly latencies: readonly Latency[]
}

const shown = (value: number) => (value >= 20 ? value.toFixed(0) : value >= 5 ? value.toFixed(1) : value.toFixed(2))

const verdictText = ({ isMet, isClear }: Verdict) =>
  isMet ? (isClear ? 'met' : 'met, the interval reaches over it') : '**not met**'

const unitsOf = (all: readonly { readonly unit: string }[]) => [...new Set(all.map(({ unit }) => unit))]

/** The table of goals, what every unit cost, and latencies, as Markdown. */
export function tableOf(report: Report): string {
  const { machine, windows, latencies } = report
  const of = (unit: string) => windows.filter(window => window.unit === unit)
  const part = (unit: string, name: string) => shown(median(of(unit).map(({ parts }) => parts[name] ?? 0)))
  const lines = [
    `\`${report.command}\`, ${report.at.slice(0, 10)}: ${report.pairs} rounds of ${report.seconds} s a window, there and back.`,
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, Linux ${machine.kernel}; ${machine.versions.join('; ')}.`,
    '',
    '| goal | bar | figure | 95 % interval | |',
    '|---|---|---|---|---|',
    ...report.verdicts.map(verdict => {
      const { row, goal, figure } = verdict
      return `| ${row} | ${goal} | ${shown(figure.median)} | ${shown(figure.low)} – ${shown(figure.high)} | ${verdictText(verdict)} |`
    }),
    '',
    'CPU per request in µs (medians), 64 connections in a closed loop where no rate is named:',
    '',
    '| | whole | node | nginx | redis | database | requests/s |',
    '|---|---|---|---|---|---|---|',
    ...unitsOf(windows).map(unit => {
      const whole = shown(median(of(unit).map(({ cpuUs }) => cpuUs)))
      const parts = ['node', 'nginx', 'redis', 'database'].map(name => part(unit, name)).join(' | ')
      return `| ${unit} | ${whole} | ${parts} | ${median(of(unit).map(({ rate }) => rate)).toFixed(0)} |`
    }),
  ]
  if (latencies.length > 0) {
    lines.push('', 'Latency at a fixed rate, half of what the slowest can do (medians of the rounds, ms):', '')
    lines.push('| | requests/s | median | p95 | p99 |', '|---|---|---|---|---|')
    for (const unit of unitsOf(latencies)) {
      const rounds = latencies.filter(latency => latency.unit === unit)
      const ms = (key: 'medianMs' | 'p95Ms' | 'p99Ms') => shown(median(rounds.map(latency => latency[key])))
      lines.push(`| ${unit} | ${rounds[0]?.rate} | ${ms('medianMs')} | ${ms('p95Ms')} | ${ms('p99Ms')} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** CPU per request of the views; what is far dearer would make their bars points. */
export function chartOf({ windows }: Report): string {
  const all = unitsOf(windows.filter(({ unit }) => unit.includes('/view'))).map((unit): Bar => {
    const own = windows.filter(window => window.unit === unit)
    const { median: value, low, high } = estimate(own.map(({ cpuUs }) => cpuUs))
    const colour = unit.startsWith('cartload') ? 0 : unit.startsWith('floor') ? 4 : unit.startsWith('fastify') ? 2 : 1
    return { label: unit, value, low, high, colour, text: `${shown(value)} µs` }
  })
  return bars('CPU per view, every process', all)
}
