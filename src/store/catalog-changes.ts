import type { Product, ProductChange } from '../model/product.ts'
import { catalogRows, rowOf, type Stored, upsert } from './catalog.ts'
import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'

/** What changes of products did, which name only what is to be different. */
export interface ChangesDone {
  readonly version: number
  readonly added: number
  readonly changed: number
  readonly unchanged: number
  readonly refused: readonly { readonly sku: string; readonly reason: string }[]
}

const SELECT_ON_SALE = statement("SELECT sku FROM products WHERE sku > ? AND status = 'active' ORDER BY sku LIMIT ?")
/** So many codes of products are read at once. */
const PAGE_SKUS = 2_000

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

/** Makes the changes that are not refused, in a transaction that holds the catalogue's version locked. */
export async function changeProducts(
  tx: Transaction,
  version: number,
  changes: readonly ProductChange[],
): Promise<ChangesDone> {
  const { changed, done } = await judge(tx, version, changes)
  await upsert(tx, version, changed)
  return done
}

/** What the changes would do, by what is in the catalogue now. Changes nothing. */
export async function checkProducts(global: Database, changes: readonly ProductChange[]): Promise<ChangesDone> {
  return (await judge(global, 0, changes)).done
}

/** What the changes do, and the products that they change. */
async function judge(
  from: Database | Transaction,
  version: number,
  changes: readonly ProductChange[],
): Promise<{ readonly changed: readonly Stored[]; readonly done: ChangesDone }> {
  const changed: Stored[] = []
  const refused: { sku: string; reason: string }[] = []
  const counts = { added: 0, changed: 0, unchanged: 0 }
  const skus = changes.map(({ sku }) => sku)
  const stored = skus.length === 0 ? [] : await catalogRows.many(from, skus)
  const known = new Map(stored.map(one => [one.product.sku, one]))
  for (const change of changes) {
    const before = known.get(change.sku)
    const after = merged(before, change)
    if (typeof after === 'string') refused.push({ sku: change.sku, reason: after })
    else if (before && isSame(before, after)) counts.unchanged++
    else {
      counts[before ? 'changed' : 'added']++
      changed.push(after)
    }
  }
  return { changed, done: { version, ...counts, refused } }
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
