import { fail } from 'k6'
import { logIn, USERS, viewCart } from './lib/client.ts'
import { arrivalRate } from './lib/profiles.ts'

/**
 * The worst minute of a shop: everybody logs in and looks at the cart. A shopper logs in once and comes back to look
 * again; every third turns a page.
 */
export const options = arrivalRate()

const tokens = new Map<number, string>()

export default function viewCartScenario(): void {
  const user = 1 + Math.floor(Math.random() * USERS)
  const token = tokens.get(user) ?? logIn(user)
  if (!token) fail(`user ${user} could not log in`)
  tokens.set(user, token)
  const cart = viewCart(token)
  if (cart?.page.next && Math.random() < 1 / 3) viewCart(token, cart.page.next)
}
