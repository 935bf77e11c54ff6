import { randomUUID } from 'node:crypto'
import type { App } from '../app.ts'
import { INSTANT_EXAMPLE, readInstant } from '../lib/instant.ts'
import { FIXED } from '../model/limits.ts'
import { STOCK_MODES, type StockMode } from '../model/product.ts'
import { type Args, type Command, CommandError, UsageError } from './command.ts'
import { progress, table } from './terminal.ts'
import { withApp } from './with-app.ts'

/** Stock and sales from the command line; explained in docs/orders.md. */
type Action = (app: App, args: Args, word: string | undefined) => Promise<void>

function chosen(actions: Readonly<Record<string, Action>>, what: string | undefined): Action {
  const action = actions[what ?? '']
  if (action) return action
  throw new UsageError(`say: ${Object.keys(actions).join(', ')}`)
}

export function stockCommand(projectDir: string): Command {
  return {
    name: 'stock',
    summary: 'Sets, shows and checks what there is of a product',
    usage: 'set SKU | show SKU | check',
    details: `set:   counts a product from now on, or changes what is named and nothing else (--units: how many shall be free; what is held and
       sold comes on top; needed for a product that was not counted).
show:  free, held and sold units.
check: compares counters, claims, ledger and orders; exit code 1 when something is wrong.`,
    options: {
      units: { type: 'string', value: 'N', doc: 'set: units that shall be free' },
      mode: {
        type: 'string',
        value: 'MODE',
        doc: 'set: none, track (taken when paid) or reserve (held from ordering on; default for a product that was not counted)',
      },
      'per-user': { type: 'string', value: 'N', doc: 'set: most units for one buyer; 0 for no limit' },
      item: { type: 'string', value: 'NAME', doc: 'set: the stock it shares with other products' },
      repair: { type: 'boolean', doc: 'check: set counters right where claims and ledger prove them wrong' },
      'dry-run': { type: 'boolean', doc: 'set: show what would be changed' },
      json: { type: 'boolean', doc: 'show, check: JSON' },
    },
    async run(args) {
      const [what, sku] = args.words
      const action = chosen({ set, show, check }, what)
      await withApp(projectDir, app => action(app, args, sku))
    },
  }
}

async function set(app: App, args: Args, sku: string | undefined): Promise<void> {
  const mode = args.text('mode') as StockMode | undefined
  if (mode !== undefined && !STOCK_MODES.includes(mode))
    throw new UsageError(`--mode is one of ${STOCK_MODES.join(', ')}`)
  const units = args.text('units') === undefined ? undefined : args.number('units', 0, 0, FIXED.stockUnitsMax)
  const perUser = args.text('per-user') === undefined ? undefined : args.number('per-user', 0, 0, FIXED.stockUnitsMax)
  const wish = { mode, units, perUserMax: perUser === 0 ? null : perUser, stockItem: args.text('item') }
  if (args.flag('dry-run')) {
    console.log(`Would set '${required(sku)}': ${JSON.stringify(wish)}`)
    return
  }
  const levels = await app.stockKeeping.setStock(required(sku), wish)
  console.log(
    levels ? `${sku}: ${levels.free} free, ${levels.held} held, ${levels.sold} sold` : `${sku} is not counted.`,
  )
}

async function show(app: App, args: Args, sku: string | undefined): Promise<void> {
  const levels = await app.stockKeeping.levelsOf(required(sku))
  if (args.flag('json')) console.log(JSON.stringify(levels))
  else {
    const { free, held, sold, units, perUserMax, mode } = levels
    console.log(
      table(
        ['free', 'held', 'sold', 'in all', 'per buyer', 'mode'],
        [[free, held, sold, units, perUserMax ?? '-', mode].map(String)],
      ),
    )
  }
}

async function check(app: App, args: Args): Promise<void> {
  const bar = progress('items', await app.inventory.countItems())
  let looked = { items: 0, orders: 0 }
  const findings = await app.reconciler.run(args.flag('repair'), done => {
    looked = done
    bar.set(done.items)
  })
  bar.end()
  if (findings.some(finding => !finding.repaired)) process.exitCode = 1
  if (args.flag('json')) {
    console.log(JSON.stringify({ ...looked, findings }))
    return
  }
  for (const { item, problem, repaired } of findings) console.log(`${item}: ${problem}${repaired ? ' (repaired)' : ''}`)
  console.log(`${looked.items} items and ${looked.orders} orders checked, ${findings.length} findings.`)
}

