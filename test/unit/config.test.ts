import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { clusterSettingsText, type Environment } from '../../src/config/cluster-settings.ts'
import { ConfigError, loadConfig, portsOf } from '../../src/config/config.ts'
import { envExample, settingsDocument, SETTINGS } from '../../src/config/settings.ts'
import { checkLimits, DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { PROJECT } from '../support/servers.ts'

describe('the settings', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'cartload-config-'))
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  const outside = {
    CARTLOAD_SHARDS: 'mysql://a:b@db0:3306/cartload,mysql://a:b@db1:3306/cartload',
    CARTLOAD_GLOBAL: 'mysql://a:b@db0:3306/cartload_global',
    CARTLOAD_SESSIONS_REDIS: 'redis://u:p@r0:6379',
    CARTLOAD_CACHE_REDIS: 'redis://u:p@r1:6379',
  }
  const mistakesOf = (environment: Environment): readonly string[] => {
    try {
      loadConfig(dir, environment)
    } catch (error) {
      if (error instanceof ConfigError) return error.mistakes
      throw error
    }
    return []
  }

  it('have defaults that work: embedded, everything on ports that follow from one', () => {
    const { config, secrets } = loadConfig(dir, {})
    expect(config).to.include({
      embedded: true,
      port: 8080,
      instancePort: 8180,
      opsPort: 8280,
      shardPort: 8380,
      redisPort: 8480,
    })
    expect(config.instances).to.be.at.least(2)
    expect(config.publicUrl).to.equal('http://localhost:8080')
    expect(secrets.servers).to.equal(undefined)
  })

  describe('of a running cluster', () => {
    const folder = () => join(dir, '.cartload')
    /** What npm start leaves while the cluster runs; the pid is that of a process which names its home, as PM2's does. */
    const leave = (settings: Environment, pid: number) => {
      mkdirSync(join(folder(), 'pm2-servers'), { recursive: true })
      const { config, given } = loadConfig(dir, settings)
      writeFileSync(join(folder(), 'cluster.env'), clusterSettingsText(config, given))
      writeFileSync(join(folder(), 'pm2-servers', 'pm2.pid'), String(pid))
    }
    let child: ChildProcess | undefined
    const runs = async () => {
      child = spawn('sh', ['-c', 'sleep 60; true', join(folder(), 'pm2-servers')], { stdio: 'ignore' })
      await once(child, 'spawn')
      return child.pid ?? 0
    }
    afterEach(() => child?.kill('SIGKILL'))

    it('are found by commands that are told nothing', async () => {
      leave(
        { CARTLOAD_PORT: '9000', CARTLOAD_CURRENCY: 'EUR', CARTLOAD_SALE_PROOF_KEY: 'a-secret-of-16-letters' },
        await runs(),
      )
      expect(loadConfig(dir, {}).config).to.include({ port: 9000, opsPort: 9200, currency: 'EUR' })
      expect(readFileSync(join(folder(), 'cluster.env'), 'utf8')).not.to.include('a-secret')
      expect(loadConfig(dir, { CARTLOAD_PORT: '9000', CARTLOAD_LOG_LEVEL: 'debug' }).config.logLevel).to.equal('debug')
    })

    it('do not count when it does not run any more, nor for servers outside', async () => {
      leave({ CARTLOAD_PORT: '9000' }, 2 ** 22 - 1)
      expect(loadConfig(dir, {}).config.port).to.equal(8080)
      expect(mistakesOf({ CARTLOAD_PORT: '9100' })).to.deep.equal([])
      leave({ CARTLOAD_PORT: '9000' }, await runs())
      expect(loadConfig(dir, outside).config.port).to.equal(8080)
    })

    for (const [name, running, wanted] of [
      ['CARTLOAD_PORT', '9000', '9100'],
      ['CARTLOAD_INSTANCES', '2', '3'],
      ['CARTLOAD_REDIS_PORT', '9400', '9500'],
      ['CARTLOAD_EMBEDDED_SHARDS', '2', '4'],
      ['CARTLOAD_CURRENCY', 'EUR', 'GBP'],
      ['CARTLOAD_SOCKET_DIR', '/run/one', '/run/two'],
      ['CARTLOAD_SOCKET_DIR', 'none', '/run/two'],
    ] as const)
      it(`contradict another ${name}, '${wanted}' for '${running}'`, async () => {
        leave({ CARTLOAD_PORT: '9000', [name]: running }, await runs())
        expect(mistakesOf({ [name]: wanted })).to.have.length(1)
        expect(mistakesOf({ [name]: wanted })[0])
          .to.include(`${name} is '${wanted}'`)
          .and.to.include(`'${running}'`)
        expect(mistakesOf({ [name]: running })).to.deep.equal([])
      })

    for (const [name, running, wanted] of [
      ['CARTLOAD_REDIS_PORT', '9400', '9500'],
      ['CARTLOAD_CURRENCY', 'GBP', 'EUR'],
    ] as const)
      it(`contradict another ${name} that was not set at the start`, async () => {
        leave({ CARTLOAD_PORT: '9000' }, await runs())
        expect(mistakesOf({ [name]: wanted })).to.have.length(1)
        expect(mistakesOf({ [name]: wanted })[0])
          .to.include(`${name} is '${wanted}'`)
          .and.to.include(`'${running}'`)
        expect(mistakesOf({ [name]: running })).to.deep.equal([])
      })

    it('contradict another folder of sockets than that of the data folder', async () => {
      leave({ CARTLOAD_PORT: '9000' }, await runs())
      const running = join(dir, '.cartload', 'run')
      expect(mistakesOf({ CARTLOAD_SOCKET_DIR: '/run/two' })[0]).to.include(`was started with '${running}'`)
      expect(mistakesOf({ CARTLOAD_SOCKET_DIR: running })).to.deep.equal([])
    })

    it('win over another setting when the cluster is to be stopped', async () => {
      leave({ CARTLOAD_PORT: '9000' }, await runs())
      const { config } = loadConfig(dir, { CARTLOAD_PORT: '9100' }, { asItRuns: true })
      expect(config).to.include({ port: 9000, opsPort: 9200 })
    })
  })

  it('move all ports with one variable, so that two clones live side by side', () => {
    const [one, two] = ['8080', '8090'].map(port =>
      portsOf(loadConfig(dir, { CARTLOAD_PORT: port }).config).map(row => row.port),
    )
    expect(one?.filter(port => two?.includes(port))).to.deep.equal([])
  })

  it('have sockets beside the ports with embedded servers, elsewhere where they are wanted', () => {
    const socketDir = (environment: Environment) => loadConfig(dir, environment).config.socketDir
    expect(socketDir({})).to.equal(join(dir, '.cartload', 'run'))
    expect(socketDir({ CARTLOAD_SOCKET_DIR: 'none' })).to.equal(undefined)
    expect(socketDir(outside)).to.equal(undefined)
    expect(socketDir({ ...outside, CARTLOAD_SOCKET_DIR: '/run/cartload' })).to.equal('/run/cartload')
    const long = mistakesOf({ ...outside, CARTLOAD_SOCKET_DIR: `/run/${'x'.repeat(90)}` })
    expect(long.join()).to.include('CARTLOAD_SOCKET_DIR is too long')
  })

  it('tell all mistakes at once', () => {
    const mistakes = mistakesOf({
      CARTLOAD_PORT: 'eighty',
      CARTLOAD_INSTANCES: '0',
      CARTLOAD_MERGE_RULE: 'best',
      CARTLOAD_PORTT: '1',
      CARTLOAD_GLOBAL: 'x',
    })
    expect(mistakes.join('\n')).to.include('CARTLOAD_PORT must be a whole number')
    expect(mistakes.join('\n')).to.include('CARTLOAD_INSTANCES must be from 1 to 64')
    expect(mistakes.join('\n')).to.include('CARTLOAD_MERGE_RULE must be one of larger, sum, guest, user')
    expect(mistakes.join('\n')).to.include('CARTLOAD_PORTT is not a setting')
    expect(mistakes.join('\n')).to.include('CARTLOAD_GLOBAL set without CARTLOAD_SHARDS')
  })

  it('never show a secret in a mistake', () => {
    expect(mistakesOf({ ...outside, CARTLOAD_CACHE_REDIS: 'http://u:hunter22@r1' }).join()).not.to.include('hunter22')
  })

  it('start nothing private when outside servers are given', () => {
    const { config, secrets } = loadConfig(dir, outside)
    expect(config.embedded).to.equal(false)
    expect(secrets.servers?.shards).to.have.length(2)
    expect(JSON.stringify(config)).not.to.include('mysql:')
  })

  it('read a secret from a file', () => {
    const file = join(dir, 'secret')
    writeFileSync(file, `${outside.CARTLOAD_CACHE_REDIS}\n`)
    const { CARTLOAD_CACHE_REDIS: _, ...rest } = outside
    expect(loadConfig(dir, { ...rest, CARTLOAD_CACHE_REDIS_FILE: file }).secrets.servers?.cacheRedis).to.equal(
      outside.CARTLOAD_CACHE_REDIS,
    )
    expect(mistakesOf({ ...rest, CARTLOAD_CACHE_REDIS_FILE: join(dir, 'none') }).join()).to.include('cannot be read')
  })

  it('are read from .env too, and the environment wins', () => {
    writeFileSync(join(dir, '.env'), 'CARTLOAD_PORT=9000\nCARTLOAD_CURRENCY=EUR\n')
    expect(loadConfig(dir, { CARTLOAD_PORT: '9100' }).config).to.include({ port: 9100, currency: 'EUR' })
  })

  it('want one shard for the single router', () => {
    expect(mistakesOf({ ...outside, CARTLOAD_ROUTER: 'single' }).join()).to.include('exactly one address')
  })

  it('refuse ports that meet each other', () => {
    expect(mistakesOf({ CARTLOAD_INSTANCE_PORT: '8281' }).join()).to.include('port 8281 is wanted by')
  })

  it('refuse limits that do not fit each other', () => {
    expect(mistakesOf({ CARTLOAD_PAGE_DEFAULT: '200' }).join()).to.include('the default page is larger')
    expect(() => checkLimits(DEFAULT_LIMITS)).not.to.throw()
  })

  it('are all in .env.example, which is what the schema says', () => {
    expect(readFileSync(join(PROJECT, '.env.example'), 'utf8')).to.equal(envExample())
  })

  it('are all in docs/settings.md, which is what the schema says', () => {
    const document = readFileSync(join(PROJECT, 'docs/settings.md'), 'utf8')
    expect(document).to.equal(settingsDocument())
    for (const { name } of Object.values(SETTINGS)) expect(document).to.include(`\`${name}\``)
  })
})
