import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { type Breaker, type BreakerWatch, createBreaker } from './circuit-breaker.ts'
import { createTimeoutQueue } from './timeout-queue.ts'
import { unavailable } from './errors.ts'
import { batchPerTick } from './batch-per-tick.ts'

/**
 * The one way to a Redis server, shared by cache/ and sessions/. It never queues while disconnected, never resends a
 * command whose reply was lost, and gives up on a command after `commandMsMax`: a slow Redis must look like a missing one.
 */
interface RedisOptions {
  readonly name: string
  /** `redis://…`, or `redis+sentinel://…` (see `sentinelsOf`). */
  readonly url: string
  readonly commandMsMax: number
  readonly connectMsMax: number
  readonly failuresToOpen: number
  readonly openMs: number
  readonly watch?: BreakerWatch
}

export interface RedisConnection {
  readonly name: string
  readonly client: Redis
  readonly breaker: Breaker
  /** Runs a command behind the breaker. @throws AppError `unavailable` when the server cannot be reached or is slow */
  run<T>(command: (client: Redis) => Promise<T>): Promise<T>
  /** GET; calls of one tick are one MGET. @throws as `run` */
  getBuffer(key: string): Promise<Buffer | null>
  /** MGET. @throws as `run` */
  getMany(keys: string[]): Promise<(string | null)[]>
  getManyBuffers(keys: string[]): Promise<(Buffer | null)[]>
  /** Calls a function of `library`, loading the library first where the server does not have it (a fresh or restarted one). */
  call(
    library: RedisLibrary,
    name: string,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown>
  ping(): Promise<void>
  close(): Promise<void>
}

/** A Redis Functions library. Its names carry a hash of its text, so that two versions of the application live side by side. */
export interface RedisLibrary {
  readonly source: string
  readonly prefix: string
}

export const readLibrary = (file: string): RedisLibrary => libraryOf(readFileSync(file, 'utf8'))

/** A library whose own names all begin with `cartload_`; callers leave that out. */
export function libraryOf(text: string): RedisLibrary {
  const prefix = `cartload_${hash('sha256', text).slice(0, 8)}_`
  return { source: text.replaceAll('cartload_', prefix), prefix }
}

const END_RETRY_MS = 200
const backOff = (attempt: number): number => Math.min(50 * 2 ** attempt, 1000)

/**
 * `redis+sentinel://user:password@host:port,host:port/master-name`: user and password are those of the master; the Sentinels' own, where
 * they have them, follow as `?user=…&password=…`. Undefined for anything else.
 */
export function sentinelsOf(url: string) {
  const [, user, password, hosts = '', name = '', query] =
    /^redis\+sentinel:\/\/(?:([^:@/]*):([^@/]*)@)?([^/?]+)\/([^/?]+)(?:\?(.*))?$/.exec(url) ?? []
  const sentinels = hosts.split(',').map(host => {
    const [, address = '', port] = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(host) ?? []
    return { host: address.replace(/^\[|\]$/g, ''), port: Number(port ?? 26_379) }
  })
  if (name === '' || sentinels.some(({ host, port }) => host === '' || port > 65_535)) return undefined
  const own = new URLSearchParams(query)
  const [sentinelUsername, sentinelPassword] = [own.get('user'), own.get('password')]
  return {
    sentinels,
    name,
    ...(user ? { username: decodeURIComponent(user) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
    ...(sentinelUsername ? { sentinelUsername } : {}),
    ...(sentinelPassword ? { sentinelPassword } : {}),
  }
}

/** Connects in the background, and goes on trying; `RedisConnection` says what its functions throw. `onError`: each failure of the connection. */
export function connectRedis(options: RedisOptions, onError: (error: Error) => void): RedisConnection {
  const client = clientOf(options)
  client.on('error', onError)
  const close = connectForGood(client, options.connectMsMax)
  const breaker = createBreaker({ ...options, isFailure: isServerFailure })
  const deadlines = createTimeoutQueue(options.commandMsMax)
  const gather = gatherWrites(client)

  const getMany = (keys: string[]) => exchange(redis => redis.mget(keys))
  const getManyBuffers = (keys: string[]) => exchange(redis => redis.mgetBuffer(keys))

  /**
   * A connection on which one command after the other times out may be dead without having been closed, for example because a firewall
   * has forgotten it: it would stay silent for as long as TCP tries again. A new one shows whether the server answers.
   */
  function replaceSilent(): void {
    if (breaker.isOpen() && client.status === 'ready') client.disconnect(true)
  }

  // One promise for the breaker, the time limit and the command: what a request costs here is mostly promises.
  function exchange<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      breaker.enter()
      const failed = (error: unknown) => {
        breaker.failed(error)
        reject(isServerFailure(error) ? unavailable(options.name, error) : error)
      }
      const waiting = deadlines.begin(error => {
        failed(error)
        replaceSilent()
      })
      command(client).then(
        value => {
          if (!waiting.end()) return
          breaker.succeeded()
          resolve(value)
        },
        (error: unknown) => {
          if (waiting.end()) failed(error)
        },
      )
    })
  }

