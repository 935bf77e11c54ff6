import { fail } from 'k6'
import { logIn, USERS, viewCart } from './lib/client.ts'
import { arrivalRate } from './lib/profiles.ts'

/**
 * The worst minute of a shop: everybody looks at the cart. The shoppers have logged in before the clock starts; while it
 * runs, one in fifty logs in again (a password check costs as much as a hundred views), and every third turns a page.
 */
export const options = { ...arrivalRate(), setupTimeout: '5m' }

export function setup(): string[] {
  return Array.from({ length: USERS }, (_, index) => logIn(index + 1) ?? fail(`user ${index + 1} could not log in`))
}

export default function viewCartScenario(tokens: string[]): void {
  const user = Math.floor(Math.random() * tokens.length)
  const token = Math.random() < 1 / 50 ? logIn(user + 1) : tokens[user]
  if (!token) fail(`user ${user + 1} could not log in`)
  const cart = viewCart(token)
  if (cart?.page.next && Math.random() < 1 / 3) viewCart(token, cart.page.next)
}
