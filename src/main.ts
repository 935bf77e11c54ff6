import { join } from 'node:path'
import { releaseOf } from './lib/release.ts'
import { createApp } from './app.ts'
import { loadConfig } from './config/config.ts'
import { EXIT_WRONG_CONFIGURATION } from './lib/finding.ts'
import { checkServers, findingsOf } from './ops/server-check.ts'
import { scheduleAsBatch } from './ops/cpu-scheduling.ts'
import { createLog } from './telemetry/log.ts'

/** Entry of one instance: start, tell PM2, and on a signal leave without losing a request. */
if (process.argv.includes('--check')) process.exit(0) // only to be loaded: stack/compile.ts

const { config, secrets } = loadConfig(join(import.meta.dirname, '..'))
const log = createLog(config.logLevel, { instance: config.instanceIndex, pid: process.pid })

process.on('unhandledRejection', error => {
  log.fatal({ err: error }, 'unhandled rejection')
  process.exit(1)
})

if (!secrets.servers) {
  log.fatal(
    'no servers are configured: run `npm start` once for the embedded ones, or set CARTLOAD_SHARDS and its companions',
  )
  process.exit(1)
}

if (config.cpuScheduling === 'batch') {
  await scheduleAsBatch().catch((error: unknown) => log.warn({ err: error }, 'the CPU scheduling stays as it was'))
}
const release = releaseOf(config.projectDir)
const wrong = findingsOf(await checkServers(secrets.servers, release), 'wrong')
if (wrong.length > 0) {
  for (const { subject, text } of wrong) log.fatal({ dependency: subject }, `cannot start: ${subject}: ${text}`)
  process.exit(EXIT_WRONG_CONFIGURATION)
}
const app = await createApp(config, secrets.servers, log, { saleProofKey: secrets.saleProofKey })
await app.listen()
log.info({ port: config.instancePort + config.instanceIndex }, 'serving')
process.send?.('ready')

let leaving = false
async function leave(signal: string): Promise<void> {
  if (leaving) process.exit(1) // asked twice: at once
  leaving = true
  log.info({ signal }, 'draining')
  await app.drain.run(app.listeners)
  await app.close()
  log.info('bye')
  process.exit(0)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void leave(signal))
