import { z } from 'zod'
import { FIXED, type Limits } from '../model/limits.ts'
import { orderSchemas } from './order-schemas.ts'
import { createParts, type Parts } from './schema-parts.ts'

const CHANGE_WANTED = 'must have quantity, selected or note'
const hasChange = ({ quantity, selected, note }: { quantity?: unknown; selected?: unknown; note?: unknown }) =>
  quantity !== undefined || selected !== undefined || note !== undefined

/** The shapes of the API: what requests are read with and what the OpenAPI document shows. Unknown fields are refused. */
export type Schemas = ReturnType<typeof createSchemas>

export function createSchemas(limits: Limits) {
  const parts = createParts(limits)
  return {
    noQuery: z.strictObject({}),
    ...accountSchemas(parts),
    ...catalogSchemas(parts),
    ...cartSchemas(parts, limits),
    ...quoteSchemas(parts, limits),
    ...ruleSetSchemas(parts),
    ...orderSchemas(parts, limits),
  }
}

function accountSchemas({ plain, email, password, newPassword }: Parts) {
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
  }
}

function catalogSchemas({ plain, sku, queryNumber, limit, cursor, page, product }: Parts) {
  return {
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
  }
}

function cartSchemas(parts: Parts, limits: Limits) {
  const { plain, sku, queryNumber, limit, cursor, page, line, code, priced, outcome, wanted, money } = parts
  const lineChange = {
    quantity: z.int().min(0).optional().meta({ description: '0 removes the line' }),
    selected: z.boolean().optional(),
    note: plain(FIXED.noteCharsMax).optional(),
  }
  const cart = z
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
    .meta({ id: 'Cart' })
  return {
    cartQuery: z.strictObject({ limit, cursor }),
    cartChangeQuery: z.strictObject({
      limit: queryNumber(0, limits.pageLinesMax)
        .default(limits.pageLinesDefault)
        .meta({ description: 'Lines of the page that follows `changed`; 0 for none' }),
    }),
    line,
    lineParams: z.strictObject({ line: sku.meta({ description: 'The id of the line: the code of its product' }) }),
    cart,
    cartChange: cart
      .extend({
        changed: z.array(line).meta({
          description: 'The lines that were changed or made, wherever in the cart they stand',
        }),
      })
      .meta({ id: 'CartChange' }),
    addLines: z.union([wanted, z.strictObject({ lines: z.array(wanted).min(1).max(limits.cartLinesMax) })]),
    setLine: z.strictObject(lineChange).refine(hasChange, CHANGE_WANTED),
    setLines: z.strictObject({
      lines: z
        .array(z.strictObject({ sku, ...lineChange }).refine(hasChange, CHANGE_WANTED))
        .min(1)
        .max(limits.cartLinesMax)
        .refine(lines => new Set(lines.map(one => one.sku)).size === lines.length, 'must name each product once'),
    }),
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
  }
}

function quoteSchemas({ line, code, versions, priced, wanted, money }: Parts, limits: Limits) {
  return {
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
  }
}

function ruleSetSchemas({ plain, ruleSetVersion }: Parts) {
  const finding = z.strictObject({ path: z.string(), detail: z.string() })
  const confirmed = z
    .boolean()
    .default(false)
    .meta({ description: 'Also where it names categories, buyer groups or pools of codes that do not exist' })
  return {
    ruleSet: z.strictObject({
      ruleSet: z.looseObject({}).meta({ description: 'docs/promotions.md' }),
      note: plain(200).default(''),
      confirm: confirmed,
    }),
    ruleSetPut: z.strictObject({ version: z.int() }),
    ruleSetCheck: z.strictObject({
      valid: z.boolean(),
      mistakes: z.array(finding),
      warnings: z.array(finding).meta({ description: 'What it names that does not exist: to be confirmed' }),
    }),
    ruleSets: z.strictObject({ data: z.array(ruleSetVersion), inForce: z.int() }),
    activate: z.strictObject({
      version: z.int().min(1),
      at: z.iso.datetime({ offset: true }).optional(),
      confirm: confirmed,
    }),
    activation: z.strictObject({ version: z.int(), activeFrom: z.iso.datetime() }),
  }
}
