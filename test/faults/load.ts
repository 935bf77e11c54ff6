import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { contentsText, createRecorder, type CartEdit, type Outcome, type Recorder } from '../history/recorder.ts'
import { registrationsOf } from '../sale/accounts.ts'
import { buy, type Buyer, type History, makeBuyers } from '../sale/buyers.ts'
import { createHttp, type Reply } from '../sale/http.ts'
import { chance } from '../support/history.ts'
import { shardOf } from '../support/servers.ts'
import type { Lab } from './lab.ts'

/**
 * What shoppers do while the shop is hurt: many read few carts, others change them, some buy, some log out. Everything is recorded
 * (test/history); a write keeps its key and is tried three times at most. Open in the sense that who has an answer waits its time and not
 * for others.
 */
export interface LoadOptions {
  readonly seed: number
  readonly users: number
  readonly readers: number
  /** Each sends some changes at once. */
  readonly writers: number
  readonly sessions: number
  readonly buyers: number
  /** What the buyers compete for, and over how long they arrive. */
  readonly sku: string
  readonly buyersMs?: number
  /** Who has neither an order nor a clear no by then gives up. */
  readonly buyersMsMax?: number
  /** Between a reader’s answer and its next question; three times that for writers. */
  readonly thinkMs: number
  readonly historyFile?: string | undefined
}

/** An attempt that a client saw fail: no answer, an error of the server, or too long. */
export interface Failure {
  readonly atUs: number
  readonly what: string
  /** 0 or 1: where the user lives. */
  readonly shard: number
  /** The last attempt of it: the client has given up. */
  readonly isFinal: boolean
}

export interface Load {
  readonly recorder: Recorder
  readonly failures: readonly Failure[]
  readonly attempts: () => number
  readonly users: readonly User[]
  readonly orders: History
  readonly buyers: readonly Buyer[]
  /** For a while so many times as many readers, who do not think. */
  surge(factor: number, ms: number): Promise<void>
  /** For a while so many writers, who do not think, on one cart. */
  crowd(writers: number, ms: number): Promise<void>
  /** Sets a quantity in a user’s cart, once, without a key: nginx may send it again. */
  set(user: User, sku: string, quantity: number): Promise<Outcome>
  view(user: User): Promise<Outcome>
  newUser(): Promise<User>
  stop(): Promise<void>
  /** Every cart, read once more through each instance; how many could not be read. */
  readAll(): Promise<number>
  /** Writers wait until it is called again with false. */
  hold(isHeld: boolean): void
  close(): void
}

export interface User {
  readonly id: string
  readonly token: string
  readonly shard: number
}

/** Changes that a writer sends at once. */
const WAVE = 6
const ATTEMPTS_MAX = 3
/** Few products, so that edits meet; a cart fits one page. */
const PRODUCTS = Array.from({ length: 8 }, (_, n) => `T-00${n + 1}`)
const PATHS = { cart: '/v1/cart?limit=100', lines: '/v1/cart/lines' }

