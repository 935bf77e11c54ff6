import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { leaveUnchecked } from '../support/answers.ts'
import { clientOf } from '../support/client.ts'
import { freeRange } from '../support/cluster.ts'
import { PROJECT } from '../support/servers.ts'

/**
 * A data folder as an old release left it: made by the code of an old commit, with people, guests, carts, orders, rules, stock and a sale. What was
 * acknowledged is written down, so that a newer release can be asked for it.
 */
export const OLD_COMMIT = '607c34d'

export interface OldData {
  readonly dataDir: string
  readonly port: number
  readonly people: readonly Person[]
  /** Those that the old release refused, with what it said. */
  readonly refused: readonly string[]
  readonly stock: Readonly<Record<string, number>>
  readonly saleId: string
  readonly rulesVersion: number
  readonly operator: string
}

export interface Person {
  readonly email: string | undefined
  readonly password: string
  /** Of a guest. */
  readonly token: string | undefined
  readonly lines: Readonly<Record<string, number>>
  readonly total: number
  readonly orders: readonly { readonly id: string; readonly state: string; readonly total: number }[]
}

const EMAILS: readonly string[] = [
  'plain@example.com',
  'UPPER.Case@Example.COM',
  'plus+tag@example.com',
  'dots.and_under-scores@sub.example.co.uk',
  "o'brien@example.com",
  'digits123@123.example',
  'a@b.example',
  `${'l'.repeat(60)}@example.com`,
  'unicode-ü@example.com',
  'idn@bücher.example',
  'quoted"name"@example.com',
  '"quoted name"@example.com',
  ' spaces@example.com ',
  'zero\u200bwidth@example.com',
  'full＠example.com',
]

const PASSWORDS: readonly string[] = [
  'correct horse battery',
  'exactly8',
  ' leading and trailing ',
  'Pässwörter für Ärzte',
  'e\u0301 decomposed',
  '🐎🔋 emoji password',
  'ﬁ ligature password',
  `long ${'x'.repeat(100)}`,
]

/** Whether the old commit is there: a shallow clone has only the newest. */
export const hasOldCommit = (): boolean =>
  spawnSync('git', ['cat-file', '-e', `${OLD_COMMIT}^{commit}`], { cwd: PROJECT }).status === 0

/** @throws Error when the old release cannot be installed or started */
export async function makeOldData(): Promise<OldData> {
  const source = mkdtempSync(join(tmpdir(), 'cl-old-code-'))
  const dataDir = mkdtempSync(join(tmpdir(), 'cl-old-'))
  const port = await freeRange()
  const env = {
    ...process.env,
    CARTLOAD_PORT: String(port),
    CARTLOAD_DATA_DIR: dataDir,
    CARTLOAD_INSTANCES: '2',
    CARTLOAD_SHARD_MEMORY_MB: '64',
    NODE_V8_COVERAGE: undefined,
  }
  const run = (program: string, ...args: string[]) =>
    promisify(execFile)(program, args, { cwd: source, env, maxBuffer: 1e8 })
  const cli = (...args: string[]) => run(process.execPath, join(source, 'src', 'cli', 'main.ts'), ...args)
  try {
    const archive = join(source, 'code.tar')
    await promisify(execFile)('git', ['archive', '--output', archive, OLD_COMMIT], { cwd: PROJECT })
    await run('tar', 'xf', archive)
    await run(
      'npm',
      'ci',
      '--omit=dev',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--prefer-offline',
    )
    await cli('up', '--no-seed')
    try {
      await cli('seed', '--products', '200', '--users', '20', '--seed', '1')
      return { dataDir, port, ...(await fill(cli, `http://127.0.0.1:${port}`, dataDir)) }
    } finally {
      await cli('down')
    }
  } finally {
    rmSync(source, { recursive: true, force: true })
  }
}

type Cli = (...args: string[]) => Promise<{ stdout: string }>

