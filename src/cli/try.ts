import { randomUUID } from 'node:crypto'
import { styleText } from 'node:util'
import { loadConfig } from '../config/config.ts'
import { type Command, CommandError } from './command.ts'
import { journey, type Visit } from './journey.ts'
import { DEMO_EMAIL } from './seed.ts'

/** A first visit against the running cluster, with an order at its end. By the second demo user: the first stays as it was seeded. */
const USER = 2
const SHOWN_MAX = 600
const ANSWER_MS_MAX = 10_000

export function tryCommand(projectDir: string): Command {
  return {
    name: 'try',
    summary:
      'Logs in, searches, adds, changes, views and orders on the running cluster, and shows each request and answer',
    options: { url: { type: 'string', value: 'URL', doc: 'another shop than the one of this folder' } },
    async run(args) {
      const { config, secrets } = loadConfig(projectDir)
      const url = args.text('url') ?? (config.embedded ? `http://localhost:${config.port}` : config.publicUrl)
      let token: string | undefined
      const key = randomUUID()
      const visit = async (one: Visit): Promise<Record<string, unknown>> => {
        const answer = await send(url, one, one.session === 'needed' ? token : undefined)
        if (typeof answer['token'] === 'string') token = answer['token']
        return answer
      }
      let cart: Record<string, unknown> = {}
      for (const one of journey(DEMO_EMAIL(USER), secrets.seedPassword, `try-${key}`)) cart = await visit(one)
      const { version, totals } = cart as { version: number; totals: { total: number } }
      const body = { cartVersion: version, total: totals.total }
      await visit({ method: 'POST', path: '/v1/orders', key: `order-${key}`, body, session: 'needed' })
      console.log(styleText('green', '\n✓ all of it works'))
    },
  }
}

/** @throws CommandError when nothing answers, or the answer is no success */
async function send(url: string, visit: Visit, token: string | undefined): Promise<Record<string, unknown>> {
  const { method, path, key, body } = visit
  const headers: Record<string, string> = {}
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (key !== undefined) headers['Idempotency-Key'] = key
  if (token !== undefined) headers['Authorization'] = `Bearer ${token}`
  const shownBody = body === undefined ? '' : ` ${hidden(JSON.stringify(body))}`
  console.log(
    `\n${styleText('bold', `${method} ${path}`)}${key === undefined ? '' : `  Idempotency-Key: ${key}`}${shownBody}`,
  )
  const init = { method, headers, signal: AbortSignal.timeout(ANSWER_MS_MAX) }
  const response = await fetch(
    `${url}${path}`,
    body === undefined ? init : { ...init, body: JSON.stringify(body) },
  ).catch((error: unknown) => {
    throw new CommandError(`nothing answers at ${url}: npm start`, { cause: error })
  })
  const text = await response.text()
  const shown = hidden(text)
  console.log(
    `${response.status} ${shown.length > SHOWN_MAX ? `${shown.slice(0, SHOWN_MAX)}… (${shown.length} characters)` : shown}`,
  )
  if (!response.ok)
    throw new CommandError(`${method} ${path} was answered with ${response.status}${hintOf(path, response.status)}`)
  return JSON.parse(text) as Record<string, unknown>
}

/** Neither passwords nor tokens belong on a screen that may be shared. */
const hidden = (text: string): string => text.replaceAll(/("(?:password|token)":")[^"]*"/g, '$1…"')

const hintOf = (path: string, status: number): string =>
  path === '/v1/sessions' && status === 401
    ? ': the shop is not seeded (npm run seed), or with another password (CARTLOAD_SEED_PASSWORD)'
    : ''
