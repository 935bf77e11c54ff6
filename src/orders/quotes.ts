import { createHmac, hash } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { areSameBytes } from '../lib/timing-safe.ts'
import { FIXED } from '../model/limits.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { CartRequest, PricedCart } from '../pricing/price.ts'
import type { Database } from '../store/database.ts'
import { cartRows } from '../store/carts.ts'
import type { Router } from '../store/shard-router.ts'
import { sharedKey } from '../store/operators.ts'
import { codeForm } from '../model/code.ts'

/**
 * A price for a cart that does not exist, with a promise: the total is signed, with what it is for and until when. Nothing is
 * stored; an order with the token, in time, costs that total. All instances sign with one key, which the
 * first of them left in the global database.
 */
export interface Quote {
  readonly priced: PricedCart
  /** `payload.signature`, both base64url; the signature is HMAC-SHA256 of the payload's text. */
  readonly token: string
  readonly expiresAt: string
}

interface QuoteClaims {
  /** Hash of lines and codes. */
  readonly for: string
  readonly currency: string
  readonly total: number
  readonly rules: number
  readonly catalog: number
  /** ms since 1970. */
  readonly exp: number
}

export type Quotes = ReturnType<typeof createQuotes>

interface QuotesDeps {
  readonly global: Database
  readonly router: Router
  readonly pricing: Pricing
  readonly currency: string
}

/** Signs quotes and reads them again; the keys are shared by all instances. */
export function createQuotes({ global, router, pricing, currency }: QuotesDeps) {
  const key = sharedKey(global, 'quotes')

  const sign = async (payload: string) =>
    createHmac('sha256', await key())
      .update(payload)
      .digest()

  async function priceOf(request: CartRequest): Promise<PricedCart> {
    const priced = await pricing.price(request)
    const errors = priced.lines.flatMap(({ available }, at) =>
      available
        ? []
        : [
            {
              in: 'body' as const,
              pointer: `#/lines/${at}/sku`,
              detail: `There is no product '${request.lines[at]?.sku}'.`,
            },
          ],
    )
    if (errors.length > 0) throw new AppError('product_unknown', errors[0]?.detail ?? '', { errors })
    return priced
  }

  async function read(token: string, request: CartRequest): Promise<QuoteClaims> {
    const [payload = '', signature = ''] = token.split('.')
    if (!areSameBytes(Buffer.from(signature, 'base64url'), await sign(payload))) throw invalid('It was not made here.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as QuoteClaims
    if (claims.exp <= Date.now()) throw invalid('It is over.')
    if (claims.for !== subjectOf(request))
      throw invalid('It is for other lines or codes, or for another kind of buyer.')
    return claims
  }

  return {
    /** What a buyer's orders say about the next one: which it is, and what has been used. */
    async buyer(userId: string): Promise<Pick<CartRequest, 'ordersPlaced' | 'uses'>> {
      const stored = await cartRows.load(router.of(userId), userId)
      return stored ? { ordersPlaced: stored.ordersPlaced, uses: stored.uses } : {}
    },

    /** @throws AppError `product_unknown`; `overloaded`, `unavailable`: a quote is never made of old prices */
    async make(request: CartRequest): Promise<Quote> {
      const priced = await priceOf(request)
      const claims: QuoteClaims = {
        for: subjectOf(request),
        currency,
        total: priced.totals.total,
        rules: priced.rulesVersion,
        catalog: priced.catalogVersion,
        exp: Date.now() + FIXED.quoteMs,
      }
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      const token = `${payload}.${(await sign(payload)).toString('base64url')}`
      return { priced, token, expiresAt: new Date(claims.exp).toISOString() }
    },

    /** What a quote says, for an order that is held to it. @throws AppError `quote_invalid`: not ours, over, or for something else */
    read,

    /**
     * What a quote promises, if an order would be taken for it now.
     * @throws AppError as `read`; `total_changed` when prices or rules have moved; `product_unknown`
     */
    async check(token: string, request: CartRequest): Promise<QuoteClaims> {
      const claims = await read(token, request)
      const { totals } = await priceOf(request)
      if (totals.total !== claims.total) throw totalChanged(claims.total, totals.total)
      return claims
    },
  }
}

/** Lines in any order, and codes in any case, are the same subject. */
function subjectOf({ lines, codes, buyerGroup }: CartRequest): string {
  const quantities = lines.filter(line => line.selected).map(({ sku, quantity }) => [sku, quantity] as const)
  quantities.sort(([a], [b]) => (a < b ? -1 : 1))
  return hash('sha256', JSON.stringify([quantities, codes.map(code => codeForm(code)).sort(), buyerGroup]), 'base64url')
}

function invalid(detail: string): AppError {
  return new AppError('quote_invalid', `This quote does not hold. ${detail}`, {
    errors: [{ in: 'body', pointer: '#/quote', detail }],
  })
}

export function totalChanged(seenTotal: number, total: number): AppError {
  return new AppError('total_changed', `The total is ${total} by now, not ${seenTotal} (minor units).`, {
    extra: { seenTotal, total },
  })
}
