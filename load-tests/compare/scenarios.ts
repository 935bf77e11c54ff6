import type { Product } from '../../src/model/product.ts'
import type { Request } from './generators.ts'
import { changers, type Cookies, largeUsers, loggers, lookers, PASSWORD, type Shop, SIZES, usersOf } from './shop.ts'

/** What shoppers ask for, as each contender understands it. */
export interface At {
  readonly name: string
  readonly url: string
  readonly shop: Shop
  readonly cookies: Cookies
}

export interface Scenario {
  readonly title: string
  readonly status: number
  requests(at: At): readonly Request[] | Promise<readonly Request[]>
  /** What the first answers must hold. */
  check?(body: Body): boolean
}

/** As far as the answers of all contenders go. */
interface Body {
  readonly totals?: { readonly total: number }
  readonly lines?: readonly { readonly total: number }[]
  readonly counts?: { readonly lines: number }
  readonly data?: readonly unknown[]
  readonly page?: { readonly next: string | null }
}

const JSON_TYPE = { 'Content-Type': 'application/json' }
const PAGES = 50
const PAGE_OF_100 = '/v1/cart?limit=100'
const DEPTH = 10_000

export const SCENARIOS = {
  'view-10': {
    title: 'view cart of 10 lines',
    status: 200,
    requests: ({ cookies }) => views(lookers(cookies)),
    check: body => body.lines?.length === SIZES.smallLines && addsUp(body),
  },
  'view-500': {
    title: 'first page of a cart of 500 lines',
    status: 200,
    requests: ({ cookies }) => views(largeUsers(cookies)),
    check: body => body.lines?.length === 20 && (body.counts?.lines ?? 0) >= SIZES.largeLines,
  },
  'view-304': {
    title: 'view with If-None-Match',
    status: 304,
    requests: ({ url, cookies }) => viewsAgain(url, '/v1/cart', lookers(cookies)),
  },
  'view-100': {
    title: '100 lines of a cart of 500',
    status: 200,
    requests: ({ cookies }) => largeUsers(cookies).map(cookie => get(PAGE_OF_100, { cookie })),
    check: body => body.lines?.length === 100,
  },
  'view-100-304': {
    title: 'the same with If-None-Match',
    status: 304,
    requests: ({ url, cookies }) => viewsAgain(url, PAGE_OF_100, largeUsers(cookies)),
  },
  'add-10': {
    title: 'add a line to a cart of 10',
    status: 200,
    requests: ({ shop, cookies }) => adds(changers(shop.users), changers(cookies)),
    check: body =>
      (body.counts?.lines ?? 0) > SIZES.smallLines && body.lines?.length === body.counts?.lines && addsUp(body),
  },
  'add-500': {
    title: 'add a line to a cart of 500',
    status: 200,
    requests: ({ shop, cookies }) => adds(largeUsers(shop.users), largeUsers(cookies)),
    check: body => (body.counts?.lines ?? 0) > SIZES.largeLines && body.lines?.length === 20,
  },
  products: {
    title: 'product page of 20',
    status: 200,
    requests: at => productPages(at, 0),
    check: body => body.data?.length === 20 && body.page?.next !== null,
  },
  'products-deep': {
    title: `product page of 20 at depth ${DEPTH}`,
    status: 200,
    requests: at => productPages(at, DEPTH),
    check: body => body.data?.length === 20 && body.page?.next !== null,
  },
  login: {
    title: 'login',
    status: 201,
    requests: ({ shop }) => loggers(shop.users).map(({ email }) => login(email)),
  },
  mixed: {
    title: 'shopping mix (TPC-W)',
    status: 200,
    requests: mix,
  },
} as const satisfies Record<string, Scenario>

export type ScenarioName = keyof typeof SCENARIOS | `view-of-${number}` | `add-to-${number}` | `view-by-${number}`

/** Also those of the cost curves: a view of so many lines, an add to so many, views by so many users. */
export function scenarioOf(name: ScenarioName): Scenario {
  if (name in SCENARIOS) return SCENARIOS[name as keyof typeof SCENARIOS]
  const number = Number(/\d+$/.exec(name)?.[0])
  const title = name.replaceAll('-', ' ')
  if (name.startsWith('view-by')) {
    return { title, status: 200, requests: ({ cookies }) => views(lookers(cookies).slice(0, number)) }
  }
  if (name.startsWith('view-of'))
    return { title, status: 200, requests: ({ shop, cookies }) => views(usersOf(shop, cookies, number)) }
  return {
    title,
    status: 200,
    requests: ({ shop, cookies }) => adds(usersOf(shop, shop.users, number), usersOf(shop, cookies, number)),
  }
}

