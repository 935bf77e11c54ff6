import { parseArgs } from 'node:util'

/** A command of the command line: what it is called, what it takes, what it does. */
export interface Command {
  readonly name: string
  readonly summary: string
  /** How it is called, where that is not `cartload NAME`. */
  readonly call?: string
  /** What follows the name in the usage line. */
  readonly usage?: string
  readonly options?: Readonly<Record<string, Option>>
  readonly details?: string
  /** True when it wants the words after its name as they are. */
  readonly passesOn?: boolean
  run(args: Args): Promise<void>
}

interface Option {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly value?: string
  readonly doc: string
}

export interface Args {
  readonly words: readonly string[]
  text(name: string): string | undefined
  /** @throws UsageError when the text is not a whole number within the range */
  number(name: string, standard: number, min: number, max: number): number
  flag(name: string): boolean
}

/** The command line was wrong: shown with a pointer to the help, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Something failed that a person can act on: shown without a stack trace, exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** Reads arguments and options of a command. @throws UsageError naming what is wrong */
export function readArgs(command: Command, argv: readonly string[]): Args | 'help' {
  if (command.passesOn && !argv.includes('--help')) {
    return { words: argv, text: () => undefined, number: (_, standard) => standard, flag: () => false }
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    const options = Object.fromEntries(
      Object.entries(command.options ?? {}).map(([name, { type, short }]) => [
        name,
        short ? { type, short } : { type },
      ]),
    )
    parsed = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { values, positionals } = parsed
  if (values['help']) return 'help'
  const text = (name: string) => (typeof values[name] === 'string' ? values[name] : undefined)
  return {
    words: positionals,
    text,
    number(name, standard, min, max) {
      const given = text(name)
      if (given === undefined) return standard
      const value = Number(given)
      if (!Number.isSafeInteger(value) || value < min || value > max) {
        throw new UsageError(`--${name} takes a whole number from ${min} to ${max}, not '${given}'`)
      }
      return value
    },
    flag: name => values[name] === true,
  }
}

export function helpOf(command: Command): string {
  const lines = [
    `${command.call ?? `cartload ${command.name}`}${command.usage ? ` ${command.usage}` : ''}`,
    '',
    command.summary,
  ]
  if (command.details) lines.push('', command.details)
  const options = Object.entries(command.options ?? {})
  if (options.length > 0) lines.push('', 'Options:')
  for (const [name, option] of options) {
    const value = option.type === 'string' ? ` ${option.value ?? 'VALUE'}` : ''
    lines.push(`  ${`${option.short ? `-${option.short}, ` : '    '}--${name}${value}`.padEnd(30)} ${option.doc}`)
  }
  return lines.join('\n')
}
