import { loadConfig, type ServerAddresses } from '../config/config.ts'
import { databasesOf } from '../ops/server-check.ts'
import { APP_COMMANDS } from '../stack/servers.ts'
import { migrateGlobal, migrateShards } from '../store/migrate.ts'
import { provision, provisionStatements } from '../store/provision.ts'
import { type Command, CommandError, UsageError } from './command.ts'
import { step } from './terminal.ts'

/** Making outside servers ready: databases, accounts and rights, then the schema. */
export function initCommand(projectDir: string): Command {
  return {
    name: 'init',
    summary:
      'Makes databases, accounts and tables on outside servers, with an administrator’s account; safe to run again',
    usage: '--user ADMIN:PASSWORD',
    details:
      'Account, password and database of the application are those of CARTLOAD_SHARDS and CARTLOAD_GLOBAL. An account that is there keeps its\n' +
      'password. Redis accounts are not made: cartload grants shows their lines.',
    options: {
      user: { type: 'string', value: 'USER:PASSWORD', doc: 'an account that may create databases and accounts' },
      from: { type: 'string', value: 'HOST', doc: "from where the application's account may connect (default %)" },
      'dry-run': { type: 'boolean', doc: 'show the statements, change nothing' },
    },
    async run(args) {
      const servers = outsideServers(projectDir)
      const from = args.text('from') ?? '%'
      if (args.flag('dry-run')) {
        printStatements(servers, from)
        return
      }
      const [user = '', ...rest] = (args.text('user') ?? '').split(':')
      if (user === '') throw new UsageError('say --user ADMIN:PASSWORD')
      const admin = { user, password: rest.join(':') }
      for (const { name, url } of databasesOf(servers))
        await step(`make the database and the account of ${name}`, () =>
          provision({ url, from }, admin).catch((error: unknown) => {
            throw new CommandError(`${name}: ${(error as Error).message}`)
          }),
        )
      const as = (url: string) => {
        const changed = new URL(url)
        changed.username = encodeURIComponent(admin.user)
        changed.password = encodeURIComponent(admin.password)
        return changed.href
      }
      await step('migrate global', async say => {
        for (const file of (await migrateGlobal(as(servers.global))).applied) say(file)
      })
      await step(`migrate ${servers.shards.length} shards`, async say => {
        for (const { database, applied } of await migrateShards(servers.shards.map(as)))
          for (const file of applied) say(`${database}: ${file}`)
      })
      console.log('\nThe databases are ready. Check everything with: cartload doctor')
    },
  }
}

export function grantsCommand(projectDir: string): Command {
  return {
    name: 'grants',
    summary: 'Shows the rights that cartload needs on outside servers: SQL for the databases, ACL lines for Redis',
    options: {
      from: { type: 'string', value: 'HOST', doc: "from where the application's account may connect (default %)" },
    },
    async run(args) {
      const servers = outsideServers(projectDir)
      printStatements(servers, args.text('from') ?? '%')
      for (const [name, url] of [
        ['sessions', servers.sessionsRedis],
        ['cache', servers.cacheRedis],
      ] as const) {
        const user = /:\/\/([^:@/]*)(?::[^@/]*)?@/.exec(url)?.[1] || 'cartload'
        console.log(`\n# Redis ${name}: in redis.conf, or as ACL SETUSER`)
        console.log(`user ${decodeURIComponent(user)} on ><password> ~* &* ${APP_COMMANDS}`)
      }
      console.log(
        '\n# cartload migrate needs more, once for each release: ALL PRIVILEGES on these databases for the account of --user',
      )
    },
  }
}

function outsideServers(projectDir: string): ServerAddresses {
  const { config, secrets } = loadConfig(projectDir)
  if (config.embedded || !secrets.servers)
    throw new CommandError(
      'no outside servers are configured (CARTLOAD_SHARDS and its companions): npm start makes private ones',
    )
  return secrets.servers
}

function printStatements(servers: ServerAddresses, from: string): void {
  for (const { name, url } of databasesOf(servers)) {
    console.log(`-- ${name}: ${new URL(url).host}`)
    for (const { shown } of provisionStatements({ url, from })) console.log(shown)
  }
}
