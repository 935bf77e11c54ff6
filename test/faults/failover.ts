import { randomUUID } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { environmentOf, findOrInstall, type Program } from '../../src/stack/programs.ts'
import type { StackSecrets } from '../../src/stack/secrets.ts'
import { redisAdminUrl, redisServer } from '../../src/stack/servers.ts'
import { createRecorder, type Recorder } from '../history/recorder.ts'
import { checkSessions, type SessionVerdict } from '../history/sessions.ts'
import { registrationsOf } from '../sale/accounts.ts'
import { createHttp, type Http } from '../sale/http.ts'
import { type BareShop, bareShop, type Instance } from '../sale/shop.ts'
import { eventually } from '../support/client.ts'
import { type Backend, createBackend, freePorts, PROJECT } from '../support/servers.ts'
import { useOutcome } from './load.ts'
import { type Proxies, startProxies } from './proxies.ts'

/**
 * Rows C7 and C8: the sessions Redis with two replicas and three Sentinels. The master is killed; or it is cut off together with one
 * of the instances, which goes on talking to it while the others have a new master. A session whose end was acknowledged must never be
 * accepted again, by no instance. The control is the same without CARTLOAD_SESSIONS_REPLICAS.
 *
 * Everything that would be on the other side of the cut reaches the master through one proxy.
 */
export interface FailoverResult {
  readonly row: 'C7' | 'C8'
  readonly isControl: boolean
  readonly sessions: SessionVerdict
  /** Until logins and logouts work again, from the fault. */
  readonly recoveryMs: number
  /** Of C8: until the instance that was cut off believes no session any more. */
  readonly refusedAfterMs: number | undefined
}

const MASTER = 'sessions'
const DOWN_AFTER_MS = 6_000
/** Each way between the master and its replicas, so that what is not waited for is lost with it. */
const REPLICATION_MS = 100
const VISITORS = 6

interface Trio {
  readonly master: Backend
  readonly proxies: Proxies
  readonly directUrl: string
  readonly sentinelUrl: string
  stop(): Promise<void>
}

export async function runFailover(
  row: 'C7' | 'C8',
  { isControl = false }: { isControl?: boolean } = {},
): Promise<FailoverResult> {
  const shop = await bareShop()
  let trio: Trio | undefined
  try {
    trio = await startTrio(shop.servers.secrets)
    return await (row === 'C7' ? masterKilled(shop, trio, isControl) : masterCutOff(shop, trio, isControl))
  } finally {
    await shop.stop()
    await trio?.stop()
  }
}

const settingsOf = (url: string, isControl: boolean): Record<string, string> => ({
  CARTLOAD_SESSIONS_REDIS: url,
  CARTLOAD_SESSIONS_REPLICAS: isControl ? '0' : '1',
})

async function masterKilled(shop: BareShop, trio: Trio, isControl: boolean): Promise<FailoverResult> {
  // One of them is as near to the master as its replicas are not, and goes down with it.
  const near = await shop.start(settingsOf(trio.directUrl, isControl))
  const other = await shop.start(settingsOf(trio.sentinelUrl, isControl))
  const visit = await startVisits(shop, trio, [near, other])
  try {
    await trio.proxies.set(['master'], { latencyMs: REPLICATION_MS })
    await sleep(3_000)
    const since = performance.now()
    await trio.proxies.set(['master'], { isCut: true }) // what was on its way to the replicas is lost with it
    await trio.master.kill()
    await eventually('a session is ended again', () => visit.lastLogoutMs() > since + 500, 40_000)
    const recoveryMs = Math.round(visit.lastLogoutMs() - since)
    await sleep(3_000)
    await trio.proxies.set(['master'], {})
    await trio.master.start() // Sentinel makes it a replica
    await sleep(3_000)
    await visit.tryAllAgain()
    return { row: 'C7', isControl, sessions: await visit.stop(), recoveryMs, refusedAfterMs: undefined }
  } finally {
    await visit.stop()
  }
}

