import { Redis } from 'ioredis'
import { messageOf } from './errors.ts'
import type { Check, Finding } from './finding.ts'
import { sentinelsOf } from './redis.ts'

/**
 * Whether a Redis is as its role needs it. The sessions must survive, so they are never evicted; the cache must lose everything when it restarts
 * and must have no copy that could be promoted, because a copy is older than what was acknowledged (cache/cart-cache.ts).
 */
const CONNECT_MS_MAX = 2_000
const COMMAND_MS_MAX = 2_000

/** Never throws: what is wrong, or cannot be reached, is a finding. */
export async function checkRedis(subject: 'sessions' | 'cache', url: string): Promise<Check> {
  const options = {
    connectTimeout: CONNECT_MS_MAX,
    commandTimeout: COMMAND_MS_MAX,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    lazyConnect: true,
  }
  const sentinels = sentinelsOf(url)
  const client = sentinels
    ? new Redis({ ...options, ...sentinels, sentinelRetryStrategy: () => null })
    : new Redis(url, options)
  let last: Error | undefined
  client.on('error', error => {
    last = error
  })
  const finding = (kind: Finding['kind'], text: string): Finding => ({ subject, kind, text })
  try {
    await client.connect()
    const info = infoOf(await client.info())
    const findings = await (subject === 'cache' ? cacheFindings(client, info) : sessionsFindings(info))
    const since = Date.now()
    const [seconds, microseconds] = await client.time()
    const clockMs = Number(seconds) * 1000 + Number(microseconds) / 1000 - (since + Date.now()) / 2
    return {
      findings: findings.map(([kind, text]) => finding(kind, text)),
      version: info['valkey_version'] ? `Valkey ${info['valkey_version']}` : `Redis ${info['redis_version']}`,
      role: info['role'] ?? '',
      clockMs,
    }
  } catch (error) {
    // ioredis tells a refused login as an event, and says of the connection only that it was closed.
    const text = messageOf(last && last !== error ? last : error)
    const isRefused = /^(WRONGPASS|NOAUTH|NOPERM)/.test(text)
    return {
      findings: [
        isRefused
          ? finding('wrong', `the account is refused (${text}): cartload grants shows what it needs`)
          : finding('away', `it cannot be reached: ${text}`),
      ],
      version: '',
      role: '',
      clockMs: undefined,
    }
  } finally {
    client.disconnect()
  }
}

type Found = [Finding['kind'], string]
type Info = Readonly<Record<string, string>>

function infoOf(text: string): Info {
  return Object.fromEntries(
    text
      .split('\r\n')
      .filter(line => line.includes(':'))
      .map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

async function cacheFindings(client: Redis, info: Info): Promise<Found[]> {
  const found: Found[] = []
  if (info['role'] !== 'master')
    found.push(['wrong', 'it is a replica, and must be a server of its own: replicaof no one'])
  if (Number(info['connected_slaves']) > 0)
    found.push(['wrong', 'it has a replica, and must have none: a promoted one would show carts of the past'])
  if (info['aof_enabled'] === '1')
    found.push(['wrong', 'it keeps an append-only file, and must keep nothing: appendonly no'])
  const save = await client.config('GET', 'save').then(
    answer => answer[1] ?? '',
    () => undefined, // the account may not ask, as it should be: the saves that were made are counted instead
  )
  if ((save ?? '') !== '' || Number(info['rdb_saves'] ?? 0) > 0)
    found.push(['wrong', 'it writes snapshots, and must keep nothing: save ""'])
  if (info['maxmemory'] === '0') found.push(['advice', 'it has no memory limit: set maxmemory'])
  else if (info['maxmemory_policy'] === 'noeviction')
    found.push(['advice', 'it does not evict, and refuses writes when it is full: maxmemory-policy allkeys-lfu'])
  return found
}

function sessionsFindings(info: Info): Found[] {
  const found: Found[] = []
  const policy = info['maxmemory_policy'] ?? ''
  if (policy !== 'noeviction')
    found.push([
      'wrong',
      `it evicts (maxmemory-policy ${policy}), and must not: logins would end by chance: noeviction`,
    ])
  if (info['aof_enabled'] !== '1')
    found.push(['advice', 'it has no append-only file: a restart ends all sessions: appendonly yes'])
  return found
}
