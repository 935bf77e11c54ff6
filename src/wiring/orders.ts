import { createPromotions } from '../catalog/promotions.ts'
import { createInventory } from '../inventory/stock-levels.ts'
import { startSettlement } from '../orders/order-recovery.ts'
import { createOrders } from '../orders/orders.ts'
import { createPlacing } from '../orders/place-order.ts'
import { createAllowances } from '../orders/promotion-limits.ts'
import { createQuotes } from '../orders/quotes.ts'
import { watchSales } from '../sales/flash-sales.ts'
import { createWaitingRoom } from '../sales/waiting-room.ts'
import { createFailureLog } from '../telemetry/outages.ts'
import type { CartParts } from './carts.ts'
import type { PricingParts } from './prices.ts'
import type { Setup, Stores } from './stores.ts'

export type OrderParts = Awaited<ReturnType<typeof wireOrders>>

/** From cart to order: quotes, promotions, stock, flash sales, orders and their recovery. */
export async function wireOrders(
  { config, log, options, closing }: Setup,
  { router, global, sessionsRedis, metrics }: Stores,
  { pricing, catalog, prices, stock }: PricingParts,
  { funnel }: CartParts,
) {
  const { currency } = config
  const { onStep = () => undefined } = options
  const quotes = createQuotes({ global, router, pricing, currency })
  const promotions = createPromotions(global, currency)
  const inventory = createInventory({ router })
  const settlement = startSettlement({ router, stock, metrics, log })
  closing.defer(settlement.stop)
  const allowances = createAllowances({ stock, inventory, pricing, log })
  closing.defer(allowances.stop)
  const room = createWaitingRoom(sessionsRedis)
  const sales = watchSales({ global, router, stock, room, pricing, proofKey: options.saleProofKey, log })
  closing.defer(sales.stop)
  await sales.refresh().catch(createFailureLog(log, 'the sales could not be loaded yet'))
  const placing = createPlacing({
    router,
    catalog,
    stock,
    settlement,
    sales,
    allowances,
    funnel,
    pricing,
    prices,
    quotes,
    currency,
    paymentS: config.payment === 'two-step' ? config.paymentMinutes * 60 : undefined,
    metrics,
    onStep,
  })
  const orders = createOrders({ router, stock, settlement, funnel, onStep })
  return { quotes, promotions, inventory, settlement, allowances, sales, placing, orders }
}
