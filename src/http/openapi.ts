import { z } from 'zod'
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi'
import { STATUS } from './errors.ts'
import { addExamples } from './examples.ts'
import { codesOf, problemSchema } from './problems.ts'
import type { AnswerHeader, Route } from './route.ts'

/** The OpenAPI 3.1 document, made from the very schemas that read the requests. */
export function openApiDocument(routes: readonly Route[], options: { publicUrl: string; version: string }): object {
  const paths: ZodOpenApiPathsObject = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method]: operation(route) }
  }
  const document = createDocument({
    openapi: '3.1.0',
    info: {
      title: 'cartload',
      version: options.version,
      description:
        'A shopping-cart backend. Money is in minor units; ids are strings; errors are RFC 9457 problem documents.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }], // wherever the document came from
    tags: [...new Set(routes.map(route => route.tag))].map(name => ({ name, description: TAGS[name] })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The token that POST /v1/sessions answers' },
        operator: { type: 'http', scheme: 'bearer', description: 'The token that cartload operator add shows' },
        cookie: { type: 'apiKey', in: 'cookie', name: options.publicUrl.startsWith('https:') ? '__Host-sid' : 'sid' },
      },
    },
  })
  addExamples(document)
  return document
}

const TAGS: Readonly<Record<Route['tag'], string>> = {
  Accounts: 'People who have registered',
  Sessions: 'Logging in and out',
  Catalogue: 'What is sold',
  Cart: 'The cart of the session; the first write without a session creates a guest',
  Quotes: 'Prices of carts that are not stored, signed',
  Orders: 'From cart to order, its payment and its refunds',
  Promotions: 'Rule sets, for operators',
  Stock: 'What is left',
  Sales: 'Flash sales and their queues',
}

function operation(route: Route): ZodOpenApiOperationObject {
  const { answer, body, params, query } = route
  const isWrite = route.method !== 'get'
  const header = z.object({
    ...(isWrite ? { 'Idempotency-Key': route.needsKey ? IDEMPOTENCY_KEY : IDEMPOTENCY_KEY.optional() } : {}),
    ...(route.conditional ? { 'If-Match': IF_MATCH.optional() } : {}),
    ...(answer.headers?.includes('ETag') && !isWrite ? { 'If-None-Match': IF_NONE_MATCH.optional() } : {}),
  })
  return {
    operationId: route.name,
    summary: route.summary,
    tags: [route.tag],
    security: securityOf(route),
    requestParams: {
      ...(params ? { path: params as z.ZodObject } : {}),
      ...(query ? { query: query as z.ZodObject } : {}),
      header,
    },
    ...(body ? { requestBody: { required: true, content: { 'application/json': { schema: body } } } } : {}),
    responses: responsesOf(route),
  }
}

function responsesOf(route: Route): ZodOpenApiResponsesObject {
  const { answer, method } = route
  const named = [...(answer.headers ?? []), ...(method === 'get' ? [] : (['Idempotency-Replayed'] as const))]
  const headers = { headers: Object.fromEntries(named.map(name => [name, HEADERS[name]])) }
  const content = answer.schema ? { content: { 'application/json': { schema: answer.schema } } } : {}
  const responses: ZodOpenApiResponsesObject = {
    [`${answer.status}` as '200']: { description: answer.description, ...headers, ...content },
  }
  // What was made before is answered as it stands, not as made now.
  if (answer.replayStatus !== undefined)
    responses[`${answer.replayStatus}` as '200'] = { description: 'As it was answered before', ...headers, ...content }
  if (answer.headers?.includes('ETag') && method === 'get')
    responses['304'] = { description: 'As the client has it', headers: { ETag: HEADERS.ETag } }
  for (const [status, codes] of Map.groupBy(codesOf(route), code => STATUS[code])) {
    const isRetried = [409, 429, 503].includes(status)
    const schemas = codes.map(problemSchema) as [z.ZodObject, ...z.ZodObject[]]
    responses[`${status}` as '500'] = {
      description: `One of: ${codes.join(', ')}`,
      ...(isRetried ? { headers: { 'Retry-After': HEADERS['Retry-After'] } } : {}),
      content: {
        'application/problem+json': { schema: schemas.length > 1 ? z.discriminatedUnion('code', schemas) : schemas[0] },
      },
    }
  }
  return responses
}

/** The empty requirement `{}` makes a session optional. */
function securityOf({ session }: Route): Record<string, string[]>[] {
  const shopper = [{ bearer: [] }, { cookie: [] }]
  switch (session) {
    case 'none':
      return []
    case 'optional':
      return [...shopper, {}]
    case 'required':
      return shopper
    case 'operator':
      return [{ operator: [] }]
  }
}

const text = (description: string) => z.string().meta({ description })

const IDEMPOTENCY_KEY = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'Makes a retry safe: the same key and request get the stored answer, for 48 hours' })
const IF_MATCH = text('The ETag that was seen; the change is refused with 412 when the cart has moved on')
const IF_NONE_MATCH = text('The ETag of what the client has: 304 without a body when it is still that')

const header = (description: string) => ({ description, schema: { type: 'string' as const } })
const HEADERS = {
  ETag: header('The version, for If-Match and If-None-Match'),
  Location: header('Where it is'),
  'X-Session-Token': header('The token of the guest that was made for this request'),
  'Idempotency-Replayed': header('true where the answer is one that was given before'),
  'Retry-After': header('After how many seconds it is worth trying again'),
} satisfies Record<AnswerHeader | 'Idempotency-Replayed' | 'Retry-After', unknown>
