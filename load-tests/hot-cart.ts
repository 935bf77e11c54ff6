import { fail } from 'k6'
import { Counter } from 'k6/metrics'
import { addLine, clearCart, type Cart } from './lib/client.ts'
import { allSkus, logInAll, pick } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/**
 * Many tabs on one cart. Each add raises the version by one and the units by one, so in every answer both have grown by the same: a
 * lost add, or one that came twice, breaks that for good.
 */
const lostAdds = new Counter('lost_adds')
export const options = shaped({ rate: 30, thresholds: { lost_adds: ['count==0'] } })

interface Hot {
  readonly token: string
  readonly skus: string[]
  /** Version less units, at the start. */
  readonly difference: number
}

const ahead = ({ version, counts }: Cart) => version - counts.units

export async function setup(): Promise<Hot> {
  const [token = fail('no user could log in')] = await logInAll(1)
  const skus = await allSkus(300)
  await clearCart(token)
  const first = (await addLine(token, pick(skus))) ?? fail('nothing can be added')
  lostAdds.add(0)
  return { token, skus, difference: ahead(first.cart) }
}

export default async function hotCartScenario({ token, skus, difference }: Hot): Promise<void> {
  const added = await addLine(token, pick(skus))
  if (added) lostAdds.add(Math.abs(ahead(added.cart) - difference))
}
