import { logIn, logOut, viewCart } from './lib/client.ts'
import { USERS } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * A sale begins: all shoppers log in and look at the cart. What it costs is the password (20 ms of a core, on purpose), so the rate that a box
 * carries follows from its cores; the question is what the others notice.
 */
export const options = shaped({ rate: 20, secondsEach: 1 })

export default async function loginStormScenario(): Promise<void> {
  const token = await logIn(1 + Math.floor(Math.random() * USERS))
  if (token === undefined) return
  await viewCart(token)
  if (Math.random() < 0.2) await logOut(token)
}
