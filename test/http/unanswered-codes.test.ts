import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { seenCodes } from '../support/answers.ts'
import { clientOf } from '../support/client.ts'
import { PROJECT } from '../support/servers.ts'

/** Codes that any request of a kind may answer (src/http/problems.ts); the others an operation names itself. */
const OF_EVERY_KIND = new Set([
  'invalid_request',
  'malformed_body',
  'body_too_large',
  'unsupported_media_type',
  'idempotency_key_required',
  'session_required',
  'session_ended',
  'operator_required',
  'forbidden_origin',
  'version_mismatch',
  'internal',
  'overloaded',
  'unavailable',
  'outcome_unknown',
])
/** Changes of the cart share them: one function answers them for all (src/cart/cart-writer.ts, src/http/cart-routes.ts). */
const OF_EVERY_CHANGE = new Set(['idempotency_mismatch', 'idempotency_in_flight', 'too_many_attempts'])

/** Every answer is checked for codes that the document does not have (support/answers.ts). This is the other direction. */
describe('the error codes of the API document', () => {
  const app = withApp()

  it('were each answered by a test, where an operation names them itself', async function () {
    const folder = join(PROJECT, 'test/http')
    let root = this.test?.parent
    while (root?.parent) root = root.parent
    const loaded = new Set(root?.suites.map(suite => suite.file))
    const isWhole = readdirSync(folder).every(file => loaded.has(join(folder, file)))
    if (!isWhole || process.argv.includes('--grep')) this.skip() // only part of the suite runs
    const { body } = await clientOf(app().url).get('/openapi.json')
    const { paths, components } = body as {
      paths: Record<string, Record<string, object>>
      components: { schemas: Record<string, { properties: { code?: { const?: string } } }> }
    }
    const named = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, operation]) =>
        [...JSON.stringify(operation).matchAll(/schemas\/(\w+Problem)"/g)].flatMap(([, schema = '']) => {
          const code = components.schemas[schema]?.properties.code?.const ?? expect.fail(schema)
          const isShared = OF_EVERY_KIND.has(code) || (path.startsWith('/v1/cart') && OF_EVERY_CHANGE.has(code))
          return isShared ? [] : [`${method.toUpperCase()} ${path} ${code}`]
        }),
      ),
    )
    expect(named.length).to.be.above(40)
    expect([...new Set(named)].filter(one => !seenCodes.has(one))).to.deep.equal([])
  })
})
