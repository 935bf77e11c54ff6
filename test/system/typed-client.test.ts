import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { withApp } from '../support/app.ts'
import { clientOf, newEmail, PASSWORD } from '../support/client.ts'
import { PROJECT } from '../support/servers.ts'

/**
 * A client in TypeScript whose types are made from the OpenAPI document (openapi-typescript, openapi-fetch), in a folder of its own.
 * Needs the npm registry.
 */
describe('a typed client', function () {
  this.timeout(300_000)
  const app = withApp()
  let dir: string
  const run = (program: string, ...args: string[]) =>
    promisify(execFile)(program, args, { cwd: dir, maxBuffer: 1e7 }).then(
      ({ stdout }) => stdout,
      (error: { stdout: string; stderr: string }) =>
        expect.fail(`${program} ${args.join(' ')}: ${error.stdout}${error.stderr}`),
    )
  const compile = () =>
    run(
      process.execPath,
      'node_modules/typescript/bin/tsc',
      '--noEmit',
      '--strict',
      '--target',
      'es2024',
      '--module',
      'nodenext',
      '--lib',
      'es2024,dom',
      '--types',
      'node',
      '--allowImportingTsExtensions',
      '--skipLibCheck',
      '--erasableSyntaxOnly',
      'journey.ts',
    )

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-typed-'))
    cpSync(join(PROJECT, 'test/typed-client'), dir, { recursive: true })
    await run('npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline')
    symlinkSync(join(PROJECT, 'node_modules/@types'), join(dir, 'node_modules/@types'))
    writeFileSync(join(dir, 'openapi.json'), (await clientOf(app().url).get('/openapi.json')).text)
    await run(process.execPath, 'node_modules/openapi-typescript/bin/cli.js', 'openapi.json', '-o', 'api.ts')
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  it('compiles, and makes a journey', async () => {
    await compile()
    const { data } = (await clientOf(app().url).get('/v1/products?limit=1')).body
    const [{ sku, price }] = data
    const seen = JSON.parse(await run(process.execPath, 'journey.ts', app().url, sku, newEmail(), PASSWORD)) as object
    expect(seen).to.deep.equal({
      products: 3,
      guest: { token: true, units: 2, etag: true },
      'unknown code': 'code_unknown',
      quote: { total: price, first: price },
      merged: [[sku, 2]],
      stale: 'version_mismatch',
      'version now': true,
      pages: [1, 1],
      line: 1,
      order: { state: 'confirmed', total: price * 3, lines: 1, refunds: 0 },
      'order of another': 'session_required',
      cancel: 'confirmed',
    })
  })

  it('does not compile where a field is asked for that an answer does not have (the control)', async () => {
    writeFileSync(
      join(dir, 'wrong.ts'),
      `import type { components } from './api.ts'\nexport const wrong = (order: components['schemas']['Order']) => order.colour\n`,
    )
    const wrong = run(
      process.execPath,
      'node_modules/typescript/bin/tsc',
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--allowImportingTsExtensions',
      '--skipLibCheck',
      'wrong.ts',
    )
    const error: unknown = await wrong.catch((found: unknown) => found)
    expect(String(error)).to.include("Property 'colour' does not exist")
  })
})
