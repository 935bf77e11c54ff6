import { existsSync, readFileSync } from 'node:fs'
import type { App } from '../app.ts'
import { loadConfig } from '../config/config.ts'
import { INSTANT_EXAMPLE, readInstant } from '../lib/instant.ts'
import { AppError, messageOf } from '../lib/errors.ts'
import { type RuleSet } from '../model/promotion.ts'
import { checkRuleSet, type Mistake } from '../model/rule-set-check.ts'
import { type Args, type Command, CommandError, UsageError } from './command.ts'
import { table } from './terminal.ts'
import { withApp } from './with-app.ts'

/** Rule sets from the command line. The format is explained in docs/promotions.md. */
export function promotionsCommand(projectDir: string): Command {
  return {
    name: 'promotions',
    summary: 'Checks, stores, activates and explains promotions',
    usage: 'validate FILE | put FILE | list | show VERSION | activate VERSION | explain [FILE | VERSION]',
    details: `validate: names every mistake of a rule set (JSON); needs no servers.
put:      stores it as a new version. Nothing changes for shoppers before it is activated.
list:     the newest versions, and when each was or will be in force.
show:     prints a stored version as JSON.
activate: puts a version in force, now or with --at later. Carts follow within CARTLOAD_REPRICE_SPREAD_MS.
          To go back, activate the version before.
explain:  prices --lines and tells for each promotion whether it applied, was beaten or refused, and why;
          with the rules in force, a stored version, or a file that is not stored yet.`,
    options: {
      note: { type: 'string', value: 'TEXT', doc: 'put: what this version is for' },
      activate: { type: 'boolean', doc: 'put: activate it at once' },
      at: { type: 'string', value: 'TIME', doc: 'activate: when, such as 2027-01-01T00:00:00Z' },
      confirm: {
        type: 'boolean',
        doc: 'put, activate: also where categories, buyer groups or pools are named that do not exist',
      },
      'dry-run': { type: 'boolean', doc: 'put, activate: check only, change nothing' },
      lines: { type: 'string', value: 'SKU=N,…', doc: 'explain: products and quantities' },
      codes: { type: 'string', value: 'CODE,…', doc: 'explain: codes that are entered' },
      group: { type: 'string', value: 'GROUP', doc: 'explain: guest or member (default member)' },
      json: { type: 'boolean', doc: 'list, explain: JSON in place of a table' },
    },
    async run(args) {
      const [what, word] = args.words
      if (what === 'validate') {
        const ruleSet = readRuleSet(required(word, 'FILE'), loadConfig(projectDir).config.currency)
        console.log(`${word}: ${ruleSet.promotions.length} promotions, no mistakes.`)
        return
      }
      const run = Object.hasOwn(ACTIONS, what ?? '') ? ACTIONS[what ?? ''] : undefined
      if (!run) throw new UsageError('say: validate, put, list, show, activate or explain')
      await withApp(projectDir, (app, config) => run(app, word, args, config.currency))
    },
  }
}

type Action = (app: App, word: string | undefined, args: Args, currency: string) => Promise<void>

const ACTIONS: Readonly<Record<string, Action>> = { put, list, show, activate, explain }

async function put(app: App, file: string | undefined, args: Args, currency: string): Promise<void> {
  const ruleSet = readRuleSet(required(file, 'FILE'), currency)
  if (args.flag('dry-run')) {
    const { promotions } = await app.promotions.require(ruleSet, args.flag('confirm'))
    console.log(`Would store ${promotions.length} promotions as a new version.`)
    return
  }
  const version = await app.promotions.put(ruleSet, args.text('note') ?? '', args.flag('confirm'))
  console.log(`Stored as version ${version}.`)
  if (args.flag('activate')) await activate(app, String(version), args)
  else console.log(`Not in force yet: cartload promotions activate ${version}`)
}

async function list(app: App, _: string | undefined, args: Args): Promise<void> {
  const sets = await app.promotions.list(50)
  if (args.flag('json')) {
    console.log(JSON.stringify(sets, undefined, 2))
    return
  }
  if (sets.length === 0) console.log('There are no rule sets yet: cartload promotions put FILE')
  const rows = sets.map(({ version, note, createdAt, activeFrom }) => [
    `${version}${version === app.pricing.rulesVersion() ? ' (in force)' : ''}`,
    createdAt,
    activeFrom.join(' ') || 'never',
    note,
  ])
  if (rows.length > 0) console.log(table(['version', 'stored', 'in force from', 'note'], rows))
}

async function show(app: App, word: string | undefined): Promise<void> {
  console.log(JSON.stringify(await app.promotions.load(versionOf(word)), undefined, 2))
}

async function activate(app: App, word: string | undefined, args: Args): Promise<void> {
  const version = versionOf(word)
  const text = args.text('at')
  const at = text === undefined ? undefined : readInstant(text)
  if (text !== undefined && !at)
    throw new CommandError(`--at '${text}' is not a time with a zone such as ${INSTANT_EXAMPLE}`)
  if (args.flag('dry-run')) {
    const { promotions } = await app.promotions.require(await app.promotions.load(version), args.flag('confirm'))
    console.log(
      `Would put version ${version} (${promotions.length} promotions) in force ${at ? `at ${at.toISOString()}` : 'now'}.`,
    )
    return
  }
  const { activeFrom } = await app.promotions.activate(version, at, args.flag('confirm'))
  console.log(`Version ${version} is in force from ${activeFrom}.`)
}

