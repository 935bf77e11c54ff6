import type { CatalogPage, Products } from '../catalog/products.ts'
import { matches } from './conditional.ts'
import { type Answer, type Call, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** The catalogue. Public, so no session is looked up. */
export function catalogRoutes(products: Products, schemas: Schemas): Route[] {
  const common = { tag: 'Catalogue', session: 'none' } as const
  return [
    route({
      ...common,
      method: 'get',
      path: '/v1/products',
      name: 'listProducts',
      summary: 'A page of products: by category, by the start of the name, by price',
      query: schemas.productQuery,
      answer: { status: 200, description: 'A page', schema: schemas.productPage, headers: ['ETag'] },
      problems: [],
      handle: async ({ query }, call) => answer(await products.page(query), call),
    }),
    route({
      ...common,
      method: 'get',
      path: '/v1/products/:sku',
      name: 'viewProduct',
      summary: 'One product',
      query: schemas.noQuery,
      params: schemas.skuParams,
      answer: { status: 200, description: 'The product', schema: schemas.product, headers: ['ETag'] },
      problems: ['product_not_found'],
      handle: async ({ params }, call) => answer(await products.one(params.sku), call),
    }),
  ]
}

function answer({ body, etag }: CatalogPage, call: Call): Answer {
  const headers = { ETag: etag, 'Cache-Control': 'public, no-cache' }
  return matches(call.ifNoneMatch, etag) ? { status: 304, headers } : { status: 200, body, headers }
}
