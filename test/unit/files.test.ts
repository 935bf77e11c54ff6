import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { createRowReader } from '../../src/cli/files/catalogue-row.ts'
import { columnsOf } from '../../src/cli/files/columns.ts'
import { type Delimiter, recordsOf } from '../../src/cli/files/csv.ts'
import { type Encoding, factsOf, linesOf } from '../../src/cli/files/lines.ts'
import { currencyForm, readPercent, readPrice } from '../../src/cli/files/prices.ts'
import { createSeen } from '../../src/cli/files/seen.ts'
import { readBasket } from '../../src/cli/basket.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'

/** Files that other programs wrote: the kinds of fault that shops have had with them, each as a table. */
async function* linesFrom(text: string) {
  let number = 0
  for (const line of text.split('\n')) yield { number: ++number, text: line, isTooLong: false }
}

const recordsFrom = async (text: string, delimiter?: Delimiter) => {
  const found: (readonly [number, readonly string[] | string])[] = []
  for await (const record of recordsOf(linesFrom(text), delimiter))
    found.push([record.line, 'problem' in record ? record.problem : record.cells])
  return found
}

describe('records of a CSV file', () => {
  const CASES: readonly [string, string, (readonly [number, readonly string[] | RegExp])[]][] = [
    [
      'plain cells',
      'a,b\n1,2',
      [
        [1, ['a', 'b']],
        [2, ['1', '2']],
      ],
    ],
    [
      'a comma in quotes',
      'a,b\n"1,5",2',
      [
        [1, ['a', 'b']],
        [2, ['1,5', '2']],
      ],
    ],
    [
      'doubled quotes',
      'a\n"say ""hi"""',
      [
        [1, ['a']],
        [2, ['say "hi"']],
      ],
    ],
    [
      'a quoted cell over lines',
      'a,b\n"one\ntwo",3\n4,5',
      [
        [1, ['a', 'b']],
        [2, ['one\ntwo', '3']],
        [4, ['4', '5']],
      ],
    ],
    [
      'inches in an unquoted cell',
      'a,b\n15" Monitor,9',
      [
        [1, ['a', 'b']],
        [2, ['15" Monitor', '9']],
      ],
    ],
    [
      'a backslash before a quote, as MySQL writes it',
      'a,b\n"Pipe 10\\" wide",5',
      [
        [1, ['a', 'b']],
        [2, ['Pipe 10" wide', '5']],
      ],
    ],
    [
      'a cell that ends with a backslash',
      'a,b\n"C:\\",5',
      [
        [1, ['a', 'b']],
        [2, ['C:\\', '5']],
      ],
    ],
    [
      'text after a closing quote: that record only',
      'a,b\n"x"y,1\n2,3',
      [
        [1, ['a', 'b']],
        [2, /text after a closing quote/],
        [3, ['2', '3']],
      ],
    ],
    [
      'a quote that is never closed: the next lines are read',
      'a,b\n"x,1\n2,3\n4,5',
      [
        [1, ['a', 'b']],
        [2, /never closed/],
        [3, ['2', '3']],
        [4, ['4', '5']],
      ],
    ],
    [
      'two quotes that are never closed',
      'a,b\n"x,1\n2,3\n"y,5\n6,7',
      [
        [1, ['a', 'b']],
        [2, /after a closing quote/],
        [3, ['2', '3']],
        [4, /never closed/],
        [5, ['6', '7']],
      ],
    ],
    [
      'spaces around quotes',
      'a,b\n "x" , "y"',
      [
        [1, ['a', 'b']],
        [2, ['x', 'y']],
      ],
    ],
    [
      'empty lines and lines of commas',
      'a,b\n\n  \n,\n1,2',
      [
        [1, ['a', 'b']],
        [5, ['1', '2']],
      ],
    ],
    [
      'semicolons',
      'a;b\n12,50;"x;y"',
      [
        [1, ['a', 'b']],
        [2, ['12,50', 'x;y']],
      ],
    ],
    [
      'tabs',
      'a\tb\n1,5\t2',
      [
        [1, ['a', 'b']],
        [2, ['1,5', '2']],
      ],
    ],
    [
      'one column',
      'a\n1',
      [
        [1, ['a']],
        [2, ['1']],
      ],
    ],
    [
      'empty quoted cells',
      'a,b\n"",x',
      [
        [1, ['a', 'b']],
        [2, ['', 'x']],
      ],
    ],
  ]
  for (const [what, text, wanted] of CASES)
    it(`with ${what}`, async () => {
      const found = await recordsFrom(text)
      expect(found.map(([line]) => line)).to.deep.equal(wanted.map(([line]) => line))
      for (const [at, [, cells]] of wanted.entries()) {
        if (cells instanceof RegExp) expect(found[at]?.[1]).to.match(cells)
        else expect(found[at]?.[1]).to.deep.equal(cells)
      }
    })
  it('cut by another delimiter than the most frequent one, when it is told', async () => {
    expect(await recordsFrom('a,b;c\n1,2;3', ';')).to.deep.equal([
      [1, ['a,b', 'c']],
      [2, ['1,2', '3']],
    ])
  })
})