async function explain(app: App, word: string | undefined, args: Args, currency: string): Promise<void> {
  if (word !== undefined) {
    const ruleSet = /^\d+$/.test(word) ? await app.promotions.load(Number(word)) : readRuleSet(word, currency)
    app.pricing.useRules(Number.MAX_SAFE_INTEGER, Date.now(), ruleSet)
  }
  const lines = (args.text('lines') ?? '').split(',').filter(Boolean).map(readLine)
  if (lines.length === 0) throw new UsageError('explain needs --lines SKU=N,…')
  const codes = (args.text('codes') ?? '').split(',').filter(Boolean)
  const priced = await app.pricing.price({ lines, codes, buyerGroup: args.text('group') ?? 'member', explain: true })
  if (args.flag('json')) {
    console.log(JSON.stringify(priced, undefined, 2))
    return
  }
  const money = (amount: number) => (amount / 100).toFixed(2)
  console.log(
    table(
      ['line', 'unit price', 'off', 'total'],
      priced.lines.map((line, at) => [
        `${lines[at]?.quantity} × ${line.name}`,
        (line.unitPrice / 100).toFixed(Number.isInteger(line.unitPrice) ? 2 : 6),
        money(line.discount),
        line.available ? money(line.total) : 'not sold',
      ]),
    ),
  )
  const { subtotal, discount, shipping, total } = priced.totals
  console.log(`\n${money(subtotal)} less ${money(discount)}, delivery ${money(shipping)}: ${money(total)} ${currency}`)
  console.log(
    priced.gap === 0
      ? 'Proved: no legal combination is cheaper.\n'
      : `Another may be up to ${money(priced.gap)} cheaper.\n`,
  )
  const rows = (priced.outcomes ?? []).map(({ promotion, code, status, amount, reason, detail }) => [
    promotion || (code ?? ''),
    status,
    amount > 0 ? money(amount) : '',
    reason ? `${reason}: ${detail}` : '',
  ])
  if (rows.length > 0) console.log(table(['promotion', 'outcome', 'off', 'why'], rows))
}

function readLine(text: string): { sku: string; quantity: number; selected: boolean } {
  const [, sku = '', quantity = '1'] = /^(.+?)(?:=(\d+))?$/.exec(text) ?? []
  return { sku, quantity: Number(quantity), selected: true }
}

/** @throws CommandError naming every mistake */
function readRuleSet(file: string, currency: string): RuleSet {
  if (!existsSync(file)) throw new CommandError(`there is no file ${file}`)
  let document: unknown
  try {
    document = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new CommandError(`${file} is not JSON: ${messageOf(error)}`)
  }
  const checked = checkRuleSet(document)
  const mistakes = 'mistakes' in checked ? [...checked.mistakes] : []
  if ('ruleSet' in checked && checked.ruleSet.currency !== currency)
    mistakes.push({ path: '/currency', detail: `must be ${currency}, the currency of this shop` })
  if ('ruleSet' in checked && mistakes.length === 0) return checked.ruleSet
  throw mistaken(file, mistakes)
}

function mistaken(file: string, mistakes: readonly Mistake[]): CommandError {
  return new CommandError(
    [
      `${file} has ${mistakes.length} ${mistakes.length === 1 ? 'mistake' : 'mistakes'}:`,
      ...mistakes.map(m => `  ${m.path || '/'}  ${m.detail}`),
    ].join('\n'),
  )
}

function required(word: string | undefined, name: string): string {
  if (word === undefined) throw new UsageError(`say which ${name}`)
  return word
}

function versionOf(word: string | undefined): number {
  const text = required(word, 'VERSION')
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`'${text}' is not a version: cartload promotions list`)
  return Number(text)
}

/** Operators may change promotions through the API. */
export function operatorCommand(projectDir: string): Command {
  return {
    name: 'operator',
    summary: 'Makes and removes operators: the shop’s own servers, who may change promotions and pay and refund orders',
    usage: 'add NAME | remove NAME | list',
    details: 'add shows the token once; only its hash is kept. Send it as Authorization: Bearer op_…',
    async run(args) {
      const [what, name] = args.words
      await withApp(projectDir, async app => {
        if (what === 'list') {
          const rows = (await app.operators.list()).map(one => [one.name, one.createdAt])
          console.log(rows.length > 0 ? table(['operator', 'since'], rows) : 'There are no operators yet.')
        } else if (what === 'add') console.log(await app.operators.add(required(name, 'NAME')))
        else if (what !== 'remove') throw new UsageError('say: add NAME, remove NAME or list')
        else if (!(await app.operators.remove(required(name, 'NAME')))) {
          throw new AppError('invalid_request', `There is no operator '${name}'.`)
        }
      })
    },
  }
}
