import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { checkAnswer } from './answers.ts'

/** An API client as simple as tests need: JSON in and out, the token in a header or a cookie jar of one cookie. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Json
  readonly text: string
}

/** JSON as tests read it: any member may be asked for, and what is not there is undefined. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests assert on the shapes themselves
export type Json = any

export interface Client {
  readonly url: string
  token: string | undefined
  cookie: string | undefined
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  put(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  delete(path: string, headers?: Record<string, string>): Promise<Answer>
}

export function clientOf(url: string, token?: string): Client {
  const client: Client = {
    url,
    token,
    cookie: undefined,
    async send(method, path, body, headers = {}) {
      const all: Record<string, string> = { ...headers }
      if (client.token && !('Authorization' in all)) all['Authorization'] = `Bearer ${client.token}`
      if (client.cookie) all['Cookie'] = client.cookie
      if (body !== undefined && !('Content-Type' in all)) all['Content-Type'] = 'application/json'
      const response = await fetch(url + path, {
        method,
        headers: all,
        redirect: 'manual',
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const json = /json/.test(response.headers.get('content-type') ?? '')
      const answer = {
        status: response.status,
        headers: response.headers,
        body: json && text ? JSON.parse(text) : undefined,
        text,
      }
      await checkAnswer(url, { method, path, ...answer })
      return answer
    },
    get: (path, headers) => client.send('GET', path, undefined, headers),
    post: (path, body, headers) => client.send('POST', path, body, headers),
    put: (path, body, headers) => client.send('PUT', path, body, headers),
    delete: (path, headers) => client.send('DELETE', path, undefined, headers),
  }
  return client
}

export const PASSWORD = 'correct horse battery'

export function newEmail(): string {
  return `${randomUUID()}@test.example`
}

/** Registers and logs in a new user. */
export async function newMember(url: string): Promise<Client & { email: string; userId: string }> {
  const client = clientOf(url)
  const email = newEmail()
  expect((await client.post('/v1/accounts', { email, password: PASSWORD })).status).to.equal(201)
  const session = await client.post('/v1/sessions', { email, password: PASSWORD })
  expect(session.status).to.equal(201)
  client.token = session.body.token
  return Object.assign(client, { email, userId: session.body.userId as string })
}

/** sku → quantity of all pages of a cart. */
export async function encodeCart(client: Client): Promise<{ version: number; lines: Record<string, number> }> {
  const lines: Record<string, number> = {}
  let path = '/v1/cart?limit=100'
  for (;;) {
    const { status, body } = await client.get(path)
    expect(status).to.equal(200)
    for (const line of body.lines) lines[line.sku] = line.quantity
    if (body.page.next === null) return { version: body.version, lines }
    path = `/v1/cart?limit=100&cursor=${body.page.next}`
  }
}

/** Waits until a condition holds; looks often and gives up with its name. */
export async function eventually(what: string, holds: () => Promise<boolean> | boolean, msMax = 60_000): Promise<void> {
  const deadline = performance.now() + msMax
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not after ${msMax} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
