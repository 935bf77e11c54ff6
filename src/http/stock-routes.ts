import type { Products } from '../catalog/products.ts'
import type { Stock } from '../inventory/inventory.ts'
import type { Sales } from '../sales/flash-sales.ts'
import { stockItemOf } from '../model/order.ts'
import { json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** What is left of a product, and the queue in front of a sale. */
export function stockRoutes(
  { stock, sales, products }: { stock: Stock; sales: Sales; products: Pick<Products, 'find'> },
  schemas: Schemas,
): Route[] {
  const queue = { tag: 'Sales', path: '/v1/sales/:id/queue', session: 'required', params: schemas.saleParams } as const
  const answer = { status: 200, description: 'Where the buyer stands', schema: schemas.queue }
  return [
    route({
      tag: 'Stock',
      session: 'none',
      query: schemas.noQuery,
      method: 'get',
      path: '/v1/stock/:sku',
      name: 'viewStock',
      summary: 'What is left of a product, up to half a second old',
      params: schemas.skuParams,
      answer: { status: 200, description: 'The stock', schema: schemas.stock },
      problems: ['product_not_found'],
      async handle({ params: { sku } }) {
        const product = await products.find(sku)
        const mode = product.stock ?? 'none'
        if (mode === 'none') return json(200, { sku, mode, left: null, state: 'in_stock' })
        const { free = 0, held = 0 } = (await stock.recentLevels(stockItemOf(product))) ?? {}
        const state = free > 0 ? 'in_stock' : held > 0 ? 'all_held' : 'sold_out'
        return json(200, { sku, mode, left: free, state }, { 'Cache-Control': 'public, max-age=1' })
      },
    }),
    route({
      tag: 'Sales',
      session: 'none',
      query: schemas.noQuery,
      method: 'get',
      path: '/v1/sales/:id',
      name: 'viewSale',
      summary: 'A sale: when it starts, and what is left',
      params: schemas.saleParams,
      answer: { status: 200, description: 'The sale', schema: schemas.sale },
      problems: ['sale_not_found'],
      handle: async ({ params }) => json(200, await sales.view(params.id), { 'Cache-Control': 'public, max-age=1' }),
    }),
    route({
      ...queue,
      method: 'post',
      name: 'enterQueue',
      summary: 'Takes a place in the queue of a sale, or tells the place that is held already',
      query: schemas.noQuery,
      body: schemas.enterQueue,
      answer,
      problems: ['sale_not_found', 'buyer_refused'],
      async handle({ params, body }, call) {
        return json(200, await sales.enter(params.id, await call.requireSession(), body.proof))
      },
    }),
    route({
      ...queue,
      method: 'get',
      name: 'viewQueue',
      summary: 'Where the buyer stands',
      query: schemas.noQuery,
      answer,
      problems: ['sale_not_found'],
      handle: async ({ params }, call) => json(200, await sales.look(params.id, await call.requireSession())),
    }),
    route({
      ...queue,
      method: 'delete',
      name: 'leaveQueue',
      summary: 'Gives the place in the queue away',
      query: schemas.noQuery,
      answer: { status: 204, description: 'It is gone' },
      problems: ['sale_not_found'],
      async handle({ params }, call) {
        await sales.leave(params.id, await call.requireSession())
        return { status: 204 }
      },
    }),
  ]
}
