import { request } from 'node:http'
import { expect } from 'chai'
import type { Middleware } from '../../src/http/pipeline.ts'
import { allRoutes } from '../../src/http/server.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { clientOf, newMember } from '../support/client.ts'

const ORIGIN = 'https://shop.example'

/** Cross-origin access in ten lines, as a shop would write it. */
const cors: Middleware = (incoming, response, next) => {
  if (incoming.headers.origin !== ORIGIN) return next()
  response.setHeader('Access-Control-Allow-Origin', ORIGIN)
  response.setHeader('Vary', 'Origin')
  if (incoming.method !== 'OPTIONS') return next()
  response.setHeader('Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE')
  response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type, Idempotency-Key')
  response.statusCode = 204
  response.end()
}

/** Sends a request as it is, and reads the whole answer. */
function send(url: string, method: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>((resolve, reject) => {
    const sent = request(url, { method, headers }, answer => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => (text += part))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('the HTTP pipeline', () => {
  let app: TestApp
  let routes: readonly { readonly method: string; readonly path: string }[]
  const seen: string[] = []
  const marker: Middleware = (incoming, _response, next) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    next()
  }

  before(async () => {
    app = await startApp({}, {}, { middleware: [marker, cors] })
    routes = allRoutes(app.routed, app.limits, 'GBP').map(({ method, path }) => ({
      method: method.toUpperCase(),
      path: path.replaceAll(/:\w+/g, 'x'),
    }))
  })
  after(() => app.close())

  it('shows every route to a middleware of the shop, the fast path included', async () => {
    expect(routes.length).to.be.above(30)
    for (const { method, path } of routes) {
      seen.length = 0
      await send(app.url + path, method)
      expect(seen).to.deep.equal([`${method} ${path}`])
    }
  })

  it('lets ten lines of CORS work on every route: the preflight, the answer, the error', async () => {
    for (const { method, path } of routes) {
      const preflight = await send(app.url + path, 'OPTIONS', {
        Origin: ORIGIN,
        'Access-Control-Request-Method': method,
      })
      expect([preflight.status, preflight.headers['access-control-allow-origin']], path).to.deep.equal([204, ORIGIN])
      const answer = await send(app.url + path, method, { Origin: ORIGIN })
      expect(answer.headers['access-control-allow-origin'], `${method} ${path}`).to.equal(ORIGIN)
      const foreign = await send(app.url + path, method, { Origin: 'https://other.example' })
      expect(foreign.headers, `${method} ${path}`).not.to.have.property('access-control-allow-origin')
    }
  })

  it('answers a view with a header of a middleware as one without', async () => {
    const me = await newMember(app.url)
    await me.post('/v1/cart/lines', { sku: 'T-001', quantity: 2 })
    const plain = await me.get('/v1/cart')
    const crossed = await me.get('/v1/cart', { Origin: ORIGIN })
    expect([crossed.status, crossed.text]).to.deep.equal([200, plain.text])
    expect(crossed.headers.get('etag')).to.equal(plain.headers.get('etag'))
    expect(crossed.headers.get('vary')).to.equal('Origin')
  })

  it('answers OPTIONS with the methods of the path, and HEAD like GET without a body', async () => {
    const options = await send(`${app.url}/v1/cart/lines/T-001`, 'OPTIONS')
    expect([options.status, options.headers['allow'], options.text]).to.deep.equal([
      204,
      'GET, PUT, DELETE, HEAD, OPTIONS',
      '',
    ])
    expect((await send(`${app.url}/v1/nothing`, 'OPTIONS')).status).to.equal(404)
    const me = await newMember(app.url)
    const headers = { Authorization: `Bearer ${me.token}` }
    for (const path of ['/v1/cart', '/v1/products', '/v1/me']) {
      const get = await send(app.url + path, 'GET', headers)
      const head = await send(app.url + path, 'HEAD', headers)
      expect([head.status, head.text], path).to.deep.equal([200, ''])
      expect(head.headers['content-length'], path).to.equal(get.headers['content-length'])
    }
  })

  it('stops at the first error of a middleware, thrown, rejected or passed on', async () => {
    const failing: readonly Middleware[] = [
      () => {
        throw new Error('thrown')
      },
      () => Promise.reject(new Error('rejected')),
      (_request, _response, next) => next(new Error('passed on')),
    ]
    for (const middleware of failing) {
      const broken = await startApp({}, {}, { middleware: [middleware] })
      try {
        for (const path of ['/v1/cart', '/v1/me'])
          expect((await clientOf(broken.url).get(path)).body.code).to.equal('internal')
      } finally {
        await broken.close()
      }
    }
  })
})
