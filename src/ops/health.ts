import { messageOf } from '../lib/errors.ts'
import type { Finding } from '../lib/finding.ts'
import type { RedisConnection } from '../lib/redis.ts'
import { repeat } from '../lib/poll.ts'
import type { Database } from '../store/database.ts'
import type { Router } from '../store/shard-router.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Drain } from './drain.ts'

/**
 * Whether this instance should get requests: not while it drains, and not before it knows which shard owns a slot. Those are what another
 * instance can do better. A dependency that is away is away for all instances: taking them all out would turn a part that is missing into a shop
 * that is closed. So it is listed as degraded, with a gauge, and the instance stays in.
 */
export interface Health {
  check(): Promise<HealthReport>
  stop(): void
}

interface HealthReport {
  readonly ready: boolean
  readonly draining: boolean
  /** What is missing or wrong, with what to do about it where that is known. */
  readonly degraded: readonly { readonly name: string; readonly error: string }[]
  readonly dependencies: readonly DependencyReport[]
}

interface DependencyReport {
  readonly name: string
  readonly ok: boolean
  readonly ms: number
  readonly error?: string
}

interface HealthDeps {
  readonly drain: Drain
  readonly router: Router
  /** @throws AppError while what the sessions Redis says may not be believed */
  readonly checkSessions: () => void
  readonly sessions: RedisConnection
  readonly cache: RedisConnection
  readonly shards: readonly Database[]
  readonly global: Database
  /** Looks at the servers' settings and schemas. */
  readonly checkSettings: () => Promise<readonly Finding[]>
  readonly metrics: Metrics
}

const LOOK_EVERY_MS = 5_000
const SETTINGS_EVERY_MS = 60_000

export function createHealth(deps: HealthDeps): Health {
  const { drain, router, checkSessions, sessions, cache, shards, global, metrics } = deps
  let settings: readonly Finding[] = []

  async function check(): Promise<HealthReport> {
    const dependencies = await Promise.all([
      probe({ name: sessions.name, ping: () => sessions.ping().then(checkSessions) }),
      probe(cache),
      probe(global),
      ...shards.map(probe),
    ])
    const degraded = [
      ...dependencies.flatMap(({ name, error }) => (error === undefined ? [] : [{ name, error }])),
      ...[global, ...shards].flatMap(({ name, isFull }) =>
        isFull() ? [{ name, error: 'its disk is full: it refuses writes until there is room' }] : [],
      ),
      ...settings.map(({ subject, text }) => ({ name: subject, error: text })),
      ...(router.isComplete() ? [] : [{ name: 'slot map', error: 'some slots have no owner' }]),
    ]
    const draining = drain.phase !== 'open'
    metrics.degraded.reset()
    for (const { name } of degraded) metrics.degraded.set({ dependency: name }, 1)
    return {
      ready: !draining && router.hasMap(),
      draining,
      degraded,
      dependencies,
    }
  }

  const ignore = () => undefined // the next look has it
  const loops = [
    repeat(check, LOOK_EVERY_MS, ignore),
    repeat(async () => void (settings = await deps.checkSettings()), SETTINGS_EVERY_MS, ignore),
  ]
  return {
    check,
    stop() {
      for (const loop of loops) loop.stop()
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
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
    return { name: dependency.name, ok: false, ms: ms(), error: `${messageOf(error)}${cause}` }
  }
}
