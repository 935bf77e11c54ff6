import { type App, createApp } from '../app.ts'
import { type Config, loadConfig, type Secrets, type ServerAddresses } from '../config/config.ts'
import { type Database, openDatabase } from '../store/database.ts'
import { createLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { CommandError } from './command.ts'

/** Runs a command over the application, against the servers that are configured, and closes it again. */
export async function withApp(projectDir: string, work: (app: App, config: Config) => Promise<void>): Promise<void> {
  const { config, secrets } = loadConfig(projectDir)
  const app = await createApp(config, serversOf(secrets), createLog('warn'))
  try {
    await work(app, config)
  } finally {
    await app.close()
  }
}

/** Runs a command that needs the global database alone. */
export async function withGlobal(projectDir: string, work: (global: Database) => Promise<void>): Promise<void> {
  const { config, secrets } = loadConfig(projectDir)
  const address = { name: 'global', url: serversOf(secrets).global, limits: config.limits }
  const global = openDatabase(address, createMetrics(), createLog('warn'))
  try {
    await work(global)
  } finally {
    await global.close()
  }
}

/** @throws CommandError while there are none */
export function serversOf({ servers }: Secrets): ServerAddresses {
  if (!servers) throw new CommandError('there are no servers yet: npm start')
  return servers
}
