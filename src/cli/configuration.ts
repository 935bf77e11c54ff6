import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Config, loadConfig, type Secrets } from '../config/config.ts'
import { envExample, settingsDocument } from '../config/settings.ts'
import { shardName, SLOTS } from '../sharding/slots.ts'
import { renderNginx } from '../stack/nginx.ts'
import { createStack } from '../stack/stack.ts'
import { openDatabase } from '../store/database.ts'
import { migrateGlobal, migrateShards, migrationStatus } from '../store/migrate.ts'
import { createSlotRouter } from '../store/shard-router.ts'
import { createLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { type Command, CommandError, UsageError } from './command.ts'
import { serversOf } from './with-app.ts'
import { step, table } from './terminal.ts'

/** Commands for an installation with servers of its own: settings, migrations, the slot map, nginx. */
export function environmentCommand(projectDir: string): Command {
  return {
    name: 'env',
    summary: 'Checks the settings and shows them, without secrets',
    options: {
      example: { type: 'boolean', doc: 'print .env.example instead' },
      markdown: { type: 'boolean', doc: 'print docs/settings.md instead' },
    },
    async run(args) {
      if (args.flag('example')) {
        process.stdout.write(envExample())
        return
      }
      if (args.flag('markdown')) {
        process.stdout.write(settingsDocument())
        return
      }
      const { config, secrets } = loadConfig(projectDir)
      console.log(JSON.stringify({ ...config, servers: secrets.servers ? 'configured' : 'none yet' }, undefined, 2))
    },
  }
}

export function migrateCommand(projectDir: string): Command {
  return {
    name: 'migrate',
    summary: 'Brings the databases to the newest schema, forward only; safe to run from several machines at once',
    options: {
      status: { type: 'boolean', doc: 'show what is applied and what is pending, change nothing' },
      user: {
        type: 'string',
        value: 'USER:PASSWORD',
        doc: 'an account that may create tables, in place of the one in the addresses',
      },
    },
    async run(args) {
      const { config, secrets } = loadConfig(projectDir)
      const servers = serversOf(secrets)
      if (config.embedded && !args.flag('status')) {
        await createStack(config).migrate(step)
        return
      }
      const as = (url: string) => withAccount(url, args.text('user'))
      const targets = [
        { name: 'global', url: as(servers.global), list: 'global' as const },
        ...servers.shards.map((url, index) => ({ name: shardName(index), url: as(url), list: 'shard' as const })),
      ]
      if (args.flag('status')) {
        const rows = await Promise.all(
          targets.map(async ({ name, url, list }) => {
            const { applied, pending } = await migrationStatus(url, list)
            return [name, String(applied.length), pending.join(', ') || 'none']
          }),
        )
        console.log(table(['database', 'applied', 'pending'], rows))
        return
      }
      await step('migrate global', async say => {
        for (const file of (await migrateGlobal(as(servers.global))).applied) say(file)
      })
      await step(`migrate ${servers.shards.length} shards`, async say => {
        for (const { database, applied } of await migrateShards(servers.shards.map(as))) {
          for (const file of applied) say(`${database}: ${file}`)
        }
      })
    },
  }
}

export function shardsCommand(projectDir: string): Command {
  return {
    name: 'shards',
    summary: 'Shows which shard owns which slots, and how many each',
    async run() {
      const { config, secrets } = loadConfig(projectDir)
      const rows = await slotRanges(config, secrets)
      console.log(table(['shard', 'slots', 'first', 'last'], rows))
    },
  }
}

/** `cartload nginx`: writes nginx's configuration for a cluster over servers of one's own. */
export function nginxCommand(projectDir: string): Command {
  return {
    name: 'nginx',
    summary: 'Writes an nginx configuration for instances on other machines',
    usage: '--instances HOST:PORT,… --out DIR',
    details:
      'The files suit the unit of the distribution: it starts nginx with /etc/nginx/nginx.conf, which may be a link to the one that is written here.',
    options: {
      instances: { type: 'string', value: 'LIST', doc: 'HOST:PORT or unix:/PATH of every instance, comma-separated' },
      out: { type: 'string', value: 'DIR', doc: 'folder for the files' },
      listen: { type: 'string', value: 'ADDRESS', doc: 'what nginx listens on (default 80)' },
      user: {
        type: 'string',
        value: 'NAME',
        doc: "whom nginx's workers run as (default www-data or nginx, where the system has them)",
      },
    },
    async run(args) {
      const { config } = loadConfig(projectDir)
      const out = args.text('out')
      const instances = args.text('instances')?.split(',').filter(Boolean)
      if (!out || !instances || instances.length === 0) throw new UsageError('say --instances and --out')
      const wrong = instances.find(address => !/^(?:[\w.[\]:-]+:\d+|unix:\/[^\s;{}'"]+)$/.test(address))
      if (wrong) throw new UsageError(`'${wrong}' is neither HOST:PORT nor unix:/PATH`)
      const dir = resolve(out)
      mkdirSync(dir, { recursive: true })
      renderNginx({
        templates: join(config.projectDir, 'nginx'),
        confDir: dir,
        runDir: '/var/lib/nginx',
        logDir: '/var/log/nginx',
        listen: args.text('listen') ?? '80',
        instances,
        bodyBytesMax: config.limits.bodyBytesMax,
        requestsPerAddress: config.requestsPerAddress,
        user: userLine(args.text('user')),
        makeFolders: false,
        pidFile: '/run/nginx.pid', // where the units of Debian and of nginx.org expect it
      })
      console.log(
        `Written to ${dir}. Check:              nginx -t -c ${dir}/nginx.conf\n` +
          `Use it with the unit of the system:  ln -sf ${dir}/nginx.conf /etc/nginx/nginx.conf && systemctl reload-or-restart nginx\n` +
          `Or without a unit:                   nginx -c ${dir}/nginx.conf`,
      )
    },
  }
}

function userLine(given: string | undefined): string {
  const known = existsSync('/etc/passwd') ? readFileSync('/etc/passwd', 'utf8') : ''
  const name = given ?? ['www-data', 'nginx'].find(user => new RegExp(`^${user}:`, 'm').test(known))
  return name === undefined ? '' : `user ${name};`
}

async function slotRanges(config: Config, secrets: Secrets): Promise<string[][]> {
  const servers = serversOf(secrets)
  if (config.router === 'single')
    throw new CommandError('the single router has no slot map: the endpoint shards by itself')
  const metrics = createMetrics()
  const log = createLog('warn')
  const shards = servers.shards.map((url, index) =>
    openDatabase({ name: shardName(index), url, limits: config.limits }, metrics, log),
  )
  try {
    const router = await createSlotRouter(shards)
    return shards.map(shard => {
      const slots = Array.from({ length: SLOTS }, (_, slot) => slot).filter(
        slot => router.ownerName(slot) === shard.name,
      )
      return [shard.name, String(slots.length), String(slots[0] ?? '-'), String(slots.at(-1) ?? '-')]
    })
  } finally {
    await Promise.all(shards.map(shard => shard.close()))
  }
}

function withAccount(url: string, account: string | undefined): string {
  if (!account) return url
  const [user = '', ...password] = account.split(':')
  const changed = new URL(url)
  changed.username = encodeURIComponent(user)
  changed.password = encodeURIComponent(password.join(':'))
  return changed.href
}
