import { FIXED } from '../../model/limits.ts'
import { type ProductChange, type ProductState, SKU_FORM } from '../../model/product.ts'
import type { Columns, Field } from './columns.ts'
import { type CurrencyForm, readPercent, readPrice } from './prices.ts'

/** What one row of a catalogue file says. Pure, but for what a format lets rows leave out because an earlier one said it. */
type RowResult =
  | { readonly kind: 'change'; readonly change: ProductChange }
  | { readonly kind: 'passed'; readonly why: string }
  | { readonly kind: 'refused'; readonly reason: string }

export type RowReader = (cells: readonly string[]) => RowResult

/** In a cell of a field that may be missing: take the value away. An empty cell leaves it as it is. */
const NONE = 'none'

export function createRowReader(columns: Columns, currency: CurrencyForm): RowReader {
  switch (columns.format?.name) {
    case 'Shopify':
      return shopifyReader(columns, currency)
    case 'WooCommerce':
      return wooReader(columns, currency)
    case 'Magento':
      return magentoReader(columns, currency)
    case 'Google':
      return googleReader(columns, currency)
    case undefined:
    default:
      return cells => changeOf(textsOf(columns, cells), currency)
  }
}

type Texts = Partial<Record<Field, string>>

const textsOf = ({ places }: Columns, cells: readonly string[]): Texts =>
  Object.fromEntries([...places].map(([field, at]) => [field, (cells[at] ?? '').trim()]))

/** A column of the format that is no field of ours. */
const cellOf = ({ head }: Columns, cells: readonly string[], name: string): string =>
  (cells[head.indexOf(name)] ?? '').trim()

const refused = (reason: string): RowResult => ({ kind: 'refused', reason })

/** A character that could not be read, or that no text of a product has. */
// oxlint-disable-next-line no-control-regex -- refusing them is the point
const BAD_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffd]/

function changeOf(texts: Texts, currency: CurrencyForm): RowResult {
  const bad = Object.entries(texts).find(([, text]) => BAD_CHARACTER.test(text))
  if (bad) return refused(`${bad[0]} has a character that cannot be read`)
  const sku = texts.sku ?? ''
  if (!SKU_FORM.test(sku) || sku.length > FIXED.skuCharsMax) return refused(`sku '${sku}' is not a product code`)
  const change: { -readonly [Key in keyof ProductChange]: ProductChange[Key] } = { sku }
  if (texts.name) {
    const name = texts.name.replace(/\s+/g, ' ')
    if (name.length > FIXED.productNameCharsMax)
      return refused(`name has ${name.length} characters (1 to ${FIXED.productNameCharsMax})`)
    change.name = name
  }
  if (texts.category) {
    const category = texts.category.replace(/\s+/g, ' ')
    if (category.length > FIXED.categoryCharsMax)
      return refused(`category has more than ${FIXED.categoryCharsMax} characters`)
    change.category = category
  }
  if (texts.tags) {
    const tags = texts.tags === NONE ? [] : tagsOf(texts.tags)
    if (tags.join(',').length > FIXED.tagsCharsMax)
      return refused(`tags have more than ${FIXED.tagsCharsMax} characters`)
    change.tags = tags
  }
  for (const field of ['price', 'listPrice', 'floorPrice'] as const) {
    const text = texts[field]
    if (!text) continue
    if (text === NONE && field !== 'price') {
      change[field] = null
      continue
    }
    const read = readPrice(text, currency)
    if ('problem' in read) return refused(field === 'price' ? read.problem : `${field}: ${read.problem}`)
    if (read.minor > FIXED.priceMinorMax) return refused(`${field} '${text}' is too large`)
    change[field] = read.minor
  }
  if (texts.taxPercent) {
    const percent = texts.taxPercent === NONE ? null : readPercent(texts.taxPercent)
    if (percent === undefined)
      return refused(`taxPercent '${texts.taxPercent}' is not a percentage with at most three decimals`)
    change.taxPercent = percent
  }
  if (texts.status) {
    const status = stateOf(texts.status)
    if (!status) return refused(`status '${texts.status}' is neither active nor withdrawn`)
    change.status = status
  }
  return { kind: 'change', change }
}

const tagsOf = (text: string): string[] =>
  text
    .split(/[|;,]/)
    .map(tag => tag.trim())
    .filter(tag => tag !== '')

const STATES: Readonly<Record<ProductState, readonly string[]>> = {
  active: ['active', 'on sale', 'published', 'enabled', 'online', 'yes', 'true', '1'],
  withdrawn: [
    'withdrawn',
    'off sale',
    'draft',
    'archived',
    'discontinued',
    'unpublished',
    'inactive',
    'disabled',
    'hidden',
    'offline',
    'no',
    'false',
    '0',
    '-1',
  ],
}

