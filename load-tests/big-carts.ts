import { check, fail } from 'k6'
import { addLines, removeLine, setLine, viewCart, wholeCart } from './lib/client.ts'
import { allSkus, pick, weighted } from './lib/data.ts'
import { shaped } from './lib/profiles.ts'

/** Carts of 100 to 500 lines, looked at, turned through and changed. */
export const options = shaped({ rate: 40, secondsEach: 0.5 })

const CARTS = 20
const LINES = [100, 200, 350, 490] as const
const OWN_LINES = 145

interface Big {
  readonly tokens: string[]
  readonly skus: string[]
}

export async function setup(): Promise<Big> {
  const skus = await allSkus(500)
  const tokens: string[] = []
  for (let at = 0; at < CARTS; at++) {
    const lines = skus.slice(0, LINES[at % LINES.length]).map(sku => ({ sku, quantity: 1 }))
    tokens.push((await addLines(undefined, lines))?.token ?? fail('a cart could not be filled'))
  }
  return { tokens, skus }
}

const TASKS: readonly (readonly [(token: string, big: Big) => Promise<unknown>, number])[] = [
  [token => viewCart(token), 60],
  [token => viewCart(token, undefined, 100), 10],
  [turnThrough, 5],
  [change, 20],
  [(token, { skus }) => removeLine(token, pick(skus)), 5],
]

export default async function bigCartsScenario(big: Big): Promise<void> {
  await weighted(TASKS)(pick(big.tokens), big)
}

/** The next page of a cart that is changed meanwhile: so the whole cart in one request. */
async function turnThrough(_: string, { skus }: Big): Promise<void> {
  const added = await addLines(
    undefined,
    skus.slice(0, OWN_LINES).map((sku, at) => ({ sku, quantity: 1 + (at % 2) })),
  )
  if (!added) return
  const cart = await wholeCart(added.token)
  check(cart, {
    'cart: every line is there once': whole => new Set(whole?.lines.map(({ sku }) => sku)).size === OWN_LINES,
  })
}

async function change(token: string, { skus }: Big): Promise<void> {
  const [sku, quantity] = [pick(skus), 1 + Math.floor(Math.random() * 9)]
  const cart = await setLine(token, sku, quantity)
  const shown = cart?.lines.find(line => line.sku === sku)
  if (shown) check(shown, { 'set: the line has some quantity': ({ quantity: now }) => now >= 1 })
}
