import { summed, type Wanted } from '../model/cart.ts'
import type { Quote, Quotes } from '../orders/quotes.ts'
import { type Call, json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** Prices of carts that do not exist, signed. Nothing is stored. */
export function quoteRoutes(quotes: Quotes, schemas: Schemas, currency: string): Route[] {
  const common = { tag: 'Quotes', session: 'optional', method: 'post', query: schemas.noQuery } as const

  async function requestOf(
    { lines, codes }: { lines: readonly { sku: string; quantity: number }[]; codes: readonly string[] },
    call: Call,
  ) {
    const session = await call.session()
    return {
      lines: quantitiesOf(lines),
      codes,
      buyerGroup: session?.kind ?? 'guest',
      ...(session ? await quotes.buyer(session.userId) : {}),
    }
  }

  return [
    route({
      ...common,
      path: '/v1/quotes',
      name: 'makeQuote',
      summary: 'Prices a cart without storing it; the answer is signed and holds for 15 minutes',
      body: schemas.askQuote,
      answer: { status: 200, description: 'The quote', schema: schemas.quote },
      problems: ['product_unknown'],
      async handle({ body }, call) {
        const request = await requestOf(body, call)
        const { priced, token, expiresAt } = await quotes.make(request)
        const lines = priced.lines.map((line, at) => ({
          sku: request.lines[at]?.sku,
          quantity: request.lines[at]?.quantity,
          ...line,
        }))
        return json(200, { ...shownPrices(priced, currency), lines, quote: token, expiresAt })
      },
    }),
    route({
      ...common,
      path: '/v1/quotes/check',
      name: 'checkQuote',
      summary: 'Whether a quote still holds for these lines and codes, and for what total',
      body: schemas.checkQuote,
      answer: { status: 200, description: 'What it promises', schema: schemas.quoteClaims },
      problems: ['product_unknown', 'quote_invalid', 'total_changed'],
      async handle({ body }, call) {
        const { quote, ...subject } = body
        const claims = await quotes.check(quote, await requestOf(subject, call))
        const { total, rules, catalog, exp } = claims
        return json(200, {
          currency: claims.currency,
          total,
          versions: { rules, catalog },
          expiresAt: new Date(exp).toISOString(),
        })
      },
    }),
  ]
}

/** Lines with one entry for each product. */
export function quantitiesOf(lines: readonly Wanted[]) {
  return summed(lines).map(line => ({ ...line, selected: true }))
}

/** The part of a price that carts, quotes and explanations have in common. */
export function shownPrices(priced: Quote['priced'], currency: string) {
  const { totals, promotions, gifts, codes, hints, gap, rulesVersion, catalogVersion } = priced
  const versions = { rules: rulesVersion, catalog: catalogVersion }
  return { versions, currency, totals, promotions, gifts, codes, hints, optimal: gap === 0, gap }
}