const stateOf = (text: string): ProductState | undefined =>
  (['active', 'withdrawn'] as const).find(state => STATES[state].includes(text.toLowerCase()))

/** Rows of one product follow each other; only the first has what all of them share. Rows without a price are pictures. */
function shopifyReader(columns: Columns, currency: CurrencyForm): RowReader {
  let shared: Texts & { handle?: string; published?: string } = {}
  return cells => {
    const texts = textsOf(columns, cells)
    const handle = cellOf(columns, cells, 'handle')
    const published = cellOf(columns, cells, 'published')
    if (texts.name || handle !== shared.handle) shared = { ...texts, handle, published }
    if (!texts.price && !texts.sku) return { kind: 'passed', why: 'a picture' }
    if (!texts.sku) return refused('the variant has no SKU')
    const options = [1, 2, 3]
      .map(number => cellOf(columns, cells, `option${number} value`))
      .filter(value => value !== '' && value !== 'Default Title')
    const name = [shared.name ?? '', options.join(' / ')].filter(part => part !== '').join(' – ')
    const isHidden = /^(false|no|0)$/i.test(published || shared.published || '')
    const status = isHidden ? 'withdrawn' : ((texts.status || shared.status) ?? '')
    return exported(
      {
        sku: texts.sku,
        name,
        price: texts.price ?? '',
        category: texts.category || shared.category || '',
        ...(columns.places.has('tags') ? { tags: texts.tags || shared.tags || NONE } : {}),
        // An empty cell says that it is not on sale; a file without the column says nothing.
        ...(columns.places.has('listPrice') ? { listPrice: texts.listPrice || NONE } : {}),
        status,
      },
      currency,
    )
  }
}

const WOO_PARENTS = new Set(['variable', 'grouped', 'external'])

/** Variations stand after the product that they belong to, which has the categories and no price. */
function wooReader(columns: Columns, currency: CurrencyForm): RowReader {
  const parents = new Map<string, Texts>()
  return cells => {
    const texts = textsOf(columns, cells)
    const type = cellOf(columns, cells, 'type').toLowerCase().split(',')[0] ?? ''
    if (WOO_PARENTS.has(type)) {
      for (const key of [texts.sku ?? '', `id:${cellOf(columns, cells, 'id')}`]) if (key !== '') parents.set(key, texts)
      return { kind: 'passed', why: `a product of type ${type}, which is not sold itself` }
    }
    const parent = parents.get(cellOf(columns, cells, 'parent')) ?? {}
    const [category = ''] = (texts.category || parent.category || '').split(/,(?! )|, (?=[^>]*(?:>|$))/)
    return onSale(
      columns,
      { ...texts, category: category.trim(), tags: texts.tags || parent.tags || '' },
      saleCell(columns, cells, 'sale price'),
      currency,
    )
  }
}

const MAGENTO_PARENTS = new Set(['configurable', 'bundle', 'grouped'])

function magentoReader(columns: Columns, currency: CurrencyForm): RowReader {
  return cells => {
    const type = cellOf(columns, cells, 'product_type').toLowerCase()
    if (MAGENTO_PARENTS.has(type)) return { kind: 'passed', why: `a product of type ${type}, which is not sold itself` }
    const texts = textsOf(columns, cells)
    const status = texts.status === '2' ? 'withdrawn' : (texts.status ?? '')
    const [category = ''] = (texts.category ?? '').split(',')
    return onSale(
      columns,
      { ...texts, category: category.trim(), status },
      saleCell(columns, cells, 'special_price'),
      currency,
    )
  }
}

const googleReader =
  (columns: Columns, currency: CurrencyForm): RowReader =>
  cells => {
    const texts = textsOf(columns, cells)
    return onSale(columns, texts, saleCell(columns, cells, 'sale_price'), currency)
  }

/** What the cell of the sale price says; undefined where the file has no such column. */
const saleCell = (columns: Columns, cells: readonly string[], name: string): string | undefined =>
  columns.head.includes(name) ? cellOf(columns, cells, name) : undefined

/**
 * The format has two prices: the one to pay is that of the sale, where there is one. A column for the list price that --columns names is not
 * overruled, and a file without sale prices leaves list prices as they are.
 */
function onSale(columns: Columns, texts: Texts, salePrice: string | undefined, currency: CurrencyForm): RowResult {
  if (salePrice === undefined || columns.places.has('listPrice')) return exported(texts, currency)
  return exported(
    salePrice === '' ? { ...texts, listPrice: NONE } : { ...texts, price: salePrice, listPrice: texts.price ?? '' },
    currency,
  )
}

/** The export of another shop: its products need no category, ours do. */
function exported(texts: Texts, currency: CurrencyForm): RowResult {
  const result = changeOf(texts, currency)
  return result.kind === 'change' && result.change.category === undefined
    ? { kind: 'change', change: { ...result.change, newCategory: 'other' } }
    : result
}
