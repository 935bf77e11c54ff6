import {
  addLine,
  clearCart,
  newKey,
  order,
  orders,
  placeOrder,
  product,
  products,
  register,
  viewCart,
} from './lib/client.ts'
import { allSkus, logInAll, pick, popular, weighted } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * A shop on an ordinary day: the shares of TPC-W's shopping mix (www.tpc.org/tpcw, version 1.8, table of the shopping interval), each
 * interaction as the requests of ours that it takes. Home, new products, best sellers and searches are pages of the catalogue; the
 * shopping cart is shown by half and added to by half. Its two administrative interactions (0.19 %) are left out.
 */
export const options = shaped({ rate: 100 })

export interface Shop {
  readonly tokens: string[]
  readonly skus: string[]
}

export const setup = async (): Promise<Shop> => ({ tokens: await logInAll(), skus: await allSkus() })

const LINES_MAX = 40

const INTERACTIONS: readonly (readonly [(shop: Shop, token: string) => Promise<unknown>, number])[] = [
  [() => products(), 16], // home
  [() => products('limit=20'), 10], // new products, best sellers
  [({ skus }) => product(popular(skus)), 17],
  [() => products(`q=${pick(['Vintage', 'Glass', 'Retro', 'Zinc', 'Felt'])}`), 20], // search request
  [() => turnPage(), 17], // search results
  [(_, token) => viewCart(token), 5.8],
  [add, 5.8],
  [() => register(`${newKey()}@load.example`), 3],
  [buyRequest, 2.6],
  [buyConfirm, 1.2],
  [(_, token) => orders(token), 0.75],
  [orderDisplay, 0.66],
]

export default async function shopScenario(shop: Shop): Promise<void> {
  await weighted(INTERACTIONS)(shop, pick(shop.tokens))
}

async function turnPage(): Promise<void> {
  const next = (await products('limit=50'))?.page.next
  if (next) await products(`limit=50&cursor=${encodeURIComponent(next)}`)
}

async function add({ skus }: Shop, token: string): Promise<void> {
  const added = await addLine(token, popular(skus))
  if (added && added.cart.counts.lines > LINES_MAX) await clearCart(token) // the mix buys less than it adds
}

/** The buyer sees once more what it will be. */
async function buyRequest(_: Shop, token: string): Promise<void> {
  await viewCart(token)
}

/** With a cart of its own, so that no other shopper of the same account changes it meanwhile. */
async function buyConfirm({ skus }: Shop): Promise<void> {
  const added = await addLine(undefined, popular(skus))
  if (added) await placeOrder(added.token, added.cart)
}

async function orderDisplay(_: Shop, token: string): Promise<void> {
  const first = (await orders(token))?.data[0]
  if (first) await order(token, first.id)
}
