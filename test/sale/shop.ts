import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { loadConfig, type ServerAddresses } from '../../src/config/config.ts'
import { isListening } from '../../src/lib/port-probe.ts'
import { eventually } from '../support/client.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { endWithUs, freePorts, PROJECT, startServers, type TestServers } from '../support/servers.ts'

/** A running shop to be bought from, and what of it may be killed. */
export interface Shop {
  readonly addresses: ServerAddresses
  /** Where to send the next request. */
  url(): string
  readonly opsUrls: readonly string[]
  stop(): Promise<void>
}

export interface ClusterShop extends Shop {
  readonly cluster: Cluster
}

/** The whole cluster as `npm start` makes it: nginx, two instances under PM2, real servers. */
export async function clusterShop(): Promise<ClusterShop> {
  const cluster = await createCluster({ CARTLOAD_SHARD_MEMORY_MB: '128' })
  try {
    await cluster.up()
  } catch (error) {
    await cluster.remove()
    throw error
  }
  const { secrets } = loadConfig(PROJECT, { CARTLOAD_PORT: String(cluster.port), CARTLOAD_DATA_DIR: cluster.dataDir })
  if (!secrets.servers) throw new Error('the cluster has no servers')
  return {
    cluster,
    addresses: secrets.servers,
    url: () => cluster.url,
    opsUrls: [0, 1].map(index => `http://127.0.0.1:${cluster.port + 200 + index}`),
    stop: () => cluster.remove(),
  }
}

export interface Instance {
  readonly url: string
  readonly opsUrl: string
  readonly child: ChildProcess
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>
}

export interface BareShop extends Shop {
  readonly servers: TestServers
  start(environment?: Record<string, string>): Promise<Instance>
}

/** Real servers, and instances (test/faults/instance.ts) that can be told to die at a step, to be naive, or to have a wrong clock. */
export async function bareShop(): Promise<BareShop> {
  const servers = await startServers()
  const { addresses } = servers
  const instances: Instance[] = []
  let turn = 0

  async function start(environment: Record<string, string> = {}): Promise<Instance> {
    const [port, opsPort] = (await freePorts(2)) as [number, number]
    const child = endWithUs(
      spawn(process.execPath, [join(PROJECT, 'test/faults/instance.ts')], {
        env: {
          ...process.env,
          NODE_ENV: 'test',
          CARTLOAD_SHARDS: addresses.shards.join(','),
          CARTLOAD_GLOBAL: addresses.global,
          CARTLOAD_SESSIONS_REDIS: addresses.sessionsRedis,
          CARTLOAD_CACHE_REDIS: addresses.cacheRedis,
          CARTLOAD_INSTANCE_PORT: String(port),
          CARTLOAD_OPS_PORT: String(opsPort),
          NODE_APP_INSTANCE: '0',
          CARTLOAD_LOG_LEVEL: process.env['TEST_LOG'] ?? 'fatal',
          ...environment,
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      }),
    )
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    const instance = { url: `http://127.0.0.1:${port}`, opsUrl: `http://127.0.0.1:${opsPort}`, child, gone }
    instances.push(instance)
    void gone.then(() => instances.splice(instances.indexOf(instance), 1))
    await eventually('the instance listens', () => isListening(opsPort), 30_000)
    return instance
  }

  return {
    servers,
    addresses,
    start,
    url() {
      turn++
      return instances[turn % instances.length]?.url ?? 'http://127.0.0.1:9'
    },
    get opsUrls() {
      return instances.map(instance => instance.opsUrl)
    },
    async stop() {
      const all = [...instances]
      for (const { child } of all) child.kill('SIGKILL')
      await Promise.all(all.map(instance => instance.gone))
      await servers.stop()
    },
  }
}
