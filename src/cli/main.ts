import { join } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { isAppError } from '../lib/errors.ts'
import { MissingPrograms } from '../stack/programs.ts'
import { StackError } from '../stack/stack.ts'
import { type Command, CommandError, helpOf, readArgs, UsageError } from './command.ts'
import { environmentCommand, migrateCommand, nginxCommand, shardsCommand } from './configuration.ts'
import { importCommand } from './import.ts'
import { loadCommand } from './load.ts'
import { operatorCommand, promotionsCommand } from './promotions.ts'
import { seedCommand } from './seed.ts'
import { saleCommand, stockCommand } from './stock.ts'
import { checkCommand, testCommand } from './checks.ts'
import { downCommand, logsCommand, reloadCommand, statusCommand, upCommand } from './stack.ts'

/** The command line: `cartload COMMAND`. Finds the command, shows help, and turns what is thrown into a message and an exit code. */
const PROJECT = join(import.meta.dirname, '..', '..')

const COMMANDS: readonly Command[] = [
  upCommand(PROJECT),
  downCommand(PROJECT),
  statusCommand(PROJECT),
  logsCommand(PROJECT),
  reloadCommand(PROJECT),
  seedCommand(PROJECT),
  importCommand(PROJECT),
  promotionsCommand(PROJECT),
  operatorCommand(PROJECT),
  stockCommand(PROJECT),
  saleCommand(PROJECT),
  migrateCommand(PROJECT),
  shardsCommand(PROJECT),
  loadCommand(PROJECT),
  environmentCommand(PROJECT),
  nginxCommand(PROJECT),
  testCommand(PROJECT),
  checkCommand(PROJECT),
]

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(overview())
    return name === undefined ? 2 : 0
  }
  const command = COMMANDS.find(candidate => candidate.name === name)
  if (!command) {
    console.error(`cartload: there is no command '${name}'\n\n${overview()}`)
    return 2
  }
  try {
    const args = readArgs(command, rest)
    if (args === 'help') console.log(helpOf(command))
    else await command.run(args)
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return explain(command, error)
  }
}

function explain(command: Command, error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`cartload ${command.name}: ${error.message}\nSee: cartload ${command.name} --help`)
    return 2
  }
  const expected = [CommandError, StackError, MissingPrograms, ConfigError].some(kind => error instanceof kind)
  if (expected || isAppError(error)) console.error(`cartload ${command.name}: ${(error as Error).message}`)
  else console.error(`cartload ${command.name} failed:`, error)
  return 1
}

function overview(): string {
  const rows = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`)
  return [
    'Usage: cartload COMMAND [options]',
    '',
    ...rows,
    '',
    'Each command has its own help: cartload COMMAND --help',
  ].join('\n')
}

process.exit(await main(process.argv.slice(2)))
