import { readFileSync } from 'node:fs'
import { styleText } from 'node:util'
import { type Args, type Command, CommandError, UsageError } from '../../src/cli/command.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { table } from '../../src/cli/terminal.ts'
import { type Change, changesOf, differencesOf, errorsOf } from './changes.ts'
import { FORMAT, type Result } from './result.ts'
import { shown } from './verdict.ts'

/** What got better or worse from one run to another. */
const command: Command = {
  name: 'load:diff',
  call: 'npm run load:diff --',
  summary: 'Compares two runs of npm run load: what got better or worse beyond the noise',
  usage: 'BEFORE.json AFTER.json',
  details:
    'Looks at full load only. A change counts when the 95 % interval of its ratio, drawn from the seconds of both runs, leaves out 1.\n' +
    'Exit status 1 when something got worse.',
  options: { json: { type: 'boolean', doc: 'as JSON' } },
  run,
}

const COLOURS = { better: 'green', worse: 'red', 'the same': 'dim', unclear: 'yellow' } as const

function run(args: Args): Promise<void> {
  const [before, after, ...more] = args.words
  if (before === undefined || after === undefined || more.length > 0)
    throw new UsageError('name two summaries: BEFORE.json AFTER.json')
  const [a, b] = [read(before), read(after)]
  const [changes, errors, differences] = [changesOf(a, b), errorsOf(a, b), differencesOf(a, b)]
  if (args.flag('json')) console.log(JSON.stringify({ differences, changes, errors }, undefined, 2))
  else show(changes, errors, differences)
  const isWorse = [...changes.map(({ verdict }) => verdict), ...errors.map(([, , , verdict]) => verdict)].includes(
    'worse',
  )
  if (isWorse) process.exitCode = 1
  return Promise.resolve()
}

function show(changes: readonly Change[], errors: ReturnType<typeof errorsOf>, differences: readonly string[]): void {
  for (const difference of differences) console.log(`! not the same ${difference}`)
  const coloured = (verdict: Change['verdict']) => styleText(COLOURS[verdict], verdict)
  const percentOf = (ratio: number) => `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(0)} %`
  const rows = changes.map(({ what, unit, before, after, ratio, verdict }) => [
    what,
    `${shown(before)} ${unit}`,
    `${shown(after)} ${unit}`,
    percentOf(ratio.middle),
    `${percentOf(ratio.low)} to ${percentOf(ratio.high)}`,
    coloured(verdict),
  ])
  const counted = errors.map(([what, before, after, verdict]) => [
    what,
    shown(before),
    shown(after),
    '',
    '',
    coloured(verdict),
  ])
  console.log(table(['', 'before', 'after', 'change', '95 % interval', ''], [...rows, ...counted]))
}

/** @throws CommandError for a file that is missing, or is no summary */
function read(file: string): Result {
  let found: Partial<Result>
  try {
    found = JSON.parse(readFileSync(file, 'utf8')) as Partial<Result>
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (found.format !== FORMAT) throw new CommandError(`${file} is no summary of npm run load (${FORMAT})`)
  return found as Result
}

process.exit(await runCommand(command, process.argv.slice(2)))
