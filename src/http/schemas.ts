import { z } from 'zod'
import { FIXED, type Limits } from '../model/limits.ts'
import { SKU_FORM } from '../model/product.ts'

/** The shapes of the API: what requests are read with and what the OpenAPI document shows. Unknown fields are refused. */
export type Schemas = ReturnType<typeof createSchemas>

const money = z.int().meta({ description: 'Minor units (pence, cents)' })

export function createSchemas(limits: Limits) {
  // Control characters have no place in a key, a name or a note; tabs and newlines are allowed where prose is.
  const plain = (max: number) =>
    z
      .string()
      .max(max)
      // oxlint-disable-next-line no-control-regex -- refusing them is the point
      .regex(/^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$/, 'must not have control characters')
  const sku = z.string().min(1).max(FIXED.skuCharsMax).regex(SKU_FORM, 'must be a product code')
  const email = z
    .string()
    .trim()
    .max(FIXED.emailCharsMax)
    .regex(/^[^\s@<>"']+@[^\s@<>"']+\.[^\s@<>"']+$/, 'must be an e-mail address')
  const password = z.string().min(1).max(FIXED.passwordCharsMax)
  const newPassword = z.string().min(FIXED.passwordCharsMin).max(FIXED.passwordCharsMax)
  const quantity = z.int().min(1)
  const queryNumber = (min: number, max: number) =>
    z
      .string()
      .regex(/^\d{1,12}$/, 'must be a whole number')
      .transform(Number)
      .pipe(z.int().min(min).max(max))
  const limit = queryNumber(1, limits.pageLinesMax).default(limits.pageLinesDefault)
  const cursor = z.string().min(1).max(FIXED.cursorCharsMax).optional()
  const page = z.strictObject({ limit: z.int(), next: z.string().nullable() })

  const product = z.strictObject({ sku, name: z.string(), price: money, category: z.string() }).meta({ id: 'Product' })
  const line = z
    .strictObject({
      sku,
      name: z.string(),
      quantity,
      selected: z.boolean(),
      note: z.string(),
      unitPrice: money,
      total: money,
      available: z
        .boolean()
        .meta({ description: 'False when the product is not sold any more; such a line costs nothing' }),
    })
    .meta({ id: 'CartLine' })
  const totals = z
    .strictObject({ lines: z.int(), units: z.int(), subtotal: money, discount: money, total: money })
    .meta({ id: 'Totals', description: 'Of the selected lines of the whole cart, whatever page is shown' })

  const wanted = z.strictObject({ sku, quantity })
  return {
    register: z.strictObject({ email, password: newPassword, name: plain(FIXED.personNameCharsMax).default('') }),
    registered: z.strictObject({ id: z.string(), email: z.string(), name: z.string() }).meta({ id: 'Account' }),
    logIn: z.strictObject({ email: z.string().min(1).max(FIXED.emailCharsMax), password }),
    loggedIn: z
      .strictObject({
        token: z.string(),
        userId: z.string(),
        expiresAt: z.iso.datetime(),
        merged: z.strictObject({ lines: z.int(), leftOut: z.int() }).nullable(),
      })
      .meta({ id: 'Session' }),
    changePassword: z.strictObject({ current: password, next: newPassword }),
    me: z
      .strictObject({
        id: z.string(),
        guest: z.boolean(),
        email: z.string().optional(),
        name: z.string().optional(),
        createdAt: z.iso.datetime().optional(),
        expiresAt: z.iso.datetime(),
      })
      .meta({ id: 'Me' }),
    productQuery: z
      .strictObject({
        limit,
        cursor,
        category: plain(FIXED.categoryCharsMax).min(1).optional(),
        q: plain(FIXED.searchCharsMax).min(1).optional().meta({ description: 'Start of the name, any case' }),
        minPrice: queryNumber(0, FIXED.priceMinorMax).optional(),
        maxPrice: queryNumber(0, FIXED.priceMinorMax).optional(),
      })
      .refine(
        query => query.minPrice === undefined || query.maxPrice === undefined || query.minPrice <= query.maxPrice,
        {
          path: ['minPrice'],
          message: 'must not be above maxPrice',
        },
      ),
    skuParams: z.strictObject({ sku }),
    product: product.extend({ currency: z.string() }).meta({ id: 'ProductWithCurrency' }),
    productPage: z.strictObject({ data: z.array(product), currency: z.string(), page }).meta({ id: 'ProductPage' }),
    cartQuery: z.strictObject({ limit, cursor }),
    noQuery: z.strictObject({}),
    cart: z
      .strictObject({
        version: z.int(),
        currency: z.string(),
        totals,
        counts: z.strictObject({ lines: z.int(), units: z.int() }),
        lines: z.array(line),
        page,
      })
      .meta({ id: 'Cart' }),
    addLines: z.union([wanted, z.strictObject({ lines: z.array(wanted).min(1).max(limits.cartLinesMax) })]),
    setLine: z
      .strictObject({
        quantity: z.int().min(0).optional().meta({ description: '0 removes the line' }),
        selected: z.boolean().optional(),
        note: plain(FIXED.noteCharsMax).optional(),
      })
      .refine(change => Object.keys(change).length > 0, 'must have quantity, selected or note'),
  }
}
