import { check, fail } from 'k6'
import { addLine, removeLine, setLine, viewCart, wholeCart } from './lib/client.ts'
import { allSkus, pick, weighted } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/** Carts of 100 to 500 lines, looked at, turned through and changed. */
export const options = shaped({ rate: 40, secondsEach: 0.5 })

const CARTS = 20
const LINES = [100, 200, 350, 490] as const

interface Big {
  readonly tokens: string[]
  readonly skus: string[]
}

export function setup(): Big {
  const skus = allSkus(500)
  const tokens = Array.from({ length: CARTS }, (_, at) => {
    const first = addLine(undefined, skus[0] ?? '') ?? fail('a cart could not be begun')
    const lines = skus.slice(1, LINES[at % LINES.length])
    for (const sku of lines) setLine(first.token, sku, 1 + (at % 5))
    return first.token
  })
  return { tokens, skus }
}

const TASKS: readonly (readonly [(token: string, big: Big) => void, number])[] = [
  [token => void viewCart(token), 60],
  [token => void viewCart(token, undefined, 100), 10],
  [turnThrough, 5],
  [change, 20],
  [(token, { skus }) => void removeLine(token, pick(skus)), 5],
]

export default function bigCartsScenario(big: Big): void {
  weighted(TASKS)(pick(big.tokens), big)
}

/** The next page of a cart that somebody changes meanwhile is refused (409 cursor_stale): so the whole in one piece of its own. */
function turnThrough(_: string, { skus }: Big): void {
  const added = addLine(undefined, skus[0] ?? '')
  if (!added) return
  for (const sku of skus.slice(1, 45)) setLine(added.token, sku, 1)
  const cart = wholeCart(added.token)
  check(cart, { 'cart: every line is there once': whole => new Set(whole?.lines.map(({ sku }) => sku)).size === 45 })
}

function change(token: string, { skus }: Big): void {
  const [sku, quantity] = [pick(skus), 1 + Math.floor(Math.random() * 9)]
  const cart = setLine(token, sku, quantity)
  const shown = cart?.lines.find(line => line.sku === sku)
  if (shown) check(shown, { 'set: the line has some quantity': ({ quantity: now }) => now >= 1 })
}