async function masterCutOff(shop: BareShop, trio: Trio, isControl: boolean): Promise<FailoverResult> {
  const isolated = await shop.start(settingsOf(trio.directUrl, isControl))
  const majority = await shop.start(settingsOf(trio.sentinelUrl, isControl))
  const visit = await startVisits(shop, trio, [isolated, majority])
  try {
    await sleep(3_000)
    const since = performance.now()
    await trio.proxies.set(['master'], { blackHole: 'both' })
    await eventually('a session is ended again', () => visit.lastLogoutMs() > since + 2_000, 40_000)
    const recoveryMs = Math.round(visit.lastLogoutMs() - since)
    await sleep(5_000)
    const refusedAfterMs = Math.max(0, Math.round(visit.lastAcceptedMs(isolated) - since))
    await trio.proxies.set(['master'], {})
    await sleep(4_000)
    await visit.tryAllAgain()
    return { row: 'C8', isControl, sessions: await visit.stop(), recoveryMs, refusedAfterMs }
  } finally {
    await visit.stop()
  }
}

/** Visitors who use a session on every instance, end it on one of them, and try it on every instance again. */
async function startVisits(shop: BareShop, trio: Trio, instances: readonly Instance[]) {
  const addresses = { ...shop.addresses, sessionsRedis: trio.sentinelUrl }
  const accounts = await registrationsOf({ addresses })
  const userId = await accounts.addMember(`${randomUUID()}@failover.example`)
  const recorder: Recorder = createRecorder()
  const http: Http = createHttp(64)
  const accepted = new Map<Instance, number>()
  let lastLogoutMs = 0
  const endedTokens = new Map<string, string>()
  let stopped = false
  let verdict: Promise<SessionVerdict> | undefined

  async function use(client: number, session: string, token: string, instance: Instance): Promise<void> {
    await recorder.record(client, { kind: 'request', session }, async () => {
      const used = useOutcome(await http.send(instance.url, 'GET', '/v1/cart', { token }))
      if (used.isAccepted) accepted.set(instance, performance.now())
      return used
    })
  }

  async function visitor(client: number): Promise<void> {
    for (let n = 0; !stopped; n++) {
      const token = await accounts.session(userId).catch(() => undefined)
      if (token === undefined) {
        await sleep(100)
        continue
      }
      const session = token.slice(-12)
      for (const instance of instances) await use(client, session, token, instance)
      for (let attempt = 0; attempt < 200 && !stopped; attempt++) {
        const at = instances[(client + n + attempt) % instances.length] as Instance
        const ended = await recorder.record(client, { kind: 'logout', session }, async () => {
          const { status } = await http.send(at.url, 'DELETE', '/v1/sessions/current', { token })
          if (status === 200 || status === 204) lastLogoutMs = performance.now()
          // 401: it has ended already, by an attempt whose answer was lost.
          return { result: status === 204 || status === 200 || status === 401 ? 'ok' : 'info' }
        })
        if (ended.result === 'ok') {
          endedTokens.set(session, token)
          break
        }
        await sleep(100)
      }
      for (const instance of [...instances, ...instances]) {
        await use(client, session, token, instance)
        await sleep(20)
      }
    }
  }

  /** One who never logs out, at every instance: how long each goes on accepting. */
  async function stayer(): Promise<void> {
    const token = await accounts.session(userId)
    while (!stopped) {
      await Promise.all(instances.map(instance => use(VISITORS, 'stays', token, instance)))
      await sleep(50)
    }
  }

  const running = [...Array.from({ length: VISITORS }, (_, n) => visitor(n)), stayer()]
  return {
    lastLogoutMs: () => lastLogoutMs,
    /** Every session that was ended, at every instance. */
    async tryAllAgain() {
      for (const [session, token] of endedTokens)
        for (const instance of instances) await use(VISITORS + 1, session, token, instance)
    },
    lastAcceptedMs: (instance: Instance) => accepted.get(instance) ?? 0,
    stop: () =>
      (verdict ??= (async () => {
        stopped = true
        await Promise.all(running)
        http.close()
        await accounts.close()
        return checkSessions(recorder.operations)
      })()),
  }
}

