import { hash } from 'node:crypto'
import { join } from 'node:path'
import type { ProductChange } from '../model/product.ts'
import type { App } from '../app.ts'
import { type ChangesDone, onSaleExcept } from '../store/catalog-changes.ts'
import { type Args, CommandError, UsageError } from './command.ts'
import { createRowReader, type RowReader } from './files/catalogue-row.ts'
import { type Columns, columnsOf } from './files/columns.ts'
import { DELIMITERS, type Delimiter, recordsOf } from './files/csv.ts'
import { ENCODINGS, type Encoding, factsOf, type FileFacts, linesOf } from './files/lines.ts'
import { createCheckpoint, START } from './files/checkpoint.ts'
import { currencyForm } from './files/prices.ts'
import type { Report } from './files/report.ts'
import { createSeen } from './files/seen.ts'
import { progress, step, table } from './terminal.ts'

/**
 * A catalogue from CSV. Row by row: what is right goes in, batch by batch, what is wrong is in the report; cut off, it goes on where it was, known by the
 * content of the file. Or all or nothing: the whole file is checked first, and one wrong row keeps it out; then it becomes visible batch by
 * batch, and one that was cut off is completed by importing the file again.
 */
interface CatalogueImport {
  readonly app: Pick<App, 'global' | 'catalogChanges'>
  readonly file: string
  readonly args: Args
  readonly report: Report
  readonly currency: string
  /** Where it is remembered how far a file has got. */
  readonly folder: string
  /** The database that it goes into, without credentials. */
  readonly target: string
}

/** So many rows are one transaction and one version of the catalogue. */
const BATCH_ROWS = 2_000
const SHOWN_ROWS = 10

interface Row {
  readonly line: number
  readonly change: ProductChange
}

export async function importCatalogue(job: CatalogueImport): Promise<void> {
  const { file, args, report, currency } = job
  const facts = await step('read the file once', () => factsOf(file, encodingOf(args)))
  if (facts.isGuessed)
    console.log(`  The file is not UTF-8: it is read as ${facts.encoding} (--encoding says otherwise).`)
  const columns = await headOf(file, facts, args, currency)
  describe(columns)
  if (args.flag('dry-run')) await dryRun(job, facts, columns)
  else if (args.flag('all-or-nothing')) await importWhole(job, facts, columns)
  else await importRows(job, facts, columns)
  if (args.flag('withdraw-missing')) await withdrawMissing(job, facts, columns)
  if (report.count() > 0) process.exitCode = 3
}

function encodingOf(args: Args): Encoding | undefined {
  const told = args.text('encoding')
  if (told === undefined || ENCODINGS.includes(told as Encoding)) return told as Encoding | undefined
  throw new UsageError(`--encoding is one of ${ENCODINGS.join(', ')}`)
}

function delimiterOf(args: Args): Delimiter | undefined {
  const told = args.text('delimiter')
  if (told === undefined) return undefined
  const found = Object.entries(DELIMITERS).find(([name, mark]) => told === name || told === mark)
  if (found) return found[1]
  throw new UsageError(`--delimiter is one of ${Object.keys(DELIMITERS).join(', ')}`)
}

const recordsIn = (file: string, { encoding }: FileFacts, args: Args) =>
  recordsOf(linesOf(file, encoding), delimiterOf(args))

async function headOf(file: string, facts: FileFacts, args: Args, currency: string): Promise<Columns> {
  for await (const record of recordsIn(file, facts, args)) {
    if ('problem' in record)
      throw new CommandError(`line ${record.line}, with the names of the columns: ${record.problem}`)
    return columnsOf(record.cells, args.text('columns'), currency)
  }
  throw new CommandError('the file has no row that could be imported')
}

function describe({ format, places, head, unused }: Columns): void {
  const pairs = [...places].map(([field, at]) => `${field} from '${head[at]}'`)
  console.log(`  ${format ? `A file of ${format.name}: ` : 'Columns: '}${pairs.join(', ')}`)
  if (unused.length > 0) console.log(`  Not used: ${unused.map(name => name.trim()).join(', ')}`)
}

/** The rows that are right, from behind a line on; wrong ones go to the report. A code that has stood before is wrong. */
async function* rowsOf(
  { file, args, report, currency }: CatalogueImport,
  facts: FileFacts,
  columns: Columns,
  after = 0,
): AsyncGenerator<Row> {
  const read: RowReader = createRowReader(columns, currencyForm(currency))
  const seen = createSeen(facts.lines)
  let isHead = true
  for await (const record of recordsIn(file, facts, args)) {
    if (isHead) {
      isHead = false
      continue
    }
    const isNew = record.line > after
    const refuse = (reason: string) => (isNew ? report.reject(record.line, reason) : undefined)
    if ('problem' in record) {
      refuse(record.problem)
      continue
    }
    if (record.cells.length !== columns.head.length) {
      refuse(`it has ${record.cells.length} cells, and there are ${columns.head.length} columns`)
      continue
    }
    const result = read(record.cells)
    if (result.kind === 'refused') refuse(result.reason)
    if (result.kind !== 'change') continue
    const { sku } = result.change
    if (!seen.add(sku)) refuse(`sku '${sku}' stands in an earlier row already`)
    // A copy: a piece of a line would keep all of the line in memory, with the description that is not used.
    else if (isNew) yield { line: record.line, change: structuredClone(result.change) }
  }
}

