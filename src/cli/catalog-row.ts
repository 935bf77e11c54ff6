import { FIXED } from '../model/limits.ts'
import { minorFromDecimal } from '../model/money.ts'
import { type Product, SKU_FORM } from '../model/product.ts'
import { CommandError } from './command.ts'

/** Rows of a catalogue file: which column is what, and what a row says. */
type Wanted = 'sku' | 'name' | 'price' | 'category'
type Extra = 'tags' | 'listPrice' | 'floorPrice' | 'taxPercent'

const COLUMNS: Readonly<Record<Wanted, readonly string[]>> = {
  sku: ['sku', 'stockcode', 'product_id', 'id', 'code'],
  name: ['name', 'title', 'description'],
  price: ['price', 'price_gbp', 'price_usd', 'price_eur', 'list_price', 'list_price_usd', 'unit_price'],
  category: ['category', 'derived_category', 'department', 'type'],
}

/** Columns that a file may have besides. */
const EXTRAS: Readonly<Record<Extra, readonly string[]>> = {
  tags: ['tags'],
  listPrice: ['regular_price', 'compare_at_price'],
  floorPrice: ['floor_price'],
  taxPercent: ['tax_percent'],
}

export function columnsOf(head: readonly string[], mapping = ''): Columns {
  const names = head.map(name => name.trim().toLowerCase())
  const said = new Map(
    mapping
      .split(',')
      .filter(Boolean)
      .map(pair => pair.split('=').map(part => part.trim().toLowerCase()) as [string, string]),
  )
  const place = (ours: Wanted | Extra, known: readonly string[]): number | undefined => {
    const wanted = said.has(ours) ? [said.get(ours) ?? ''] : known
    return wanted.map(name => names.indexOf(name)).find(at => at >= 0)
  }
  const find = (ours: Wanted): number => {
    const column = place(ours, COLUMNS[ours])
    if (column !== undefined) return column
    throw new CommandError(
      `no column for '${ours}' (looked for ${COLUMNS[ours].join(', ')}; the file has ${names.join(', ')}): say --columns ${ours}=NAME`,
    )
  }
  const extras = (Object.keys(EXTRAS) as Extra[]).flatMap(name => {
    const column = place(name, EXTRAS[name])
    return column === undefined ? [] : [[name, column] as const]
  })
  const wanted = { sku: find('sku'), name: find('name'), price: find('price'), category: find('category') }
  return { ...wanted, extras }
}

export type Columns = Record<Wanted, number> & { readonly extras: readonly (readonly [Extra, number])[] }

/** A product, or what is wrong with the row. */
export function productOf(row: readonly string[], columns: Columns): Product | string {
  const cell = (name: Wanted) => (row[columns[name]] ?? '').trim()
  const [sku, name, category] = [cell('sku'), cell('name').replace(/\s+/g, ' '), cell('category') || 'other']
  const price = minorFromDecimal(cell('price'))
  if (!SKU_FORM.test(sku) || sku.length > FIXED.skuCharsMax) return `sku '${sku}' is not a product code`
  if (name.length === 0 || name.length > FIXED.productNameCharsMax)
    return `name has ${name.length} characters (1 to ${FIXED.productNameCharsMax})`
  if (category.length > FIXED.categoryCharsMax) return `category has more than ${FIXED.categoryCharsMax} characters`
  if (price === undefined || price > FIXED.priceMinorMax)
    return `price '${cell('price')}' is not an amount such as 2.95`
  let product: Product = { sku, name, price, category }
  for (const [extra, column] of columns.extras) {
    const text = (row[column] ?? '').trim()
    if (text === '') continue
    const read = readExtra(extra, text)
    if (read === undefined) return `${extra} '${text}' cannot be read`
    product = { ...product, ...read }
  }
  return product
}

function readExtra(extra: Extra, text: string): Partial<Product> | undefined {
  if (extra === 'tags') {
    const tags = text
      .split(/[|;,]/)
      .map(tag => tag.trim())
      .filter(tag => tag !== '')
    return tags.join(',').length <= FIXED.tagsCharsMax ? { tags } : undefined
  }
  const hundredths = minorFromDecimal(text)
  if (hundredths === undefined || hundredths > FIXED.priceMinorMax) return undefined
  if (extra !== 'taxPercent') return { [extra]: hundredths }
  return hundredths <= 10_000 ? { taxPercent: hundredths / 100 } : undefined
}
