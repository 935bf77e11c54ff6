import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { isFault } from '../lib/finding.ts'
import { releaseOf } from '../lib/release.ts'
import { createApp } from '../app.ts'
import { clusterSettingsText } from '../config/cluster-settings.ts'
import { type Config, loadConfig, type Secrets, type ServerAddresses } from '../config/config.ts'
import { checkServers, findingsOf, type ServerCheck } from '../ops/server-check.ts'
import { compileAhead } from '../stack/compile.ts'
import { createOutsideStack } from '../stack/outside.ts'
import { createStack, type ProcessReport } from '../stack/stack.ts'
import { catalogRows } from '../store/catalog.ts'
import { createLog } from '../telemetry/log.ts'
import { type Command, CommandError } from './command.ts'
import { curlLines, journey } from './journey.ts'
import { nodeAdvice } from './node-advice.ts'
import { serversOf } from './with-app.ts'
import { DEMO_EMAIL, seed } from './seed.ts'
import { step, table } from './terminal.ts'

/** Starting, stopping and looking at the cluster: the embedded one with its servers, or the instances of this machine with servers outside. */
export function upCommand(projectDir: string): Command {
  return {
    name: 'up',
    summary: 'Starts everything: servers, migrations, seed on first use, instances, nginx (npm start)',
    details: 'With servers outside: checks them, then starts the instances of this machine.',
    options: { 'no-seed': { type: 'boolean', doc: 'leave the catalogue empty on first use' } },
    async run(args) {
      const since = performance.now()
      const { config, secrets, given } = loadConfig(projectDir)
      warnOfNode()
      if (!config.embedded) {
        await refuseWrong(projectDir, serversOf(secrets))
        await createOutsideStack(config).startInstances(step)
        console.log('\nThe instances are up: cartload status. nginx: cartload nginx --help')
        return
      }
      const stack = createStack(config)
      await stack.prepare(step, clusterSettingsText(config, given))
      await stack.startServers(step)
      await stack.migrate(step)
      await refuseWrong(projectDir, stack.addresses)
      if (!args.flag('no-seed')) await seedIfEmpty(config, stack.addresses, secrets)
      await stack.startInstances(step)
      await stack.startNginx(step)
      showWelcome(config, secrets, (performance.now() - since) / 1000)
    },
  }
}

function showWelcome(config: Config, secrets: Secrets, seconds: number): void {
  const url = `http://localhost:${config.port}`
  console.log(`
${styleText('bold', `cartload is up after ${seconds.toFixed(1)} s`)}

  Shop API     ${url}/v1/products
  API page     ${url}/docs
  Operations   http://127.0.0.1:${config.opsPort}/health/ready  /metrics  (instance n: port ${config.opsPort} + n)
  Demo login   ${DEMO_EMAIL(1)} with password ${secrets.seedPassword}

  npm run status | npm run logs | npm stop | npm run load -- view-cart

Log in and use a cart (bin/cartload try does it, with an order, and shows each answer):

${curlLines(url, journey(DEMO_EMAIL(1), secrets.seedPassword, 'first-add')).join('\n')}`)
}

/** @throws CommandError that says what is wrong with the servers; what cannot be reached does not stop a start */
async function refuseWrong(projectDir: string, servers: ServerAddresses): Promise<void> {
  const checks = await step('check the servers', () => checkServers(servers, releaseOf(projectDir)))
  for (const { subject, text } of findingsOf(checks, 'away'))
    console.log(`${styleText('yellow', '!')} ${subject}: ${text}`)
  const wrong = findingsOf(checks, 'wrong')
  if (wrong.length > 0)
    throw new CommandError(`nothing was started:\n${wrong.map(one => `  - ${one.subject}: ${one.text}`).join('\n')}`)
}

