import { type CartLine, type Lines, nextPosition } from './cart.ts'
import { FIXED, type Limits } from './limits.ts'
import { codeForm } from './code.ts'

/** How a line that stands in both carts is merged when a guest logs in. */
export const MERGE_RULES = ['larger', 'sum', 'guest', 'user'] as const
export type MergeRule = (typeof MERGE_RULES)[number]

/** What a merge did to one line: enough to take it back. */
export interface MergedLine {
  readonly sku: string
  /** The quantity the user's cart had; 0 when it had no such line. */
  readonly before: number
  readonly after: number
  /** What else the merge changed of a line that was there, as it was before. */
  readonly wasSelected?: boolean
  readonly hadNote?: string
}

interface Merge {
  readonly lines: Lines
  readonly changes: readonly MergedLine[]
  /** Guest lines that found no room (the cart was full). They stay in the record of the merge: nothing is lost. */
  readonly leftOut: readonly CartLine[]
}

/**
 * Merges a guest's lines into a user's. Quantities stop at the line limit, lines at the cart limit. What the guest has selected was to be bought: it
 * is selected afterwards, also where the user had put it aside. The user's note stays; the guest's fills an empty one.
 */
export function mergeLines(user: Lines, guest: Lines, rule: MergeRule, limits: Limits): Merge {
  const merged = new Map(user.map(line => [line.sku, line]))
  const changes: MergedLine[] = []
  const leftOut: CartLine[] = []
  let position = nextPosition(user)
  for (const line of guest) {
    const mine = merged.get(line.sku)
    if (!mine && merged.size >= limits.cartLinesMax) {
      leftOut.push(line)
      continue
    }
    const before = mine?.quantity ?? 0
    const after = Math.min(mine ? combine(rule, mine.quantity, line.quantity) : line.quantity, limits.lineQuantityMax)
    const isWanted = mine !== undefined && line.selected && !mine.selected
    const isNoted = mine !== undefined && mine.note === '' && line.note !== ''
    if (after === before && !isWanted && !isNoted) continue
    changes.push({
      sku: line.sku,
      before,
      after,
      ...(isWanted ? { wasSelected: false } : {}),
      ...(isNoted ? { hadNote: '' } : {}),
    })
    const kept = mine && {
      ...mine,
      quantity: after,
      selected: mine.selected || line.selected,
      note: mine.note || line.note,
    }
    merged.set(line.sku, kept ?? { ...line, quantity: after, position: position++ })
  }
  return { lines: changes.length === 0 ? user : [...merged.values()], changes, leftOut }
}

/** Takes a merge back line by line, but leaves alone what the user has changed since. */
export function undoMerge(lines: Lines, changes: readonly MergedLine[]): Lines {
  const bySku = new Map(changes.map(change => [change.sku, change]))
  const isUndone = (line: CartLine): boolean => bySku.get(line.sku)?.after === line.quantity
  if (!lines.some(isUndone)) return lines
  return lines.flatMap(line => {
    if (!isUndone(line)) return [line]
    const { before = 0, wasSelected, hadNote } = bySku.get(line.sku) ?? {}
    if (before === 0) return []
    return [{ ...line, quantity: before, selected: wasSelected ?? line.selected, note: hadNote ?? line.note }]
  })
}

function combine(rule: MergeRule, user: number, guest: number): number {
  switch (rule) {
    case 'larger':
      return Math.max(user, guest)
    case 'sum':
      return user + guest
    case 'guest':
      return guest
    case 'user':
      return user
  }
}

/** The user's codes, then the guest's as far as there is room. */
export function mergeCodes(user: readonly string[], guest: readonly string[]): readonly string[] {
  const known = new Set(user.map(code => codeForm(code)))
  const fresh = guest.filter(code => !known.has(codeForm(code)))
  return fresh.length === 0 ? user : [...user, ...fresh].slice(0, FIXED.codesMax)
}