describe('a price', () => {
  const of = (text: string, code: string) => {
    const read = readPrice(text, currencyForm(code))
    return 'minor' in read ? read.minor : read.problem
  }
  const RIGHT: readonly [string, string, number][] = [
    ['2.95', 'GBP', 295],
    ['2', 'GBP', 200],
    ['2.5', 'GBP', 250],
    ['0.99', 'GBP', 99],
    ['.99'.padStart(4, '0'), 'GBP', 99],
    ['12,50', 'EUR', 1250],
    ['12,5', 'EUR', 1250],
    ['1,234.50', 'GBP', 123_450],
    ['1.234,50', 'EUR', 123_450],
    ['1 234,50', 'EUR', 123_450],
    ['1\u00a0234,50', 'EUR', 123_450],
    ['1\u202f234,50', 'EUR', 123_450],
    ["1'234.50", 'CHF', 123_450],
    ['1,234,567.00', 'USD', 123_456_700],
    ['1.234.567,00', 'EUR', 123_456_700],
    ['1,234,567', 'USD', 123_456_700],
    ['12 345', 'EUR', 1_234_500],
    ['15.00 GBP', 'GBP', 1500],
    ['GBP 15.00', 'GBP', 1500],
    ['15.00GBP', 'GBP', 1500],
    ['£15.00', 'GBP', 1500],
    ['€ 15,00', 'EUR', 1500],
    ['15,00 €', 'EUR', 1500],
    ['$1,234.50', 'USD', 123_450],
    ['12.0000', 'GBP', 1200],
    ['12.5000', 'GBP', 1250],
    ['0.950', 'GBP', 95],
    ['1234.500', 'GBP', 123_450],
    ['0', 'GBP', 0],
    ['0.00', 'GBP', 0],
    ['1200', 'JPY', 1200],
    ['1,200', 'JPY', 1200],
    ['1200.00', 'JPY', 1200],
    ['¥1,200', 'JPY', 1200],
    ['1500 JPY', 'JPY', 1500],
    ['1.250', 'KWD', 1250],
    ['1.25', 'KWD', 1250],
    ['12', 'KWD', 12_000],
    ['0.005', 'KWD', 5],
    ['0.005678', 'GBP', 0.5678],
    ['0,005678', 'EUR', 0.5678],
    ['12.3456', 'GBP', 1234.56],
    ['0.999', 'GBP', 99.9],
    ['1.2505', 'KWD', 1250.5],
    ['1,234.567', 'GBP', 123_456.7],
  ]
  for (const [text, code, minor] of RIGHT)
    it(`'${text}' in ${code} is ${minor}`, () => expect(of(text, code)).to.equal(minor))

  const WRONG: readonly [string, string, RegExp][] = [
    ['1,234', 'GBP', /two ways/],
    ['1.234', 'EUR', /two ways/],
    ['12,500', 'EUR', /two ways/],
    ['1,250', 'KWD', /two ways/],
    ['2.955', 'GBP', /two ways/],
    ['12.3456789', 'GBP', /more than the 6 decimals/],
    ['0.0000001', 'GBP', /more than the 6 decimals/],
    ['1200.50', 'JPY', /more than the 0 decimals/],
    ['1.25050001', 'KWD', /more than the 6 decimals/],
    ['15.00 USD', 'GBP', /in USD, and the shop's currency is GBP/],
    ['€15', 'GBP', /in EUR/],
    ['abc', 'GBP', /not an amount/],
    ['', 'GBP', /not an amount/],
    ['-1', 'GBP', /not an amount/],
    ['1e3', 'GBP', /not an amount/],
    ['12.3.4', 'GBP', /not an amount/],
    ['1,23,456.00', 'GBP', /not an amount/],
    ['1.2,3.4', 'GBP', /not an amount/],
    ['12..50', 'GBP', /not an amount/],
    ['1 23', 'GBP', /not an amount/],
    ['from 5', 'GBP', /not an amount/],
    ['5 apples', 'GBP', /not an amount/],
    ['12,', 'GBP', /not an amount/],
    ['99999999999999999', 'GBP', /too large/],
  ]
  for (const [text, code, told] of WRONG)
    it(`'${text}' in ${code} is refused`, () => expect(of(text, code)).to.match(told))

  it('of tax has at most three decimals', () => {
    expect(['20', '8.875', '7,7 %', '0', '100', '19.000'].map(readPercent)).to.deep.equal([20, 8.875, 7.7, 0, 100, 19])
    expect(['', '-1', '101', '8.8755', 'x', '1e1'].map(readPercent)).to.deep.equal(
      Array.from({ length: 6 }, () => undefined),
    )
  })
})

describe('columns of a catalogue file', () => {
  const placed = (head: string, mapping?: string) => {
    const cells = head.split(',')
    return Object.fromEntries([...columnsOf(cells, mapping, 'GBP').places].map(([field, at]) => [field, cells[at]]))
  }
  it('are known by plain names, whatever their case, and prices by the currency of the shop', () => {
    expect(placed('SKU,Name,Price,Category')).to.deep.equal({
      sku: 'SKU',
      name: 'Name',
      price: 'Price',
      category: 'Category',
    })
    expect(placed('sku,name,price_gbp,derived_category,price_min')).to.include({
      price: 'price_gbp',
      category: 'derived_category',
    })
    expect(placed('sku,price')).to.deep.equal({ sku: 'sku', price: 'price' })
  })
  it('are named, all of them, in any case, and a field may be said not to be there', () => {
    expect(
      placed(
        'a,b,c,d,e,f,g,h,i',
        'sku=a,name=b,price=c,category=d,tags=e,LISTPRICE=f,floorPrice=g,taxpercent=h,status=i',
      ),
    ).to.deep.equal({
      sku: 'a',
      name: 'b',
      price: 'c',
      category: 'd',
      tags: 'e',
      listPrice: 'f',
      floorPrice: 'g',
      taxPercent: 'h',
      status: 'i',
    })
    expect(placed('sku,price,type', 'category=-')).to.deep.equal({ sku: 'sku', price: 'price' })
    const odd = ['sku', 'Price, incl. tax', 'a=b']
    expect([...columnsOf(odd, 'price="Price, incl. tax",name=a=b', 'GBP').places]).to.deep.equal([
      ['sku', 0],
      ['name', 2],
      ['price', 1],
    ])
  })
  for (const [what, head, mapping, told] of [
    ['an unknown field', 'sku,name,price,category', 'colour=name', /no field 'colour'; there are sku, name/],
    ['an unknown column', 'sku,name,price,category', 'tags=Nope', /no column 'Nope'; it has sku, name/],
    ['no pairs at all', 'sku,name,price,category', 'name', /takes pairs/],
    ['no product codes', 'name,price', undefined, /no column holds the product codes/],
    [
      'a list price for the price',
      'sku,name,category,list_price,sale_price',
      undefined,
      /price may be 'list_price' or 'sale_price'[\s\S]*--columns price=list_price/,
    ],
    [
      'a price in another currency',
      'sku,name,price_usd,category',
      undefined,
      /prices are in GBP[\s\S]*price may be 'price_usd'/,
    ],
    ['a type for the category', 'sku,name,price,type', undefined, /category may be 'type'/],
    ['an id for the code', 'id,name,price,category', undefined, /sku may be 'id'/],
  ] as const)
    it(`are refused with ${what}`, () => expect(() => placed(head, mapping)).to.throw(told))
})

describe('rows of a catalogue file', () => {
  /** The file as it would be imported: changes by code, and what is refused or passed over by line. */
  async function read(text: string, mapping?: string, currency = 'GBP') {
    const changes: Record<string, unknown> = {}
    const other: string[] = []
    let reader: ReturnType<typeof createRowReader> | undefined
    let width = 0
    for await (const record of recordsOf(linesFrom(text))) {
      if ('problem' in record) other.push(`${record.line} ${record.problem}`)
      else if (!reader) {
        const columns = columnsOf(record.cells, mapping, currency)
        width = columns.head.length
        reader = createRowReader(columns, currencyForm(currency))
      } else if (record.cells.length !== width) other.push(`${record.line} cells`)
      else {
        const result = reader(record.cells)
        if (result.kind === 'change') {
          const { sku, ...change } = result.change
          changes[sku] = change
        } else other.push(`${record.line} ${result.kind}`)
      }
    }
    return { changes, other }
  }

  it('change only what they name: empty is as it is, none takes away', async () => {
    const { changes } = await read(
      'sku,price,regular_price,tax_percent,tags,name\nA,5.00,,,,\nB,5.00,none,none,none,\nC,5.00,7.50,8.875,"x, y",New name',
    )
    expect(changes).to.deep.equal({
      A: { price: 500 },
      B: { price: 500, listPrice: null, taxPercent: null, tags: [] },
      C: { price: 500, listPrice: 750, taxPercent: 8.875, tags: ['x', 'y'], name: 'New name' },
    })
  })

  for (const [what, row] of [
    ['a wrong price', 'A,x,abc,c'],
    ['a control character', 'A,x\u0000y,1,c'],
    ['a character that could not be read', 'A,x\ufffdy,1,c'],
    ['a C1 control', 'A,x\u0085y,1,c'],
    ['no code', ',x,1,c'],
    ['a code that cannot be in an address', '..,x,1,c'],
    ['a code of one dot', '.,x,1,c'],
    ['a code with a letter outside ASCII', 'Ä,x,1,c'],
    ['a name that is too long', `A,${'x'.repeat(201)},1,c`],
    ['a category that is too long', `A,x,1,${'c'.repeat(101)}`],
  ] as const)
    it(`are refused with ${what}`, async () =>
      expect((await read(`sku,name,price,category\n${row}`)).other).to.deep.equal(['2 refused']))
  it('are refused when they have more or fewer cells than the head, also empty ones', async () => {
    expect((await read('sku,name,price,category\nA,x,12,50,c\nB,x,5.00\nC,x,12,50,')).other).to.deep.equal([
      '2 cells',
      '3 cells',
      '4 cells',
    ])
  })
  for (const [text, status] of [
    ['active', 'active'],
    ['On Sale', 'active'],
    ['1', 'active'],
    ['draft', 'withdrawn'],
    ['archived', 'withdrawn'],
    ['0', 'withdrawn'],
    ['withdrawn', 'withdrawn'],
  ] as const)
    it(`with the status ${text} are ${status}`, async () =>
      expect((await read(`sku,status\nA,${text}`)).changes['A']).to.deep.equal({ status }))
  it('with an unknown status are refused', async () =>
    expect((await read('sku,status\nA,perhaps')).other).to.deep.equal(['2 refused']))

  it('of Shopify go on with a product; pictures are passed over; drafts and unpublished ones are off sale', async () => {
    const { changes, other } = await read(
      `Handle,Title,Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Compare At Price,Image Src,Status
linen-shirt,Linen Shirt,Acme,Shirts,"summer, linen",TRUE,Size,S,LS-S,49.00,65.00,a.jpg,active
linen-shirt,,,,,,,M,LS-M,49.00,65.00,,
linen-shirt,,,,,,,L,LS-L,52.00,,,
linen-shirt,,,,,,,,,,,b.jpg,
mug,Mug,Acme,,,TRUE,Title,Default Title,MUG,5.00,,,draft
hat,Hat,Acme,Hats,,FALSE,Title,Default Title,HAT,9.00,,,active
cap,Cap,Acme,Hats,,TRUE,Title,Default Title,,9.00,,,active`,
    )
    expect(changes).to.deep.equal({
      'LS-S': {
        name: 'Linen Shirt – S',
        price: 4900,
        listPrice: 6500,
        category: 'Shirts',
        tags: ['summer', 'linen'],
        status: 'active',
      },
      'LS-M': {
        name: 'Linen Shirt – M',
        price: 4900,
        listPrice: 6500,
        category: 'Shirts',
        tags: ['summer', 'linen'],
        status: 'active',
      },
      'LS-L': {
        name: 'Linen Shirt – L',
        price: 5200,
        listPrice: null,
        category: 'Shirts',
        tags: ['summer', 'linen'],
        status: 'active',
      },
      MUG: { name: 'Mug', price: 500, listPrice: null, newCategory: 'other', tags: [], status: 'withdrawn' },
      HAT: { name: 'Hat', price: 900, listPrice: null, category: 'Hats', tags: [], status: 'withdrawn' },
    })
    expect(other).to.deep.equal(['5 passed', '8 refused'])
  })

  it('of WooCommerce have the price of the sale, the categories of their parent, and no type for a category', async () => {
    const { changes, other } = await read(
      `ID,Type,SKU,Name,Published,"Regular price","Sale price",Categories,Tags,Parent
44,simple,knit-cap,"Knit cap",1,45.00,,"Clothing > Caps, Sale",wool,
45,variable,hoodie,Hoodie,1,,,Clothing > Hoodies,,
46,variation,hoodie-blue,"Hoodie - Blue",1,45.00,39.00,,,hoodie
47,simple,gone,Gone,-1,5.00,,Clothing,,`,
    )
    expect(changes).to.deep.equal({
      'knit-cap': {
        name: 'Knit cap',
        price: 4500,
        listPrice: null,
        category: 'Clothing > Caps',
        tags: ['wool'],
        status: 'active',
      },
      'hoodie-blue': {
        name: 'Hoodie - Blue',
        price: 3900,
        listPrice: 4500,
        category: 'Clothing > Hoodies',
        status: 'active',
      },
      gone: { name: 'Gone', price: 500, listPrice: null, category: 'Clothing', status: 'withdrawn' },
    })
    expect(other).to.deep.equal(['3 passed'])
  })

  it('of Magento write prices with four decimals and say 2 for off sale', async () => {
    const { changes, other } = await read(
      `sku,attribute_set_code,product_type,categories,name,product_online,price,special_price
24-MB01,Bag,simple,"Default Category/Gear,Default Category/Gear/Bags",Joust Duffle Bag,1,34.0000,29.5000
24-MB02,Bag,simple,Default Category/Gear,Fusion Backpack,2,59.0000,
MH01,Top,configurable,Default Category/Men,Chaz Hoodie,1,52.0000,`,
    )
    expect(changes).to.deep.equal({
      '24-MB01': {
        name: 'Joust Duffle Bag',
        price: 2950,
        listPrice: 3400,
        category: 'Default Category/Gear',
        status: 'active',
      },
      '24-MB02': {
        name: 'Fusion Backpack',
        price: 5900,
        listPrice: null,
        category: 'Default Category/Gear',
        status: 'withdrawn',
      },
    })
    expect(other).to.deep.equal(['4 passed'])
  })

  it("of Google's feed have a currency with their prices", async () => {
    const { changes, other } = await read(
      `id,title,price,sale_price,availability,product_type
GP1,Red mug,15.00 GBP,12.00 GBP,in_stock,Mugs
GP2,Blue mug,15.00 GBP,,in_stock,Mugs
GP3,Mug abroad,15.00 EUR,,in_stock,Mugs`,
    )
    expect(changes).to.deep.equal({
      GP1: { name: 'Red mug', price: 1200, listPrice: 1500, category: 'Mugs' },
      GP2: { name: 'Blue mug', price: 1500, listPrice: null, category: 'Mugs' },
    })
    expect(other).to.deep.equal(['4 refused'])
  })

  for (const [what, text, expected] of [
    [
      "Google's feed without categories and sale prices",
      'id,title,price,availability\nA,One,1.00,in_stock',
      { A: { name: 'One', price: 100, newCategory: 'other' } },
    ],
    [
      "Google's feed with a column that has no name",
      'id,title,price,availability,\nA,One,1.00,in_stock,0',
      { A: { name: 'One', price: 100, newCategory: 'other' } },
    ],
    [
      'Shopify without tags and compare-at prices',
      'Handle,Title,Variant SKU,Variant Price\na,One,A,1.00',
      { A: { name: 'One', price: 100, newCategory: 'other' } },
    ],
    [
      'Shopify, where only the first variant says that the product is hidden',
      'Handle,Title,Variant SKU,Variant Price,Published,Option1 Value,Status\na,One,A,1.00,FALSE,S,active\na,,B,1.00,,M,',
      {
        A: { name: 'One – S', price: 100, status: 'withdrawn', newCategory: 'other' },
        B: { name: 'One – M', price: 100, status: 'withdrawn', newCategory: 'other' },
      },
    ],
    [
      'WooCommerce, where a product without a parent follows a variable one without a code',
      'ID,Type,SKU,Name,Regular price,Categories,Tags,Parent\n1,variable,,Hoodie,,Clothing,clearance,\n2,simple,A,Mug,1.00,,,',
      { A: { name: 'Mug', price: 100, newCategory: 'other' } },
    ],
  ] as const)
    it(`take over what the file says and nothing else: ${what}`, async () =>
      expect((await read(text)).changes).to.deep.equal(expected))
})

describe('lines of a file', () => {
  let dir: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-files-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  const write = (bytes: Buffer | string) => {
    const file = join(dir, 'file')
    writeFileSync(file, bytes)
    return file
  }
  const textsIn = async (file: string, encoding: Encoding, charsMax?: number) => {
    const found: string[] = []
    for await (const { number, text, isTooLong } of linesOf(file, encoding, charsMax))
      found.push(isTooLong ? `${number} too long` : `${number} ${text}`)
    return found
  }
  const TEXT = 'Crème brûlée – 12 cm\nKüche'
  const cp1252 = Buffer.from(TEXT.replace('–', '\u0096'), 'latin1')
  const utf16be = Buffer.from(`\ufeff${TEXT}`, 'utf16le').swap16()

  const CASES: readonly [string, Buffer, Encoding, boolean][] = [
    ['UTF-8', Buffer.from(TEXT), 'utf-8', false],
    ['UTF-8 with a mark', Buffer.from(`\ufeff${TEXT}`), 'utf-8', false],
    ['UTF-16 little-endian with a mark', Buffer.from(`\ufeff${TEXT}`, 'utf16le'), 'utf-16le', false],
    ['UTF-16 without a mark', Buffer.from(TEXT, 'utf16le'), 'utf-16le', false],
    ['UTF-16 big-endian', utf16be, 'utf-16be', false],
    ['Windows-1252', cp1252, 'windows-1252', true],
    ['gzipped UTF-8', gzipSync(TEXT), 'utf-8', false],
    ['gzipped Windows-1252', gzipSync(cp1252), 'windows-1252', true],
  ]
  for (const [what, bytes, encoding, isGuessed] of CASES)
    it(`in ${what}`, async () => {
      const file = write(bytes)
      const facts = await factsOf(file)
      expect(facts).to.include({ encoding, isGuessed })
      expect(await textsIn(file, facts.encoding)).to.deep.equal(['1 Crème brûlée – 12 cm', '2 Küche'])
    })

  it('that is UTF-8 with a broken place stays UTF-8, and the place is seen', async () => {
    const file = write(Buffer.concat([Buffer.from('Küche\nKöln\nx'), Buffer.from([0xff]), Buffer.from('y\n')]))
    expect(await factsOf(file)).to.include({ encoding: 'utf-8' })
    expect(await textsIn(file, 'utf-8')).to.deep.equal(['1 Küche', '2 Köln', '3 x\ufffdy'])
  })
  for (const [what, text, lines] of [
    ['\\n', 'a\nb\n', ['1 a', '2 b']],
    ['\\r\\n', 'a\r\nb\r\n', ['1 a', '2 b']],
    ['\\r', 'a\rb\r', ['1 a', '2 b']],
    ['empty lines', 'a\n\n\r\nb', ['1 a', '2 ', '3 ', '4 b']],
    ['nothing', '', []],
  ] as const)
    it(`ended by ${what}`, async () => expect(await textsIn(write(text), 'utf-8')).to.deep.equal(lines))
  it('are the same whatever pieces the file comes in', async () => {
    const text = Array.from({ length: 60_000 }, (_, at) => `line ${at} ü`).join('\r\n')
    const found = await textsIn(write(text), 'utf-8')
    expect(found).to.have.length(60_000)
    expect(found[59_999]).to.equal('60000 line 59999 ü')
    expect(found.find((line, at) => line !== `${at + 1} line ${at} ü`)).to.equal(undefined)
  })
  it('have a most, also when they come packed a thousand times smaller', async () => {
    const file = write(gzipSync(`short\n${'x'.repeat(50_000_000)}\nshort again`))
    const before = process.memoryUsage().rss
    expect(await textsIn(file, 'utf-8')).to.deep.equal(['1 short', '2 too long', '3 short again'])
    expect((process.memoryUsage().rss - before) / 1e6, 'MB more').to.be.below(150)
  })
  it('are known by their content, not by the name of the file', async () => {
    const first = (await factsOf(write('same'))).contentHash
    expect((await factsOf(write('other'))).contentHash).to.not.equal(first)
    expect((await factsOf(write('same'))).contentHash).to.equal(first)
  })
  it('that break off name the last good line', async () => {
    const packed = gzipSync(Array.from({ length: 20_000 }, (_, at) => `${at} ${Math.sin(at)}`).join('\n'))
    const file = write(packed.subarray(0, packed.length / 2))
    expect(await textsIn(file, 'utf-8').then(String, (error: Error) => error.message)).to.match(
      /cannot be read past line \d+/,
    )
    expect(await factsOf(join(dir, 'none')).then(String, (error: Error) => error.message)).to.match(
      /none cannot be read/,
    )
  })
})

describe('an order of a file of carts', () => {
  it('has an address that a registration would take', () => {
    const read = (email: string) =>
      readBasket(JSON.stringify({ id: 'a', email, lines: [{ sku: 'A', quantity: 1 }] }), DEFAULT_LIMITS).kind
    expect(read("o'neill@example.com")).to.equal('cart')
    for (const email of ['nameless', 'nul\u0000@example.com', 'zero\u200b@example.com', 'full＠example.com'])
      expect(read(email), email).to.equal('wrong')
  })
})

describe('the codes of a file', () => {
  it('are each new once, however many there are', () => {
    const seen = createSeen()
    const codes = Array.from({ length: 20_000 }, (_, at) => `SKU-${at}`)
    expect(codes.filter(code => seen.add(code)).length).to.equal(20_000)
    expect(codes.filter(code => seen.add(code))).to.deep.equal([])
    expect(codes.every(code => seen.has(code))).to.equal(true)
    expect(seen.has('SKU-20000')).to.equal(false)
  })
})
