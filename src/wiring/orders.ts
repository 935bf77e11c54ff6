import { createPromotions } from '../catalog/promotions.ts'
import { createInventory } from '../inventory/stock-levels.ts'
import { startOrderRecovery } from '../orders/order-recovery.ts'
import { createOrders } from '../orders/orders.ts'
import { createOrderPlacement } from '../orders/place-order.ts'
import { createPromotionLimits } from '../orders/promotion-limits.ts'
import { createQuotes } from '../orders/quotes.ts'
import { watchSales } from '../sales/flash-sales.ts'
import { createWaitingRoom } from '../sales/waiting-room.ts'
import { createFailureLog } from '../telemetry/outages.ts'
import type { CartParts } from './carts.ts'
import type { PricingParts } from './prices.ts'
import type { Setup, Stores } from './stores.ts'

/** From cart to order: quotes, promotions, stock, flash sales, orders and their recovery. */
export async function wireOrders(
  { config, log, options, onFailpoint, closing }: Setup,
  { router, global, sessionsRedis, metrics }: Stores,
  { pricing, products, catalog, prices, stock }: PricingParts,
  { writer }: CartParts,
) {
  const { currency } = config
  const quotes = createQuotes({ global, router, pricing, currency })
  const promotions = createPromotions({ global, currency })
  const inventory = createInventory({ router })
  const recovery = startOrderRecovery({ router, stock, metrics, log })
  closing.defer(recovery.stop)
  const promotionLimits = createPromotionLimits({ stock, inventory, pricing, log })
  closing.defer(promotionLimits.stop)
  const room = createWaitingRoom(sessionsRedis)
  const sales = watchSales({ global, router, stock, room, products, proofKey: options.saleProofKey, log })
  closing.defer(sales.stop)
  await sales.refresh().catch(createFailureLog(log, 'the sales could not be loaded yet'))
  const placement = createOrderPlacement({
    router,
    catalog,
    products,
    stock,
    recovery,
    sales,
    promotionLimits,
    writer,
    pricing,
    prices,
    quotes,
    currency,
    paymentS: config.payment === 'two-step' ? config.paymentMinutes * 60 : undefined,
    metrics,
    onFailpoint,
  })
  const orders = createOrders({ router, stock, recovery, writer, onFailpoint })
  return { quotes, promotions, inventory, recovery, promotionLimits, sales, placement, orders }
}
