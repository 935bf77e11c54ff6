import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { type App, createApp } from '../../src/app.ts'
import type { AppOptions } from '../../src/wiring/stores.ts'
import { type Config, loadConfig, type ServerAddresses } from '../../src/config/config.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { PROJECT, testServers } from './servers.ts'

/** The very app that production runs, on free ports, against the test servers. */
export interface TestApp extends App {
  readonly url: string
  readonly opsUrl: string
}

export function testConfig(changes: Partial<Config> = {}): Config {
  return {
    ...loadConfig(PROJECT, { CARTLOAD_DATA_DIR: join(PROJECT, '.cartload', 'none') }).config,
    instancePort: 0,
    socketDir: undefined,
    opsPort: 0,
    ...changes,
  }
}

export async function startApp(
  changes: Partial<Config> = {},
  servers: Partial<ServerAddresses> = {},
  options: AppOptions = {},
): Promise<TestApp> {
  const app = await createApp(
    testConfig(changes),
    { ...testServers().addresses, ...servers },
    createLog(process.env['TEST_LOG'] ?? 'silent'),
    options,
  )
  try {
    await app.listen()
  } catch (error) {
    await app.close()
    throw error
  }
  const at = (server: App['server']) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { ...app, url: at(app.server), opsUrl: at(app.opsServer) }
}

/** Starts an app before the tests of a describe block and closes it after them. */
export function withApp(changes: Partial<Config> = {}): () => TestApp {
  let app: TestApp | undefined
  before(async () => {
    app = await startApp(changes)
  })
  after(async () => {
    await app?.close()
  })
  return () => {
    if (!app) throw new Error('the app is started by before()')
    return app
  }
}
