import type { Product, ProductChange, ProductState } from '../model/product.ts'
import {
  lockVersion,
  PRODUCT_COLUMNS,
  type ProductRow,
  productOf,
  rowOf,
  SET_VERSION,
  type Stored,
  UPSERT_ROWS,
  upsert,
} from './catalog.ts'
import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'

/**
 * Changes of products that name only what is to be different. What is there is read in the same transaction, which holds the catalogue's version
 * locked, so two imports never mix.
 */
export interface ChangesDone {
  readonly version: number
  readonly added: number
  readonly changed: number
  readonly unchanged: number
  readonly refused: readonly { readonly sku: string; readonly reason: string }[]
}

type Counting = { -readonly [Key in keyof ChangesDone]: ChangesDone[Key] } & {
  refused: { sku: string; reason: string }[]
}

const SELECT_MANY = statement(`SELECT ${PRODUCT_COLUMNS}, status FROM products WHERE sku IN (?)`)

const SELECT_ON_SALE = statement("SELECT sku FROM products WHERE sku > ? AND status = 'active' ORDER BY sku LIMIT ?")
/** So many codes of products are read at once. */
const PAGE_SKUS = 10_000

class NotWanted extends Error {}

/** The products on sale that are not among the kept ones, page by page. */
export async function* onSaleExcept(
  global: Database,
  kept: Pick<ReadonlySet<string>, 'has'>,
): AsyncGenerator<string[]> {
  let after = ''
  for (;;) {
    const page = (await global.rows<{ sku: string }>(SELECT_ON_SALE, [after, limitTo(PAGE_SKUS)])).map(({ sku }) => sku)
    const last = page.at(-1)
    if (last === undefined) return
    const others = page.filter(sku => !kept.has(sku))
    if (others.length > 0) yield others
    after = last
  }
}

/**
 * All changes as one new version, in one transaction. `open` gives them in batches, from the start each time that it is asked, since a transaction may
 * run again. `isWanted` decides when all is known and nothing is committed; undefined when it did not want it: then nothing was changed.
 */
export async function changeProducts(
  global: Database,
  open: () => AsyncIterable<readonly ProductChange[]>,
  isWanted: (done: ChangesDone) => boolean = () => true,
): Promise<ChangesDone | undefined> {
  try {
    return await global.transaction(async tx => {
      const version = (await lockVersion(tx)) + 1
      const done: Counting = { version, added: 0, changed: 0, unchanged: 0, refused: [] }
      for await (const part of open()) await changeSome(tx, part, done)
      if (!isWanted(done)) throw new NotWanted()
      if (done.added + done.changed > 0) await tx.run(SET_VERSION, [version])
      return done
    })
  } catch (error) {
    if (error instanceof NotWanted) return undefined
    throw error
  }
}

/** Which of the changes would be refused, by what is in the catalogue now. Changes nothing. */
export async function refusedChanges(
  global: Database,
  changes: readonly ProductChange[],
): Promise<ChangesDone['refused']> {
  const done: Counting = { version: 0, added: 0, changed: 0, unchanged: 0, refused: [] }
  await judge(global, changes, done)
  return done.refused
}

async function changeSome(tx: Transaction, part: readonly ProductChange[], done: Counting): Promise<void> {
  const changed = await judge(tx, part, done)
  for (let at = 0; at < changed.length; at += UPSERT_ROWS)
    await upsert(tx, done.version, changed.slice(at, at + UPSERT_ROWS))
}

/** Counts what the changes do, and gives the products that they change. */
async function judge(from: Database | Transaction, part: readonly ProductChange[], done: Counting): Promise<Stored[]> {
  if (part.length === 0) return []
  const skus = part.map(({ sku }) => sku)
  const rows = await from.rows<ProductRow & { status: ProductState }>(SELECT_MANY, [skus])
  const known = new Map(rows.map(row => [row.sku, { product: productOf(row), status: row.status }]))
  const changed: Stored[] = []
  for (const change of part) {
    const before = known.get(change.sku)
    const after = merged(before, change)
    if (typeof after === 'string') done.refused.push({ sku: change.sku, reason: after })
    else if (before && isSame(before, after)) done.unchanged++
    else {
      if (before) done.changed++
      else done.added++
      changed.push(after)
    }
  }
  return changed
}

/** The product with the change, or what is missing to make it. */
function merged(before: Stored | undefined, change: ProductChange): Stored | string {
  const { sku, status, newCategory, ...values } = change
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  const product = Object.fromEntries(
    Object.entries({ ...(before?.product ?? { category: newCategory }), sku, ...Object.fromEntries(given) }).filter(
      ([, value]) => value !== null && value !== undefined,
    ),
  )
  const missing = ['name', 'price', 'category'].filter(field => product[field] === undefined)
  if (missing.length > 0) return `'${sku}' is not in the catalogue: a new product needs ${missing.join(', ')}`
  return { product: product as unknown as Product, status: status ?? before?.status ?? 'active' }
}

const isSame = (a: Stored, b: Stored): boolean => rowOf(a, 0).join('\0') === rowOf(b, 0).join('\0')