export function saleCommand(projectDir: string): Command {
  return {
    name: 'sale',
    summary: 'Announces, lists and ends flash sales',
    usage: 'create --sku SKU --units N | list | end ID',
    details: `create: sets the stock of a product, and from --starts on lets buyers in through a queue.
        Before the start it cannot be ordered; afterwards only by admitted buyers.`,
    options: {
      sku: { type: 'string', value: 'SKU', doc: 'create: the product' },
      units: { type: 'string', value: 'N', doc: 'create: units to sell' },
      starts: {
        type: 'string',
        value: 'TIME',
        doc: 'create: such as 2027-01-01T00:00:00Z, or +30s, +10m (default +5s)',
      },
      ends: {
        type: 'string',
        value: 'TIME',
        doc: 'create: when the product is sold as others are again (default never)',
      },
      'per-user': { type: 'string', value: 'N', doc: 'create: most units for one buyer (default 1; 0 for no limit)' },
      id: { type: 'string', value: 'ID', doc: 'create: name of the sale in addresses (default made up)' },
      factor: { type: 'string', value: 'X', doc: 'create: buyers let in for each unit that is left (default 2)' },
      'account-age': { type: 'string', value: 'SECONDS', doc: 'create: how old a buyer’s account must be (default 0)' },
      proof: { type: 'boolean', doc: 'create: buyers bring a proof signed with CARTLOAD_SALE_PROOF_KEY' },
      guests: { type: 'boolean', doc: 'create: guests may buy too' },
      replace: { type: 'boolean', doc: 'create: set the units of a product that is counted already' },
      'dry-run': { type: 'boolean', doc: 'create: check only' },
      json: { type: 'boolean', doc: 'list: JSON' },
    },
    async run(args) {
      const [what, word] = args.words
      const action = chosen({ create, list, end }, what)
      await withApp(projectDir, app => action(app, args, word))
    },
  }
}

async function create(app: App, args: Args): Promise<void> {
  const sku = args.text('sku')
  if (sku === undefined || args.text('units') === undefined) throw new UsageError('--sku and --units are needed')
  const perUser = args.number('per-user', 1, 0, FIXED.stockUnitsMax)
  const factor = Number(args.text('factor') ?? '2')
  if (!(factor >= 1 && factor <= 1000)) throw new UsageError('--factor takes a number from 1 to 1000')
  const ends = args.text('ends')
  const wish = {
    id: args.text('id') ?? `sale-${randomUUID().slice(0, 8)}`,
    sku,
    units: args.number('units', 0, 1, FIXED.stockUnitsMax),
    startsAt: timeOf('starts', args.text('starts') ?? '+5s'),
    endsAt: ends === undefined ? undefined : timeOf('ends', ends),
    factor,
    accountAgeS: args.number('account-age', 0, 0, FIXED.accountAgeMaxS),
    needsProof: args.flag('proof'),
    guests: args.flag('guests'),
    perUserMax: perUser === 0 ? undefined : perUser,
    replace: args.flag('replace'),
  }
  if (wish.needsProof && !app.sales.takesProofs) throw new CommandError('--proof needs CARTLOAD_SALE_PROOF_KEY')
  const { free } = await app.stockKeeping.checkSale(wish)
  const text = `${wish.units} of '${sku}' from ${wish.startsAt}, at most ${wish.perUserMax ?? 'any number'} for a buyer`
  if (args.flag('dry-run')) {
    console.log(`Would sell ${text}; the product has ${free ?? 'uncounted'} units now.`)
    return
  }
  await app.stockKeeping.openSale(wish)
  console.log(`Sale ${wish.id}: ${text}.\nQueue: POST /v1/sales/${wish.id}/queue`)
}

async function list(app: App, args: Args): Promise<void> {
  const sales = await app.stockKeeping.listSales()
  if (args.flag('json')) {
    console.log(JSON.stringify(sales))
    return
  }
  const rows = sales.map(({ id, sku, units, startsAt, endsAt }) => [id, sku, String(units), startsAt, endsAt ?? ''])
  console.log(rows.length > 0 ? table(['sale', 'sku', 'units', 'starts', 'ends'], rows) : 'There are no sales yet.')
}

async function end(app: App, _: Args, id: string | undefined): Promise<void> {
  if (id === undefined) throw new UsageError('end takes the id of a sale')
  await app.stockKeeping.endSale(id)
  console.log(`Sale ${id} is over; the product is sold as others are.`)
}

function timeOf(option: string, text: string): string {
  const relative = /^\+(\d{1,6})([smh])$/.exec(text)
  const seconds = { s: 1, m: 60, h: 3_600 }[relative?.[2] ?? 's'] ?? 1
  const at = relative ? new Date(Date.now() + Number(relative[1]) * seconds * 1000) : readInstant(text)
  if (!at) throw new CommandError(`--${option} '${text}' is not a time with a zone such as ${INSTANT_EXAMPLE}, or +30s`)
  return at.toISOString()
}

function required(word: string | undefined): string {
  if (word !== undefined) return word
  throw new UsageError('SKU is missing')
}
