import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { createApp } from '../app.ts'
import { type Config, loadConfig, type Secrets } from '../config/config.ts'
import { compileAhead } from '../stack/compile.ts'
import { createStack } from '../stack/stack.ts'
import { catalogRows } from '../store/catalog.ts'
import { createLog } from '../telemetry/log.ts'
import { type Command, CommandError } from './command.ts'
import { DEMO_EMAIL, seed } from './seed.ts'
import { step, table } from './terminal.ts'

/** Starting, stopping and looking at the embedded cluster. */
export function upCommand(projectDir: string): Command {
  return {
    name: 'up',
    summary: 'Starts everything: servers, migrations, seed on first use, instances, nginx (npm start)',
    options: { 'no-seed': { type: 'boolean', doc: 'leave the catalogue empty on first use' } },
    async run(args) {
      const since = performance.now()
      const { config, secrets } = loadConfig(projectDir)
      refuseOutside(config)
      warnOfNode()
      const stack = createStack(config)
      await stack.prepare(step)
      await stack.startServers(step)
      await stack.migrate(step)
      if (!args.flag('no-seed')) await seedIfEmpty(config, stack.addresses, secrets)
      await stack.startInstances(step)
      await stack.startNginx(step)
      const seconds = ((performance.now() - since) / 1000).toFixed(1)
      console.log(`
${styleText('bold', `cartload is up after ${seconds} s`)}

  Shop API     http://localhost:${config.port}/v1/products
  API page     http://localhost:${config.port}/docs
  Operations   http://127.0.0.1:${config.opsPort}/health/ready  /metrics  (instance n: port ${config.opsPort} + n)
  Demo login   ${DEMO_EMAIL(1)} with password ${secrets.seedPassword}

  npm run status | npm run logs | npm stop | npm run load -- view-cart`)
    },
  }
}

export function downCommand(projectDir: string): Command {
  return {
    name: 'down',
    summary: 'Stops everything that up started; the data stays (npm stop)',
    async run() {
      const { config } = loadConfig(projectDir)
      refuseOutside(config)
      await createStack(config).stop(step)
      console.log('Nothing of cartload runs any more; the data is kept.')
    },
  }
}

export function statusCommand(projectDir: string): Command {
  return {
    name: 'status',
    summary: 'Shows every process: address, pid, uptime, memory, health',
    options: { json: { type: 'boolean', doc: 'as JSON' } },
    async run(args) {
      const { config } = loadConfig(projectDir)
      refuseOutside(config)
      const processes = await createStack(config).processes()
      if (args.flag('json')) {
        console.log(JSON.stringify(processes, undefined, 2))
      } else if (processes.length === 0) {
        console.log('Nothing is running. Start it with: npm start')
      } else {
        const rows = processes.map(p => [
          p.name === 'cartload' ? `instance ${p.index}` : p.name,
          p.address,
          String(p.pid || '-'),
          duration(p.uptimeMs),
          `${Math.round(p.memoryBytes / 1_048_576)} MiB`,
          String(p.restarts),
          p.healthy ? styleText('green', 'healthy') : styleText('red', p.status === 'online' ? 'not ready' : p.status),
        ])
        console.log(table(['process', 'address', 'pid', 'uptime', 'memory', 'restarts', 'health'], rows))
      }
      if (processes.length === 0 || processes.some(p => !p.healthy)) process.exitCode = 3
    },
  }
}

export function logsCommand(projectDir: string): Command {
  return {
    name: 'logs',
    summary: 'Shows the newest log lines and goes on showing them',
    usage: '[NAME...]',
    details: 'NAME is a process as status shows it (instance, nginx, redis-cache, shard-0, …). Without names: all.',
    options: {
      lines: { type: 'string', short: 'n', value: 'N', doc: 'how many old lines of each (default 20)' },
      'no-follow': { type: 'boolean', doc: 'stop after the old lines' },
    },
    async run(args) {
      const { config } = loadConfig(projectDir)
      refuseOutside(config)
      const wanted = args.words.map(word => (word.startsWith('instance') ? 'cartload' : word))
      const rows = (await createStack(config).processes()).filter(p => wanted.length === 0 || wanted.includes(p.name))
      const extra = rows.some(p => p.name === 'nginx')
        ? ['nginx-access.log', 'nginx-error.log'].map(f => `${config.dataDir}/logs/${f}`)
        : []
      const files = [...new Set([...rows.flatMap(p => p.logFiles), ...extra])].filter(file => existsSync(file))
      if (files.length === 0)
        throw new CommandError('there are no logs: nothing is running, or no process has that name')
      const follow = args.flag('no-follow') ? [] : ['-F']
      const lines = args.number('lines', 20, 0, 100_000)
      const tail = spawn('tail', ['-n', String(lines), ...follow, ...files], { stdio: 'inherit' })
      await new Promise(resolve => tail.once('exit', resolve))
    },
  }
}

export function reloadCommand(projectDir: string): Command {
  return {
    name: 'reload',
    summary: 'Restarts the instances one after the other without losing a request (pm2 reload)',
    async run() {
      const { config } = loadConfig(projectDir)
      refuseOutside(config)
      const { instances } = createStack(config)
      if (!instances.isAlive()) throw new CommandError('the instances are not running: npm start')
      await compileAhead(config.projectDir)
      await step(
        `reload ${config.instances} instances`,
        async () => void (await instances.run('reload', 'cartload', '--silent')),
      )
    },
  }
}

async function seedIfEmpty(config: Config, servers: Parameters<typeof createApp>[1], secrets: Secrets): Promise<void> {
  const app = await createApp(config, servers, createLog('warn'))
  try {
    const begun = join(config.dataDir, 'seeding') // there while a seed is under way: one that was cut off is done again
    if ((await catalogRows.count(app.global)) > 0 && !existsSync(begun)) return
    writeFileSync(begun, '')
    await seed(app, { products: 5000, users: 2000, seed: 1, password: secrets.seedPassword }, step)
    rmSync(begun)
  } finally {
    await app.close()
  }
}

function refuseOutside(config: Config): void {
  if (config.embedded) return
  throw new CommandError(
    'outside servers are configured (CARTLOAD_SHARDS), so there is nothing private to start or stop.\n' +
      '  Migrate with: cartload migrate      Run the instances with: pm2 start ecosystem.config.js',
  )
}

/** The hole is in a decoder that we never call (http/server.ts and nginx refuse encoded bodies), but production should not have it. */
function warnOfNode(): void {
  const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)
  const fixed: Record<number, readonly [number, number]> = { 24: [22, 1], 26: [12, 1] }
  const [fixedMinor, fixedPatch] = fixed[major] ?? (major > 26 ? [0, 0] : [Number.POSITIVE_INFINITY, 0])
  if (minor > fixedMinor || (minor === fixedMinor && patch >= fixedPatch)) return
  const text =
    `Node ${process.version} has CVE-2026-111497 (Brotli decoder). cartload never decodes request bodies, so it cannot be\n` +
    '  reached here; in production use Node 24.22.1, 26.12.1 or newer all the same.'
  console.log(`${styleText('yellow', '!')} ${text}`)
}

function duration(ms: number): string {
  const s = Math.floor(ms / 1000)
  if (s < 60) return `${s} s`
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}