export async function startLoad(lab: Lab, options: LoadOptions): Promise<Load> {
  const random = chance(options.seed)
  const accounts = await registrationsOf(lab)
  async function newUser(): Promise<User> {
    const id = await accounts.addMember(`${randomUUID()}@faults.example`)
    return { id, token: await accounts.session(id), shard: shardOf(id) }
  }
  const users: User[] = []
  for (let n = 0; n < options.users; n++) users.push(await newUser())
  const buyers = options.buyers > 0 ? await makeBuyers(lab, options.buyers) : []
  const recorder = createRecorder(options.historyFile)
  const failures: Failure[] = []
  const orders: History = { tries: [], answers: new Map() }
  const http = createHttp(512)
  const stopping = new AbortController()
  const isStopped = () => stopping.signal.aborted
  let attempts = 0
  let isHeld = false

  function judged(reply: Reply, what: string, shard: number, isFinal: boolean): Reply {
    attempts++
    if (reply.status === 0 || reply.status >= 500) {
      const code = reply.status === 0 ? 'no answer' : `${reply.status} ${reply.body?.code ?? ''}`
      failures.push({ atUs: performance.now() * 1000, what: `${what}: ${code}`, shard, isFinal })
    }
    return reply
  }

  const think = (ms: number) =>
    sleep(ms * (0.5 + Math.random()), undefined, { signal: stopping.signal }).catch(() => undefined)

  /** Each attempt is an operation of its own: what it is told must not be older than what was told before it. */
  async function read(client: number, user: User, url = lab.url): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      const isFinal = attempt === ATTEMPTS_MAX
      const outcome = await recorder.record(client, { kind: 'read', user: user.id }, async () => {
        const reply = await http.send(url, 'GET', PATHS.cart, { token: user.token })
        return outcomeOf(judged(reply, 'read', user.shard, isFinal))
      })
      if (outcome.result !== 'info' || isFinal) return outcome
      await sleep(backOff(attempt))
    }
  }

  async function write(client: number, user: User, edit: CartEdit): Promise<void> {
    const key = randomUUID()
    const [method, path, body] = requestOf(edit)
    await recorder.record(client, { kind: 'write', user: user.id, edit, key }, async () => {
      let isUnknown = false
      for (let attempt = 1; ; attempt++) {
        const isFinal = attempt === ATTEMPTS_MAX
        const sent = await http.send(lab.url, method, path, { token: user.token, key, ...(body ? { body } : {}) })
        const outcome = outcomeOf(judged(sent, 'write', user.shard, isFinal))
        // A refusal says nothing of an attempt before it whose answer was lost.
        if (outcome.result === 'fail' && isUnknown) return { ...outcome, result: 'info' }
        if (outcome.result !== 'info' || isFinal) return outcome
        isUnknown = true
        await sleep(backOff(attempt))
      }
    })
  }

  async function reader(client: number): Promise<void> {
    while (!isStopped()) {
      await read(client, pick(users))
      await think(options.thinkMs)
    }
  }

  /** Changes carts in waves, so that instances have some to write together. */
  async function writer(client: number): Promise<void> {
    while (!isStopped()) {
      const wave = isHeld ? [] : Array.from({ length: WAVE }, () => pick(users))
      await Promise.all(wave.map((user, at) => write(client * WAVE + at, user, randomEdit(random))))
      await think(options.thinkMs * 3)
    }
  }

  /** A session that is used, ended, and used again. */
  async function visitor(client: number): Promise<void> {
    while (!isStopped()) {
      const user = pick(users)
      const token = await accounts.session(user.id).catch(() => undefined)
      if (token === undefined) {
        await think(200)
        continue
      }
      const session = token.slice(-12)
      const request = (method: string, path: string) =>
        http.send(lab.url, method, path, { token }).then(reply => judged(reply, 'session', user.shard, false))
      const use = () =>
        recorder.record(client, { kind: 'request', session }, async () => useOutcome(await request('GET', '/v1/cart')))
      for (let n = 0; n < 3; n++) await use()
      await recorder.record(client, { kind: 'logout', session }, async () => {
        const { status } = await request('DELETE', '/v1/sessions/current')
        return { result: status === 204 || status === 200 ? 'ok' : 'info' }
      })
      for (let n = 0; n < 3; n++) {
        await use()
        await think(options.thinkMs)
      }
    }
  }

  async function buyer(who: Buyer): Promise<void> {
    await think((options.buyersMs ?? 20_000) * Math.random())
    const chase = { shop: { url: () => lab.url }, http, sku: options.sku, sale: undefined, history: orders }
    await buy({ ...chase, deadlineMs: performance.now() + (options.buyersMsMax ?? 180_000) }, who)
  }

  const running = [
    ...Array.from({ length: options.readers }, (_, n) => reader(n)),
    ...Array.from({ length: options.writers }, (_, n) => writer(1_000 + n)),
    ...Array.from({ length: options.sessions }, (_, n) => visitor(2_000 + n)),
    ...buyers.map(buyer),
  ]

  return {
    recorder,
    failures,
    attempts: () => attempts,
    users,
    orders,
    buyers,
    async surge(factor, ms) {
      const until = performance.now() + ms
      const extra = Array.from({ length: options.readers * factor }, async (_, n) => {
        while (performance.now() < until && !isStopped()) {
          await read(10_000 + n, pick(users))
        }
      })
      await Promise.all(extra)
    },
    async crowd(count, ms) {
      const until = performance.now() + ms
      const user = pick(users)
      const crowd = Array.from({ length: count }, async (_, n) => {
        while (performance.now() < until && !isStopped()) await write(30_000 + n, user, randomEdit(random))
      })
      await Promise.all(crowd)
    },
    set: (user, sku, quantity) =>
      recorder.record(40_000, { kind: 'write', user: user.id, edit: { do: 'set', sku, quantity } }, async () => {
        const sent = await http.send(lab.url, 'PUT', `${PATHS.lines}/${sku}`, { token: user.token, body: { quantity } })
        return outcomeOf(judged(sent, 'set', user.shard, true))
      }),
    view: user => read(50_000, user),
    newUser,
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
    async readAll() {
      let unread = 0
      for (const user of users)
        for (const { url } of lab.instances) if ((await read(20_000, user, url)).result !== 'ok') unread++
      return unread
    },
    hold(is) {
      isHeld = is
    },
    close() {
      recorder.close()
      http.close()
      void accounts.close()
    },
  }
}

const backOff = (attempt: number): number => 100 * attempt * (0.5 + Math.random())
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T

function randomEdit(random: (below: number) => number): CartEdit {
  const sku = PRODUCTS[random(PRODUCTS.length)] as string
  const quantity = 1 + random(3)
  const dice = random(20)
  if (dice === 0) return { do: 'clear' }
  if (dice < 4) return { do: 'remove', sku }
  return { do: dice < 8 ? 'set' : 'add', sku, quantity }
}

function requestOf(edit: CartEdit): [method: string, path: string, body?: object] {
  switch (edit.do) {
    case 'add':
      return ['POST', PATHS.lines, { sku: edit.sku, quantity: edit.quantity }]
    case 'set':
      return ['PUT', `${PATHS.lines}/${edit.sku}`, { quantity: edit.quantity }]
    case 'remove':
      return ['DELETE', `${PATHS.lines}/${edit.sku}`]
    case 'clear':
      return ['DELETE', '/v1/cart']
  }
}

/** Of a request that needs a session. */
export function useOutcome({ status }: Reply): Outcome {
  return status === 200 || status === 401 ? { result: 'ok', isAccepted: status === 200 } : { result: 'info' }
}

function outcomeOf({ status, body }: Reply): Outcome {
  if (status === 200) {
    const lines = body.lines as readonly { sku: string; quantity: number }[]
    const contents = contentsText(new Map(lines.map(({ sku, quantity }) => [sku, quantity])))
    return { result: 'ok', version: body.version as number, contents }
  }
  const code = String(body?.code ?? status)
  const isUnknown = status === 0 || status >= 500 || code === 'idempotency_in_flight'
  return { result: isUnknown ? 'info' : 'fail', code }
}
