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

export function setup(): Hot {
  const [token = fail('nobody could log in')] = logInAll(1)
  const skus = allSkus(300)
  clearCart(token)
  const first = addLine(token, pick(skus)) ?? fail('nothing can be added')
  lostAdds.add(0)
  return { token, skus, difference: ahead(first.cart) }
}

export default function hotCartScenario({ token, skus, difference }: Hot): void {
  const added = addLine(token, pick(skus))
  if (added) lostAdds.add(Math.abs(ahead(added.cart) - difference))
}
