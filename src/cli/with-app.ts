import { type App, createApp } from '../app.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { createLog } from '../telemetry/log.ts'
import { CommandError } from './command.ts'

/** Runs a command over the application, against the servers that are configured, and closes it again. */
export async function withApp(projectDir: string, work: (app: App, config: Config) => Promise<void>): Promise<void> {
  const { config, secrets } = loadConfig(projectDir)
  if (!secrets.servers) throw new CommandError('there are no servers yet: npm start')
  const app = await createApp(config, secrets.servers, createLog('warn'))
  try {
    await work(app, config)
  } finally {
    await app.close()
  }
}
