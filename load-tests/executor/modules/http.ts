import { type Dispatcher, Pool } from 'undici'
import { iterationNow } from '../context.ts'
import { sample } from '../samples.ts'
import { milliseconds } from '../schedule.ts'
import { CookieJar } from './cookies.ts'

/**
 * The module `k6/http`, as far as scenarios use it: asynchronous requests over connections that are kept. Nothing is decoded and no redirect is
 * followed. Times of a request: `http_req_service_time` from when it is handed to a connection until its last byte; `http_req_duration` from when
 * it was due, so that a late start or a wait for a connection counts (no coordinated omission).
 */
export { CookieJar }

interface Params {
  readonly headers?: Readonly<Record<string, string>>
  readonly tags?: Readonly<Record<string, string>>
  readonly jar?: CookieJar
  readonly responseCallback?: StatusTest
  readonly responseType?: 'text' | 'none' | 'binary'
  readonly timeout?: string | number
  readonly redirects?: number
}

type StatusTest = (status: number) => boolean

const TIMEOUT_MS = 60_000
const CONNECT_MS_MAX = 10_000
const IDLE_MS_MAX = 20_000
const isExpected: StatusTest = status => status >= 200 && status < 400

/** Statuses that are no failure: numbers, or ranges of them. */
export function expectedStatuses(...all: readonly (number | { min: number; max: number })[]): StatusTest {
  return status => all.some(one => (typeof one === 'number' ? status === one : status >= one.min && status <= one.max))
}

let discardsBodies = false

/** From the options of the scenario. */
export function discardBodies(): void {
  discardsBodies = true
}

const pools = new Map<string, Pool>()

function poolOf(origin: string): Pool {
  const known = pools.get(origin)
  if (known) return known
  const pool = new Pool(origin, {
    connections: null, // as many as iterations need at once, which are bounded
    pipelining: 1,
    keepAliveTimeout: IDLE_MS_MAX,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    connect: { timeout: CONNECT_MS_MAX },
  })
  pools.set(origin, pool)
  return pool
}

/** @throws Error when the address cannot be read; whatever happens to the request itself is in the answer: status 0 and `error` */
export function asyncRequest(method: string, url: string, body?: string | null, params: Params = {}): Promise<Answer> {
  const iteration = iterationNow()
  const { origin, path, host } = partsOf(url)
  const jar = params.jar ?? iteration?.jar
  const headers = { ...params.headers }
  const cookies = jar?.header(host)
  if (cookies !== undefined) headers['Cookie'] = cookies
  const keepsBody = !(discardsBodies || params.responseType === 'none')
  const dueAt = iteration?.dueAt ?? performance.now()
  if (iteration) iteration.dueAt = undefined
  const timeoutMs = milliseconds(params.timeout, TIMEOUT_MS)
  return new Promise(done => {
    const exchange = new Exchange(keepsBody, timeoutMs, answer => {
      if (jar && answer.setCookies.length > 0) jar.accept(host, answer.setCookies)
      measure(answer, {
        dueAt,
        scenario: iteration?.scenario ?? '',
        name: params.tags?.['name'] ?? url,
        test: params.responseCallback ?? isExpected,
      })
      done(answer)
    })
    const request: Dispatcher.DispatchOptions = {
      path,
      method,
      headers,
      body: body ?? null,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    }
    poolOf(origin).dispatch(request, exchange)
  })
}

interface Measured {
  readonly dueAt: number
  readonly scenario: string
  readonly name: string
  readonly test: StatusTest
}

function measure(answer: Answer, { dueAt, scenario, name, test }: Measured): void {
  const isFine = answer.status > 0 && test(answer.status)
  const status = String(answer.status)
  const expected = String(isFine)
  const key = `${scenario}\0${name}\0${status}\0${expected}`
  const tags = { scenario, name, status, expected_response: expected }
  sample('http_reqs', key, tags, 1)
  sample('http_req_duration', key, tags, answer.endedAt - dueAt)
  sample('http_req_service_time', key, tags, answer.timings.duration)
  sample('http_req_failed', key, tags, isFine ? 0 : 1)
}

