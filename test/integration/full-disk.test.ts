import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { catalogRows } from '../../src/store/catalog.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Answer, type Client, clientOf, eventually } from '../support/client.ts'
import { PRODUCTS, shardOf, startMigratedServers } from '../support/servers.ts'

const FULL = 1

/** A shard whose files are on a file system of their own, with a few megabytes left. Mounting it takes root. */
describe('a shard whose disk is full', function () {
  this.timeout(300_000)
  let servers: Awaited<ReturnType<typeof startMigratedServers>>
  let app: TestApp
  let mounted: string | undefined

  before(async function () {
    if (process.getuid?.() !== 0) return this.skip()
    servers = await startMigratedServers('cartload-full-')
    await moveToSmallFileSystem(`shard-${FULL}`)
    app = await startApp({}, servers.addresses)
    await app.catalog.atLeast(await catalogRows.put(app.global, PRODUCTS))
  })
  after(async () => {
    await app?.close()
    await servers?.backends.get(`shard-${FULL}`)?.kill()
    if (mounted !== undefined) execFileSync('umount', [mounted])
    await servers?.stop()
  })

  async function moveToSmallFileSystem(name: string): Promise<void> {
    const backend = servers.backends.get(name) ?? expect.fail(name)
    await backend.kill()
    const dir = join(servers.dir, name)
    renameSync(dir, `${dir}.before`)
    mkdirSync(dir)
    const kb = Number(execFileSync('du', ['-sk', `${dir}.before`], { encoding: 'utf8' }).split('\t')[0])
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kb + 40_000}k,mode=755`, 'tmpfs', dir])
    mounted = dir
    execFileSync('chown', ['--reference', `${dir}.before`, dir])
    cpSync(`${dir}.before`, dir, { recursive: true, preserveTimestamps: true })
    execFileSync('chown', ['-R', '--reference', `${dir}.before`, dir])
    await backend.start()
  }

  const filler = () => join(mounted ?? '', 'filler')
  /** Leaves no block free. */
  function fill(): void {
    const { bavail, bsize } = statfsSync(mounted ?? '')
    writeFileSync(filler(), Buffer.alloc(bavail * bsize))
  }

  async function newGuest(): Promise<{ client: Client; shard: number; first: Answer }> {
    const client = clientOf(app.url)
    const first = await client.post('/v1/cart/lines', { sku: 'T-001', quantity: 1 })
    const token = first.headers.get('x-session-token') ?? ''
    if (token) client.token = token
    const { userId } =
      first.status === 200 ? { userId: (await client.get('/v1/me')).body.id as string } : { userId: '' }
    return { client, shard: userId === '' ? FULL : shardOf(userId), first }
  }

  const state = async () => {
    const health = (await clientOf(app.opsUrl).get('/health/ready')).body
    const metrics = (await clientOf(app.opsUrl).get('/metrics')).text
    return {
      ready: health.ready as boolean,
      degraded: (health.degraded as { name: string; error: string }[]).map(({ name }) => name),
      gauge: new RegExp(`^cartload_degraded\\{dependency="shard-${FULL}"\\} 1$`, 'm').test(metrics),
    }
  }

  it('refuses with 503 and Retry-After what needs room, is named, and lets the others go on', async () => {
    const before = await state()
    expect(before).to.deep.equal({ ready: true, degraded: [], gauge: false })
    fill()
    const refused: Answer[] = []
    const written = [0, 0]
    await eventually(
      'a write finds no room',
      async () => {
        const lines = { lines: PRODUCTS.slice(0, 300).map(({ sku }) => ({ sku, quantity: 1 })) }
        const { client, shard, first } = await newGuest()
        const more = first.status === 200 ? await client.post('/v1/cart/lines?limit=0', lines) : first
        if (more.status === 200) written[shard]!++
        else refused.push(more)
        return refused.length > 0
      },
      120_000,
    )
    const [answer] = refused
    expect([answer?.status, answer?.headers.get('retry-after')], answer?.text).to.deep.equal([503, '1'])
    expect(answer?.body).to.include({ code: 'unavailable', dependency: `shard-${FULL}` })
    expect(await state()).to.deep.equal({ ready: true, degraded: [`shard-${FULL}`], gauge: true })

    // Carts of the other shard: all of them are written. A guest of the full shard may be refused.
    for (let others = 0; others < 5; ) {
      const { client, shard, first } = await newGuest()
      if (shard === FULL) continue
      expect(first.status).to.equal(200)
      expect((await client.put('/v1/cart/lines/T-002', { quantity: 2 })).status).to.equal(200)
      others++
    }
    expect((await state()).ready).to.equal(true)

    rmSync(filler())
    await eventually('it takes writes again, and is not named any more', async () => {
      const { shard, first } = await newGuest()
      return shard === FULL && first.status === 200 && (await state()).degraded.length === 0
    })
    expect(await state()).to.deep.equal(before)
  })
})
