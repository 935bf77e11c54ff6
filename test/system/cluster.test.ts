import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { brotliCompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { curlLines, journey } from '../../src/cli/journey.ts'
import { policyOf } from '../../src/ops/cpu-scheduling.ts'
import { createPm2 } from '../../src/stack/pm2.ts'
import { redisAdminUrl } from '../../src/stack/servers.ts'
import { type Answer, type Client, clientOf, encodeCart, eventually, newMember, PASSWORD } from '../support/client.ts'
import { registrationsOf } from '../sale/accounts.ts'
import { addressesOf, type Cluster, createCluster } from '../support/cluster.ts'
import { type Acknowledged, chance, expectFold, randomWrite } from '../support/history.ts'
import { PROJECT } from '../support/servers.ts'

const SCHED_BATCH = 3

/** The whole cluster behind nginx, as `npm start` makes it: what clients see while parts of it are taken away. */
describe('the cluster', function () {
  this.timeout(900_000)
  let cluster: Cluster

  before(async () => {
    cluster = await createCluster()
    await cluster.up()
  })
  after(() => cluster.remove())

  const instanceUrl = (index: number) => `http://127.0.0.1:${cluster.port + 100 + index}`

  describe('is up', () => {
    it('with every process healthy', () => cluster.healthy())

    it('and keeps its secrets from others', () => {
      for (const file of ['secrets.json', 'embedded.env', 'redis-cache/redis.conf', 'shard-0/init.sql']) {
        expect(statSync(join(cluster.dataDir, file)).mode & 0o077, file).to.equal(0)
      }
      expect(statSync(cluster.dataDir).mode & 0o077).to.equal(0)
    })

    it('and shows no password in any command line', () => {
      const passwords = Object.values(cluster.secrets())
      for (const pid of cluster.allPids()) {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        for (const password of passwords) expect(line).not.to.include(password)
      }
    })

    it('and has instances that preempt no other process, under the scheduler of batch work', async () => {
      const policies = (await cluster.pidsOf('cartload')).map(pid => policyOf(pid))
      expect(policies).to.deep.equal([SCHED_BATCH, SCHED_BATCH])
      expect((await cluster.pidsOf('redis-cache')).map(pid => policyOf(pid))).to.deep.equal([0])
    })

    it('and answers the curl lines of the README, which it prints with its own port', async () => {
      const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8')
      const block = /```sh\n(curl[\s\S]*?)```/.exec(readme)?.[1]?.trim()
      const lines = (port: number) =>
        curlLines(`http://localhost:${port}`, journey('user1@example.com', 'cartload-demo', 'first-add'))
      expect(block?.split('\n')).to.deep.equal(lines(8080))
      const again = await cluster.cli('up')
      expect(again.stdout).to.include(lines(cluster.port).join('\n'))
      const script = lines(cluster.port).join('\n').replaceAll('cookies.txt', join(cluster.dataDir, 'cookies.txt'))
      const { stdout } = await promisify(execFile)('sh', ['-euc', script.replaceAll('curl ', 'curl -sS --fail ')])
      expect(stdout).to.include('"token"').and.to.include('"lines"').and.to.include('"totals"')
    })

    it('and is found by commands that know no port; one that contradicts is refused, and names both', async () => {
      const bare = { CARTLOAD_PORT: undefined, CARTLOAD_INSTANCES: undefined }
      const status = await cluster.cliWith(bare, 'status', '--json')
      const addresses = (JSON.parse(status.stdout) as { name: string; address: string; healthy: boolean }[]).map(
        ({ name, address, healthy }) => `${name} ${address} ${healthy}`,
      )
      expect(addresses).to.include(`nginx 127.0.0.1:${cluster.port} true`)
      expect(addresses).to.have.length(7)
      const other = String(cluster.port + 1000)
      const wrong = await cluster.cliWith({ CARTLOAD_PORT: other }, 'status')
      expect(wrong.code).to.equal(1)
      expect(wrong.stderr)
        .to.include(`CARTLOAD_PORT is '${other}'`)
        .and.to.include(`was started with '${cluster.port}'`)
      expect(wrong.stderr.trim().split('\n')).to.have.length(2)
      const tried = await cluster.cliWith(bare, 'try')
      expect(tried.code, tried.stdout + tried.stderr).to.equal(0)
      expect(tried.stdout.match(/^(GET|POST|PUT) \/v1/gm)).to.have.length(6)
      expect(tried.stdout)
        .to.match(/"state":"confirmed"/)
        .and.to.include('all of it works')
      expect(tried.stdout).not.to.match(/cartload-demo|"token":"[^…]/)
    })

    it('and starts again without harm: everything goes on, the data stays', async () => {
      const before = (await cluster.status()).map(p => p.pid)
      await cluster.up()
      expect((await cluster.status()).map(p => p.pid)).to.deep.equal(before)
    })
  })

  describe('behind nginx', () => {
    it('shows one session and one cart on both instances', async () => {
      const member = await newMember(instanceUrl(0))
      await member.post('/v1/cart/lines', { sku: 'P000001', quantity: 2 })
      const other = clientOf(instanceUrl(1), member.token)
      expect((await other.get('/v1/me')).body.email).to.equal(member.email)
      expect(await encodeCart(other)).to.deep.equal({ version: 1, lines: { P000001: 2 } })
      await other.delete('/v1/sessions/current')
      expect((await member.get('/v1/me')).status).to.equal(401)
    })

    it('gives both instances work', async () => {
      const seen = new Set<string>()
      const count = async (index: number) => {
        const text = (await clientOf(`http://127.0.0.1:${cluster.port + 200 + index}`).get('/metrics')).text
        return Number(
          /cartload_http_request_duration_seconds_count\{method="GET",route="\/v1\/products"[^}]*\} (\d+)/.exec(
            text,
          )?.[1] ?? 0,
        )
      }
      const before = [await count(0), await count(1)]
      await Promise.all(Array.from({ length: 60 }, () => clientOf(cluster.url).get('/v1/products?limit=1')))
      for (const index of [0, 1]) if ((await count(index)) > (before[index] ?? 0)) seen.add(String(index))
      expect(seen.size).to.equal(2)
    })

    it('speaks over Unix sockets, which no other user may open', async () => {
      const member = await newMember(cluster.url)
      await member.post('/v1/cart/lines', { sku: 'P000001', quantity: 1 })
      const log = join(cluster.dataDir, 'logs', 'nginx-access.log')
      await eventually('nginx has written its log', async () => readFileSync(log, 'utf8').includes('/v1/cart/lines'))
      const upstreams = readFileSync(log, 'utf8')
        .trim()
        .split('\n')
        .map(line => (JSON.parse(line) as { upstream: string }).upstream)
      expect(upstreams.at(-1)).to.match(/^unix:.*\/run\/instance-[01]\.sock$/)
      expect(statSync(cluster.dataDir).mode & 0o077).to.equal(0)
      const connected = readFileSync('/proc/net/unix', 'utf8')
        .split('\n')
        .filter(line => line.includes(cluster.dataDir))
      for (const name of ['redis-sessions/r.sock', 'redis-cache/r.sock', 'shard-0/s.sock', 'shard-1/s.sock']) {
        // One line listens; the others are connections of the instances.
        expect(connected.filter(line => line.endsWith(name)).length, name).to.be.at.least(2)
      }
    })

    it('sets security headers and a request id that the application logs', async () => {
      const { headers } = await clientOf(cluster.url).get('/v1/products')
      expect(headers.get('x-content-type-options')).to.equal('nosniff')
      expect(headers.get('x-frame-options')).to.equal('DENY')
      expect(headers.get('x-request-id')).to.match(/^[0-9a-f]{32}$/)
      expect(headers.get('x-trace-id')).to.equal(headers.get('x-request-id'))
    })

    it('refuses an encoded body before anything decodes it', async () => {
      const response = await fetch(`${cluster.url}/v1/cart/lines`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'br' },
        body: brotliCompressSync('{"sku":"P000001","quantity":1}'),
      })
      expect(response.status).to.equal(415)
      expect(await response.json()).to.include({ code: 'unsupported_media_type' })
    })

    it('refuses a body that is too large with a problem document', async () => {
      const answer = await clientOf(cluster.url).post('/v1/cart/lines', { sku: 'x'.repeat(100_000), quantity: 1 })
      expect(answer.status).to.equal(413)
      expect(answer.body).to.include({ code: 'body_too_large', status: 413 })
    })

    it('does not believe a client who says where it comes from', async () => {
      const member = await newMember(cluster.url)
      const statuses: number[] = []
      for (let n = 0; n < 7; n++) {
        const headers = { 'X-Forwarded-For': `10.0.0.${n}`, Forwarded: `for=10.0.0.${n}` }
        statuses.push(
          (await clientOf(cluster.url).post('/v1/sessions', { email: member.email, password: 'wrong' }, headers))
            .status,
        )
      }
      expect(statuses.at(-1)).to.equal(429)
    })

    it('a warm view costs one command on each Redis and no statement', async () => {
      const member = await newMember(cluster.url)
      await member.post('/v1/cart/lines', { sku: 'P000001', quantity: 1 })
      await member.get('/v1/cart')
      const secrets = cluster.secrets()
      const redis = [0, 1].map(n => new Redis(redisAdminUrl(cluster.port + 400 + n, secrets)))
      const shards = await Promise.all(
        [0, 1].map(n =>
          createConnection({
            host: '127.0.0.1',
            port: cluster.port + 300 + n,
            user: 'root',
            password: secrets.mysqlRoot,
            database: 'mysql',
          }),
        ),
      )
      try {
        for (const shard of shards) await shard.query("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1")
        for (const connection of redis) await connection.config('RESETSTAT')
        const views = 200
        for (let n = 0; n < views; n++) expect((await member.get('/v1/cart')).status).to.equal(200)
        const calls = await Promise.all(
          redis.map(async connection => {
            const stats = await connection.info('commandstats')
            return Object.fromEntries(
              [...stats.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)].map(([, name, count]) => [
                name ?? '',
                Number(count),
              ]),
            )
          }),
        )
        // Not what instances do in the background (GET and SET of the restore clock), which no view uses.
        const asked = (commands: Record<string, number> | undefined) =>
          Object.fromEntries(
            Object.entries(commands ?? {}).filter(
              ([name]) => !/^(info|ping|config|hello|client|auth|get$|set$)/.test(name),
            ),
          )
        expect(asked(calls[0])).to.deep.equal({ mget: views })
        expect(asked(calls[1])).to.deep.equal({ mget: views })
        for (const shard of shards) {
          const [rows] = await shard.query<RowDataPacket[]>(
            "SELECT argument FROM general_log WHERE command_type IN ('Query', 'Execute')",
          )
          const texts = rows.map(row => String(row['argument']))
          expect(texts.filter(text => /\b(carts|cart_lines|users|idempotency)\b/.test(text))).to.deep.equal([])
          // What remains is per instance and second: leases, restore clocks, the versions of catalogue and rules, what is there to be settled, health.
          const background = texts.filter(
            text =>
              !/general_log|cache_mode|catalog_state|rule_activations|leases|restore_clock|^\/\* per shard \*\/|FROM sales|FROM DUAL|^SET |SHOW/.test(
                text,
              ),
          )
          expect(background).to.deep.equal([])
        }
      } finally {
        for (const shard of shards) {
          await shard.query('SET GLOBAL general_log = 0')
          await shard.query('TRUNCATE general_log')
          await shard.end()
        }
        for (const connection of redis) connection.disconnect()
      }
    })
  })

  describe('keeps every acknowledged write', () => {
    it('of 16 clients on 20 carts: each cart is the fold of its acknowledged writes', async () => {
      const seed = Date.now() % 100_000
      console.log(`      seed ${seed}`)
      const random = chance(seed)
      const members = await Promise.all(Array.from({ length: 20 }, () => newMember(cluster.url)))
      const acknowledged = members.map((): Acknowledged[] => [])
      let left = 2000
      await Promise.all(
        Array.from({ length: 16 }, async (_, client) => {
          while (left-- > 0) {
            const at = random(members.length)
            const member = members[at] as Client
            const write = randomWrite(random)
            const through = clientOf(instanceUrl(client % 2), member.token)
            const { status, body } = await through.send(write.method, write.path, write.body)
            expect(status).to.equal(200)
            acknowledged[at]?.push({ version: body.version, edit: write.edit })
          }
        }),
      )
      expect(acknowledged.flat()).to.have.length(2000)
      for (const [at, member] of members.entries()) await expectFold(member, acknowledged[at] ?? [])
    })

    it('and every request through reloads under load', async () => {
      const load = await startLoad(cluster.url)
      const pm2 = createPm2(join(cluster.dataDir, 'pm2'), 'SIGINT')
      const pids = await cluster.pidsOf('cartload')
      for (let n = 0; n < 3; n++) await pm2.run('reload', 'cartload', '--silent')
      const { answers, failures } = await load.stop()
      console.log(`      ${answers} requests during 3 reloads`)
      expect(failures).to.deep.equal([])
      expect(answers).to.be.above(300)
      await load.expectExact()
      expect((await cluster.pidsOf('cartload')).some(pid => pids.includes(pid))).to.equal(false)
    })

    it('and those with a key through the kill of an instance', async () => {
      const load = await startLoad(cluster.url)
      for (let n = 0; n < 3; n++) {
        await sleep(500)
        const [pid] = await cluster.pidsOf('cartload')
        if (pid) process.kill(pid, 'SIGKILL')
      }
      await sleep(1000)
      await load.stop()
      await load.expectExact()
      await cluster.healthy()
    })

    it('and serves on while the cache is killed', async () => {
      const load = await startLoad(cluster.url)
      await sleep(300)
      for (const pid of await cluster.pidsOf('redis-cache')) process.kill(pid, 'SIGKILL')
      await sleep(4000)
      const { failures } = await load.stop()
      expect(failures.filter(failure => !failure.startsWith('503'))).to.deep.equal([])
      await load.expectExact()
      await cluster.healthy()
    })

    it('and sessions through a kill of their Redis', async () => {
      const member = await newMember(cluster.url)
      await sleep(1200) // the append-only file is flushed every second; this is its bound, not a race
      for (const pid of await cluster.pidsOf('redis-sessions')) process.kill(pid, 'SIGKILL')
      await eventually('the session is back', async () => (await member.get('/v1/me')).status === 200)
      const logIn = () => clientOf(cluster.url).post('/v1/sessions', { email: member.email, password: PASSWORD })
      await eventually('logins work on every instance', async () => {
        const answers = await Promise.all(Array.from({ length: 6 }, logIn))
        return answers.every(answer => answer.status === 201)
      })
    })

    it("and one shard's users are told at once while it is away, the others notice nothing", async () => {
      const { slotOf } = await import('../../src/sharding/slots.ts')
      const members = await Promise.all(Array.from({ length: 8 }, () => newMember(cluster.url)))
      const here = members.find(member => slotOf(member.userId) < 512)
      const there = members.find(member => slotOf(member.userId) >= 512)
      if (!here || !there) throw new Error('all members landed on one shard')
      const [pid] = await cluster.pidsOf('shard-1')
      if (pid) process.kill(pid, 'SIGSTOP')
      try {
        for (let n = 0; n < 10; n++)
          expect((await here.post('/v1/cart/lines', { sku: 'P000001', quantity: 1 })).status).to.equal(200)
        const told = await there.post('/v1/cart/lines', { sku: 'P000001', quantity: 1 })
        expect(told.status).to.equal(503)
        expect(told.headers.get('retry-after')).to.equal('1')
      } finally {
        if (pid) process.kill(pid, 'SIGKILL')
      }
      await eventually(
        'the shard is back',
        async () => (await there.post('/v1/cart/lines', { sku: 'P000001', quantity: 1 })).status === 200,
        30_000,
      )
      expect((await encodeCart(here)).lines).to.deep.equal({ P000001: 10 })
      await cluster.healthy()
    })

    it('and says 503, also to a POST with a key, while no instance is there', async () => {
      const member = await newMember(cluster.url)
      const pm2 = createPm2(join(cluster.dataDir, 'pm2'), 'SIGINT')
      await pm2.run('stop', 'cartload', '--silent')
      try {
        for (const answer of [
          await member.get('/v1/cart'),
          await member.post('/v1/cart/lines', unit(0), { 'Idempotency-Key': 'no-shard-there' }),
        ]) {
          expect(answer.status).to.equal(503)
          expect(answer.headers.get('retry-after')).to.equal('1')
          expect(answer.body).to.include({ status: 503, code: 'unavailable' })
        }
      } finally {
        await pm2.run('restart', 'cartload', '--silent')
      }
      await cluster.healthy()
      await eventually('nginx believes it', async () => (await member.get('/v1/cart')).status === 200)
    })

    it('and comes back with all of them after everything was killed', async () => {
      const load = await startLoad(cluster.url, { retry: false })
      await sleep(1000)
      for (const pid of cluster.allPids()) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // gone with its parent
        }
      }
      await load.stop()
      await cluster.up()
      await cluster.healthy()
      await load.expectNothingLost()
    })
  })

  describe('takes in real files', () => {
    const shared = join(PROJECT, '..', 'shared', 'data')
    // An account that an import has made has no password; the test sets one in the database.
    const read = async (id: string) => {
      const accounts = await registrationsOf({ addresses: addressesOf(cluster) })
      try {
        const reader = clientOf(cluster.url, await accounts.session(await accounts.addMember(`${id}@import.example`)))
        const lines: [string, number][] = []
        for (let cursor = ''; ; ) {
          const { body } = await reader.get(`/v1/cart?limit=100${cursor}`)
          for (const line of body.lines) lines.push([line.sku, line.quantity])
          if (body.page.next === null) return lines
          cursor = `&cursor=${body.page.next}`
        }
      } finally {
        await accounts.close()
      }
    }

    it('of its own form, on a folder that has seen none, and reports bad rows by line', async () => {
      const [catalogue, carts] = [join(cluster.dataDir, 'c.csv'), join(cluster.dataDir, 'carts.ndjson.gz')]
      writeFileSync(
        catalogue,
        'SKU,Name,Price,Category\nX-1,One,1.50,a\nX-2,Two,2,b\nX-3,Three,free,b\nX-1,Again,1,a\n',
      )
      const rows = [
        '{"n":"one","l":[["X-1",2,0],["X-2",1,0],["X-1",1,0]]}',
        'nonsense',
        '{"n":"two","l":[["NOPE",1,0]]}',
        '{"n":"C3","r":1,"l":[["X-1",1,0]]}',
      ]
      writeFileSync(carts, gzipSync(`${rows.join('\n')}\n`))
      const products = await cluster.cli('import', 'catalogue', catalogue)
      expect(products.code, products.stderr).to.equal(3)
      expect(reportOf('c.csv')).to.deep.equal([
        { line: 4, reason: "price 'free' is not an amount such as 2.95" },
        { line: 5, reason: "sku 'X-1' stands in an earlier row already" },
      ])
      const imported = await cluster.cli('import', 'carts', carts)
      expect(imported.code, imported.stderr).to.equal(3)
      expect(imported.stdout).to.include('Imported 1 carts; 1 returns passed over, 2 lines left out')
      expect(
        reportOf('carts.ndjson.gz')
          .map(row => row.line)
          .toSorted((a, b) => a - b),
      ).to.deep.equal([2, 3])
      expect(await read('one')).to.deep.equal([
        ['X-1', 3],
        ['X-2', 1],
      ])
      expect((await cluster.cli('import', 'carts', carts, '--restart')).code).to.equal(3)
      expect(await read('one')).to.deep.equal([
        ['X-1', 3],
        ['X-2', 1],
      ])
    })

    it('and names the line at which a file breaks off', async () => {
      const broken = join(cluster.dataDir, 'broken.ndjson.gz')
      writeFileSync(broken, gzipSync('{"n":"x","l":[["X-1",1,0]]}\n'.repeat(5000)).subarray(0, 60))
      const { code, stderr } = await cluster.cli('import', 'carts', broken)
      expect(code).to.equal(1)
      expect(stderr).to.include('cannot be read past line')
    })

    it('such as the orders of a real shop, which read back line for line', async function () {
      if (!existsSync(shared)) {
        console.log(`      skipped: there is no ${shared}`)
        this.skip()
      }
      expect((await cluster.cli('import', 'catalogue', join(shared, 'catalogue.csv'))).code).to.equal(0)
      const file = join(shared, 'baskets.ndjson.gz')
      expect((await cluster.cli('import', 'carts', file, '--limit', '300')).code).to.be.oneOf([0, 3])
      const left = new Set(reportOf('baskets.ndjson.gz').map(row => row.line))
      const rows = gunzipSync(readFileSync(file)).toString().split('\n').slice(0, 300)
      let checked = 0
      for (const [at, text] of rows.entries()) {
        const order = JSON.parse(text) as { n: string; r: number; l: [string, number, number][] }
        if (order.r === 1 || left.has(at + 1) || at % 10 !== 0) continue
        const wanted = new Map<string, number>()
        for (const [sku, quantity] of order.l) wanted.set(sku, (wanted.get(sku) ?? 0) + quantity)
        expect(await read(order.n), order.n).to.deep.equal([...wanted])
        checked++
      }
      expect(checked).to.be.above(15)
    })

    function reportOf(name: string): { line: number; reason: string }[] {
      const text = readFileSync(join(cluster.dataDir, 'imports', `${name}.rejected.ndjson`), 'utf8')
      return text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { line: number; reason: string })
    }
  })

  describe('at the end', () => {
    it('refuses to start on a port that is taken, names it and the setting, and starts nothing', async () => {
      const other = await createCluster()
      const blocker = createServer()
      await new Promise<void>(resolve => blocker.listen(other.port + 400, '127.0.0.1', resolve))
      try {
        const { code, stderr } = await other.cli('up')
        expect(code).to.equal(1)
        expect(stderr)
          .to.include(`port ${other.port + 400}`)
          .and.to.include('CARTLOAD_REDIS_PORT')
        expect(other.allPids()).to.deep.equal([])
      } finally {
        blocker.close()
        await other.remove()
      }
    })

    it('stops, and leaves no process', async () => {
      const { code } = await cluster.cli('down')
      expect(code).to.equal(0)
      expect(cluster.allPids()).to.deep.equal([])
    })
  })
})

