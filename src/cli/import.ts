import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { FIXED } from '../model/limits.ts'
import { type Command, CommandError, UsageError } from './command.ts'
import { createReport } from './files/report.ts'
import { importCarts } from './import-carts.ts'
import { importCatalogue } from './import-catalogue.ts'
import { serversOf, withApp } from './with-app.ts'

/**
 * Real files: a catalogue from CSV, carts from newline-delimited JSON. What is wrong in a row is written with its line number into a report, and the row is
 * left out; a row is imported whole or not at all. Importing again does no harm.
 */
export function importCommand(projectDir: string): Command {
  return {
    name: 'import',
    summary: 'Imports a catalogue (CSV) or carts (NDJSON); both also gzipped',
    usage: 'catalogue FILE.csv | carts FILE.ndjson[.gz]',
    details: `catalogue: the first line names the columns. Exports of Shopify, WooCommerce, Magento and Google's merchant feed are known; of other files
  the columns sku, name, price, category, tags, regular_price, floor_price, tax_percent and status are, and --columns names others. A column that
  may be meant is shown and taken only when it is named. Only the columns that the file has are changed: prices alone are enough for
  products that are there. An empty cell leaves a value as it is, the word none takes it away. status withdrawn takes a product off sale.
  UTF-8, UTF-16 and Windows-1252; commas, semicolons or tabs. Exit status 3 when rows were refused.

carts: one order a line, as {"n": "536365", "l": [["85123A", 6, 255], …]} or
  {"id": "536365", "email": "a@example.com", "lines": [{"sku": "85123A", "quantity": 6}]}.
  Each becomes the cart of an account without a password; without an email it is <id>@import.example. Lines of
  one product are added up, prices come from the catalogue, returns ("r": 1) are passed over. An account that has a cart is left
  alone and reported, or with --merge gets the lines added.

An import that was cut off goes on where it was: the file is known by its content and by how it is read. With --merge --restart the lines of a
  file are added again when ${FIXED.idempotencyKeepHours} hours have passed since they were added.`,
    options: {
      columns: {
        type: 'string',
        value: 'a=b,…',
        doc: 'catalogue: fields and their columns, such as price=list_price,category=-',
      },
      delimiter: { type: 'string', value: 'NAME', doc: 'catalogue: comma, semicolon or tab (default: found out)' },
      encoding: {
        type: 'string',
        value: 'NAME',
        doc: 'catalogue: utf-8, utf-16le, utf-16be, windows-1252 (default: found out)',
      },
      'all-or-nothing': { type: 'boolean', doc: 'catalogue: one wrong row keeps the whole file out' },
      limit: { type: 'string', value: 'N', doc: 'carts: only the first N lines of the file' },
      merge: { type: 'boolean', doc: 'carts: add the lines to a cart that is there already' },
      report: {
        type: 'string',
        value: 'FILE',
        doc: 'where bad rows go (default: FILE.rejected.ndjson in the data folder)',
      },
      'dry-run': { type: 'boolean', doc: 'check the file, show what would be done, write only the report' },
      restart: { type: 'boolean', doc: 'begin at the first line again' },
      yes: { type: 'boolean', doc: 'carts: needed for outside servers, since it makes accounts' },
      'withdraw-missing': {
        type: 'boolean',
        doc: 'catalogue: take off sale what the file does not have, when no row was refused',
      },
    },
    async run(args) {
      const [what, file, ...more] = args.words
      if ((what !== 'catalogue' && what !== 'carts') || file === undefined || more.length > 0)
        throw new UsageError('say: catalogue FILE or carts FILE')
      if (!existsSync(file)) throw new CommandError(`there is no file ${file}`)
      const { config, secrets } = loadConfig(projectDir)
      const { host, pathname } = new URL(serversOf(secrets).global)
      if (what === 'carts' && !config.embedded && !args.flag('yes') && !args.flag('dry-run'))
        throw new CommandError('this would make accounts on outside servers: add --yes')
      const report = createReport(
        args.text('report') ?? join(config.dataDir, 'imports', `${basename(file)}.rejected.ndjson`),
      )
      try {
        const job = { file, args, report, folder: join(config.dataDir, 'imports') }
        if (what === 'catalogue')
          await withApp(projectDir, app =>
            importCatalogue({ ...job, app, target: `${host}${pathname}`, currency: config.currency }),
          )
        else await withApp(projectDir, app => importCarts({ ...job, app }))
      } finally {
        report.end()
      }
    },
  }
}
