import { z } from 'zod'
import type { Wanted } from '../model/cart.ts'
import { isAddress } from '../model/email.ts'
import { FIXED, type Limits } from '../model/limits.ts'

/** One line of a file of carts, in either of its two forms (see `cartload import --help`). Pure. */
export type Basket =
  | { readonly kind: 'cart'; readonly id: string; readonly email: string; readonly lines: readonly Wanted[] }
  | { readonly kind: 'return' }
  | { readonly kind: 'wrong'; readonly reason: string }

const units = z.int().min(1)
const short = z.object({
  n: z.string().regex(/^[\w.-]{1,64}$/),
  r: z.int().default(0),
  l: z.array(z.tuple([z.string().min(1).max(FIXED.skuCharsMax), units], z.unknown())).min(1),
})
const long = z.object({
  id: z.string().regex(/^[\w.-]{1,64}$/),
  email: z.string().trim().refine(isAddress, 'must be an e-mail address').optional(),
  lines: z.array(z.object({ sku: z.string().min(1).max(FIXED.skuCharsMax), quantity: units })).min(1),
})

export function readBasket(text: string, limits: Limits): Basket {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'wrong', reason: 'not JSON' }
  }
  const isShort = typeof value === 'object' && value !== null && 'l' in value
  const read = isShort ? short.safeParse(value) : long.safeParse(value)
  if (!read.success) {
    const [issue] = read.error.issues
    return { kind: 'wrong', reason: `${issue?.path.join('.') || 'line'}: ${issue?.message}` }
  }
  const data = read.data
  if ('r' in data && data.r === 1) return { kind: 'return' }
  const wanted = 'l' in data ? data.l.map(([sku, quantity]) => ({ sku, quantity })) : data.lines
  const lines = summed(wanted)
  const tooMany = lines.find(line => line.quantity > limits.lineQuantityMax)
  if (tooMany)
    return {
      kind: 'wrong',
      reason: `${tooMany.quantity} of '${tooMany.sku}': at most ${limits.lineQuantityMax} to a line (CARTLOAD_LINE_QUANTITY_MAX)`,
    }
  if (lines.length > limits.cartLinesMax)
    return {
      kind: 'wrong',
      reason: `${lines.length} lines: at most ${limits.cartLinesMax} to a cart (CARTLOAD_CART_LINES_MAX)`,
    }
  const id = 'n' in data ? data.n : data.id
  return { kind: 'cart', id, email: ('email' in data && data.email) || `${id}@import.example`, lines }
}

/** Lines of one product become one line, where the first stood. */
function summed(wanted: readonly Wanted[]): Wanted[] {
  const bySku = new Map<string, number>()
  for (const { sku, quantity } of wanted) bySku.set(sku, (bySku.get(sku) ?? 0) + quantity)
  return [...bySku].map(([sku, quantity]) => ({ sku, quantity }))
}
