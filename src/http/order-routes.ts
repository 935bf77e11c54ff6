import { hash } from 'node:crypto'
import type { OrderPlacement } from '../orders/place-order.ts'
import type { Orders } from '../orders/orders.ts'
import { AppError } from '../lib/errors.ts'
import { quantitiesOf } from './quote-routes.ts'
import { type Call, idempotencyOf, json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** From cart to order. cartload takes no payments: the shop's server reports their result, with an operator's token. */
export function orderRoutes(deps: OrderRoutesDeps, schemas: Schemas): Route[] {
  return [placeOrder(deps, schemas), ...routesOfBuyers(deps, schemas), ...routesOfTheShop(deps, schemas)]
}

interface OrderRoutesDeps {
  readonly placement: OrderPlacement
  readonly orders: Orders
}

const ofOrders = (schemas: Schemas) =>
  ({
    tag: 'Orders',
    query: schemas.noQuery,
    answer: { status: 200, description: 'The order', schema: schemas.order },
  }) as const

function placeOrder({ placement, orders }: OrderRoutesDeps, schemas: Schemas): Route {
  const common = ofOrders(schemas)
  return route({
    ...common,
    method: 'post',
    path: '/v1/orders',
    name: 'placeOrder',
    summary: 'Orders the selected lines of the cart as it was seen, or of a quote. Needs an Idempotency-Key',
    session: 'required',
    body: schemas.placeOrder,
    needsKey: true,
    answer: { ...common.answer, status: 201, replayStatus: 200, headers: ['Location'] },
    problems: [
      'idempotency_mismatch',
      'idempotency_in_flight',
      'cart_changed',
      'total_changed',
      'nothing_to_order',
      'product_unknown',
      'quote_invalid',
      'out_of_stock',
      'purchase_limit',
      'order_pending',
      'order_given_up',
      'sale_not_started',
      'admission_required',
    ],
    async handle({ body }, call) {
      const session = await call.requireSession()
      const idempotency = requireKey(call, body)
      const { admission, total } = body
      const what =
        'quote' in body
          ? { quote: { token: body.quote, lines: quantitiesOf(body.lines), codes: body.codes } }
          : { cart: { version: body.cartVersion } }
      const { order, replayed } = await placement.place({ session, ...idempotency, ...what, total, admission })
      const headers = {
        Location: `/v1/orders/${order.orderId}`,
        ...(replayed ? { 'Idempotency-Replayed': 'true' } : {}),
      }
      return json(replayed ? 200 : 201, orders.view(order), headers)
    },
  })
}

function routesOfBuyers({ orders }: OrderRoutesDeps, schemas: Schemas): Route[] {
  const common = ofOrders(schemas)
  return [
    route({
      ...common,
      method: 'get',
      path: '/v1/orders',
      name: 'listOrders',
      summary: 'The orders of the session, newest first',
      session: 'required',
      query: schemas.ordersQuery,
      answer: { status: 200, description: 'A page of orders', schema: schemas.orderPage },
      problems: [],
      async handle({ query: { limit, cursor } }, call) {
        const page = await orders.list(await call.requireSession(), limit, cursor)
        return json(200, { data: page.orders.map(orders.view), page: { limit, next: page.next } })
      },
    }),
    route({
      ...common,
      method: 'get',
      path: '/v1/orders/:id',
      name: 'viewOrder',
      summary: 'One order of the session, with its refunds',
      session: 'required',
      params: schemas.orderParams,
      answer: { status: 200, description: 'The order and its refunds, oldest first', schema: schemas.orderWithRefunds },
      problems: ['order_not_found'],
      async handle({ params }, call) {
        return json(200, await orders.viewWithRefunds(await call.requireSession(), params.id))
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/orders/:id/cancel',
      name: 'cancelOrder',
      summary: 'Gives up an order that waits for its payment; what it holds is free at once',
      session: 'required',
      params: schemas.orderParams,
      problems: ['order_not_found', 'order_state'],
      async handle({ params }, call) {
        return json(200, orders.view(await orders.cancel(await call.requireSession(), params.id)))
      },
    }),
  ]
}

/** For the shop's server, with an operator's token. */
function routesOfTheShop({ orders }: OrderRoutesDeps, schemas: Schemas): Route[] {
  const common = ofOrders(schemas)
  return [
    route({
      ...common,
      method: 'post',
      path: '/v1/orders/:id/payments',
      name: 'payOrder',
      summary: "What the payment provider said, told by the shop's server; saying it again is no error",
      session: 'operator',
      params: schemas.orderParams,
      body: schemas.payment,
      problems: ['order_not_found', 'order_state', 'out_of_stock'],
      async handle({ params, body }) {
        return json(200, orders.view(await orders.pay(params.id, body.result)))
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/orders/:id/refunds',
      name: 'refundOrder',
      summary: 'Puts units of a confirmed order back into the stock: all, or some lines. Needs an Idempotency-Key',
      session: 'operator',
      params: schemas.orderParams,
      body: schemas.askRefund,
      needsKey: true,
      answer: { status: 201, replayStatus: 200, description: 'The refund', schema: schemas.refund },
      problems: ['order_not_found', 'order_state', 'refund_invalid', 'idempotency_mismatch'],
      async handle({ params, body }, call) {
        // Keys may be longer than ids are kept.
        const refundId = hash('sha256', requireKey(call, body).key, 'hex').slice(0, 32)
        const { view, replayed } = await orders.refund(params.id, refundId, body.lines)
        return json(replayed ? 200 : 201, view, replayed ? { 'Idempotency-Replayed': 'true' } : {})
      },
    }),
  ]
}

function requireKey(call: Call, body: unknown): { key: string; fingerprint: string } {
  const idempotency = idempotencyOf(call, body)
  if (idempotency) return idempotency
  const detail = 'is needed here, so that a retry does not order twice'
  throw new AppError('idempotency_key_required', `Idempotency-Key ${detail}.`, {
    errors: [{ in: 'header', pointer: '#/Idempotency-Key', detail }],
  })
}
