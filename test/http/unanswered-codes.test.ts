import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { allRoutes } from '../../src/http/server.ts'
import { withApp } from '../support/app.ts'
import { seenCodes } from '../support/answers.ts'
import { PROJECT } from '../support/servers.ts'

/** Changes of the cart share them: one function answers them for all (src/cart/cart-writer.ts, src/http/cart-routes.ts). */
const OF_EVERY_CHANGE = new Set<string>(['idempotency_mismatch', 'idempotency_in_flight', 'too_many_attempts'])

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
    const { limits, routed } = app()
    const named = allRoutes(routed, limits, 'GBP').flatMap(({ method, path, problems }) =>
      problems
        .filter(code => !(path.startsWith('/v1/cart') && OF_EVERY_CHANGE.has(code)))
        .map(code => `${method.toUpperCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')} ${code}`),
    )
    expect(named.length).to.be.above(40)
    expect(named.filter(one => !seenCodes.has(one))).to.deep.equal([])
  })
})
