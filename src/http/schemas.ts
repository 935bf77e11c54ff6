import { z } from 'zod'
import { FIXED, type Limits } from '../model/limits.ts'
import { ORDER_ID } from '../model/order.ts'
import { SKU_FORM, STOCK_MODES } from '../model/product.ts'
import { SALE_ID } from '../model/sale.ts'

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

  const product = z
    .strictObject({
      sku,
      name: z.string(),
      price: money,
      category: z.string(),
      listPrice: money.optional().meta({ description: 'The price before a sale' }),
    })
    .meta({ id: 'Product' })
  const line = z
    .strictObject({
      sku,
      name: z.string(),
      quantity,
      selected: z.boolean(),
      note: z.string(),
      unitPrice: money,
      subtotal: money,
      discount: money,
      total: money,
      available: z
        .boolean()
        .meta({ description: 'False when the product is not sold any more; such a line costs nothing' }),
      left: z.int().optional().meta({ description: 'What was left when the line could not be ordered' }),
    })
    .meta({ id: 'CartLine' })
  const totals = z
    .strictObject({
      lines: z.int(),
      units: z.int(),
      subtotal: money,
      discount: money.meta({ description: 'Off the lines; what is off delivery is in `shipping` already' }),
      shipping: money,
      tax: money,
      total: money,
    })
    .meta({ id: 'Totals', description: 'Of the selected lines of the whole cart, whatever page is shown' })
  const code = z
    .string()
    .min(1)
    .max(FIXED.codeCharsMax)
    .regex(/^[\x21-\x7e]+$/, 'must be a code')
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
  const ruleSetVersion = z.strictObject({
    version: z.int(),
    note: z.string(),
    createdAt: z.iso.datetime(),
    activeFrom: z.array(z.iso.datetime()),
  })

  const wanted = z.strictObject({ sku, quantity })
  const orderId = z.string().regex(ORDER_ID, 'must be the id of an order')
  const order = z
    .strictObject({
      id: orderId,
      state: z.enum(['pending', 'confirmed', 'cancelled', 'failed', 'expired']),
      createdAt: z.iso.datetime(),
      expiresAt: z.iso.datetime().nullable().meta({ description: 'Until when it waits for its payment' }),
      cartVersion: z.int().nullable(),
      total: money,
      currency: z.string(),
      totals,
      lines: z.array(line.omit({ selected: true, note: true, available: true, left: true })),
      gifts: z.array(gift),
      promotions: z.array(applied),
      codes: z.array(code),
      versions,
    })
    .meta({ id: 'Order' })
  const agreed = {
    total: money
      .optional()
      .meta({ description: 'The total that the buyer agreed to; another one is refused with both' }),
    admission: z.string().max(100).optional().meta({ description: 'From the queue of a sale' }),
  }
  const saleId = z.string().regex(SALE_ID, 'must be the id of a sale')
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
        ...priced,
        counts: z.strictObject({ lines: z.int(), units: z.int() }),
        lines: z.array(line),
        page,
        stale: z
          .strictObject({ ageSeconds: z.int().nullable() })
          .nullable()
          .meta({ description: 'Not null when totals are the last that could be calculated: how old they are' }),
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
    addCode: z.strictObject({ code }),
    codeParams: z.strictObject({ code }),
    explanation: z
      .strictObject({
        version: z.int(),
        ...priced,
        outcomes: z.array(outcome),
        optimal: z.boolean().meta({ description: 'True when it is proved that no legal combination is cheaper' }),
        gap: money.meta({ description: 'By how much another combination could be cheaper' }),
      })
      .meta({ id: 'Explanation' }),
    placeOrder: z.union([
      z.strictObject({ cartVersion: z.int().min(0).meta({ description: 'The cart as the buyer saw it' }), ...agreed }),
      z.strictObject({
        quote: z.string().min(1).max(FIXED.quoteCharsMax),
        lines: z.array(wanted).min(1).max(limits.cartLinesMax),
        codes: z.array(code).max(FIXED.codesMax).default([]),
        ...agreed,
      }),
    ]),
    order,
    orderParams: z.strictObject({ id: orderId }),
    ordersQuery: z.strictObject({ limit: queryNumber(1, FIXED.ordersPageMax).default(20), cursor }),
    orderPage: z.strictObject({ data: z.array(order), page }).meta({ id: 'OrderPage' }),
    payment: z.strictObject({ result: z.enum(['confirmed', 'failed']) }),
    askRefund: z.strictObject({
      lines: z
        .array(wanted)
        .min(1)
        .max(limits.cartLinesMax)
        .optional()
        .meta({ description: 'All that is left, when missing' }),
    }),
    refund: z
      .strictObject({
        id: z.string(),
        orderId,
        lines: z.array(wanted),
        restocked: z.boolean().meta({ description: 'False while units are still to be put back, which takes seconds' }),
      })
      .meta({ id: 'Refund' }),
    stock: z
      .strictObject({
        sku,
        mode: z.enum(STOCK_MODES),
        left: z.int().nullable().meta({ description: 'null where stock is not counted' }),
        state: z
          .enum(['in_stock', 'all_held', 'sold_out'])
          .meta({ description: 'all_held: some may become free again' }),
      })
      .meta({ id: 'Stock' }),
    saleParams: z.strictObject({ id: saleId }),
    sale: z
      .strictObject({
        id: saleId,
        sku,
        state: z.enum(['upcoming', 'open', 'sold_out']),
        startsAt: z.iso.datetime(),
        endsAt: z.iso.datetime().optional(),
        left: z.int(),
      })
      .meta({ id: 'Sale' }),
    enterQueue: z.strictObject({ proof: z.string().max(200).optional() }),
    queue: z
      .strictObject({
        state: z.enum(['not_started', 'absent', 'waiting', 'admitted', 'sold_out']),
        position: z.int().optional().meta({ description: '1 is next' }),
        estimatedWaitS: z.int().optional(),
        admission: z
          .string()
          .optional()
          .meta({ description: 'Bring it to the order; it is of use to this buyer only' }),
        holdsS: z.int().optional(),
        startsAt: z.iso.datetime().optional(),
        pollAfterMs: z.int().optional(),
      })
      .meta({ id: 'QueuePlace' }),
    askQuote: z.strictObject({
      lines: z.array(wanted).min(1).max(limits.cartLinesMax),
      codes: z.array(code).max(FIXED.codesMax).default([]),
    }),
    quote: z
      .strictObject({
        ...priced,
        lines: z.array(line.omit({ selected: true, note: true, left: true })),
        optimal: z.boolean(),
        gap: money,
        quote: z.string().meta({ description: 'The signed promise; bring it back with the same lines and codes' }),
        expiresAt: z.iso.datetime(),
      })
      .meta({ id: 'Quote' }),
    checkQuote: z.strictObject({
      quote: z.string().min(1).max(FIXED.quoteCharsMax),
      lines: z.array(wanted).min(1).max(limits.cartLinesMax),
      codes: z.array(code).max(FIXED.codesMax).default([]),
    }),
    quoteClaims: z.strictObject({ currency: z.string(), total: money, versions, expiresAt: z.iso.datetime() }),
    ruleSet: z.strictObject({
      ruleSet: z.looseObject({}).meta({ description: 'docs/promotions.md' }),
      note: plain(200).default(''),
    }),
    ruleSetPut: z.strictObject({ version: z.int() }),
    ruleSetCheck: z.strictObject({
      valid: z.boolean(),
      mistakes: z.array(z.strictObject({ path: z.string(), detail: z.string() })),
    }),
    ruleSets: z.strictObject({ data: z.array(ruleSetVersion), inForce: z.int() }),
    activate: z.strictObject({ version: z.int().min(1), at: z.iso.datetime({ offset: true }).optional() }),
    activation: z.strictObject({ version: z.int(), activeFrom: z.iso.datetime() }),
  }
}
