import { randomInt } from 'node:crypto'
import { closeSync, createWriteStream, existsSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CODE_FORM, codeForm } from '../model/code.ts'
import { FIXED } from '../model/limits.ts'
import { codePoolName } from '../model/promotion.ts'
import { codeRows } from '../store/codes.ts'
import type { Database } from '../store/database.ts'
import { sqlTime } from '../store/time.ts'
import { type Args, type Command, CommandError, UsageError } from './command.ts'
import { factsOf, linesOf } from './files/lines.ts'
import { progress, table } from './terminal.ts'
import { withGlobal } from './with-app.ts'

/** Neither 0 and O, nor 1, I and L: codes are read aloud and typed in. */
const ALPHABET = '23456789ABCDEFGHJKMNPQRSTUVWXYZ'
const LENGTH = 12

/** Pools of codes, each for a promotion with `codePool`. */
export function codesCommand(projectDir: string): Command {
  return {
    name: 'codes',
    summary: 'Makes, imports and exports pools of promotion codes that can be used once each',
    usage: 'generate POOL --count N | import POOL FILE | export POOL | list | delete POOL',
    details: `A promotion with "codePool": "POOL" is opened by any code of the pool, each "usesPerCode" times (once, unless it is said).

generate: makes N codes (at most ${FIXED.codesOfPoolMax.toLocaleString('en')} in a pool) and writes them to --output. Codes that could be found by trying are refused.
import:   adds the codes of a file, one in a line, also the first cell of a CSV. Importing again does no harm.
export:   writes all codes of a pool to --output, one in a line.
delete:   takes all codes of a pool away: they are unknown from then on. What orders have used stays used.`,
    options: {
      count: { type: 'string', value: 'N', doc: 'generate: how many' },
      length: { type: 'string', value: 'N', doc: `generate: characters after the prefix (default ${LENGTH})` },
      alphabet: { type: 'string', value: 'CHARS', doc: `generate: characters to choose from (default ${ALPHABET})` },
      prefix: { type: 'string', value: 'TEXT', doc: 'generate: what every code begins with' },
      output: { type: 'string', value: 'FILE', doc: 'generate, export: a new CSV file (default codes-POOL.csv)' },
      'dry-run': { type: 'boolean', doc: 'generate, import, delete: show what would be done' },
    },
    async run(args) {
      const [what = '', pool, file] = args.words
      if (what === 'list') {
        await withGlobal(projectDir, list)
        return
      }
      const action = Object.hasOwn(ACTIONS, what) ? ACTIONS[what] : undefined
      if (!action || pool === undefined)
        throw new UsageError('say: generate POOL, import POOL FILE, export POOL, list or delete POOL')
      const checked = codePoolName.safeParse(pool)
      if (!checked.success) throw new UsageError(`the name of a pool ${checked.error.issues[0]?.message ?? 'is wrong'}`)
      await withGlobal(projectDir, global => action({ global, pool, file, args }))
    },
  }
}

interface Job {
  readonly global: Database
  readonly pool: string
  readonly file: string | undefined
  readonly args: Args
}

const ACTIONS: Readonly<Record<string, (job: Job) => Promise<void>>> = {
  generate,
  import: importCodes,
  export: exportCodes,
  delete: remove,
}

async function list(global: Database): Promise<void> {
  const pools = await codeRows.pools(global, FIXED.promotionsMax)
  const rows = pools.map(({ pool, codes, createdAt }) => [pool, codes.toLocaleString('en'), createdAt])
  console.log(
    rows.length > 0
      ? table(['pool', 'codes', 'since'], rows)
      : 'There are no pools yet: cartload codes generate POOL --count N',
  )
}

async function generate({ global, pool, args }: Job): Promise<void> {
  const count = args.number('count', 0, 1, FIXED.codesOfPoolMax)
  if (args.text('count') === undefined) throw new UsageError('generate needs --count N')
  const prefix = args.text('prefix') ?? ''
  const length = args.number('length', LENGTH, 1, FIXED.codeCharsMax)
  const alphabet = alphabetOf(args.text('alphabet') ?? ALPHABET)
  if (prefix.length + length > FIXED.codeCharsMax)
    throw new UsageError(`a code has at most ${FIXED.codeCharsMax} characters, its prefix among them`)
  if (prefix !== '' && !CODE_FORM.test(prefix)) throw new UsageError('--prefix must be visible ASCII')
  const known = await codeRows.count(global, pool)
  const total = known + count
  if (total > FIXED.codesOfPoolMax)
    throw new CommandError(`'${pool}' has ${known} codes; it can have ${FIXED.codesOfPoolMax}`)
  refuseGuessable(alphabet, length, total)
  const output = newFile(args, pool)
  const make = () => prefix + Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
  if (args.flag('dry-run')) {
    console.log(
      `Would make ${count} codes such as ${make()} in '${pool}', which has ${known}, and write all of them to ${output}.`,
    )
    return
  }
  closeSync(openSync(output, 'wx', 0o600)) // before anything is made: it may be that nothing can be written there
  const shown = progress('codes', count)
  const now = sqlTime(Date.now())
  for (let made = 0; made < count; ) {
    const codes = Array.from({ length: Math.min(FIXED.codeRows, count - made) }, make)
    // One that is there already, which is next to impossible, is made again.
    const added = await codeRows.add(global, pool, codes, now)
    made += added
    shown.add(added)
  }
  shown.end()
  await write(global, pool, output)
  console.log(`'${pool}' has ${total} codes now; all of them are in ${output}.`)
}

