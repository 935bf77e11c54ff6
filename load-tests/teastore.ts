import { check } from 'k6'
import { addLine, clearCart, logIn, logOut, placeOrder, product, products, viewCart } from './lib/client.ts'
import { allSkus, pick, popular, USERS } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * TeaStore's buy cycle (github.com/DescartesResearch/TeaStore, examples/httploadgenerator): home, login, category, product, add,
 * category, another page of it, add, order, profile, logout. Each shopper logs in, so a cycle costs at least a password check.
 */
export const options = shaped({ rate: 10, secondsEach: 2 })

export const setup = (): Promise<string[]> => allSkus()

export default async function teastoreScenario(skus: string[]): Promise<void> {
  await products()
  const token = await logIn(1 + Math.floor(Math.random() * USERS))
  if (token === undefined) return
  await clearCart(token) // seeded users have carts of their own
  const category = (await products('limit=30'))?.data[0]?.category ?? ''
  const list = `limit=30&category=${encodeURIComponent(category)}`
  const sku = popular(skus)
  await product(sku)
  await addLine(token, sku)
  const page = await products(list)
  check(page, { 'category: holds its products': found => found?.data.every(one => one.category === category) ?? false })
  if (page?.page.next) await products(`${list}&cursor=${encodeURIComponent(page.page.next)}`)
  const added = await addLine(token, pick(skus))
  // Another shopper of the same account may have changed the cart meanwhile: then the order is refused, and rightly.
  if (added) await placeOrder(token, added.cart)
  await viewCart(token)
  await logOut(token)
}
