import { z } from 'zod'
import { STATUS } from './errors.ts'
import type { Route } from './route.ts'

/** The OpenAPI 3.1 document, made from the very schemas that read the requests. */
export function openApiDocument(routes: readonly Route[], options: { publicUrl: string; version: string }): object {
  const registry = new Map<string, object>([['Problem', PROBLEM]])
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method]: operation(route, registry) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'cartload',
      version: options.version,
      description:
        'A shopping-cart backend. Money is in minor units; ids are strings; errors are RFC 9457 problem documents.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }], // wherever the document came from
    tags: [...new Set(routes.map(route => route.tag))].map(name => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The token that POST /v1/sessions answers' },
        operator: { type: 'http', scheme: 'bearer', description: 'The token that cartload operator add shows' },
        cookie: { type: 'apiKey', in: 'cookie', name: options.publicUrl.startsWith('https:') ? '__Host-sid' : 'sid' },
      },
      schemas: Object.fromEntries(registry),
    },
  }
}

function operation(route: Route, registry: Map<string, object>): object {
  const parameters = [...parametersOf(route.params, 'path'), ...parametersOf(route.query, 'query')]
  if (route.method !== 'get') parameters.push(IDEMPOTENCY_KEY)
  if (route.conditional) parameters.push(IF_MATCH)
  const { answer } = route
  const responses: Record<string, object> = {
    [answer.status]: {
      description: answer.description,
      ...(answer.schema ? { content: { 'application/json': { schema: componentOf(answer.schema, registry) } } } : {}),
    },
  }
  for (const status of route.problems) {
    const codes = Object.entries(STATUS)
      .filter(([, s]) => s === status)
      .map(([code]) => code)
    responses[status] = {
      description: `One of: ${codes.join(', ')}`,
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }
  }
  return {
    operationId: route.name,
    summary: route.summary,
    tags: [route.tag],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(route.body, 'input') } } },
        }
      : {}),
    ...securityOf(route),
    responses,
  }
}

function securityOf({ session }: Route): { security?: object[] } {
  const shopper = [{ bearer: [] }, { cookie: [] }]
  switch (session) {
    case 'none':
      return {}
    case 'optional':
      return { security: [...shopper, {}] }
    case 'required':
      return { security: shopper }
    case 'operator':
      return { security: [{ operator: [] }] }
  }
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): object[] {
  if (!schema) return []
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, object>
    required?: string[]
  }
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
  }))
}

/** Schemas with an id become components; what they hold is written out where it stands. */
function componentOf(schema: z.ZodType, registry: Map<string, object>): object {
  const id = schema.meta()?.id
  if (typeof id !== 'string') return jsonSchema(schema, 'output')
  registry.set(id, jsonSchema(schema, 'output'))
  return { $ref: `#/components/schemas/${id}` }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const made = z.toJSONSchema(schema, { io, target: 'draft-2020-12', reused: 'inline', unrepresentable: 'any' })
  return inlined(made, made.$defs ?? {}) as Record<string, unknown>
}

/** zod puts schemas with an id under $defs of each document; a component must stand alone. */
function inlined(node: unknown, definitions: Record<string, unknown>): unknown {
  if (Array.isArray(node)) return node.map(item => inlined(item, definitions))
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node as Record<string, unknown>)
  const reference = entries.find(([key]) => key === '$ref')?.[1]
  if (typeof reference === 'string' && reference.startsWith('#/$defs/')) {
    return inlined(definitions[reference.slice('#/$defs/'.length)], definitions)
  }
  const kept = entries.filter(([key]) => key !== '$defs' && key !== '$schema' && key !== 'id')
  return Object.fromEntries(kept.map(([key, value]) => [key, inlined(value, definitions)]))
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'Makes a retry safe: the same key and request get the stored answer, for 48 hours',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
}

const IF_MATCH = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The ETag that was seen; the change is refused with 412 when the cart has moved on',
  schema: { type: 'string' },
}

const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'detail', 'traceId'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', enum: Object.keys(STATUS) },
    detail: { type: 'string' },
    traceId: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['in', 'pointer', 'detail'],
        properties: {
          in: { type: 'string', enum: ['body', 'query', 'path', 'header'] },
          pointer: { type: 'string', description: 'JSON pointer (RFC 6901) in URI fragment form' },
          detail: { type: 'string' },
        },
      },
    },
  },
}
