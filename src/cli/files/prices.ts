import type { UnitPrice } from '../../model/money.ts'

/**
 * Prices as people and programs write them: `2.95`, `12,50`, `1,234.50`, `1.234,50`, `1 234,50`, `1'234.50`, `15.00 GBP`, `£15`, `12.0000`, `0.005678`. A text that
 * two people would read in two ways (`1,234`) is refused, never guessed.
 */
type ReadPrice = { readonly minor: UnitPrice } | { readonly problem: string }

export interface CurrencyForm {
  /** ISO 4217. */
  readonly code: string
  /** Decimals of a minor unit: 2 for pence, 0 for yen, 3 for Kuwaiti fils. */
  readonly exponent: number
}

/** What `Intl` knows of a currency; two decimals for one that it does not know. */
export function currencyForm(code: string): CurrencyForm {
  const { maximumFractionDigits } = new Intl.NumberFormat('en', { style: 'currency', currency: code }).resolvedOptions()
  return { code, exponent: maximumFractionDigits ?? 2 }
}

const SIGNS: Readonly<Record<string, readonly string[]>> = {
  '£': ['GBP', 'GIP', 'FKP', 'SHP'],
  '€': ['EUR'],
  $: ['USD', 'AUD', 'CAD', 'NZD', 'SGD', 'HKD', 'MXN', 'CLP', 'COP', 'ARS'],
  '¥': ['JPY', 'CNY'],
  '￥': ['JPY', 'CNY'],
  '₹': ['INR'],
  '₩': ['KRW'],
  '₺': ['TRY'],
  '₽': ['RUB'],
  zł: ['PLN'],
  kr: ['SEK', 'NOK', 'DKK', 'ISK'],
  Kč: ['CZK'],
  Ft: ['HUF'],
}

export function readPrice(text: string, { code, exponent }: CurrencyForm): ReadPrice {
  const trimmed = text.trim()
  const wrong = (why: string): ReadPrice => ({ problem: `price '${trimmed}' ${why}` })
  const [, before = '', digits = '', after = ''] =
    /^(\D*?)\s*(\d[\d.,'’\s\u00a0\u202f]*?)\s*([^\d.,]*)$/u.exec(trimmed) ?? []
  if (digits === '') return wrong('is not an amount such as 2.95')
  for (const mark of [before, after].map(part => part.trim()).filter(part => part !== '')) {
    const known = /^[A-Z]{3}$/i.test(mark) ? [mark.toUpperCase()] : (SIGNS[mark] ?? [])
    if (known.length === 0) return wrong('is not an amount such as 2.95')
    if (!known.includes(code)) return wrong(`is in ${known[0]}, and the shop's currency is ${code}`)
  }
  const plain = plainDecimal(digits.replaceAll(/[\s\u00a0\u202f'’]/gu, ' ').trim(), exponent)
  if (plain === AMBIGUOUS) return wrong('can be read in two ways: write it without a mark for thousands')
  if (plain === undefined) return wrong('is not an amount such as 2.95')
  const [whole = '', fraction = ''] = plain.split('.')
  const most = exponent === 0 ? 0 : DECIMALS_MAX // prices in yen with decimals are of a file in another currency
  if (/[1-9]/.test(fraction.slice(most)))
    return wrong(`has more than the ${most} decimals that a price in ${code} may have`)
  const parts = Number(`0.${fraction.slice(exponent, most) || '0'}`)
  const minor = Number(whole + fraction.slice(0, exponent).padEnd(exponent, '0')) + parts
  if (minor > Number.MAX_SAFE_INTEGER) return wrong('is too large')
  return { minor }
}

/** Bulk goods have prices below a minor unit: 0.005678 pounds a gram. */
const DECIMALS_MAX = 6

const AMBIGUOUS = Symbol('two readings')

/** Digits with at most one point before the decimals. */
function plainDecimal(text: string, exponent: number): string | typeof AMBIGUOUS | undefined {
  const marks = [...text].filter(character => !/\d/.test(character))
  if (marks.length === 0) return text
  const last = marks.at(-1) ?? ''
  const kinds = new Set(marks)
  const groups = (mark: string) => {
    const parts = text.split(mark)
    return /^\d{1,3}$/.test(parts[0] ?? '') && parts.slice(1).every(part => /^\d{3}$/.test(part))
  }
  if (kinds.size === 1) {
    if (last === ' ') return groups(' ') ? text.replaceAll(' ', '') : undefined
    if (marks.length > 1) return groups(last) ? text.replaceAll(last, '') : undefined
    const [whole = '', fraction = ''] = text.split(last)
    if (whole === '' || fraction === '') return undefined
    // Three digits after the only mark: thousands or decimals? A zero before it, or more than three digits, tells.
    const looksGrouped = fraction.length === 3 && /^[1-9]\d{0,2}$/.test(whole)
    if (!looksGrouped) return `${whole}.${fraction}`
    if (exponent === 0) return whole + fraction // decimals there are none
    return exponent === 3 && last === '.' ? `${whole}.${fraction}` : AMBIGUOUS
  }
  if (kinds.size > 2 || last === ' ') return undefined
  const at = text.lastIndexOf(last)
  const [head, fraction] = [text.slice(0, at), text.slice(at + 1)]
  const [thousands = ''] = [...kinds].filter(kind => kind !== last)
  if (head.includes(last) || fraction === '') return undefined
  const parts = head.split(thousands)
  const isGrouped = /^\d{1,3}$/.test(parts[0] ?? '') && parts.slice(1).every(part => /^\d{3}$/.test(part))
  return isGrouped ? `${parts.join('')}.${fraction}` : undefined
}

/** A percentage such as `20`, `8.875` or `7,7 %`: at most three decimals, at most 100. Undefined for anything else. */
export function readPercent(text: string): number | undefined {
  const [, whole, fraction = ''] = /^(\d{1,3})(?:[.,](\d{1,6}))?\s*%?$/.exec(text.trim()) ?? []
  if (whole === undefined || /[1-9]/.test(fraction.slice(3))) return undefined
  const value = Number(`${whole}.${fraction.slice(0, 3) || '0'}`)
  return value <= 100 ? value : undefined
}
