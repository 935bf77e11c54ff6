import { CommandError } from '../command.ts'

/** Which column of a catalogue file is what: named with --columns, known by the name of the column, or by the format that the file has. */
const FIELDS = ['sku', 'name', 'price', 'category', 'tags', 'listPrice', 'floorPrice', 'taxPercent', 'status'] as const
export type Field = (typeof FIELDS)[number]

export interface Format {
  readonly name: string
  /** Columns by which it is known; all must be there. */
  readonly marks: readonly string[]
  /** And one of these, where there are any. */
  readonly oneOf?: readonly string[]
  readonly columns: Partial<Record<Field, string>>
}

/** Exports of other shops, by the names that they give to their columns (lower case). */
const FORMATS: readonly Format[] = [
  {
    name: 'Shopify',
    marks: ['handle', 'title', 'variant sku', 'variant price'],
    columns: {
      sku: 'variant sku',
      name: 'title',
      price: 'variant price',
      category: 'type',
      tags: 'tags',
      listPrice: 'variant compare at price',
      status: 'status',
    },
  },
  {
    name: 'WooCommerce',
    marks: ['type', 'sku', 'name', 'regular price'],
    columns: {
      sku: 'sku',
      name: 'name',
      price: 'regular price',
      category: 'categories',
      tags: 'tags',
      status: 'published',
    },
  },
  {
    name: 'Magento',
    marks: ['sku', 'name', 'price', 'product_type', 'attribute_set_code'],
    columns: { sku: 'sku', name: 'name', price: 'price', category: 'categories', status: 'product_online' },
  },
  {
    name: 'Google',
    marks: ['id', 'title', 'price'],
    oneOf: ['availability', 'product_type', 'google_product_category', 'image_link', 'gtin', 'condition'],
    columns: { sku: 'id', name: 'title', price: 'price', category: 'product_type' },
  },
]

/** Names that say what they hold. */
const STRONG: Readonly<Record<Field, readonly string[]>> = {
  sku: ['sku', 'stockcode', 'product_code', 'item_number'],
  name: ['name', 'title', 'product_name'],
  price: ['price', 'unit_price'],
  category: ['category', 'derived_category', 'product_type', 'categories'],
  tags: ['tags'],
  listPrice: ['listprice', 'regular_price', 'compare_at_price'],
  floorPrice: ['floorprice', 'floor_price'],
  taxPercent: ['taxpercent', 'tax_percent'],
  status: ['status'],
}

/** Names that may hold it, or something else: shown, and taken only when they are named. */
const WEAK: Partial<Record<Field, readonly RegExp[]>> = {
  sku: [/^id$/, /^code$/, /_?id$/, /item/],
  name: [/description/, /label/],
  price: [/price/, /amount/, /cost/],
  category: [/^type$/, /department/, /group/, /class/],
  listPrice: [/list_?price/, /rrp/, /msrp/],
}

export interface Columns {
  readonly format: Format | undefined
  readonly places: ReadonlyMap<Field, number>
  /** Lower case. */
  readonly head: readonly string[]
  /** Columns that nothing is read from. */
  readonly unused: readonly string[]
}

/**
 * @throws CommandError for a field or column that does not exist, for a file without product codes, and for one whose price or name could only be
 * guessed: with the words to say instead
 */
export function columnsOf(header: readonly string[], mapping: string | undefined, currency: string): Columns {
  const head = header.map(name => name.trim().toLowerCase())
  const given = readMapping(mapping ?? '', head, header)
  const format = FORMATS.find(
    ({ marks, oneOf }) =>
      marks.every(mark => head.includes(mark)) && (oneOf?.some(mark => head.includes(mark)) ?? true),
  )
  const places = new Map<Field, number>()
  for (const field of FIELDS) {
    const known = format?.columns[field]
    const names = format ? (known === undefined ? [] : [known]) : [...STRONG[field], ...ownCurrency(field, currency)]
    const at = given.get(field) ?? names.map(name => head.indexOf(name)).find(place => place >= 0)
    if (at !== undefined && at >= 0) places.set(field, at)
  }
  const notHere = [...given].flatMap(([field, at]) => (at === NOT_HERE ? [field] : []))
  refuseGuesses(places, notHere, head, header, currency)
  const used = new Set(places.values())
  return { format, places, head, unused: header.filter((_, at) => !used.has(at)) }
}

/** `price_gbp` says what it is in a shop in pounds. */
const ownCurrency = (field: Field, currency: string): string[] =>
  field === 'price' || field === 'listPrice' ? [`${STRONG[field][0]}_${currency.toLowerCase()}`] : []

/** Said of a field that the file does not have. */
const NOT_HERE = -1

/** `field=column` pairs with commas; a column with a comma in its name stands in quotes; `-` for a field that is not in the file. */
function readMapping(text: string, head: readonly string[], header: readonly string[]): Map<Field, number> {
  const given = new Map<Field, number>()
  for (const [, left = '', quoted, bare = ''] of text.matchAll(/\s*([^=,]+)=(?:"([^"]*)"|([^,]*))(?:,|$)/g)) {
    const name = left.trim()
    const field = FIELDS.find(one => one.toLowerCase() === name.toLowerCase())
    if (!field) throw new CommandError(`--columns: there is no field '${name}'; there are ${FIELDS.join(', ')}`)
    const column = (quoted ?? bare).trim()
    const at = column === '-' ? NOT_HERE : head.indexOf(column.toLowerCase())
    if (at === -1 && column !== '-')
      throw new CommandError(
        `--columns: the file has no column '${column}'; it has ${header.map(one => one.trim()).join(', ')}`,
      )
    given.set(field, at)
  }
  if (text.trim() !== '' && given.size === 0)
    throw new CommandError(`--columns takes pairs such as price=list_price,sku=id, not '${text}'`)
  return given
}

function refuseGuesses(
  places: ReadonlyMap<Field, number>,
  notHere: readonly Field[],
  head: readonly string[],
  header: readonly string[],
  currency: string,
): void {
  const used = new Set(places.values())
  const guesses = (['sku', 'name', 'price', 'category'] as const).flatMap(field => {
    if (places.has(field) || notHere.includes(field)) return []
    const own = (WEAK[field] ?? []).flatMap(pattern =>
      header.filter((_, at) => !used.has(at) && pattern.test(head[at] ?? '')),
    )
    return [{ field, columns: [...new Set(own.map(name => name.trim()))] }]
  })
  const known = guesses.filter(({ columns }) => columns.length > 0)
  if (places.has('sku') && known.length === 0) return
  const has = `the file has the columns ${header.map(name => name.trim()).join(', ')}`
  if (known.length === 0)
    throw new CommandError(`no column holds the product codes ('sku'); ${has}: say --columns sku=NAME`)
  const words = known.map(
    ({ field, columns }) => `${field}=${columns[0]?.includes(',') ? `"${columns[0]}"` : columns[0]}`,
  )
  const choices = known.map(({ field, columns }) => `${field} may be ${columns.map(name => `'${name}'`).join(' or ')}`)
  throw new CommandError(
    `which column is what cannot be told for sure (prices are in ${currency}): ${choices.join('; ')}. ${has}.\n  If that is right: --columns ${words.join(',')}   (FIELD=- for one that the file does not have)`,
  )
}