  function run<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    gather()
    return exchange(command)
  }

  async function call(
    library: RedisLibrary,
    name: string,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const invoke = (): Promise<unknown> =>
      run(redis => redis.fcall(library.prefix + name, keys.length, ...keys, ...args))
    try {
      return await invoke()
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('Function not found')) throw error
      // The server refused before doing anything, so asking again is safe.
      await run(redis => redis.function('LOAD', 'REPLACE', library.source))
      return invoke()
    }
  }

  return {
    name: options.name,
    client,
    breaker,
    run,
    getBuffer: batchPerTick(getManyBuffers),
    getMany,
    getManyBuffers,
    call,
    ping: async () => void (await run(redis => redis.ping())),
    close,
  }
}

function clientOf(options: RedisOptions): Redis {
  const common = {
    connectionName: `cartload-${options.name}`,
    connectTimeout: options.connectMsMax,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: backOff,
    lazyConnect: true,
  }
  const sentinels = sentinelsOf(options.url)
  return sentinels
    ? new Redis({
        ...common,
        ...sentinels,
        failoverDetector: true,
        sentinelCommandTimeout: options.connectMsMax,
        sentinelRetryStrategy: backOff,
      })
    : new Redis(options.url, common)
}

/**
 * Commands of one tick leave in one write: under load the write to the socket is a third of the cost of a request
 * (docs/performance.md). A tick ends as soon as there is nothing to read, so no command waits for another tick.
 */
function gatherWrites(client: Redis): () => void {
  let held: Redis['stream'] | undefined
  function release(): void {
    held?.uncork()
    held = undefined
  }
  return () => {
    if (held !== undefined || client.status !== 'ready') return
    held = client.stream
    held.cork()
    setImmediate(release)
  }
}

/**
 * Connects until the returned function is called. ioredis tries again by itself, but gives up where a failover is announced while it
 * connects: then it begins anew here. Failures are reported by its error event.
 */
function connectForGood(client: Redis, connectMsMax: number): () => Promise<void> {
  limitHandshakes(client, connectMsMax)
  let isClosed = false
  const connect = () => void (isClosed || client.connect().catch(() => undefined))
  client.on('end', () => setTimeout(connect, END_RETRY_MS).unref())
  connect()
  return async () => {
    isClosed = true
    client.disconnect()
  }
}

/** A server that takes a connection and then says nothing is tried again; `connectTimeout` ends with the connection. */
function limitHandshakes(client: Redis, msMax: number): void {
  let timer: NodeJS.Timeout | undefined
  const over = () => clearTimeout(timer)
  client.on('connect', () => {
    timer = setTimeout(() => client.disconnect(true), msMax)
  })
  client.on('ready', over)
  client.on('close', over)
}

/** True for lost connections and time-outs; false for answers such as a wrong argument, which say nothing of health. */
function isServerFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (
    error.name !== 'ReplyError' ||
    /^(LOADING|MASTERDOWN|READONLY|OOM|MISCONF|BUSY|CLUSTERDOWN|NOREPLICAS)/.test(error.message)
  )
}
