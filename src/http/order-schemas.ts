import { z } from 'zod'
import { FIXED, type Limits } from '../model/limits.ts'
import { ORDER_ID } from '../model/order.ts'
import { STOCK_MODES } from '../model/product.ts'
import { SALE_ID } from '../model/sale.ts'
import type { Parts } from './schema-parts.ts'

/** Shapes of orders, stock and sales, out of the parts that carts have too. */
export function orderSchemas(parts: Parts, limits: Limits) {
  const { queryNumber, cursor, page, wanted } = parts
  const order = orderShape(parts)
  const refund = refundShape(parts)
  return {
    ...placementSchemas(parts, limits),
    ...saleSchemas(parts),
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
    refund,
    orderWithRefunds: order.extend({ refunds: z.array(refund) }).meta({ id: 'OrderWithRefunds' }),
  }
}

const orderId = z.string().regex(ORDER_ID, 'must be the id of an order')
const saleId = z.string().regex(SALE_ID, 'must be the id of a sale')

function orderShape({ line, totals, code, applied, gift, versions, money }: Parts) {
  return z
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
}

function refundShape({ wanted, money }: Parts) {
  return z
    .strictObject({
      id: z.string(),
      orderId,
      lines: z.array(
        wanted.extend({
          amount: money.optional().meta({ description: 'What the order says these units cost' }),
          tax: money.optional(),
          taxPercent: z.number().optional(),
        }),
      ),
      taxes: z
        .array(z.strictObject({ percent: z.number(), amount: money }))
        .meta({ description: 'The tax of these lines by rate' }),
      restocked: z.boolean().meta({ description: 'False while units are still to be put back, which takes seconds' }),
    })
    .meta({ id: 'Refund' })
}

function placementSchemas({ wanted, code, money }: Parts, limits: Limits) {
  const agreed = {
    total: money
      .optional()
      .meta({ description: 'The total that the buyer agreed to; another one is refused with both' }),
    admission: z.string().max(100).optional().meta({ description: 'From the queue of a sale' }),
  }
  return {
    placeOrder: z.union([
      z.strictObject({ cartVersion: z.int().min(0).meta({ description: 'The cart as the buyer saw it' }), ...agreed }),
      z.strictObject({
        quote: z.string().min(1).max(FIXED.quoteCharsMax),
        lines: z.array(wanted).min(1).max(limits.cartLinesMax),
        codes: z.array(code).max(FIXED.codesMax).default([]),
        ...agreed,
      }),
    ]),
  }
}

/** Stock and flash sales. */
function saleSchemas({ sku }: Parts) {
  return {
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
  }
}
