import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { AssertionError, expect } from 'chai'
import { STATUS } from '../../src/http/errors.ts'
import { withApp } from '../support/app.ts'
import { checkAnswer } from '../support/answers.ts'
import { clientOf, newMember } from '../support/client.ts'

describe('the HTTP side', () => {
  const app = withApp()

  describe('refuses with a problem document', () => {
    const cases: [string, string, string, unknown, Record<string, string>, number, string][] = [
      ['a path that is not there', 'GET', '/v1/nothing', undefined, {}, 404, 'route_not_found'],
      ['a method that a path has not', 'PATCH', '/v1/cart', undefined, {}, 405, 'method_not_allowed'],
      ['a body that is not JSON', 'POST', '/v1/cart/lines', '{"sku":', {}, 400, 'malformed_body'],
      ['a body that is a list', 'POST', '/v1/cart/lines', '[]', {}, 400, 'invalid_request'],
      ['a body that is a bare string', 'POST', '/v1/cart/lines', '"x"', {}, 400, 'malformed_body'],
      [
        'a body of another type',
        'POST',
        '/v1/cart/lines',
        'sku=T-001',
        { 'Content-Type': 'application/x-www-form-urlencoded' },
        415,
        'unsupported_media_type',
      ],
      [
        'JSON that says it is text',
        'POST',
        '/v1/cart/lines',
        '{}',
        { 'Content-Type': 'text/plain' },
        415,
        'unsupported_media_type',
      ],
      [
        'a body that is too large',
        'POST',
        '/v1/cart/lines',
        JSON.stringify({ sku: 'x'.repeat(70_000), quantity: 1 }),
        {},
        413,
        'body_too_large',
      ],
      [
        'a fraction of a product',
        'POST',
        '/v1/cart/lines',
        { sku: 'T-001', quantity: 1.5 },
        {},
        400,
        'invalid_request',
      ],
      ['a quantity as text', 'POST', '/v1/cart/lines', { sku: 'T-001', quantity: '1' }, {}, 400, 'invalid_request'],
      ['no quantity', 'POST', '/v1/cart/lines', { sku: 'T-001' }, {}, 400, 'invalid_request'],
      ['less than one', 'POST', '/v1/cart/lines', { sku: 'T-001', quantity: 0 }, {}, 400, 'invalid_request'],
      [
        'a prototype',
        'POST',
        '/v1/cart/lines',
        '{"sku":"T-001","quantity":1,"__proto__":{"x":1}}',
        {},
        400,
        'invalid_request',
      ],
      ['nothing to set', 'PUT', '/v1/cart/lines/T-001', {}, {}, 400, 'invalid_request'],
      ['no login where one is needed', 'GET', '/v1/me', undefined, {}, 401, 'session_required'],
      [
        'a token that is none',
        'GET',
        '/v1/cart',
        undefined,
        { Authorization: 'Bearer nonsense' },
        401,
        'session_ended',
      ],
      ['another scheme', 'GET', '/v1/cart', undefined, { Authorization: 'Basic YTpi' }, 401, 'session_ended'],
      ['a broken escape in the path', 'GET', '/v1/products/%E0%A4%A', undefined, {}, 400, 'invalid_request'],
    ]
    for (const [what, method, path, body, headers, status, code] of cases) {
      it(`${what}: ${status} ${code}`, async () => {
        const answer = await clientOf(app().url).send(method, path, body, headers)
        expect(answer.status).to.equal(status)
        expect(answer.body).to.include({ status, code })
        expect(answer.body.traceId).to.match(/^[0-9a-f]{32}$/)
        expect(answer.headers.get('content-type')).to.equal('application/problem+json')
        expect(answer.headers.get('x-trace-id')).to.equal(answer.body.traceId)
      })
    }

    for (const encoding of ['gzip', 'br', 'deflate', 'zstd']) {
      it(`a body encoded as ${encoding}: 415, and nothing is decoded`, async () => {
        const status = await new Promise<number>((resolve, reject) => {
          const headers = { 'Content-Type': 'application/json', 'Content-Encoding': encoding }
          const outgoing = httpRequest(`${app().url}/v1/cart/lines`, { method: 'POST', headers }, response => {
            response.resume()
            resolve(response.statusCode ?? 0)
          })
          outgoing.once('error', reject)
          outgoing.end(gzipSync('{"sku":"T-001","quantity":1}'))
        })
        expect(status).to.equal(415)
      })
    }
  })

  it('goes on with the trace id of a traceparent', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const { body } = await clientOf(app().url).get('/v1/me', { traceparent: `00-${trace}-00f067aa0ba902b7-01` })
    expect(body.traceId).to.equal(trace)
  })

  it('survives garbage on the wire', async () => {
    const { port } = new URL(app().url)
    for (const garbage of [
      '\x00\x01\x02\r\n\r\n',
      'GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
      'POST /v1/cart/lines HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n',
    ]) {
      await new Promise<void>(resolve => {
        const socket = connect({ port: Number(port), host: '127.0.0.1' }, () => socket.end(garbage))
        socket
          .on('error', () => undefined)
          .on('close', () => resolve())
          .resume()
      })
    }
    expect((await clientOf(app().url).get('/v1/products')).status).to.equal(200)
  })

  it('tells browsers not to keep carts', async () => {
    const me = await newMember(app().url)
    expect((await me.get('/v1/cart')).headers.get('cache-control')).to.equal('private, no-store')
    expect((await me.get('/v1/cart')).headers.get('x-powered-by')).to.equal(null)
  })

  describe('describes itself', () => {
    it('in an OpenAPI 3.1 document whose references all resolve', async () => {
      const { body, status } = await clientOf(app().url).get('/openapi.json')
      expect(status).to.equal(200)
      expect(body.openapi).to.equal('3.1.0')
      const references = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
        match => match[1],
      )
      expect(references.length).to.be.above(10)
      for (const name of references) expect(body.components.schemas).to.have.property(name ?? '')
      expect(JSON.stringify(body)).not.to.include('$defs')
    })

    it('that a linter has nothing against', async () => {
      const { text } = await clientOf(app().url).get('/openapi.json')
      const config = await createConfig({ extends: ['recommended'] })
      const problems = await lintFromString({ source: text, absoluteRef: 'openapi.json', config })
      const said = problems.map(({ ruleId, severity, message, location: [at] }) => ({
        ruleId,
        severity,
        message,
        at: at?.pointer,
      }))
      expect(said.filter(({ severity }) => severity === 'error')).to.deep.equal([])
      expect(
        said.map(({ ruleId }) => ruleId),
        'warnings',
      ).to.deep.equal([])
    })

    it('and an answer that it does not describe is seen (the control)', async () => {
      const { url } = app()
      const headers = new Headers({ 'content-type': 'application/json' })
      const right = (await clientOf(url).get('/v1/products?limit=1')).body
      const seen = { method: 'GET', path: '/v1/products?limit=1', status: 200, headers, body: right }
      await checkAnswer(url, seen)
      const wrong = [
        { ...seen, body: { ...right, extra: 1 } },
        { ...seen, body: { data: right.data } },
        { ...seen, status: 418 },
        { ...seen, headers: new Headers({ 'content-type': 'application/json', location: '/x' }) },
      ]
      for (const one of wrong) {
        const error = await checkAnswer(url, one).catch((found: unknown) => found)
        expect(error, JSON.stringify(one).slice(0, 80)).to.be.instanceOf(AssertionError)
      }
    })

    it('on a page at its address, and explains every error code', async () => {
      const home = await clientOf(app().url).get('/')
      expect([home.status, home.headers.get('content-type')]).to.deep.equal([200, 'text/html; charset=utf-8'])
      for (const link of ['/docs', '/openapi.json', '/docs/errors']) {
        expect(home.text).to.include(`href="${link}"`)
        expect((await clientOf(app().url).get(link)).status, link).to.equal(200)
      }
      const { text } = await clientOf(app().url).get('/docs/errors')
      expect(Object.keys(STATUS).length).to.be.above(40)
      for (const code of Object.keys(STATUS))
        expect(text).to.match(new RegExp(`id="${code}".*?</h2>\\s*<p>.{20,}What to do:.{10,}<pre>`, 's'))
    })

    it('with every route of the contract', async () => {
      const { body } = await clientOf(app().url).get('/openapi.json')
      const operations = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
        Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
      )
      expect(operations).to.have.members([
        'POST /v1/accounts',
        'POST /v1/sessions',
        'DELETE /v1/sessions/current',
        'DELETE /v1/sessions',
        'GET /v1/me',
        'PUT /v1/me/password',
        'GET /v1/products',
        'GET /v1/products/{sku}',
        'GET /v1/cart',
        'POST /v1/cart/lines',
        'PUT /v1/cart/lines',
        'GET /v1/cart/lines/{line}',
        'PUT /v1/cart/lines/{line}',
        'DELETE /v1/cart/lines/{line}',
        'DELETE /v1/cart',
        'POST /v1/cart/merge/undo',
        'POST /v1/cart/codes',
        'DELETE /v1/cart/codes/{code}',
        'GET /v1/cart/explain',
        'POST /v1/quotes',
        'POST /v1/quotes/check',
        'POST /v1/orders',
        'GET /v1/orders',
        'GET /v1/orders/{id}',
        'POST /v1/orders/{id}/cancel',
        'POST /v1/orders/{id}/payments',
        'POST /v1/orders/{id}/refunds',
        'GET /v1/stock/{sku}',
        'GET /v1/sales/{id}',
        'POST /v1/sales/{id}/queue',
        'GET /v1/sales/{id}/queue',
        'DELETE /v1/sales/{id}/queue',
        'GET /v1/rule-sets',
        'POST /v1/rule-sets',
        'POST /v1/rule-sets/check',
        'POST /v1/rule-sets/activations',
      ])
    })
  })

  describe('operations', () => {
    it('says that it lives and that it is ready, with each dependency', async () => {
      expect((await clientOf(app().opsUrl).get('/health/live')).body.live).to.equal(true)
      const { status, body } = await clientOf(app().opsUrl).get('/health/ready')
      expect(status).to.equal(200)
      expect(body.dependencies.map((d: { name: string; ok: boolean }) => `${d.name} ${d.ok}`)).to.deep.equal([
        'sessions true',
        'cache true',
        'global true',
        'shard-0 true',
        'shard-1 true',
      ])
    })

    it('says its version', async () => {
      expect((await clientOf(app().opsUrl).get('/version')).body).to.include({
        name: 'cartload',
        node: process.version,
      })
    })

    it('counts requests, cache hits, pools, threads and shards for Prometheus', async () => {
      const me = await newMember(app().url)
      await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
      await me.get('/v1/cart')
      const { text } = await clientOf(app().opsUrl).get('/metrics')
      for (const name of [
        'cartload_http_request_duration_seconds_count{method="GET",route="/v1/cart"',
        'cartload_cart_reads_total{result="hit"}',
        'cartload_mysql_statement_duration_seconds_count{shard="shard-0"}',
        'cartload_event_loop_delay_p99_seconds',
        'cartload_pricing_queue 0',
        'cartload_cache_mode{shard="shard-1"} 1',
        'cartload_pool_wait_seconds',
        'process_cpu_seconds_total',
      ]) {
        expect(text).to.include(name)
      }
    })

    it('is not to be had on the public port', async () => {
      for (const path of ['/metrics', '/health/ready', '/version'])
        expect((await clientOf(app().url).get(path)).status).to.equal(404)
    })
  })
})
