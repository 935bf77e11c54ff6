import { AppError } from '../lib/errors.ts'
import { FIXED, type Limits } from './limits.ts'
import { codeForm } from './code.ts'

/**
 * A cart and every way in which it changes, as pure functions from lines to lines. An edit knows nothing of prices,
 * versions or storage: cart/cart-writer.ts applies it to whatever the cart is by then, so edits of two tabs never conflict.
 */

export interface CartLine {
  readonly sku: string
  readonly quantity: number
  readonly selected: boolean
  readonly note: string
  /** Place in the cart; grows with each new line, so the order of lines never changes. */
  readonly position: number
  /** What was left of it when the line could not be ordered; gone as soon as the line's quantity is changed. */
  readonly left?: number
}

export type Lines = readonly CartLine[]
export type Edit = (lines: Lines) => Lines

export interface Wanted {
  readonly sku: string
  readonly quantity: number
}

/** One entry for each product, its quantities summed, in the order in which products come first. */
export function summed(wanted: readonly Wanted[]): Wanted[] {
  const units = new Map<string, number>()
  for (const { sku, quantity } of wanted) units.set(sku, (units.get(sku) ?? 0) + quantity)
  return [...units].map(([sku, quantity]) => ({ sku, quantity }))
}

export interface LineChange {
  readonly quantity?: number
  readonly selected?: boolean
  readonly note?: string
}

/**
 * Adds quantities on top of what is there; new products become new lines at the end, all or nothing.
 * @throws AppError `line_quantity_max`, `cart_lines_max`
 */
export function addLines(wanted: readonly Wanted[], limits: Limits): Edit {
  return lines => {
    const after = [...lines]
    const places = new Map(wanted.map(({ sku }) => [sku, -1]))
    lines.forEach(({ sku }, at) => {
      if (places.has(sku)) places.set(sku, at)
    })
    let position = nextPosition(lines)
    for (const [index, { sku, quantity }] of wanted.entries()) {
      const place = places.get(sku) ?? -1
      const present = after[place]
      const sum = (present?.quantity ?? 0) + quantity
      if (sum > limits.lineQuantityMax)
        throw quantityTooLarge(sku, sum, limits, wanted.length === 1 ? undefined : index)
      if (present) after[place] = { ...unmarked(present), quantity: sum }
      else places.set(sku, after.push(newLine(sku, quantity, position++)) - 1)
    }
    return checkCount(after, limits)
  }
}

/**
 * Sets what is given of one line. With a quantity the line is made where it is missing, and 0 removes it, so that
 * doing it twice is the same as doing it once.
 * @throws AppError `line_not_found` when there is no such line and no quantity; `line_quantity_max`, `cart_lines_max`
 */
export function setLine(sku: string, change: LineChange, limits: Limits): Edit {
  return lines => {
    if (change.quantity === 0) return removeLine(sku)(lines)
    if (change.quantity !== undefined && change.quantity > limits.lineQuantityMax) {
      throw quantityTooLarge(sku, change.quantity, limits)
    }
    const present = lines.find(line => line.sku === sku)
    if (!present && change.quantity === undefined) {
      throw lineNotFound(sku)
    }
    const before = present ?? newLine(sku, change.quantity ?? 1, nextPosition(lines))
    const after = { ...(change.quantity === undefined ? before : unmarked(before)), ...change }
    if (!present) return checkCount([...lines, after], limits)
    return sameLine(present, after) ? lines : lines.map(line => (line === present ? after : line))
  }
}

export function lineNotFound(sku: string): AppError {
  return new AppError('line_not_found', `The cart has no line for '${sku}'.`, { extra: { sku } })
}

/** The same for several lines, all or none. */
export function setLines(changes: readonly (LineChange & { readonly sku: string })[], limits: Limits): Edit {
  return lines => changes.reduce((edited, { sku, ...change }) => setLine(sku, change, limits)(edited), lines)
}

