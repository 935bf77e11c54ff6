import { isDeepStrictEqual } from 'node:util'
import type { AppError } from '../lib/errors.ts'
import { repeat } from '../lib/poll.ts'
import { createSingleFlight } from '../lib/single-flight.ts'
import { codeForm } from '../model/code.ts'
import { FIXED } from '../model/limits.ts'
import { budgetItemOf, codeItemOf, type Demand, usesItemOf } from '../model/order.ts'
import { hasManyCodes, type Promotion } from '../model/promotion.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { CartRequest, GivenAway, PricedCart } from '../pricing/price.ts'
import type { Log } from '../telemetry/log.ts'
import { totalChanged } from './quotes.ts'
import type { Inventory } from '../inventory/stock-levels.ts'
import type { Stock } from '../inventory/inventory.ts'

/**
 * What promotions may give away: uses in all, by buyer and by code, and budgets. They are counted like stock, in the same saga, so a code
 * that can be used a hundred times is used a hundred times. Prices go by what an instance last heard, which is up to a second
 * old; an order that claims more than there is left is refused with the total that holds now.
 */
export type PromotionLimits = ReturnType<typeof createPromotionLimits>

interface PromotionLimitsDeps {
  readonly stock: Stock
  readonly inventory: Inventory
  readonly pricing: Pricing
  readonly log: Log
}

export function createPromotionLimits(deps: PromotionLimitsDeps) {
  const { stock, inventory, pricing, log } = deps
  /** Items whose rows say what the rules of a version say. */
  let prepared = { version: 0, items: new Set<string>() }
  const flight = createSingleFlight<void>()

  const limitedIn = (ids?: ReadonlySet<string>): Promotion[] =>
    pricing.ruleSet().promotions.filter(one => isLimited(one) && (ids === undefined || ids.has(one.id)))

  /** Makes the rows of items, or brings them to what the rules in force say. */
  async function prepare(items: readonly Item[]): Promise<void> {
    const rulesVersion = pricing.rulesVersion()
    if (prepared.version !== rulesVersion) prepared = { version: rulesVersion, items: new Set() }
    const done = prepared.items
    for (const { item, total, perUserMax } of items.filter(one => !done.has(one.item))) {
      const isCode = item.startsWith(codeItemOf(''))
      await flight.run(`${rulesVersion}:${item}`, async () => {
        // One order at a time wants a code, and there are a million of them: one row each, and nothing to remember.
        await inventory.set(item, { total, perUserMax, rulesVersion, ...(isCode ? { buckets: 1 } : {}) })
      })
      if (!isCode) done.add(item)
    }
  }

  /** Asks the rows what has been given away. */
  async function refresh(): Promise<void> {
    use(await givenAway(stock, limitedIn()))
  }

  let current: GivenAway = { version: 0, promotions: {} }

  function use(promotions: GivenAway['promotions']): void {
    if (isDeepStrictEqual(promotions, current.promotions)) return
    const wasOver = usedUp(limitedIn(), current.promotions)
    current = { version: current.version + 1, promotions }
    pricing.useUsage(current)
    // One more or fewer that can be had changes what carts cost, as the start or end of a promotion does.
    if (usedUp(limitedIn(), promotions) !== wasOver) pricing.useStamp(Math.max(Date.now(), pricing.rulesStamp() + 1))
  }

  const watch = repeat(
    () => (limitedIn().length > 0 || current.version > 0 ? refresh() : Promise.resolve()),
    FIXED.usagePollMs,
    error => log.debug({ err: error }, 'what promotions gave away is not known'),
  )

  return {
    refresh,

    /** What an order at this price claims of the limits of promotions. */
    async of(priced: PricedCart): Promise<Demand[]> {
      const { promotions } = priced
      const amounts = new Map(promotions.map(({ promotion, amount }) => [promotion, amount]))
      if (amounts.size === 0) return []
      const limited = limitedIn(new Set(amounts.keys())).flatMap(one => itemsOf(one, amounts.get(one.id) ?? 0))
      const items = [...limited, ...codeItemsOf(deps, priced)]
      await prepare(items)
      return items.map(({ item, units }) => ({ item, units }))
    },

    /** Promotions of a price whose uses count by buyer. */
    countedByBuyer({ promotions }: PricedCart): string[] {
      const ids = new Set(promotions.map(({ promotion }) => promotion))
      return limitedIn(ids).flatMap(one => (one.usesPerUserMax === undefined ? [] : [one.id]))
    },

    /** Why an order cannot have what a promotion gave at its price: the total that holds now. */
    async exhausted(seen: number, request: CartRequest): Promise<AppError> {
      await refresh()
      return totalChanged(seen, (await pricing.price(request)).totals.total)
    },

    stop: watch.stop,
  }
}

/** What the rows say was given away of promotions. */
async function givenAway(stock: Stock, limited: readonly Promotion[]): Promise<GivenAway['promotions']> {
  const promotions: Record<string, { uses: number; spent: number }> = {}
  await Promise.all(
    limited.map(async ({ id, usesMax, budget }) => {
      const used = async (item: string, isAsked: boolean) => {
        const levels = isAsked ? await stock.levels(item) : undefined
        return levels ? levels.held + levels.sold : 0
      }
      const [uses, spent] = await Promise.all([
        used(usesItemOf(id), usesMax !== undefined),
        used(budgetItemOf(id), budget !== undefined),
      ])
      if (uses > 0 || spent > 0) promotions[id] = { uses, spent }
    }),
  )
  return promotions
}

function itemsOf({ id, usesMax, usesPerUserMax, budget }: Promotion, amount: number): Item[] {
  const counted = usesMax !== undefined || usesPerUserMax !== undefined
  const uses = {
    item: usesItemOf(id),
    units: 1,
    total: usesMax ?? FIXED.stockUnitsMax,
    perUserMax: usesPerUserMax ?? null,
  }
  const spent = { item: budgetItemOf(id), units: amount, total: budget ?? 0, perUserMax: null }
  return [...(counted ? [uses] : []), ...(budget === undefined || amount === 0 ? [] : [spent])]
}

/** The codes of promotions that have many: each is used so many times. */
function codeItemsOf({ pricing }: PromotionLimitsDeps, { opened }: PricedCart): Item[] {
  const { promotions } = pricing.ruleSet()
  const items = new Map<string, Item>() // one code may open several promotions, and is used once all the same
  for (const { promotion: id, code } of opened) {
    const promotion = promotions.find(one => one.id === id)
    if (!promotion || !hasManyCodes(promotion)) continue
    const item = codeItemOf(codeForm(code))
    const total = Math.min(promotion.usesPerCode ?? 1, items.get(item)?.total ?? Number.POSITIVE_INFINITY)
    items.set(item, { item, units: 1, total, perUserMax: null })
  }
  return [...items.values()]
}

interface Item extends Demand {
  readonly total: number
  readonly perUserMax: number | null
}

function isLimited({ usesMax, usesPerUserMax, budget }: Promotion): boolean {
  return usesMax !== undefined || usesPerUserMax !== undefined || budget !== undefined
}

/** Promotions of which nothing is left, as one text to compare. */
function usedUp(limited: readonly Promotion[], given: GivenAway['promotions']): string {
  return limited
    .filter(({ id, usesMax = Infinity, budget = Infinity }) => {
      const { uses = 0, spent = 0 } = given[id] ?? {}
      return uses >= usesMax || spent >= budget
    })
    .map(one => one.id)
    .join()
}
