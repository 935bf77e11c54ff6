import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { isRunning } from '../lib/processes.ts'
import { SETTINGS, type SettingKey } from './settings.ts'

/**
 * The settings that the running embedded cluster was started with, kept in its data folder: so that `status`, `reload`, `seed` or `load` act on
 * that cluster, whatever the environment of a later command lacks. They count only while the cluster runs.
 */
const CLUSTER_ENV = 'cluster.env'
/** PM2's home of the embedded servers, under the data folder. */
export const SERVERS_HOME = 'pm2-servers'

/** Settings that cannot change while the cluster runs: kept as they are in force, also where they were not set. */
const PLACES = [
  'port',
  'bind',
  'instances',
  'instancePort',
  'opsPort',
  'opsBind',
  'embeddedShards',
  'shardPort',
  'redisPort',
  'socketDir',
  'currency',
] as const satisfies readonly SettingKey[]

export type Environment = Readonly<Record<string, string | undefined>>
type Places = Readonly<Record<(typeof PLACES)[number], string | number | undefined>>

export const clusterSettingsFile = (dataDir: string): string => join(dataDir, CLUSTER_ENV)

/** Empty when no cluster runs on that data folder. */
export function clusterSettings(dataDir: string): Environment {
  const file = clusterSettingsFile(dataDir)
  const home = join(dataDir, SERVERS_HOME)
  const pidFile = join(home, 'pm2.pid')
  if (!existsSync(file) || !existsSync(pidFile) || !isRunning(Number(readFileSync(pidFile, 'utf8')), home)) return {}
  return parseEnv(readFileSync(file, 'utf8'))
}

/** Settings that the environment gives in another way than the running cluster has them, as sentences. Only places: others may differ by command. */
export function contradictions(given: Environment, kept: Environment, dataDir: string): string[] {
  const names = [...PLACES, 'publicUrl'].map(key => SETTINGS[key as SettingKey].name)
  return names.flatMap(name => {
    const [wanted, running] = [given[name], kept[name]]
    if (wanted === undefined || running === undefined || wanted === running) return []
    return [
      `${name} is '${wanted}', but the cluster that runs on ${dataDir} was started with '${running}': leave it unset, or stop that cluster first (npm stop)`,
    ]
  })
}

/** The text of the file, without secrets. `given`: what environment and .env set. */
export function clusterSettingsText(places: Places, given: Environment): string {
  const lines = new Map<string, string>()
  for (const [key, setting] of Object.entries(SETTINGS)) {
    const value = given[setting.name]
    if (value !== undefined && !setting.secret && key !== 'dataDir') lines.set(setting.name, value)
  }
  for (const key of PLACES) {
    const { name } = SETTINGS[key]
    if (!lines.has(name)) lines.set(name, String(places[key] ?? 'none')) // only the folder of sockets can be none
  }
  return [...lines].map(([name, value]) => `${name}=${JSON.stringify(value)}\n`).join('')
}