interface Parts {
  readonly origin: string
  readonly path: string
  readonly host: string
}

/** Taking an address apart costs as much as the rest of a request's own work: the origin is remembered. */
const origins = new Map<string, Pick<Parts, 'origin' | 'host'>>()

function partsOf(url: string): Parts {
  const at = url.indexOf('/', url.indexOf('//') + 2)
  const start = at === -1 ? url : url.slice(0, at)
  let known = origins.get(start)
  if (!known) {
    const { origin, host } = new URL(start)
    known = { origin, host }
    origins.set(start, known)
  }
  return { ...known, path: at === -1 ? '/' : url.slice(at) }
}

/** What came back, with the names that k6 gives to its parts. */
export interface Answer {
  readonly status: number
  /** Names as Go writes them: `Etag`, `X-Session-Token`. */
  readonly headers: Readonly<Record<string, string>>
  readonly setCookies: readonly string[]
  readonly body: string | null
  readonly error: string
  readonly timings: { readonly duration: number }
  readonly endedAt: number
  /** The body as JSON; with a selector such as `page.next`, that part of it. */
  json(selector?: string): unknown
}

class Exchange implements Dispatcher.DispatchHandler, Answer {
  status = 0
  error = ''
  body: string | null = null
  startedAt = performance.now()
  endedAt = 0
  setCookies: readonly string[] = []
  readonly #keepsBody: boolean
  readonly #done: (answer: Answer) => void
  #controller: Dispatcher.DispatchController | undefined
  readonly #timer: NodeJS.Timeout
  #chunks: Buffer[] = []
  #headers: Readonly<Record<string, string | string[] | undefined>> = {}
  #isOver = false

  constructor(keepsBody: boolean, timeoutMs: number, done: (answer: Answer) => void) {
    this.#keepsBody = keepsBody
    this.#done = done
    this.#timer = setTimeout(() => {
      const error = new Error(`no whole answer after ${timeoutMs} ms`)
      if (this.#controller) this.#controller.abort(error)
      this.#end(error)
    }, timeoutMs)
  }

  get timings() {
    return { duration: this.endedAt - this.startedAt }
  }

  get headers(): Readonly<Record<string, string>> {
    const all = Object.entries(this.#headers).map(([name, value]) => [
      canonical(name),
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ])
    return Object.fromEntries(all) as Record<string, string>
  }

  json(selector?: string): unknown {
    let value: unknown = JSON.parse(this.body ?? 'null')
    for (const part of selector === undefined ? [] : selector.split('.'))
      value = (value as Record<string, unknown> | null)?.[part]
    return value
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.startedAt = performance.now()
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.status = status
    this.#headers = headers
    const cookies = headers['set-cookie']
    if (cookies !== undefined) this.setCookies = Array.isArray(cookies) ? cookies : [cookies]
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#keepsBody) this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#end()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#end(error)
  }

  #end(error?: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.endedAt = performance.now()
    if (error) {
      this.status = 0
      this.error = error.message
    } else if (this.#keepsBody) {
      const [only, ...more] = this.#chunks
      this.body = only === undefined ? '' : (more.length === 0 ? only : Buffer.concat(this.#chunks)).toString()
    }
    this.#chunks = []
    this.#done(this)
  }
}

const canonical = (name: string): string =>
  name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())

function synchronous(): never {
  throw new Error('a synchronous request would stop all iterations of the thread: use http.asyncRequest')
}

export default {
  asyncRequest,
  expectedStatuses,
  CookieJar,
  request: synchronous,
  get: synchronous,
  post: synchronous,
  put: synchronous,
  patch: synchronous,
  del: synchronous,
  batch: synchronous,
}