/** Takes a line away; nothing happens where there is none. */
export function removeLine(sku: string): Edit {
  return lines => (lines.some(line => line.sku === sku) ? lines.filter(line => line.sku !== sku) : lines)
}

/** Takes away what was ordered: a line goes when nothing more of it is wanted. */
export function takeOrdered(ordered: readonly Wanted[]): Edit {
  const units = new Map(ordered.map(({ sku, quantity }) => [sku, quantity]))
  return lines =>
    lines.flatMap(line => {
      const rest = line.quantity - (units.get(line.sku) ?? 0)
      if (rest === line.quantity) return [line]
      return rest > 0 ? [{ ...unmarked(line), quantity: rest }] : []
    })
}

/** Marks lines that could not be ordered with what was left of each. */
export function markShort(left: ReadonlyMap<string, number>): Edit {
  return lines => {
    const marked = lines.map(line => {
      const units = left.get(line.sku)
      return units === undefined || units === line.left ? line : { ...line, left: units }
    })
    return marked.some((line, at) => line !== lines[at]) ? marked : lines
  }
}

export const clearLines: Edit = lines => (lines.length === 0 ? lines : [])

/**
 * Adds a promotion code; one that is there already, in whatever case, stays as it is.
 * @throws AppError `codes_max`
 */
export function addCode(codes: readonly string[], code: string): readonly string[] {
  if (codes.some(known => codeForm(known) === codeForm(code))) return codes
  if (codes.length < FIXED.codesMax) return [...codes, code]
  throw new AppError('codes_max', `A cart holds at most ${FIXED.codesMax} codes.`, { extra: { max: FIXED.codesMax } })
}

/** Takes a code away; nothing happens where it is not. */
export function removeCode(codes: readonly string[], code: string): readonly string[] {
  const rest = codes.filter(known => codeForm(known) !== codeForm(code))
  return rest.length === codes.length ? codes : rest
}

/** What one line becomes between two states of a cart, for the rows that must be written. */
export interface LineDifference {
  readonly upserts: Lines
  readonly removals: readonly string[]
}

export function differenceOf(before: Lines, after: Lines): LineDifference {
  // Edits leave lines that they do not change as they are: in a long cart nearly all are the same objects.
  let same = 0
  while (same < before.length && before[same] === after[same]) same++
  const old = new Map(before.slice(same).map(line => [line.sku, line]))
  const upserts = after.slice(same).filter(line => {
    const was = old.get(line.sku)
    old.delete(line.sku)
    return !was || !sameLine(was, line)
  })
  return { upserts, removals: [...old.keys()] }
}

export function nextPosition(lines: Lines): number {
  return lines.reduce((highest, line) => Math.max(highest, line.position), 0) + 1
}

export function newLine(sku: string, quantity: number, position: number): CartLine {
  return { sku, quantity, selected: true, note: '', position }
}

function sameLine(a: CartLine, b: CartLine): boolean {
  return (['quantity', 'selected', 'note', 'position', 'left'] as const).every(field => a[field] === b[field])
}

function unmarked({ sku, quantity, selected, note, position }: CartLine): CartLine {
  return { sku, quantity, selected, note, position }
}

function checkCount(lines: Lines, limits: Limits): Lines {
  if (lines.length > limits.cartLinesMax) {
    throw new AppError('cart_lines_max', `A cart holds at most ${limits.cartLinesMax} lines.`, {
      extra: { max: limits.cartLinesMax },
    })
  }
  return lines
}

function quantityTooLarge(sku: string, asked: number, limits: Limits, index?: number): AppError {
  const detail = `A line holds at most ${limits.lineQuantityMax} of a product; '${sku}' would have ${asked}.`
  const pointer = index === undefined ? '#/quantity' : `#/lines/${index}/quantity`
  return new AppError('line_quantity_max', detail, {
    errors: [{ in: 'body', pointer, detail }],
    extra: { sku, max: limits.lineQuantityMax },
  })
}