/** Of clients that have what they ask for. */
const viewsAgain = (url: string, path: string, cookies: Cookies) =>
  Promise.all(
    cookies.map(async cookie => {
      const answer = await fetch(url + path, { headers: { cookie } })
      await answer.arrayBuffer()
      return get(path, { cookie, 'If-None-Match': answer.headers.get('etag') ?? '"any"' })
    }),
  )

const views = (cookies: Cookies) => cookies.map(cookie => get('/v1/cart', { cookie }))

const get = (path: string, headers: Readonly<Record<string, string>> = {}): Request => ({
  method: 'GET',
  path,
  headers,
})

const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Request => ({
  method: 'POST',
  path,
  headers: { ...JSON_TYPE, ...headers },
  body: JSON.stringify(body),
})

const login = (email: string) => post('/v1/sessions', { email, password: PASSWORD })

function addsUp({ lines = [], totals }: Body): boolean {
  return lines.reduce((sum, line) => sum + line.total, 0) === totals?.total
}

/** Every user in turn, each time another of its products: two writes to one cart are far apart. */
function adds(users: Shop['users'], cookies: Cookies): Request[] {
  return Array.from({ length: SIZES.extra }, (_, turn) =>
    users.map(({ extra }, index) =>
      post('/v1/cart/lines', { sku: extra[turn], quantity: 1 }, { cookie: cookies[index] ?? '' }),
    ),
  ).flat()
}

/** Pages that follow each other from a depth on: by cursor where there is one, by offset at the typical one. */
async function productPages({ name, url }: Pick<At, 'name' | 'url'>, depth: number): Promise<Request[]> {
  if (name === 'typical') {
    return Array.from({ length: PAGES }, (_, page) => get(`/v1/products?limit=20&offset=${depth + page * 20}`))
  }
  const next = async (query: string): Promise<string> => {
    const { page } = (await (await fetch(`${url}/v1/products?${query}`)).json()) as { page: { next: string } }
    return `&cursor=${encodeURIComponent(page.next)}`
  }
  let cursor = ''
  for (let at = 0; at < depth; at += 100) cursor = await next(`limit=100${cursor}`)
  const pages: Request[] = []
  while (pages.length < PAGES) {
    pages.push(get(`/v1/products?limit=20${cursor}`))
    cursor = await next(`limit=20${cursor}`)
  }
  return pages
}

/** TPC-W's shopping shares (reference: percent of web interactions) of what every contender can do; orders are left out. */
const SHARES = { list: 63, detail: 17, view: 5.8, add: 5.8, login: 3 }
const MIX_REQUESTS = 4_000

async function mix(at: At): Promise<Request[]> {
  const pages = await productPages(at, 0)
  const users = changers(at.shop.users)
  const cookies = changers(at.cookies)
  const make: Record<keyof typeof SHARES, (n: number) => Request | undefined> = {
    list: n => pages[n % pages.length],
    detail: n => get(`/v1/products/${(at.shop.products[(n * 7) % at.shop.products.length] as Product).sku}`),
    view: n => get('/v1/cart', { cookie: cookies[n % users.length] ?? '' }),
    add: n => {
      const user = users[n % users.length]
      const body = { sku: user?.extra[n % SIZES.extra], quantity: 1 }
      return post('/v1/cart/lines', body, { cookie: cookies[n % users.length] ?? '' })
    },
    login: n => login(loggers(at.shop.users)[n % SIZES.logins]?.email ?? ''),
  }
  // The kind whose share is most behind comes next: the same even mixture every time.
  const all = Object.values(SHARES).reduce((a, b) => a + b, 0)
  const made: Record<string, number> = {}
  const kinds = Object.keys(SHARES) as (keyof typeof SHARES)[]
  return Array.from({ length: MIX_REQUESTS }, (_, index) => {
    const behind = (kind: keyof typeof SHARES) => ((index + 1) * SHARES[kind]) / all - (made[kind] ?? 0)
    const kind = kinds.reduce((a, b) => (behind(b) > behind(a) ? b : a))
    made[kind] = (made[kind] ?? 0) + 1
    return make[kind](made[kind] * 13)
  }).filter(request => request !== undefined)
}