/** The nth unit: another product every 500, so that no line meets its limit. */
function unit(n: number): { sku: string; quantity: number } {
  return { sku: `P${String(1 + Math.floor(n / 500)).padStart(6, '0')}`, quantity: 1 }
}

function sumOf(lines: Readonly<Record<string, number>>): number {
  return Object.values(lines).reduce((sum, quantity) => sum + quantity, 0)
}

/** Mixed reading and writing through nginx: every writer adds one unit at a time, each with a key, to a cart of its own. */
async function startLoad(url: string, { retry = true } = {}) {
  const writers = await Promise.all(Array.from({ length: 8 }, () => newMember(url)))
  const acknowledged = writers.map(() => 0)
  const failures: string[] = []
  let answers = 0
  let stopped = false

  async function send(client: Client, method: 'GET' | 'POST', n: number): Promise<Answer | undefined> {
    try {
      const answer =
        method === 'GET'
          ? await client.get('/v1/cart')
          : await client.post('/v1/cart/lines', unit(n), { 'Idempotency-Key': `load-${n}` })
      answers++
      if (answer.status !== 200) failures.push(`${answer.status} ${method} ${answer.text.slice(0, 200)}`)
      return answer
    } catch (error) {
      failures.push(`${method} ${String(error)} ${String((error as Error).cause)}`)
      return undefined
    }
  }

  const running = writers.map(async (client, at) => {
    for (let n = 0; !stopped; n++) {
      let answer = await send(client, 'POST', n)
      while (retry && answer?.status !== 200) {
        await sleep(50)
        answer = await send(client, 'POST', n)
      }
      if (answer?.status === 200) acknowledged[at] = (acknowledged[at] ?? 0) + 1
      else if (!retry) return
      await send(client, 'GET', n)
    }
  })

  const quantities = () => Promise.all(writers.map(async writer => sumOf((await encodeCart(writer)).lines)))
  return {
    async stop() {
      stopped = true
      await Promise.all(running)
      return { answers, failures }
    },
    /** Each acknowledged add is there exactly once. */
    async expectExact() {
      expect(await quantities()).to.deep.equal(acknowledged)
    },
    /** Each acknowledged add is there; the one under way at the end may be too. */
    async expectNothingLost() {
      for (const [at, quantity] of (await quantities()).entries()) {
        expect(quantity).to.be.within(acknowledged[at] ?? 0, (acknowledged[at] ?? 0) + 1)
      }
    },
  }
}
