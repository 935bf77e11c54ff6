import { z } from 'zod'
import { FIXED, type Limits } from '../model/limits.ts'
import { isAddress } from '../model/email.ts'
import { CODE_FORM } from '../model/code.ts'
import { SKU_FORM } from '../model/product.ts'

/** What the shapes of requests and answers are made of. */
export type Parts = ReturnType<typeof createParts>

const unitPrice = z.number().meta({
  description: 'Minor units; with parts of one (0.5678) where a unit of bulk goods costs less than a minor unit',
})
const money = z.int().meta({ description: 'Minor units (pence, cents)' })

export function createParts(limits: Limits) {
  return {
    ...TEXTS,
    ...pagingParts(limits),
    ...productParts(),
    ...pricedParts(),
    ruleSetVersion: z.strictObject({
      version: z.int(),
      note: z.string(),
      createdAt: z.iso.datetime(),
      activeFrom: z.array(z.iso.datetime()),
    }),
    money,
  }
}

// Control characters have no place in a key, a name or a note; tabs and newlines are allowed where prose is.
const plain = (max: number) =>
  z
    .string()
    .max(max)
    // oxlint-disable-next-line no-control-regex -- refusing them is the point
    .regex(/^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$/, 'must not have control characters')
const sku = z.string().min(1).max(FIXED.skuCharsMax).regex(SKU_FORM, 'must be a product code')
/** Of a new account; a login takes any text, for accounts that were made under older rules. */
const email = z.string().trim().max(FIXED.emailCharsMax).refine(isAddress, 'must be an e-mail address')
const password = z.string().min(1).max(FIXED.passwordCharsMax)
const newPassword = z.string().min(FIXED.passwordCharsMin).max(FIXED.passwordCharsMax)
const quantity = z.int().min(1)
const queryNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    // In the address it is text; for clients it is a number.
    .meta({
      override: ({ jsonSchema }) => {
        delete jsonSchema.pattern
        Object.assign(jsonSchema, { type: 'integer', minimum: min, maximum: max })
      },
    })
const code = z.string().trim().min(1).max(FIXED.codeCharsMax).regex(CODE_FORM, 'must be a code')

const TEXTS = { plain, sku, email, password, newPassword, quantity, queryNumber, code }

function pagingParts(limits: Limits) {
  const limit = queryNumber(1, limits.pageLinesMax).default(limits.pageLinesDefault)
  const cursor = z.string().min(1).max(FIXED.cursorCharsMax).optional()
  const page = z.strictObject({ limit: z.int(), next: z.string().nullable() })
  return { limit, cursor, page }
}

function productParts() {
  const product = z
    .strictObject({
      sku,
      name: z.string(),
      price: unitPrice,
      category: z.string(),
      listPrice: unitPrice.optional().meta({ description: 'The price before a sale' }),
    })
    .meta({ id: 'Product' })
  const line = z
    .strictObject({
      sku,
      name: z.string(),
      quantity,
      selected: z.boolean(),
      note: z.string(),
      unitPrice,
      subtotal: money,
      discount: money,
      total: money,
      tax: money
        .optional()
        .meta({ description: 'Contained in `total`, or to be added to it; of a product with a tax rate' }),
      taxPercent: z.number().optional(),
      available: z
        .boolean()
        .meta({ description: 'False when the product is not sold any more; such a line costs nothing' }),
      left: z.int().optional().meta({ description: 'What was left when the line could not be ordered' }),
    })
    .meta({ id: 'CartLine' })
  const wanted = z.strictObject({ sku, quantity })
  return { product, line, wanted }
}

/** What a price consists of, beside the lines. */
function pricedParts() {
  const totals = totalsShape()
  const named = { promotion: z.string(), name: z.string() }
  const next = {
    missing: z.int().meta({ description: 'Minor units; units of products where `unit` says so' }),
    unit: z.literal('units').optional(),
    amount: money.optional(),
    percent: z.number().optional(),
  }
  const applied = z.strictObject({ ...named, amount: money })
  const gift = z.strictObject({ sku, quantity, promotion: z.string() })
  const codeState = z.strictObject({
    code,
    applied: z.boolean(),
    reason: z.string().optional(),
    detail: z.string().optional(),
  })
  const versions = z.strictObject({ rules: z.int(), catalog: z.int() })
  const priced = {
    versions,
    currency: z.string(),
    totals,
    promotions: z.array(applied).meta({ description: 'What is taken off, by promotion' }),
    gifts: z.array(gift),
    codes: z.array(codeState),
    hints: z.array(z.strictObject({ ...named, ...next })).meta({ description: 'The nearest thresholds' }),
  }
  const outcome = z
    .strictObject({
      ...named,
      code: code.optional(),
      status: z.enum(['applied', 'beaten', 'refused']),
      amount: money,
      reason: z.string().optional().meta({ description: 'For programs; absent when applied' }),
      detail: z.string().optional(),
      missing: z.int().optional(),
      next: z.strictObject(next).optional(),
    })
    .meta({ id: 'PromotionOutcome' })
  return { totals, named, next, applied, gift, codeState, versions, priced, outcome }
}

function totalsShape() {
  return z
    .strictObject({
      lines: z.int(),
      units: z.int(),
      subtotal: money,
      discount: money.meta({ description: 'Off the lines; what is off delivery is in `shipping` already' }),
      shipping: money,
      tax: money,
      taxes: z
        .array(z.strictObject({ percent: z.number(), amount: money }))
        .optional()
        .meta({
          description:
            'The tax by rate, the highest first; empty with more than 100 rates, absent in what a release before 0.2.0 priced',
        }),
      total: money,
    })
    .meta({ id: 'Totals', description: 'Of the selected lines of the whole cart, whatever page is shown' })
}
