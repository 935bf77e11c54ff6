import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { createApp } from '../../../src/app.ts'
import { loadConfig, socketOf } from '../../../src/config/config.ts'
import { setCookie } from '../../../src/http/authenticator.ts'
import { createUnixListener } from '../../../src/http/listeners.ts'
import { allRoutes } from '../../../src/http/server.ts'
import { type Call, readInput, type Route } from '../../../src/http/route.ts'
import { scheduleAsBatch } from '../../../src/ops/cpu-scheduling.ts'
import { Bytes } from '../../../src/lib/latin1-body.ts'
import { AppError } from '../../../src/lib/errors.ts'
import { createLog } from '../../../src/telemetry/log.ts'
import { PROJECT } from '../../../test/support/servers.ts'

/**
 * The same work behind another framework: the product's own routes, clients and protocols, with fastify in the place of Express and of
 * what is around it (src/http/server.ts). Without draining, the origin check and documents of errors: nothing of that is measured.
 */
const { config, secrets } = loadConfig(PROJECT)
if (!secrets.servers) throw new Error('no servers')
await scheduleAsBatch()
const app = await createApp(config, secrets.servers, createLog('warn'))
const server = fastify({
  logger: false,
  bodyLimit: config.limits.bodyBytesMax,
  keepAliveTimeout: 75_000,
  http: { optimizeEmptyRequests: true },
})

server.addHook('onRequest', (_request, reply, done) => {
  Object.assign(reply, { since: performance.now() })
  done()
})
server.addHook('onResponse', (request, reply, done) => {
  const labels = {
    method: request.method,
    route: request.routeOptions.url ?? 'none',
    status: `${Math.floor(reply.statusCode / 100)}xx`,
  }
  app.metrics.requests.observe(labels, (performance.now() - (reply as unknown as { since: number }).since) / 1000)
  done()
})
for (const route of allRoutes(app.routed, config.limits, config.currency)) {
  server.route({ method: route.method.toUpperCase(), url: route.path, handler: handlerOf(route) })
}
await server.listen({
  port: config.instancePort + config.instanceIndex,
  host: '127.0.0.1',
  backlog: 4096,
})
if (config.socketDir !== undefined) {
  await createUnixListener(server.server, socketOf(config.socketDir, 0)).open()
}
process.send?.('ready')

function handlerOf(route: Route) {
  return async (request: FastifyRequest, reply: FastifyReply) => {
    const input = {
      body: readInput(route.body, request.body ?? {}, 'body'),
      query: readInput(route.query, request.query, 'query'),
      params: readInput(route.params, request.params, 'path'),
    }
    const { status, body, headers, cookie } = await route.handle(input, callOf(request))
    reply
      .code(status)
      .header('Cache-Control', 'private, no-store')
      .header('X-Trace-Id', request.headers['x-request-id'])
    if (headers) reply.headers(headers)
    if (cookie && cookie !== 'clear') reply.header('Set-Cookie', setCookie(cookie.token, cookie.endsAtMs, false))
    if (body !== undefined) reply.type('application/json; charset=utf-8')
    return reply.send(body instanceof Bytes ? Buffer.from(body.latin1, 'latin1') : body)
  }
}

function callOf(request: FastifyRequest): Call {
  const { authenticator } = app.routed
  const { token } = authenticator.read(request.headers)
  const header = (name: string) => request.headers[name] as string | undefined
  let found: ReturnType<Call['session']> | undefined
  const session = () => (found ??= token ? authenticator.find(token) : Promise.resolve(undefined))
  return {
    operator: '',
    traceId: header('x-request-id') ?? '',
    address: request.ip,
    token: () => token,
    session,
    async requireSession() {
      const known = await session()
      if (!known) throw new AppError('session_required', 'Log in first.')
      return known
    },
    ifMatch: undefined,
    ifNoneMatch: header('if-none-match'),
    idempotencyKey: header('idempotency-key'),
    method: request.method,
    path: request.url,
  }
}
