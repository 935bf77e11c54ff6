import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { expect } from 'chai'

/** Whether answers are what the OpenAPI document of their server says: every client of the tests asks, of every answer under /v1. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

interface Described {
  readonly operations: readonly Operation[]
  validatorOf(schema: object): ValidateFunction
}

interface Operation {
  readonly method: string
  readonly path: string
  readonly pattern: RegExp
  readonly responses: Readonly<
    Record<string, { headers?: object; content?: Record<string, { schema: object }> } | undefined>
  >
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { responses: Operation['responses'] }>>>>
  readonly components: object
}

/** Headers that an operation must name where it sends them. */
const NAMED = ['ETag', 'Location', 'X-Session-Token', 'Idempotency-Replayed', 'Retry-After']

const byText = new Map<string, Described>()
const byUrl = new Map<string, Described>()
const counted = new Map<string, number>()

/** By operation and status: how many answers have been checked. */
export const checkedAnswers: ReadonlyMap<string, number> = counted

/** Error codes by operation that a server has answered. */
export const seenCodes = new Set<string>()

const unchecked = new Set<string>()

/** A server of an older release, whose document is not the one of this code. */
export function leaveUnchecked(url: string): void {
  unchecked.add(url)
}

/** Of no server, while it cannot say what it is. */
async function describedBy(url: string): Promise<Described | undefined> {
  const known = byUrl.get(url)
  if (known) return known
  const answer = await fetch(`${url}/openapi.json`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
  if (answer?.status !== 200) return undefined
  const text = await answer.text()
  const described = byText.get(text) ?? read(JSON.parse(text) as Document)
  byText.set(text, described)
  byUrl.set(url, described)
  return described
}

function read(document: Document): Described {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema({ $id: 'document', components: document.components })
  const validators = new Map<object, ValidateFunction>()
  return {
    operations: Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => ({
        method: method.toUpperCase(),
        path,
        pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
        responses,
      })),
    ),
    validatorOf(schema) {
      const made = validators.get(schema) ?? ajv.compile(inDocument(schema) as object)
      validators.set(schema, made)
      return made
    },
  }
}

/** References point into the document, where a schema that is compiled by itself does not have them. */
function inDocument(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(inDocument)
  if (typeof node !== 'object' || node === null) return node
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' ? `document${value}` : inDocument(value),
    ]),
  )
}

/** @throws AssertionError for an answer that the document does not describe */
export async function checkAnswer(url: string, { method, path, status, headers, body }: Seen): Promise<void> {
  const { pathname } = new URL(path, 'http://x')
  if (!pathname.startsWith('/v1/') || unchecked.has(url)) return
  const described = await describedBy(url)
  const paths = described?.operations.filter(operation => operation.pattern.test(pathname)) ?? []
  // Where a path has a name and a parameter at one place, the name is meant.
  const operation = paths
    .filter(one => one.method === method)
    .sort((a, b) => a.path.split('{').length - b.path.split('{').length)[0]
  // An instance that is about to stop says 502 to nginx alone.
  if (!described || !operation || status === 502) return
  const what = `${method} ${operation.path} ${status}`
  if (status >= 400) seenCodes.add(`${method} ${operation.path} ${(body as { code?: string })?.code}`)
  const response = operation.responses[status]
  if (!response) expect.fail(`the document has no ${what}: ${JSON.stringify(body)?.slice(0, 300)}`)
  const named = Object.keys(response.headers ?? {}).map(name => name.toLowerCase())
  for (const name of NAMED)
    if (headers.has(name)) expect(named, `headers of ${what} in the document`).to.include(name.toLowerCase())
  const type = headers.get('content-type')?.split(';')[0] ?? ''
  const content = response.content?.[type]
  if (body !== undefined) {
    if (!content) expect.fail(`the document has no ${type} for ${what}`)
    const isValid = described.validatorOf(content.schema)
    if (!isValid(body))
      expect.fail(
        `${what} is not as the document says: ${JSON.stringify(isValid.errors?.slice(0, 3))} in ${JSON.stringify(body).slice(0, 600)}`,
      )
  }
  counted.set(what, (counted.get(what) ?? 0) + 1)
}
