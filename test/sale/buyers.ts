import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Try } from '../history/orders.ts'
import { registrationsOf } from './accounts.ts'
import type { Http } from './http.ts'
import type { Shop } from './shop.ts'

export type End = 'bought' | 'sold_out' | 'limit' | 'unclear'

export interface Buyer {
  readonly userId: string
  readonly token: string
  end: End | undefined
}

export interface History {
  readonly tries: Try[]
  /** Answers by status and code. */
  readonly answers: Map<string, number>
}

/** Accounts and sessions, made directly: registering and logging in is not what is looked at here. */
export async function makeBuyers(shop: Pick<Shop, 'addresses'>, count: number): Promise<Buyer[]> {
  const { addMember, session, close } = await registrationsOf(shop)
  try {
    const buyers: Buyer[] = []
    let next = 0
    const worker = async () => {
      while (next < count) {
        next++
        const userId = await addMember(`${randomUUID()}@buyers.example`)
        buyers.push({ userId, token: await session(userId), end: undefined })
      }
    }
    await Promise.all(Array.from({ length: 32 }, worker))
    return buyers
  } finally {
    await close()
  }
}

export interface Chase {
  readonly shop: Pick<Shop, 'url'>
  readonly http: Http
  readonly sku: string
  /** Undefined: there is no queue. */
  readonly sale: string | undefined
  readonly deadlineMs: number
  readonly history: History
}

/** A buyer goes on until it has an order or a clear no. */
export async function buy(chase: Chase, buyer: Buyer): Promise<void> {
  const { sale, sku, deadlineMs, history } = chase
  const key = randomUUID()
  const queue = `/v1/sales/${sale}/queue`
  let admission: string | undefined
  let cartVersion: number | undefined
  let wait = 0
  const count = (what: string) => history.answers.set(what, (history.answers.get(what) ?? 0) + 1)
  const send = async (method: string, path: string, body?: unknown, withKey?: string) => {
    const options = {
      token: buyer.token,
      ...(body === undefined ? {} : { body }),
      ...(withKey ? { key: withKey } : {}),
    }
    const reply = await chase.http.send(chase.shop.url(), method, path, options)
    count(`${method} ${path.split('/')[2]} ${reply.status} ${reply.body?.code ?? reply.body?.state ?? ''}`)
    return reply
  }
  const end = (how: End) => {
    buyer.end = how
  }
  while (performance.now() < deadlineMs && buyer.end === undefined) {
    if (wait > 0) await sleep(wait)
    wait = 100 + Math.random() * 200
    if (sale !== undefined && admission === undefined) {
      const { status, body } = await send('POST', queue, {})
      if (status !== 200) continue
      if (body.state === 'sold_out') end('sold_out')
      if (body.state === 'admitted') {
        admission = body.admission as string
        wait = 0
      } else wait = Number(body.pollAfterMs ?? wait) * (0.9 + Math.random() * 0.2)
      continue
    }
    if (cartVersion === undefined) {
      const { status, body } = await send('PUT', `/v1/cart/lines/${sku}`, { quantity: 1 })
      if (status === 200) cartVersion = body.version as number
      wait = status === 200 ? 0 : wait
      continue
    }
    const attempt: Try = { userId: buyer.userId, key, result: 'invoked' }
    history.tries.push(attempt)
    const { status, body } = await send('POST', '/v1/orders', { cartVersion, ...(admission ? { admission } : {}) }, key)
    if (status === 200 || status === 201) {
      Object.assign(attempt, { result: 'ok', orderId: body.id, total: body.total })
      end('bought')
      continue
    }
    attempt.code = body?.code ?? String(status)
    if (status === 0 || status >= 500 || body?.code === 'idempotency_in_flight') {
      attempt.result = 'unknown' // the same key again: it may have been made
      continue
    }
    attempt.result = 'fail'
    switch (body?.code) {
      case 'out_of_stock':
        // Held is not sold: until the sale says that it is over, some may come back.
        if (await isOver(chase, buyer.token)) end('sold_out')
        break
      case 'purchase_limit':
        end('limit')
        break
      case 'admission_required':
        admission = undefined
        break
      case 'cart_changed':
        cartVersion = body.version as number
        break
      case 'order_given_up':
        break
      default:
        end('unclear')
    }
  }
  buyer.end ??= 'unclear'
}

async function isOver({ shop, http, sku }: Chase, token: string): Promise<boolean> {
  const { status, body } = await http.send(shop.url(), 'GET', `/v1/stock/${sku}`, { token })
  return status === 200 && body.state === 'sold_out'
}