async function fill(cli: Cli, url: string, dataDir: string): Promise<Omit<OldData, 'dataDir' | 'port'>> {
  leaveUnchecked(url)
  const files = join(dataDir, 'files')
  mkdirSync(files)
  const rules = join(files, 'rules.json')
  writeFileSync(
    rules,
    JSON.stringify({
      currency: 'GBP',
      promotions: [{ id: 'ten-off', name: 'Ten percent', kind: 'percent_off', percent: 10 }],
    }),
  )
  const operator = (await cli('operator', 'add', 'upgrade')).stdout.trim()
  const rulesVersion = await putRules(cli, rules)
  const stock = { P000010: 40, P000011: 7 }
  for (const [sku, units] of Object.entries(stock)) await cli('stock', 'set', sku, '--units', String(units))
  const saleId = 'upgrade-sale'
  await cli('sale', 'create', '--id', saleId, '--sku', 'P000020', '--units', '30', '--starts', '+3600s')
  const people: Person[] = []
  const refused: string[] = []
  for (const [at, email] of EMAILS.entries()) {
    const password = PASSWORDS[at % PASSWORDS.length] ?? ''
    const anyone = clientOf(url)
    const made = await anyone.post('/v1/accounts', { email, password })
    if (made.status !== 201) {
      refused.push(`${JSON.stringify(email)}: ${made.status} ${made.body.code}`)
      continue
    }
    const session = await anyone.post('/v1/sessions', { email, password })
    people.push(await shop(clientOf(url, session.body.token), { email, password, at }))
  }
  for (let guest = 0; guest < 4; guest++) {
    const first = await clientOf(url).post('/v1/cart/lines', { sku: 'P000030', quantity: 1 })
    const token = first.headers.get('x-session-token') ?? ''
    people.push(await shop(clientOf(url, token), { email: undefined, password: '', at: guest, token }))
  }
  return { people, refused, stock, saleId, rulesVersion, operator }
}

async function putRules(cli: Cli, file: string): Promise<number> {
  const { stdout } = await cli('promotions', 'put', file, '--activate')
  await sleep(1_500) // instances look for new rules once a second
  return Number(/\d+/.exec(stdout)?.[0] ?? 0)
}

interface Shopper {
  readonly email: string | undefined
  readonly password: string
  readonly at: number
  readonly token?: string
}

/** Some lines; every second one orders and fills the cart anew; one of them cancels. */
async function shop(client: ReturnType<typeof clientOf>, { email, password, at, token }: Shopper): Promise<Person> {
  const orders: Person['orders'][number][] = []
  const add = (sku: string, quantity: number) => client.post('/v1/cart/lines', { sku, quantity })
  await add(`P00000${1 + (at % 9)}`, 1 + (at % 5))
  if (at % 2 === 0) {
    const cart = (await client.get('/v1/cart')).body
    const placed = await client.post(
      '/v1/orders',
      { cartVersion: cart.version, total: cart.totals.total },
      { 'Idempotency-Key': `order-${at}` },
    )
    if (placed.status !== 201) throw new Error(`an order was not placed: ${placed.text}`)
    const { id, total } = placed.body
    if (at % 4 === 2) await client.post(`/v1/orders/${id}/cancel`, {}, { 'Idempotency-Key': `cancel-${id}` })
    orders.push({ id, total, state: (await client.get(`/v1/orders/${id}`)).body.state })
    await add('P000040', 2)
  }
  await add('P000041', 3)
  const { lines, totals } = (await client.get('/v1/cart?limit=100')).body
  const all = lines as { sku: string; quantity: number }[]
  return {
    email,
    password,
    token,
    lines: Object.fromEntries(all.map(({ sku, quantity }) => [sku, quantity])),
    total: totals.total,
    orders,
  }
}

if (process.argv[1] === import.meta.filename) {
  if (!hasOldCommit()) throw new Error(`the commit ${OLD_COMMIT} is not in this clone`)
  const made = await makeOldData()
  const file = join(made.dataDir, 'manifest.json')
  writeFileSync(file, JSON.stringify(made, undefined, 2))
  console.log(existsSync(file) ? `made ${made.dataDir}; what is in it: ${file}` : '')
}
