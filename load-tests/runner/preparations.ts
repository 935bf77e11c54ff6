import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Args, CommandError, UsageError } from '../../src/cli/command.ts'
import { createGenerator } from '../../src/cli/generator.ts'
import { DEMO_EMAIL } from '../../src/cli/seed.ts'
import { step } from '../../src/cli/terminal.ts'
import { withApp } from '../../src/cli/with-app.ts'

/** What must be there before a scenario can run, and what is undone after it. */
export interface Wish {
  readonly projectDir: string
  readonly args: Args
  readonly url: string
  /** Where files of this run may stand. */
  readonly dir: string
}

export interface PreparedWrite {
  /** What the scenario is told. */
  readonly environment: Readonly<Record<string, string>>
  undo?(): Promise<void>
}

export async function prepare(scenario: string, wish: Wish): Promise<PreparedWrite> {
  if (scenario === 'flash-sale') return makeSale(wish)
  if (scenario === 'replay') return { environment: { FILE: resolve(wish.args.text('file') ?? writeBaskets(wish.dir)) } }
  return { environment: {} }
}

/** @throws CommandError that says what to do when nothing answers, or the shop is empty */
export async function checkShop(url: string, password: string): Promise<void> {
  const send = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(5_000) }).catch((error: unknown) => {
      throw new CommandError(`nothing answers at ${url}: npm start`, { cause: error })
    })
  const catalog = await send('/v1/products?limit=1')
  const { data = [] } = catalog.ok ? ((await catalog.json()) as { data?: unknown[] }) : {}
  const login = await send('/v1/sessions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email: DEMO_EMAIL(1), password }),
  })
  if (data.length === 0 || login.status !== 201)
    throw new CommandError(`the shop at ${url} is not seeded: npm run seed`)
}

/** A sale of the last product of the catalogue, open to guests; afterwards it is sold as before. */
async function makeSale({ projectDir, args, url }: Wish): Promise<PreparedWrite> {
  if (args.text('url') !== undefined)
    throw new UsageError('flash-sale makes a sale, so it runs on its own cluster only')
  const units = args.number('units', args.text('profile') === 'smoke' ? 20 : 50, 1, 1_000_000)
  const sku = await lastSku(url)
  const id = `load-${randomUUID().slice(0, 8)}`
  await step(`open a sale of ${units} of ${sku}`, () =>
    withApp(projectDir, async app => {
      const startsAt = new Date(Date.now() + 1_000).toISOString()
      const wish = { id, sku, units, startsAt, endsAt: undefined, factor: 2, accountAgeS: 0, needsProof: false }
      await app.stockKeeping.openSale({ ...wish, guests: true, perUserMax: 1, replace: true })
    }),
  )
  return {
    environment: { SALE: id, SKU: sku, UNITS: String(units) },
    undo: () =>
      withApp(projectDir, async app => {
        await app.stockKeeping.endSale(id)
        await app.stockKeeping.setStock(sku, { mode: 'none' })
      }),
  }
}

async function lastSku(url: string): Promise<string> {
  let [last, query] = ['', 'limit=100']
  for (;;) {
    const answer = await fetch(`${url}/v1/products?${query}`)
    const { data, page } = (await answer.json()) as { data: { sku: string }[]; page: { next: string | null } }
    last = data.at(-1)?.sku ?? last
    if (page.next === null) return last
    query = `limit=100&cursor=${encodeURIComponent(page.next)}`
  }
}

const BASKETS = 200

/** Baskets of the generator, over a day with a busy noon. */
function writeBaskets(dir: string): string {
  const generator = createGenerator({ products: 5_000, seed: 7, linesMax: 30, quantityMax: 50 })
  const lines = Array.from({ length: BASKETS }, (_, at) => {
    const share = at / BASKETS
    const hours = 12 + 4 * Math.asin(2 * share - 1)
    const t = new Date(Date.UTC(2026, 0, 1) + hours * 3_600_000).toISOString()
    return JSON.stringify({ t, l: generator.cart(at).map(({ sku, quantity }) => [sku, quantity]) })
  })
  const file = join(dir, 'baskets.ndjson')
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}
