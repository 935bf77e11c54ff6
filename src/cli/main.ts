import { join } from 'node:path'
import type { Command } from './command.ts'
import { environmentCommand, migrateCommand, nginxCommand, shardsCommand } from './configuration.ts'
import { doctorCommand } from './doctor.ts'
import { importCommand } from './import.ts'
import { grantsCommand, initCommand } from './init.ts'
import { operatorCommand, promotionsCommand } from './promotions.ts'
import { runCommand } from './run-command.ts'
import { productsCommand } from './products.ts'
import { seedCommand } from './seed.ts'
import { saleCommand, stockCommand } from './stock.ts'
import { cacheCommand } from './cache.ts'
import { checkCommand, longTestCommand, testCommand } from './checks.ts'
import { codesCommand } from './codes.ts'
import { tryCommand } from './try.ts'
import { downCommand, logsCommand, reloadCommand, statusCommand, upCommand } from './stack.ts'

/** The command line: `cartload COMMAND`. Finds the command, or shows what there is. */
const PROJECT = join(import.meta.dirname, '..', '..')

const COMMANDS: readonly Command[] = [
  upCommand(PROJECT),
  downCommand(PROJECT),
  statusCommand(PROJECT),
  logsCommand(PROJECT),
  reloadCommand(PROJECT),
  tryCommand(PROJECT),
  seedCommand(PROJECT),
  importCommand(PROJECT),
  productsCommand(PROJECT),
  promotionsCommand(PROJECT),
  codesCommand(PROJECT),
  operatorCommand(PROJECT),
  cacheCommand(PROJECT),
  stockCommand(PROJECT),
  saleCommand(PROJECT),
  doctorCommand(PROJECT),
  initCommand(PROJECT),
  grantsCommand(PROJECT),
  migrateCommand(PROJECT),
  shardsCommand(PROJECT),
  environmentCommand(PROJECT),
  nginxCommand(PROJECT),
  testCommand(PROJECT),
  longTestCommand(PROJECT),
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
  return runCommand(command, rest)
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
