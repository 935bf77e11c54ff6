import { existsSync } from 'node:fs'
import { createConnection, type Connection } from 'mysql2/promise'
import type { Config, ServerAddresses } from '../../src/config/config.ts'
import { connectRedis, type RedisConnection } from '../../src/lib/redis.ts'
import { createStack } from '../../src/stack/stack.ts'
import { cpuOf, cpuOfMachine, cpuOfThread, residentMb, withChildren } from '../compare/meter.ts'
import { type Numbers, parseMetrics, type Reading } from './readings.ts'

/** Looks at everything that takes part, once a second. What does not answer in time is missing in that reading; nothing is made up. */
export interface Sampler {
  readonly readings: readonly Reading[]
  stop(): Promise<void>
}

interface Process {
  readonly component: string
  readonly pid: number
}

const EVERY_MS = 1_000
const ANSWER_MS_MAX = 900
/** Looking processes up asks PM2, which costs more than all the rest: done when one of them is gone, and not more often than this. */
const LOOK_UP_MS = 5_000

const STATUS = [
  'Questions',
  'Handler_commit',
  'Innodb_data_fsyncs',
  'Innodb_row_lock_waits',
  'Innodb_row_lock_time',
  'Innodb_buffer_pool_reads',
] as const

const REDIS = ['total_commands_processed', 'evicted_keys'] as const

/** `generator`: the process numbers of what makes the load. */
export async function startSampler(
  config: Config,
  servers: ServerAddresses,
  generator: () => readonly number[],
): Promise<Sampler> {
  const readings: Reading[] = []
  const databases = servers.shards.map((url, at) => createDatabase(`shard-${at}`, url))
  const redis = [connectTo('redis-cache', servers.cacheRedis), connectTo('redis-sessions', servers.sessionsRedis)]
  let processes = await findProcesses(config)
  let lookedUp = performance.now()

  async function read(): Promise<Reading> {
    const [fromRedis, fromShards, fromInstances] = await Promise.all([
      allOf(redis.map(one => [one.name, () => infoOf(one)])),
      allOf(databases.map(one => [one.name, one.status])),
      allOf(
        Array.from({ length: config.instances }, (_, at) => [`instance ${at}`, () => metricsOf(config.opsPort + at)]),
      ),
    ])
    const [cpu, mainThread, memory]: [Record<string, number>, Record<string, number>, Record<string, number>] = [
      {},
      {},
      {},
    ]
    const all = [
      ...processes,
      ...generator().map(pid => ({ component: 'generator', pid })),
      { component: 'this report', pid: process.pid },
    ]
    for (const { component, pid } of all) {
      cpu[component] = (cpu[component] ?? 0) + cpuOf(pid)
      if (/^(instance|redis)/.test(component)) mainThread[component] = cpuOfThread(pid)
      memory[component] = (memory[component] ?? 0) + memoryOf(pid)
    }
    return {
      at: Date.now() / 1000,
      cpu,
      mainThread,
      memory,
      machine: cpuOfMachine(),
      instances: fromInstances,
      instancesAsked: config.instances,
      redis: fromRedis,
      shards: fromShards,
    }
  }

  let next: NodeJS.Timeout | undefined
  let reading: Promise<void> = Promise.resolve()
  const tick = async (due: number): Promise<void> => {
    const found = await read().catch(() => undefined)
    if (found) readings.push(found)
    const isComplete = processes.every(({ pid }) => existsSync(`/proc/${pid}`))
    if (!isComplete && performance.now() - lookedUp > LOOK_UP_MS) {
      processes = await findProcesses(config).catch(() => processes)
      lookedUp = performance.now()
    }
    const after = due + EVERY_MS * Math.max(1, Math.ceil((performance.now() - due) / EVERY_MS))
    next = setTimeout(() => void (reading = tick(after)), after - performance.now())
  }
  reading = tick(performance.now())

  async function end(): Promise<void> {
    await reading
    clearTimeout(next)
    await Promise.all([...databases, ...redis].map(one => one.close()))
  }

  let ended: Promise<void> | undefined
  return { readings, stop: () => (ended ??= end()) }
}

/** The processes of the cluster that is configured, as far as they run on this machine. */
export async function findProcesses(config: Config): Promise<Process[]> {
  if (!config.embedded) return instancesOf(config)
  const found: Process[] = []
  for (const { name, index, pid, status } of await createStack(config).processes()) {
    if (status !== 'online' || pid === 0) continue
    if (name === 'cartload') found.push({ component: `instance ${index}`, pid })
    else if (name === 'nginx') found.push(...withChildren([pid]).map(each => ({ component: name, pid: each })))
    else found.push({ component: name, pid })
  }
  return found
}

/** With outside servers only the instances are known to be here. */
async function instancesOf({ instances, opsPort }: Config): Promise<Process[]> {
  const found = await Promise.all(
    Array.from({ length: instances }, async (_, at): Promise<Process[]> => {
      const answer = await get(opsPort + at, '/health/live').catch(() => undefined)
      return answer ? [{ component: `instance ${at}`, pid: (JSON.parse(answer) as { pid: number }).pid }] : []
    }),
  )
  return found.flat()
}

const metricsOf = async (opsPort: number): Promise<Numbers> => parseMetrics(await get(opsPort, '/metrics'))

async function get(opsPort: number, path: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${opsPort}${path}`, { signal: AbortSignal.timeout(ANSWER_MS_MAX) })
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`)
  return answer.text()
}

function connectTo(name: string, url: string): RedisConnection {
  const limits = { commandMsMax: ANSWER_MS_MAX, connectMsMax: ANSWER_MS_MAX, failuresToOpen: 3, openMs: 2_000 }
  return connectRedis({ name, url, ...limits }, () => undefined)
}

async function infoOf(redis: RedisConnection): Promise<Numbers> {
  const text = await redis.run(client => client.info())
  const value = (member: string) => Number(new RegExp(`^${member}:(\\d+)`, 'm').exec(text)?.[1])
  return Object.fromEntries(REDIS.map(member => [member, value(member)]))
}

function createDatabase(name: string, uri: string) {
  let connection: Promise<Connection> | undefined
  /** Not in order: that would wait for the question that was not answered. */
  const drop = () => {
    void connection?.then(open => open.destroy()).catch(() => undefined)
    connection = undefined
  }
  return {
    name,
    async status(): Promise<Numbers> {
      try {
        connection ??= createConnection({ uri, connectTimeout: ANSWER_MS_MAX }).then(made => {
          made.on('error', () => undefined) // the next question has it
          return made
        })
        const open = await connection
        const sql = `SHOW GLOBAL STATUS WHERE Variable_name IN (${STATUS.map(() => '?').join(', ')})`
        const [rows] = await open.query({ sql, timeout: ANSWER_MS_MAX }, [...STATUS])
        const found = rows as { Variable_name: string; Value: string }[]
        return Object.fromEntries(found.map(row => [row.Variable_name, Number(row.Value)]))
      } catch (error) {
        drop()
        throw error
      }
    },
    close: () => Promise.resolve(drop()),
  }
}

async function allOf(asked: readonly (readonly [string, () => Promise<Numbers>])[]): Promise<Record<string, Numbers>> {
  const answers = await Promise.all(
    asked.map(async ([name, ask]) => [name, await ask().catch(() => undefined)] as const),
  )
  return Object.fromEntries(answers.flatMap(([name, found]) => (found ? [[name, found]] : [])))
}

function memoryOf(pid: number): number {
  try {
    return residentMb(pid)
  } catch {
    return 0
  }
}
