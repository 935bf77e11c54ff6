import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  type WriteStream,
  writeFileSync,
} from 'node:fs'
import { hash } from 'node:crypto'
import { basename, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { parse } from 'csv-parse'
import { type App, createApp } from '../app.ts'
import { loadConfig } from '../config/config.ts'
import { isAppError, messageOf } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import type { Product } from '../model/product.ts'
import { catalogRows } from '../store/catalog.ts'
import { createLog } from '../telemetry/log.ts'
import { type Args, type Command, CommandError, UsageError } from './command.ts'
import { readBasket } from './basket.ts'
import { type Columns, columnsOf, productOf } from './catalog-row.ts'
import { eachOf } from './parallel.ts'
import { progress, step } from './terminal.ts'

/**
 * Real files: a catalogue from CSV, carts from newline-delimited JSON. What is wrong in a row is written with its line
 * number into a report, and the row is left out; a row is imported whole or not at all. Importing again does no harm.
 */
export function importCommand(projectDir: string): Command {
  return {
    name: 'import',
    summary: 'Imports a catalogue (CSV) or carts (NDJSON, also gzipped)',
    usage: 'catalogue FILE.csv | carts FILE.ndjson[.gz]',
    details: `catalogue: the first line names the columns. Wanted: sku, name, price, category; known other names are
  found by themselves (price_gbp, list_price_usd, derived_category, …), the rest is said with --columns.
  All rows become one new version of the catalogue, or none.

carts: one order a line, as {"n": "536365", "l": [["85123A", 6, 255], …]} or
  {"id": "536365", "email": "a@example.com", "lines": [{"sku": "85123A", "quantity": 6}]}.
  Each becomes the cart of a user; without an email the user is <id>@import.example. Lines of one product are added up,
  prices come from the catalogue, returns ("r": 1) are passed over. An import that was cut off goes on where it was.`,
    options: {
      columns: { type: 'string', value: 'a=b,…', doc: 'columns of the file for ours, such as price=list_price_usd' },
      limit: { type: 'string', value: 'N', doc: 'carts: only the first N lines of the file' },
      report: {
        type: 'string',
        value: 'FILE',
        doc: 'where bad rows go (default: FILE.rejected.ndjson in the data folder)',
      },
      'dry-run': { type: 'boolean', doc: 'check the file, write only the report' },
      restart: { type: 'boolean', doc: 'carts: begin at the first line again' },
    },
    async run(args) {
      const [what, file] = args.words
      if ((what !== 'catalogue' && what !== 'carts') || file === undefined)
        throw new UsageError('say: catalogue FILE or carts FILE')
      if (!existsSync(file)) throw new CommandError(`there is no file ${file}`)
      const { config, secrets } = loadConfig(projectDir)
      if (!secrets.servers) throw new CommandError('there are no servers yet: npm start')
      const folder = join(config.dataDir, 'imports')
      const report = createReport(args.text('report') ?? join(folder, `${basename(file)}.rejected.ndjson`))
      const app = await createApp(config, secrets.servers, createLog('warn'))
      try {
        if (what === 'catalogue') await importCatalog(app, file, args, report)
        else await importCarts(app, file, args, report, { folder, password: secrets.seedPassword })
      } finally {
        await app.close()
        report.end()
      }
    },
  }
}

interface Report {
  /** A report of a file that is gone on with goes on too; else it begins anew. */
  open(goingOn: boolean): void
  reject(line: number, reason: string): void
  count(): number
  end(): void
}

function createReport(path: string): Report {
  let file: WriteStream | undefined
  let goesOn = false
  let count = 0
  return {
    open(goingOn) {
      goesOn = goingOn
      if (!goingOn) rmSync(path, { force: true })
    },
    reject(line, reason) {
      count++
      mkdirSync(dirname(resolve(path)), { recursive: true })
      file ??= createWriteStream(path, { flags: goesOn ? 'a' : 'w' })
      file.write(`${JSON.stringify({ line, reason })}\n`)
    },
    count: () => count,
    end() {
      file?.end()
      if (count > 0) console.log(`${count} rows were left out; line numbers and reasons: ${path}`)
    },
  }
}

async function importCatalog(app: App, file: string, args: Args, report: Report): Promise<void> {
  report.open(false)
  const products = await step('read the catalogue', () => readCatalog(file, args.text('columns'), report))
  if (products.length === 0) throw new CommandError('the file has no row that could be imported')
  if (args.flag('dry-run')) {
    console.log(`Would import ${products.length} products.`)
    return
  }
  await step(`import ${products.length} products`, async say => {
    const bar = progress('products', products.length)
    const version = await catalogRows.put(app.global, products, bar.set)
    bar.end()
    say(`the catalogue is at version ${version}`)
  })
}

export async function readCatalog(
  file: string,
  mapping: string | undefined,
  report: Pick<Report, 'reject'>,
): Promise<Product[]> {
  const rows = createReadStream(file).pipe(
    parse({ bom: true, info: true, relax_column_count: true, skip_empty_lines: true }),
  )
  const products = new Map<string, Product>()
  let columns: Columns | undefined
  for await (const { record, info } of rows as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
    if (!columns) {
      columns = columnsOf(record, mapping)
      continue
    }
    const product = productOf(record, columns)
    if (typeof product === 'string') report.reject(info.lines, product)
    else if (products.has(product.sku))
      report.reject(info.lines, `sku '${product.sku}' stands in an earlier row already`)
    else products.set(product.sku, product)
  }
  return [...products.values()]
}

const WIDTH = 16
const REMEMBER_EVERY = 200

async function importCarts(
  app: App,
  file: string,
  args: Args,
  report: Report,
  { folder, password }: { folder: string; password: string },
): Promise<void> {
  const limit = args.number('limit', Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER)
  const dry = args.flag('dry-run')
  const total = await step('count the lines', async () => {
    let lines = 0
    for await (const _ of linesOf(file, limit)) lines++
    return lines
  })
  const memory = rememberer(
    join(folder, `${hash('sha256', `${resolve(file)}:${statSync(file).size}`).slice(0, 16)}.json`),
  )
  const done = dry || args.flag('restart') ? 0 : memory.read()
  if (done >= total) {
    console.log(`All ${total} lines were imported before; --restart begins again.`)
    return
  }
  report.open(done > 0)
  if (done > 0) console.log(`Going on after line ${done}.`)
  const counts = { imported: 0, returns: 0 }
  await step(`import carts from ${total - done} lines`, async () => {
    const bar = progress('lines', total)
    bar.set(done)
    const passwordHash = await app.passwords.hash(password)
    const finished = new Set<number>()
    let watermark = done
    await eachOf(linesOf(file, limit, done), WIDTH, async ({ text, number }) => {
      const basket = readBasket(text, app.limits)
      if (basket.kind === 'wrong') report.reject(number, basket.reason)
      else if (basket.kind === 'return') counts.returns++
      else {
        const problem = dry ? undefined : await importCart(app, basket, passwordHash)
        if (problem) report.reject(number, problem)
        else counts.imported++
      }
      finished.add(number)
      while (finished.delete(watermark + 1)) watermark++
      if (!dry && watermark % REMEMBER_EVERY === 0) memory.write(watermark)
      bar.add()
    }).finally(() => {
      if (!dry) memory.write(watermark)
      bar.end()
    })
  })
  const verb = dry ? 'Would import' : 'Imported'
  console.log(
    `${verb} ${counts.imported} carts; ${counts.returns} returns passed over, ${report.count()} lines left out.`,
  )
  if (!dry) console.log(`Each cart belongs to <id>@import.example (or the email it names), password ${password}`)
}

/** Returns why it was refused, or undefined. The whole cart is one change with its own key: never half, never twice. */
async function importCart(
  app: App,
  basket: { id: string; email: string; lines: readonly { sku: string; quantity: number }[] },
  passwordHash: string,
): Promise<string | undefined> {
  try {
    const added = await app.registrations.addMember({ email: basket.email, name: '', passwordHash })
    const userId = 'id' in added ? added.id : added.takenBy
    const key = `import:${basket.id}`.slice(0, FIXED.idempotencyKeyCharsMax)
    const fingerprint = hash('sha256', JSON.stringify(basket.lines))
    await app.carts.addLines({ userId, ifMatch: 0, idempotency: { key, fingerprint } }, basket.lines, [])
    return undefined
  } catch (error) {
    if (isAppError(error, 'version_mismatch')) return undefined // imported before, so long ago that its key is forgotten
    const refused = [
      'product_unknown',
      'line_quantity_max',
      'cart_lines_max',
      'idempotency_mismatch',
      'email_taken',
      'session_ended',
    ]
    if (isAppError(error) && refused.includes(error.code)) return error.message
    throw error
  }
}

async function* linesOf(file: string, limit: number, after = 0): AsyncGenerator<{ text: string; number: number }> {
  const raw = createReadStream(file)
  const stream = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw
  let number = 0
  try {
    for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (++number > limit) return
      if (number > after) yield { text, number }
    }
  } catch (error) {
    throw new CommandError(`${file} cannot be read past line ${number}: ${messageOf(error)}`)
  } finally {
    raw.destroy()
  }
}

/** Up to which line a file has been imported. */
function rememberer(path: string) {
  return {
    read: () => (existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { line: number }).line : 0),
    /** Renamed into place, so that a kill leaves the old one or the new one. */
    write(line: number): void {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(`${path}.new`, JSON.stringify({ line }))
      renameSync(`${path}.new`, path)
    },
  }
}
