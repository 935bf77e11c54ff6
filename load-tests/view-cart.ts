import { logIn, viewCart } from './lib/client.ts'
import { logInAll, pick, USERS } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * The worst minute of a shop: all shoppers look at the cart. The shoppers have logged in before the clock starts; while it
 * runs, one in fifty logs in again (a password check costs as much as a hundred views), and every third turns a page.
 */
export const options = shaped({ rate: 100 })

export const setup = (): Promise<string[]> => logInAll()

export default async function viewCartScenario(tokens: string[]): Promise<void> {
  const token = Math.random() < 1 / 50 ? await logIn(1 + Math.floor(Math.random() * USERS)) : pick(tokens)
  const cart = await viewCart(token)
  if (cart?.page.next && Math.random() < 1 / 3) await viewCart(token, cart.page.next)
}
