import { messageOf } from '../lib/errors.ts'
import type { RedisConnection } from '../lib/redis.ts'
import type { Database } from '../store/database.ts'
import type { Drain } from './drain.ts'

/**
 * Whether this instance should get requests. It should as long as sessions can be read and some shard answers: without the
 * cache it is slower, without one shard it serves the others' users. Each dependency is named with how long it took.
 */
export interface Health {
  check(): Promise<HealthReport>
}

export interface HealthReport {
  readonly ready: boolean
  readonly draining: boolean
  readonly dependencies: readonly DependencyReport[]
}

export interface DependencyReport {
  readonly name: string
  readonly ok: boolean
  readonly ms: number
  readonly error?: string
}

export interface HealthDeps {
  readonly drain: Drain
  /** @throws AppError while what the sessions Redis says may not be believed */
  readonly checkSessions: () => void
  readonly sessions: RedisConnection
  readonly cache: RedisConnection
  readonly shards: readonly Database[]
  readonly global: Database
}

export function createHealth({ drain, checkSessions, sessions, cache, shards, global }: HealthDeps): Health {
  return {
    async check() {
      const [sessionsReport, cacheReport, globalReport, ...shardReports] = await Promise.all([
        probe({ name: sessions.name, ping: () => sessions.ping().then(checkSessions) }),
        probe(cache),
        probe(global),
        ...shards.map(probe),
      ])
      const ready = !drain.isDraining() && sessionsReport.ok && shardReports.some(shard => shard.ok)
      const dependencies = [sessionsReport, cacheReport, globalReport, ...shardReports]
      return { ready, draining: drain.isDraining(), dependencies }
    },
  }
}

async function probe(dependency: { name: string; ping(): Promise<void> }): Promise<DependencyReport> {
  const since = performance.now()
  const ms = () => Math.round((performance.now() - since) * 10) / 10
  try {
    await dependency.ping()
    return { name: dependency.name, ok: true, ms: ms() }
  } catch (error) {
    return { name: dependency.name, ok: false, ms: ms(), error: messageOf(error) }
  }
}
