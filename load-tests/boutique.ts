import { addLine, placeOrder, product, products, viewCart } from './lib/client.ts'
import { allSkus, popular, weighted } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * Google's Online Boutique, with the weights of its load generator (github.com/GoogleCloudPlatform/microservices-demo,
 * src/loadgenerator): index 1, set currency 2, browse product 10, add to cart 2, view cart 3, checkout 1. A shopper is a guest who does a
 * few things one after the other. Currencies are not ours: that task asks for the first page of products.
 */
export const options = shaped({ rate: 20, secondsEach: 1 })

export const setup = (): Promise<string[]> => allSkus()

const TASKS_EACH = 6

export default async function boutiqueScenario(skus: string[]): Promise<void> {
  let token: string | undefined
  const quantity = () => 1 + Math.floor(Math.random() * 10)
  const addToCart = async () => {
    const sku = popular(skus)
    await product(sku)
    const added = await addLine(token, sku, quantity())
    token = added?.token ?? token
    return added
  }
  const tasks: readonly (readonly [() => Promise<unknown>, number])[] = [
    [() => products(), 3],
    [() => product(popular(skus)), 10],
    [() => addToCart(), 2],
    [() => viewCart(token), 3],
    [
      async () => {
        const added = await addToCart()
        if (added) await placeOrder(added.token, added.cart)
      },
      1,
    ],
  ]
  for (let task = 0; task < TASKS_EACH; task++) await weighted(tasks)()
}
