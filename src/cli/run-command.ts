import { ConfigError } from '../config/config.ts'
import { isAppError } from '../lib/errors.ts'
import { MissingPrograms } from '../stack/programs.ts'
import { StackError } from '../stack/stack.ts'
import { type Command, CommandError, helpOf, readArgs, UsageError } from './command.ts'

/** Runs a command, or shows its help, and turns what is thrown into a message and an exit code: 2 for a wrong command line, 1 otherwise. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  try {
    const args = readArgs(command, argv)
    if (args === 'help') console.log(helpOf(command))
    else await command.run(args)
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return explain(command, error)
  }
}

function explain(command: Command, error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`${callOf(command)}: ${error.message}\nSee: ${callOf(command)} --help`)
    return 2
  }
  const isExpected =
    isAppError(error) || [CommandError, StackError, MissingPrograms, ConfigError].some(kind => error instanceof kind)
  if (!isExpected) {
    console.error(`${callOf(command)} failed:`, error)
    return 1
  }
  console.error(`${callOf(command)}: ${(error as Error).message}`)
  if (isAppError(error)) for (const { pointer, detail } of error.errors) console.error(`  ${pointer}  ${detail}`)
  return 1
}

const callOf = ({ name, call }: Command): string => call ?? `cartload ${name}`
