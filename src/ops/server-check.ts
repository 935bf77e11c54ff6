import type { Check, Finding } from '../lib/finding.ts'
import { checkRedis } from '../lib/redis-check.ts'
import { shardName } from '../sharding/slots.ts'
import { checkDatabase } from '../store/database-check.ts'

/** Checks each configured server, by connections of its own. For the start of an instance, `cartload doctor` and `status`. */
interface ServersToCheck {
  readonly shards: readonly string[]
  readonly global: string
  readonly sessionsRedis: string
  readonly cacheRedis: string
}

export interface ServerCheck extends Check {
  readonly name: string
}

/** A server that takes a connection and then says nothing must not hold up a start. */
const CHECK_MS_MAX = 6_000

/** The databases by name, each with the list of migrations that it follows. */
export const databasesOf = ({ global, shards }: Pick<ServersToCheck, 'global' | 'shards'>) => [
  { name: 'global', url: global, list: 'global' as const },
  ...shards.map((url, index) => ({ name: shardName(index), url, list: 'shard' as const })),
]

/** Never throws. */
export function checkServers(servers: ServersToCheck, release: string): Promise<ServerCheck[]> {
  return Promise.all([
    ...databasesOf(servers).map(database => inTime(database.name, checkDatabase({ ...database, release }))),
    inTime('sessions', checkRedis('sessions', servers.sessionsRedis)),
    inTime('cache', checkRedis('cache', servers.cacheRedis)),
  ])
}

export const findingsOf = (checks: readonly ServerCheck[], kind: Finding['kind']): Finding[] =>
  checks.flatMap(({ findings }) => findings.filter(finding => finding.kind === kind))

async function inTime(name: string, check: Promise<Check>): Promise<ServerCheck> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<ServerCheck>(resolve => {
    const text = `it took a connection and did not answer within ${CHECK_MS_MAX} ms`
    const finding: Finding = { subject: name, kind: 'away', text }
    timer = setTimeout(
      () => resolve({ name, findings: [finding], version: '', role: '', clockMs: undefined }),
      CHECK_MS_MAX,
    )
  })
  return Promise.race([check.then(result => ({ name, ...result })), late]).finally(() => clearTimeout(timer))
}
