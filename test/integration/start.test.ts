import { spawn } from 'node:child_process'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { type Connection, createConnection } from 'mysql2/promise'
import { mysqlUrl, redisAdminUrl, redisUrl } from '../../src/stack/servers.ts'
import { eventually } from '../support/client.ts'
import { freePorts, PROJECT, type PrivateServers, startPrivateServers } from '../support/servers.ts'

/** Outside servers of its own, set up as an operator would, and then spoiled in each way that a start must refuse. */
describe('a start with servers outside', function () {
  this.timeout(300_000)
  let servers: PrivateServers
  let environment: Record<string, string>
  let admin: Connection
  let redis: { sessions: Redis; cache: Redis }
  let dataDir: string

  before(async () => {
    servers = await startPrivateServers({
      prefix: 'cartload-start-',
      shards: 2,
      shardMb: 64,
      redisMb: 64,
      databases: () => [],
    })
    const [shard0 = 0, shard1 = 0] = servers.shardPorts
    dataDir = mkdtempSync(join(tmpdir(), 'cartload-start-data-'))
    const at = (port: number, database: string) => `mysql://shop:secret-of-the-shop@127.0.0.1:${port}/${database}`
    const [instancePort = 0, opsPort = 0] = await freePorts(2)
    environment = {
      CARTLOAD_SHARDS: `${at(shard0, 'shop')},${at(shard1, 'shop')}`,
      CARTLOAD_GLOBAL: at(shard0, 'shop_global'),
      CARTLOAD_SESSIONS_REDIS: redisUrl(servers.redisPorts.sessions, servers.secrets),
      CARTLOAD_CACHE_REDIS: redisUrl(servers.redisPorts.cache, servers.secrets),
      CARTLOAD_DATA_DIR: dataDir,
      CARTLOAD_INSTANCES: '1',
      CARTLOAD_INSTANCE_PORT: String(instancePort),
      CARTLOAD_OPS_PORT: String(opsPort),
      PM2_HOME: join(dataDir, 'pm2'),
    }
    admin = await createConnection({ uri: mysqlUrl(shard0, 'mysql', servers.secrets, 'root') })
    const connect = (port: number) => new Redis(redisAdminUrl(port, servers.secrets)).on('error', () => undefined)
    redis = { sessions: connect(servers.redisPorts.sessions), cache: connect(servers.redisPorts.cache) }
  })
  after(async () => {
    await admin?.end()
    for (const one of Object.values(redis ?? {})) one.disconnect()
    await servers?.stop()
    await pm2(['kill']) // `down` leaves PM2 itself running, as it is the shop's own
    rmSync(dataDir, { recursive: true, force: true })
  })

  async function cli(args: readonly string[], changes: Record<string, string> = {}) {
    const options = { env: { ...process.env, ...environment, ...changes }, cwd: PROJECT, maxBuffer: 1e8 }
    return promisify(execFile)(join(PROJECT, 'bin', 'cartload'), [...args], options).then(
      ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        said: error.stdout + error.stderr,
      }),
    )
  }

  const pm2 = (args: readonly string[]) =>
    promisify(execFile)(join(PROJECT, 'node_modules', '.bin', 'pm2'), [...args], {
      env: { ...process.env, ...environment },
      cwd: PROJECT,
    })

  /** The entry of an instance, as PM2 starts it: until it ends, or until it says that it serves. */
  async function instance(changes: Record<string, string> = {}) {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: PROJECT,
      env: { ...process.env, ...environment, ...changes, NODE_APP_INSTANCE: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const lines: string[] = []
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on('line', line => lines.push(line))
    const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
    const serves = eventually(
      'it serves or ends',
      () => Promise.resolve(child.exitCode !== null || lines.some(line => line.includes('"serving"'))),
      60_000,
    )
    await serves
    return {
      lines,
      code: () => child.exitCode,
      async stop() {
        child.kill('SIGTERM')
        await ended
      },
      ended,
    }
  }

  const ADMIN = () => `root:${servers.secrets.mysqlRoot}`

  it('is told which databases and accounts are missing, and how to make them', async () => {
    const refused = await cli(['doctor'])
    expect(refused.code).to.equal(1)
    expect(refused.said).to.match(/global +\S*WRONG\S* +the account 'shop' is refused/)
    const plan = await cli(['init', '--dry-run'])
    expect(plan.said)
      .to.include('CREATE DATABASE IF NOT EXISTS `shop_global`')
      .and.to.include("GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO 'shop'@'%'")
    const grants = await cli(['grants'])
    expect(grants.said)
      .to.include(plan.said.trim())
      .and.to.match(/^user cartload on ><password> ~\* &\* \+@read/m)
    for (const { said } of [refused, plan, grants]) expect(said).not.to.include('secret-of-the-shop')
    const started = await instance()
    expect(started.code(), started.lines.join('\n')).to.equal(78)
    expect(started.lines.at(-1)).to.match(/cannot start: .*the account 'shop' is refused/)
  })

  describe('that was made ready by cartload init', () => {
    before(async () => {
      const made = await cli(['init', '--user', ADMIN()])
      if (made.code !== 0) throw new Error(made.said)
    })

    it('has nothing wrong, and cartload init does no harm when it is run again (the control)', async () => {
      const again = await cli(['init', '--user', ADMIN()])
      expect(again.code, again.said).to.equal(0)
      const doctor = await cli(['doctor'])
      expect(doctor.code, doctor.said).to.equal(0)
      expect(doctor.said)
        .to.include('Nothing is wrong.')
        .and.not.match(/WRONG|AWAY/)
    })

    interface Mistake {
      readonly what: string
      plant(): Promise<unknown>
      undo(): Promise<unknown>
      readonly told: RegExp
    }
    const sql = (text: string) => () => admin.query(text)
    const MISTAKES: readonly Mistake[] = [
      {
        what: 'a log that is not flushed at commit',
        plant: sql('SET GLOBAL innodb_flush_log_at_trx_commit = 2'),
        undo: sql('SET GLOBAL innodb_flush_log_at_trx_commit = 1'),
        told: /shard-0 .*innodb_flush_log_at_trx_commit is 2, and must be 1/,
      },
      {
        what: 'snapshot isolation that is off',
        plant: sql('SET GLOBAL innodb_snapshot_isolation = OFF'),
        undo: sql('SET GLOBAL innodb_snapshot_isolation = ON'),
        told: /shard-0 .*innodb_snapshot_isolation is OFF, and must be ON/,
      },
      {
        what: 'a right that is missing',
        plant: sql("REVOKE DELETE, UPDATE ON `shop`.* FROM 'shop'@'%'"),
        undo: sql("GRANT DELETE, UPDATE ON `shop`.* TO 'shop'@'%'"),
        told: /shard-0 .*the account 'shop' has no right to UPDATE, DELETE/,
      },
      {
        what: 'a migration that is pending',
        plant: sql("DELETE FROM shop_global.migrations WHERE name LIKE '0003%'"),
        undo: sql("INSERT INTO shop_global.migrations (name, applied_at) VALUES ('0003-stock.sql', NOW(3))"),
        told: /global .*migrations are pending \(0003-stock\.sql\): cartload migrate/,
      },
      {
        what: 'a schema that is too new',
        plant: sql("UPDATE shop_global.schema_release SET oldest_release = '99.0.0'"),
        undo: sql("UPDATE shop_global.schema_release SET oldest_release = '0.1.0'"),
        told: /global .*too new for this code: it needs release 99\.0\.0 or newer/,
      },
      {
        what: 'a schema that is missing',
        plant: sql('RENAME TABLE shop_global.migrations TO shop_global.migrations_away'),
        undo: sql('RENAME TABLE shop_global.migrations_away TO shop_global.migrations'),
        told: /global .*its schema is missing: cartload migrate/,
      },
      {
        what: 'a shard that was added and owns nothing',
        plant: async () => {
          await admin.query('CREATE TABLE shop.slots_away AS SELECT * FROM shop.slots')
          await admin.query('DELETE FROM shop.slots')
        },
        undo: async () => {
          await admin.query('INSERT INTO shop.slots SELECT * FROM shop.slots_away')
          await admin.query('DROP TABLE shop.slots_away')
        },
        told: /shard-0 .*it owns no slots, and slots cannot be moved to an added shard yet/,
      },
      {
        what: 'sessions that are evicted',
        plant: () => redis.sessions.config('SET', 'maxmemory-policy', 'allkeys-lru'),
        undo: () => redis.sessions.config('SET', 'maxmemory-policy', 'noeviction'),
        told: /sessions .*it evicts \(maxmemory-policy allkeys-lru\), and must not/,
      },
      {
        what: 'a cache that keeps an append-only file',
        plant: () => redis.cache.config('SET', 'appendonly', 'yes'),
        undo: () => redis.cache.config('SET', 'appendonly', 'no'),
        told: /cache .*it keeps an append-only file/,
      },
      {
        what: 'a cache that has written a snapshot, seen without the right to ask for its settings',
        plant: async () => {
          await redis.cache.config('SET', 'save', '3600 1')
          await redis.cache.save()
        },
        undo: async () => {
          await redis.cache.config('SET', 'save', '')
          await servers.backends.get('redis-cache')?.kill() // the saves are counted from its start
          await servers.backends.get('redis-cache')?.start()
          await eventually('the administrator is connected again', async () => (await redis.cache.ping()) === 'PONG')
        },
        told: /cache .*it writes snapshots, and must keep nothing/,
      },
      {
        what: 'a cache with a replica',
        plant: async () => {
          await redis.sessions.config('SET', 'masteruser', 'admin')
          await redis.sessions.config('SET', 'masterauth', servers.secrets.redisAdmin)
          await redis.sessions.replicaof('127.0.0.1', servers.redisPorts.cache)
          await eventually('the replica is there', async () =>
            (await redis.cache.info('replication')).includes('connected_slaves:1'),
          )
        },
        undo: () => redis.sessions.replicaof('NO', 'ONE'),
        told: /cache .*it has a replica, and must have none/,
      },
    ]
    for (const { what, plant, undo, told } of MISTAKES)
      it(`is refused with ${what}, and cartload doctor names it`, async () => {
        const said = new RegExp(told.source.slice(told.source.indexOf('.*') + 2)) // without the name of the server
        await plant()
        try {
          const doctor = await cli(['doctor'])
          expect(doctor.code, doctor.said).to.equal(1)
          expect(doctor.said).to.match(told)
          const started = await instance()
          expect(started.code(), started.lines.join('\n')).to.equal(78)
          expect(started.lines.join('\n')).to.match(said)
          expect(started.lines.filter(line => line.includes('cannot start'))).to.have.length.within(1, 2)
          expect(started.lines.join('\n')).not.to.match(/\n {4}at /)
        } finally {
          await undo()
        }
      })

    for (const [subject, name] of [
      ['sessions', 'CARTLOAD_SESSIONS_REDIS'],
      ['cache', 'CARTLOAD_CACHE_REDIS'],
    ] as const)
      it(`is refused with a wrong password of the ${subject} Redis, and cartload doctor names it`, async () => {
        const url = new URL(environment[name] ?? '')
        url.password = 'wrong'
        const doctor = await cli(['doctor'], { [name]: url.href })
        expect(doctor.said).to.match(new RegExp(`${subject} .*the account is refused \\(WRONGPASS`))
        const started = await instance({ [name]: url.href })
        expect(started.code(), started.lines.join('\n')).to.equal(78)
      })

    it('names every mistake of the command line and of the host that can be planted here', async () => {
      const [unused = 0] = await freePorts(1)
      const away = await cli(['doctor'], {
        CARTLOAD_CACHE_REDIS: `redis://127.0.0.1:${unused}`,
        CARTLOAD_GLOBAL: `mysql://shop:secret-of-the-shop@127.0.0.1:${unused}/shop_global`,
      })
      expect(away.code).to.equal(1)
      expect(away.said)
        .to.match(/cache +\S*AWAY\S* +it cannot be reached/)
        .and.to.match(/global +\S*AWAY\S* +it cannot be reached/)
      const wrong = await cli(['doctor'], {
        CARTLOAD_GLOBAL: environment['CARTLOAD_GLOBAL']?.replace('shop_global', 'no_such_shop') ?? '',
      })
      expect(wrong.said).to.match(/global .*(the database 'no_such_shop' does not exist|is refused)/)
      const files = await promisify(execFile)(
        'sh',
        ['-c', 'ulimit -n 512; exec "$0" doctor', join(PROJECT, 'bin', 'cartload')],
        { env: { ...process.env, ...environment } },
      ).catch((error: { code: number; stdout: string }) => error)
      expect(files.stdout).to.match(/host .*a process may open 512 files, and needs 4096/)
    })

    it('with pm2 says so: the process is stopped, not started again and again, and npm start names the cause', async () => {
      await redis.sessions.config('SET', 'maxmemory-policy', 'allkeys-lru')
      try {
        const up = await cli(['up'])
        expect(up.code).to.equal(1)
        expect(up.said).to.match(/nothing was started:\n +- sessions: it evicts/)
        await pm2(['start', 'ecosystem.config.js']).catch(() => undefined)
        type Listed = { processes: { status: string; restarts: number; pid: number }[] }
        const list = async () => JSON.parse((await cli(['status', '--json'])).said) as Listed
        await eventually(
          'pm2 has stopped it',
          async () => (await list()).processes[0]?.status === 'wrong configuration',
          30_000,
        )
        await new Promise(resolve => setTimeout(resolve, 2_000)) // the back-off of an ordinary crash begins with 0.1 s
        expect((await list()).processes[0]).to.include({ status: 'wrong configuration', restarts: 0, pid: 0 })
        const { said } = await cli(['logs', '--no-follow'])
        expect(said).to.include('cannot start: sessions: it evicts')
      } finally {
        await redis.sessions.config('SET', 'maxmemory-policy', 'noeviction')
        await cli(['down'])
      }
    })

    it('starts, is shown, reloaded and stopped by the same commands as the embedded cluster', async () => {
      try {
        const up = await cli(['up'])
        expect(up.code, up.said).to.equal(0)
        const status = await cli(['status'])
        expect(status.code, status.said).to.equal(0)
        expect(status.said)
          .to.match(/instance 0 .* healthy/)
          .and.to.match(/shard-1 .*MariaDB.* primary +\S*healthy/i)
          .and.to.match(/cache .* master +\S*healthy/)
        const before = JSON.parse((await cli(['status', '--json'])).said) as { processes: { pid: number }[] }
        const reload = await cli(['reload'])
        expect(reload.code, reload.said).to.equal(0)
        const after = JSON.parse((await cli(['status', '--json'])).said) as { processes: { pid: number }[] }
        expect(after.processes[0]?.pid).not.to.equal(before.processes[0]?.pid)
        await servers.backends.get('redis-cache')?.kill()
        await eventually(
          'the instance is degraded, not out',
          async () => /instance 0 .*degraded: .*cache/.test((await cli(['status'])).said),
          30_000,
        )
        const away = await cli(['status'])
        expect(away.code).to.equal(3)
        expect(away.said).to.match(/cache +- +- +\S*it cannot be reached/)
      } finally {
        await servers.backends.get('redis-cache')?.start()
        const down = await cli(['down'])
        expect(down.said).to.include('No instance runs on this machine any more')
      }
    })

    it('goes on while everything is away, is not ready without a slot map, and says each outage once', async () => {
      for (const backend of servers.backends.values()) await backend.kill()
      const started = await instance()
      const ready = async () =>
        (await fetch(`http://127.0.0.1:${environment['CARTLOAD_OPS_PORT']}/health/ready`)).json() as Promise<{
          ready: boolean
          degraded: { name: string }[]
        }>
      try {
        expect(started.code(), started.lines.join('\n')).to.equal(null)
        const report = await ready()
        expect(report.ready).to.equal(false)
        expect(report.degraded.map(({ name }) => name)).to.include.members([
          'sessions',
          'cache',
          'global',
          'shard-0',
          'shard-1',
          'slot map',
        ])
        await eventually(
          'all outages are told',
          () =>
            Promise.resolve(
              ['sessions', 'cache', 'global', 'shard-0', 'shard-1'].every(name =>
                started.lines.some(line => line.includes(`'${name}' is away`)),
              ),
            ),
          30_000,
        )
        const told = started.lines.length
        await new Promise(resolve => setTimeout(resolve, 4_000)) // the flood of the past: 20 lines a second
        expect(started.lines.slice(told), 'nothing more is said while they are away').to.have.length.below(3)
        expect(started.lines.join('\n')).not.to.match(/"stack"/)
        const metrics = await (await fetch(`http://127.0.0.1:${environment['CARTLOAD_OPS_PORT']}/metrics`)).text()
        expect(metrics).to.match(/cartload_degraded\{dependency="shard-1"\} 1/)
        expect(Number(/cartload_dependency_errors_total\{dependency="shard-1"\} (\d+)/.exec(metrics)?.[1])).to.be.above(
          4,
        )
        for (const [name, backend] of servers.backends) if (name !== 'shard-1') await backend.start()
        await eventually('one shard is enough to be ready', async () => (await ready()).ready, 30_000)
        expect((await ready()).degraded.map(({ name }) => name)).to.include.members(['shard-1', 'slot map'])
        await servers.backends.get('shard-1')?.start()
        await eventually('nothing is missing any more', async () => (await ready()).degraded.length === 0, 30_000)
        for (const name of ['sessions', 'global', 'shard-0', 'shard-1']) {
          expect(
            started.lines.filter(line => line.includes(`'${name}' is away`)),
            name,
          ).to.have.length(1)
          expect(
            started.lines.filter(line => line.includes(`'${name}' is back`)),
            name,
          ).to.have.length(1)
        }
      } finally {
        await started.stop()
        for (const backend of servers.backends.values()) await backend.start()
      }
    })
  })

  it('is written for by cartload nginx so that the unit of the system takes the files', async () => {
    const out = join(dataDir, 'nginx')
    const { code, said } = await cli(['nginx', '--instances', '127.0.0.1:8180', '--listen', '8099', '--out', out])
    expect(code, said).to.equal(0)
    expect(said).to.include(`ln -sf ${out}/nginx.conf /etc/nginx/nginx.conf`)
    if (process.getuid?.() !== 0) return
    // What Debian's unit runs before a start, with the path that it has as its default.
    const test = await promisify(execFile)('nginx', [
      '-t',
      '-q',
      '-g',
      'daemon on; master_process on;',
      '-c',
      join(out, 'nginx.conf'),
    ]).catch((error: { stderr: string }) => error)
    expect(test.stderr).not.to.match(/\[emerg\]|duplicate/)
  })
})