async function startTrio(secrets: StackSecrets): Promise<Trio> {
  const dir = mkdtempSync(join(tmpdir(), 'cl-sentinel-'))
  const redis = (await findOrInstall(['redis'], join(PROJECT, '.cartload'), console.log)).get('redis')
  if (!redis) throw new Error('no Redis')
  const [masterPort = 0, firstPort = 0, secondPort = 0, ...sentinelPorts] = await freePorts(6)
  const proxies = await startProxies({ master: masterPort })
  const proxied = proxies.ports['master'] ?? 0
  const node = (name: string, port: number, isReplica: boolean) =>
    dataNode({ redis, dir: join(dir, name), port, secrets, replicaOf: isReplica ? proxied : undefined })
  const master = node('master', masterPort, false)
  const backends = [master, node('replica-1', firstPort, true), node('replica-2', secondPort, true)]
  for (const [at, port] of sentinelPorts.entries())
    backends.push(sentinel({ redis, dir, name: `sentinel-${at}`, port, secrets, proxied }))
  async function stop(): Promise<void> {
    await Promise.all(backends.map(backend => backend.kill()))
    await proxies.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    for (const backend of backends) await backend.start()
    const admin = redisAdminUrl(masterPort, secrets)
    await eventually('two replicas follow', async () => /connected_slaves:2/.test(await infoOf(admin)), 20_000)
    await sleep(3_000) // Sentinels find each other and the replicas by what the master tells them every two seconds
  } catch (error) {
    await stop()
    throw error
  }
  const sentinels = sentinelPorts.map(port => `127.0.0.1:${port}`).join(',')
  return {
    master,
    proxies,
    directUrl: `redis://cartload:${secrets.redisApp}@127.0.0.1:${masterPort}/0`,
    sentinelUrl: `redis+sentinel://cartload:${secrets.redisApp}@${sentinels}/${MASTER}`,
    stop,
  }
}

async function infoOf(url: string): Promise<string> {
  const client = new Redis(url)
  try {
    return await client.info('replication')
  } finally {
    client.disconnect()
  }
}

function dataNode(options: {
  redis: Program
  dir: string
  port: number
  secrets: StackSecrets
  replicaOf: number | undefined
}): Backend {
  const { redis: program, dir, port, secrets, replicaOf } = options
  const spec = redisServer({ program, role: 'sessions', dir, port, memoryMb: 64, secrets })
  const lines = [
    `masteruser admin`,
    `masterauth ${secrets.redisAdmin}`,
    'min-replicas-to-write 1',
    'min-replicas-max-lag 2',
    'repl-diskless-sync-delay 0',
    ...(replicaOf === undefined ? [] : [`replicaof 127.0.0.1 ${replicaOf}`]),
  ]
  appendFileSync(spec.args[0] ?? '', `${lines.join('\n')}\n`)
  return createBackend(spec, join(dir, 'log'))
}

function sentinel(options: {
  redis: Program
  dir: string
  name: string
  port: number
  secrets: StackSecrets
  proxied: number
}): Backend {
  const { redis, dir, name, port, secrets, proxied } = options
  const file = join(dir, `${name}.conf`)
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${dir}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${proxied} 2`,
    `sentinel auth-user ${MASTER} admin`,
    `sentinel auth-pass ${MASTER} ${secrets.redisAdmin}`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER} 10000`,
  ]
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 })
  const spec = {
    name,
    program: redis.path,
    args: [file, '--sentinel'],
    env: environmentOf(redis),
    port,
    pidFile: join(dir, `${name}.pid`),
    stopMsMax: 5_000,
  }
  return createBackend(spec, join(dir, `${name}.log`))
}