/** Distinct characters, as codes are compared. */
function alphabetOf(text: string): string[] {
  const characters = [...text]
  const forms = new Set(characters.map(codeForm))
  if (characters.length < 2 || !CODE_FORM.test(text))
    throw new UsageError('--alphabet must be two or more visible ASCII characters')
  if (forms.size < characters.length)
    throw new UsageError('--alphabet has a character twice; upper and lower case are the same in a code')
  return characters
}

function refuseGuessable(alphabet: readonly string[], length: number, total: number): void {
  if (alphabet.length ** length >= total * FIXED.codesPossiblePerCode) return
  const enough = Math.ceil(Math.log(total * FIXED.codesPossiblePerCode) / Math.log(alphabet.length))
  throw new CommandError(
    `codes of ${length} characters could be found by trying: for ${total} codes of these characters say --length ${enough}`,
  )
}

function newFile(args: Args, pool: string): string {
  const output = args.text('output') ?? `codes-${pool}.csv`
  if (existsSync(output)) throw new CommandError(`${output} is there already: say another with --output`)
  if (!existsSync(dirname(output))) throw new CommandError(`there is no folder ${dirname(output)}`)
  return output
}

async function write(global: Database, pool: string, output: string): Promise<void> {
  async function* text(): AsyncGenerator<string> {
    yield 'code\n'
    for await (const codes of codeRows.all(global, pool, FIXED.codeRows)) yield `${codes.map(csvCell).join('\n')}\n`
  }
  await pipeline(Readable.from(text()), createWriteStream(output, { mode: 0o600 }))
}

const csvCell = (code: string) => (/[",;]/.test(code) ? `"${code.replaceAll('"', '""')}"` : code)

async function exportCodes({ global, pool, args }: Job): Promise<void> {
  const count = await requirePool(global, pool)
  const output = newFile(args, pool)
  await write(global, pool, output)
  console.log(`${count} codes of '${pool}' are in ${output}.`)
}

async function importCodes({ global, pool, file, args }: Job): Promise<void> {
  if (file === undefined) throw new UsageError('say which FILE')
  if (!existsSync(file)) throw new CommandError(`there is no file ${file}`)
  const known = await codeRows.count(global, pool)
  const { encoding } = await factsOf(file)
  const now = sqlTime(Date.now())
  let [read, added, refused] = [0, 0, 0]
  let batch: string[] = []
  const flush = async () => {
    const there = await codeRows.find(global, batch.map(codeForm))
    const fresh = batch.filter(code => !there.has(codeForm(code)))
    if (known + added + fresh.length > FIXED.codesOfPoolMax)
      throw new CommandError(`a pool has at most ${FIXED.codesOfPoolMax} codes; ${added} were added`)
    added += args.flag('dry-run') ? fresh.length : await codeRows.add(global, pool, fresh, now)
    batch = []
  }
  for await (const { number, text, isTooLong } of linesOf(file, encoding)) {
    const code = firstCell(text)
    if (code === '' || (number === 1 && code.toLowerCase() === 'code')) continue
    if (isTooLong || code.length > FIXED.codeCharsMax || !CODE_FORM.test(code)) {
      if (++refused <= REFUSED_SHOWN)
        console.error(`line ${number}: '${code.slice(0, FIXED.codeCharsMax)}' is not a code`)
      continue
    }
    read++
    if (batch.push(code) === FIXED.codeRows) await flush()
  }
  await flush()
  if (refused > REFUSED_SHOWN) console.error(`and ${refused - REFUSED_SHOWN} more`)
  if (args.flag('dry-run')) console.log(`Would add ${added} codes to '${pool}'; ${refused} lines are refused.`)
  else
    console.log(
      `${added} codes were added to '${pool}', ${read - added} were in a pool already, ${refused} lines were refused.`,
    )
  if (refused > 0) process.exitCode = 3
}

const REFUSED_SHOWN = 20

function firstCell(line: string): string {
  const quoted = /^\s*"((?:[^"]|"")*)"/.exec(line)
  return (quoted?.[1]?.replaceAll('""', '"') ?? line.split(/[,;\t]/)[0] ?? '').trim()
}

async function remove({ global, pool, args }: Job): Promise<void> {
  const count = await requirePool(global, pool)
  if (args.flag('dry-run')) {
    console.log(`Would take ${count} codes of '${pool}' away.`)
    return
  }
  const shown = progress('codes', count)
  for (let removed = 1; removed > 0; ) {
    removed = await codeRows.remove(global, pool, FIXED.codeRows)
    shown.add(removed)
  }
  shown.end()
  console.log(`'${pool}' is gone: its ${count} codes are unknown from now on.`)
}

async function requirePool(global: Database, pool: string): Promise<number> {
  const count = await codeRows.count(global, pool)
  if (count === 0) throw new CommandError(`there is no pool '${pool}': cartload codes list`)
  return count
}
