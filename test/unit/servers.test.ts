import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createBackend } from '../support/servers.ts'
import { isOlder } from '../../src/lib/release.ts'

describe('a server that the tests start', () => {
  it('and that ends is told at once, with the end of its log', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cartload-backend-'))
    try {
      const own = { name: 'broken', program: '/bin/sh', env: {}, port: 1, pidFile: join(dir, 'pid'), stopMsMax: 1_000 }
      const backend = createBackend({ ...own, args: ['-c', 'echo no such folder; exit 3'] }, join(dir, 'log'))
      const since = performance.now()
      const said = await backend.start().then(String, (error: Error) => error.message)
      expect(said).to.match(/broken ended with 3 while it started\nno such folder/)
      expect(performance.now() - since).to.be.below(60_000) // it would wait two minutes for a port
      expect(backend.pid()).to.equal(0)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})

describe('releases', () => {
  for (const [release, than, older] of [
    ['0.1.0', '0.1.0', false],
    ['0.1.0', '0.2.0', true],
    ['0.10.0', '0.9.9', false],
    ['1.0.0', '0.99.99', false],
    ['0.1.0-rc.1', '0.1.1', true],
  ] as const)
    it(`${release} is ${older ? '' : 'not '}older than ${than}`, () => expect(isOlder(release, than)).to.equal(older))
})