export function downCommand(projectDir: string): Command {
  return {
    name: 'down',
    summary: 'Stops everything that up started; the data stays (npm stop)',
    async run() {
      const { config } = loadConfig(projectDir, process.env, { asItRuns: true })
      await stackOf(config).stop(step)
      console.log(
        config.embedded
          ? 'Nothing of cartload runs any more; the data is kept.'
          : 'No instance runs on this machine any more; the servers outside were left alone.',
      )
    },
  }
}

export function statusCommand(projectDir: string): Command {
  return {
    name: 'status',
    summary: 'Shows every process: address, pid, uptime, memory, health; with servers outside their role too',
    options: { json: { type: 'boolean', doc: 'as JSON' } },
    async run(args) {
      const { config, secrets } = loadConfig(projectDir)
      const processes = await stackOf(config).processes()
      const outside =
        !config.embedded && secrets.servers ? await checkServers(secrets.servers, releaseOf(projectDir)) : []
      if (args.flag('json')) {
        console.log(JSON.stringify(config.embedded ? processes : { processes, servers: outside }, undefined, 2))
      } else {
        if (processes.length === 0) console.log('Nothing is running. Start it with: npm start')
        else
          console.log(
            table(['process', 'address', 'pid', 'uptime', 'memory', 'restarts', 'health'], processes.map(rowOf)),
          )
        if (outside.length > 0)
          console.log(`\n${table(['server', 'version', 'role', 'health'], outside.map(serverRowOf))}`)
      }
      const hasFault = outside.some(({ findings }) => findings.some(isFault))
      if (processes.length === 0 || processes.some(p => !p.healthy) || hasFault) process.exitCode = 3
    },
  }
}

function rowOf(p: ProcessReport): string[] {
  const health = p.healthy
    ? p.degraded.length === 0
      ? styleText('green', 'healthy')
      : styleText('yellow', `degraded: ${p.degraded.join(', ')}`)
    : styleText('red', p.status === 'online' ? 'not ready' : p.status)
  return [
    p.name === 'cartload' ? `instance ${p.index}` : p.name,
    p.address,
    String(p.pid || '-'),
    duration(p.uptimeMs),
    `${Math.round(p.memoryBytes / 1_048_576)} MiB`,
    String(p.restarts),
    health,
  ]
}

function serverRowOf({ name, version, role, findings }: ServerCheck): string[] {
  const faults = findings.filter(isFault)
  const health =
    faults.length === 0 ? styleText('green', 'healthy') : styleText('red', faults.map(({ text }) => text).join('; '))
  return [name, version || '-', role || '-', health]
}

const stackOf = (config: Config) => (config.embedded ? createStack(config) : createOutsideStack(config))

/** `cartload logs`: follows the logs of the cluster. */
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
      const wanted = args.words.map(word => (word.startsWith('instance') ? 'cartload' : word))
      const rows = (await stackOf(config).processes()).filter(p => wanted.length === 0 || wanted.includes(p.name))
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

/** `cartload reload`: replaces the instances one after the other. @throws Error where a setting cannot change without a stop */
export function reloadCommand(projectDir: string): Command {
  return {
    name: 'reload',
    summary: 'Restarts the instances one after the other without losing a request (pm2 reload)',
    async run() {
      const { config } = loadConfig(projectDir)
      const { instances } = stackOf(config)
      if (!instances.isAlive()) throw new CommandError('the instances are not running: npm start')
      await compileAhead(config.projectDir)
      await step(
        `reload ${config.instances} instances`,
        async () => void (await instances.run('reload', 'cartload', '--silent')),
      )
    },
  }
}

async function seedIfEmpty(config: Config, servers: ServerAddresses, secrets: Secrets): Promise<void> {
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

function warnOfNode(): void {
  const advice = nodeAdvice()
  if (advice !== undefined) console.log(`${styleText('yellow', '!')} ${advice}`)
}

function duration(ms: number): string {
  const s = Math.floor(ms / 1000)
  if (s < 60) return `${s} s`
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}