async function dryRun(job: CatalogueImport, facts: FileFacts, columns: Columns): Promise<void> {
  const { report, app } = job
  report.open()
  const shown: ProductChange[] = []
  let count = 0
  for await (const batch of inBatches(rowsOf(job, facts, columns))) {
    shown.push(...batch.slice(0, SHOWN_ROWS - shown.length).map(({ change }) => change))
    const { refused } = await app.catalogChanges.check(batch.map(({ change }) => change))
    rejectAll(report, batch, refused)
    count += batch.length - refused.length
  }
  const fields = ['sku', ...[...columns.places.keys()].filter(field => field !== 'sku')] as (keyof ProductChange)[]
  console.log(
    table(
      fields,
      shown.map(change => fields.map(field => textOf(change[field]))),
    ),
  )
  console.log(`Would import ${count} products.`)
}

const textOf = (value: ProductChange[keyof ProductChange]): string =>
  value === undefined ? '' : value === null ? 'none' : typeof value === 'object' ? value.join(', ') : String(value)

async function importWhole(job: CatalogueImport, facts: FileFacts, columns: Columns): Promise<void> {
  const { report, app } = job
  report.open()
  let rows = 0
  await step('check the file', async () => {
    for await (const batch of inBatches(rowsOf(job, facts, columns))) {
      rows += batch.length
      rejectAll(report, batch, (await app.catalogChanges.check(batch.map(({ change }) => change))).refused)
    }
  })
  if (rows === 0) throw new CommandError('the file has no row that could be imported')
  if (report.count() > 0) throw new CommandError(`nothing was imported: ${report.count()} rows are wrong`)
  const bar = progress('products', rows)
  const sum = createSum()
  await step(`import ${rows} products`, async () => {
    for await (const batch of inBatches(rowsOf(job, facts, columns))) {
      const done = await app.catalogChanges.apply(batch.map(({ change }) => change))
      rejectAll(report, batch, done.refused) // what another change has made wrong since it was checked
      bar.add(batch.length)
      sum.add(done)
    }
  })
  bar.end()
  tell(sum.done, report)
}

async function importRows(job: CatalogueImport, facts: FileFacts, columns: Columns): Promise<void> {
  const { app, report, folder, args } = job
  const checkpoint = createCheckpoint(join(folder, `${importId(job, facts, columns)}.json`))
  // What is missing is known only of a whole file whose every row was right.
  const isWhole = args.flag('restart') || args.flag('withdraw-missing')
  const { line: after, refused } = isWhole ? START : checkpoint.read()
  report.open(after > 0 ? refused : undefined)
  if (after > 0) console.log(`  Going on after line ${after}.`)
  const sum = createSum()
  await step('import the products', async say => {
    const since = performance.now()
    let rows = 0
    for await (const batch of inBatches(rowsOf(job, facts, columns, after))) {
      const done = await app.catalogChanges.apply(batch.map(({ change }) => change))
      rejectAll(report, batch, done.refused)
      sum.add(done)
      rows += batch.length
      report.sync() // before what says that these lines are done
      checkpoint.write({ line: batch.at(-1)?.line ?? 0, refused: report.count() })
      if (rows >= BATCH_ROWS) say(`${rows} rows, ${Math.round((rows / (performance.now() - since)) * 1000)} a second`)
    }
  })
  checkpoint.clear()
  if (sum.isEmpty() && after === 0) throw new CommandError('the file has no row that could be imported')
  tell(sum.done, report)
}

/** What all batches did. */
function createSum() {
  const done = { version: 0, added: 0, changed: 0, unchanged: 0 }
  return {
    done,
    add(more: ChangesDone): void {
      done.version = more.version
      for (const key of ['added', 'changed', 'unchanged'] as const) done[key] += more[key]
    },
    isEmpty: () => done.added + done.changed + done.unchanged === 0,
  }
}

/** The same file, read in another way or for another shop, is another import. */
function importId({ args, currency, target }: CatalogueImport, facts: FileFacts, { places }: Columns): string {
  const { contentHash, encoding } = facts
  const how = JSON.stringify([contentHash, encoding, delimiterOf(args), [...places], currency, target])
  return hash('sha256', how, 'hex').slice(0, 32)
}

/** A refused row may be the product that seems to be missing: then nothing is taken off sale. */
async function withdrawMissing(job: CatalogueImport, facts: FileFacts, columns: Columns): Promise<void> {
  const { app, report, args } = job
  if (report.count() > 0) {
    console.log('No product was taken off sale, since rows were refused: repair them and import the file again.')
    return
  }
  const kept = createSeen(facts.lines)
  for await (const { change } of rowsOf(job, facts, columns)) kept.add(change.sku)
  const isDry = args.flag('dry-run')
  let count = 0
  for await (const skus of onSaleExcept(app.global, kept)) {
    count += skus.length
    if (!isDry) await app.catalogChanges.apply(skus.map(sku => ({ sku, status: 'withdrawn' as const })))
  }
  console.log(`${isDry ? 'Would take' : 'Took'} ${count} products off sale that the file does not have.`)
}

/** What the database refused, with the lines that it came from. */
function rejectAll(report: Report, batch: readonly Row[], refused: ChangesDone['refused']): void {
  const lines = new Map(batch.map(({ line, change }) => [change.sku, line]))
  for (const { sku, reason } of refused) report.reject(lines.get(sku) ?? 0, reason)
}

function tell({ added, changed, unchanged, version }: Omit<ChangesDone, 'refused'>, report: Report): void {
  const left = report.count() === 0 ? '' : `; ${report.count()} rows were refused`
  console.log(
    `Imported ${added + changed + unchanged} products: ${added} new, ${changed} changed, ${unchanged} as they were${left}.`,
  )
  if (added + changed > 0) console.log(`The catalogue is at version ${version}.`)
}

async function* inBatches(rows: AsyncIterable<Row>): AsyncGenerator<Row[]> {
  let batch: Row[] = []
  for await (const row of rows) {
    batch.push(row)
    if (batch.length < BATCH_ROWS) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
