import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { checkLimits, DEFAULT_LIMITS, type Limits } from '../model/limits.ts'
import { clusterSettings, contradictions, type Environment } from './cluster-settings.ts'
import { defaultInstances, SETTINGS, type SettingKey, type SettingValues } from './settings.ts'

/**
 * The only reader of the environment. Sources, first one wins: the environment, `.env` in the project folder, and with embedded servers what
 * the running cluster was started with (cluster-settings.ts) and the addresses that were written when it was set up.
 * Every mistake is found before anything starts, and all are reported together.
 */
export interface Config extends Pick<SettingValues, (typeof AS_SET)[number]> {
  readonly projectDir: string
  readonly dataDir: string
  readonly publicUrl: string
  readonly secureCookies: boolean
  readonly instances: number
  readonly instanceIndex: number
  readonly instancePort: number
  /** Where each instance has a Unix socket beside its port; undefined for none. */
  readonly socketDir: string | undefined
  readonly opsPort: number
  /** True when the servers are the private ones under dataDir. */
  readonly embedded: boolean
  readonly shardPort: number
  readonly redisPort: number
  readonly sessionIdleMs: number
  readonly sessionMaxMs: number
  readonly guestIdleMs: number
  readonly limits: Limits
}

/** Settings that are in force as they were set. */
const AS_SET = [
  'port',
  'bind',
  'opsBind',
  'trustedProxies',
  'embeddedShards',
  'shardMemoryMb',
  'sessionsMemoryMb',
  'cacheMemoryMb',
  'requestsPerAddress',
  'router',
  'currency',
  'pricingThreads',
  'pricingInline',
  'repriceSpreadMs',
  'productsMemoryMb',
  'shippingFee',
  'payment',
  'paymentMinutes',
  'mergeRule',
  'sessionsReplicas',
  'cpuScheduling',
  'auditPerSecond',
  'logLevel',
] as const satisfies readonly SettingKey[]

/** Passwords apart, so that Config can be logged. Undefined where the embedded stack has not been set up yet. */
export interface Secrets {
  readonly servers: ServerAddresses | undefined
  readonly seedPassword: string
  readonly saleProofKey: string | undefined
}

export interface ServerAddresses {
  readonly shards: readonly string[]
  readonly global: string
  readonly sessionsRedis: string
  readonly cacheRedis: string
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(
      `The settings have ${mistakes.length === 1 ? 'a mistake' : 'mistakes'}:\n${mistakes.map(m => `  - ${m}`).join('\n')}`,
    )
    this.mistakes = mistakes
  }
}

const SERVER_KEYS = ['shards', 'global', 'sessionsRedis', 'cacheRedis'] as const

/** Name of the file, under the data folder, in which the embedded stack keeps the addresses of its servers. */
export const EMBEDDED_ENV = 'embedded.env'

export interface Loaded {
  readonly config: Config
  readonly secrets: Secrets
  /** The variables that were set, by name; secrets among them. */
  readonly given: Environment
}

/**
 * `asItRuns`: a running cluster's own settings win, whatever the environment says now, as for stopping it.
 * @throws ConfigError listing every mistake
 */
export function loadConfig(
  projectDir: string,
  environment: Environment = process.env,
  { asItRuns = false }: { readonly asItRuns?: boolean } = {},
): Loaded {
  const mistakes: string[] = []
  const given = { ...readEnvFile(join(projectDir, '.env')), ...withoutEmpty(environment) }
  const dataDir = resolve(projectDir, given[SETTINGS.dataDir.name] ?? SETTINGS.dataDir.shown)
  const embedded = isEmbedded(given, mistakes)
  const kept = embedded ? clusterSettings(dataDir) : {}
  const contradicted = asItRuns ? [] : contradictions(given, kept, dataDir)
  if (contradicted.length > 0) throw new ConfigError(contradicted) // what follows from a wrong port would hide it
  const source = embedded
    ? { ...readEnvFile(join(dataDir, EMBEDDED_ENV)), ...kept, ...given, ...(asItRuns ? kept : {}) }
    : given
  const values = parse(source, mistakes)
  for (const name of Object.keys(given)) {
    if (name.startsWith('CARTLOAD_') && !isKnown(name)) mistakes.push(`${name} is not a setting (see .env.example)`)
  }
  const servers = serversOf(values)
  if (values.router === 'single' && servers && servers.shards.length !== 1) {
    mistakes.push(`${SETTINGS.router.name}=single takes exactly one address in ${SETTINGS.shards.name}`)
  }
  const instanceIndex = Number(environment['NODE_APP_INSTANCE'] ?? 0)
  const config = { ...configOf(values, { projectDir, dataDir, embedded }, mistakes), instanceIndex }
  checkPorts(config, mistakes)
  checkSocketDir(config, values.socketDir, mistakes)
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  const { seedPassword, saleProofKey } = values
  return {
    config: Object.freeze(config),
    secrets: { servers, seedPassword, saleProofKey },
    given: { ...kept, ...given },
  }
}

/** False where the addresses of outside servers are given: all of them, or it is a mistake. */
function isEmbedded(given: Environment, mistakes: string[]): boolean {
  const ours = SERVER_KEYS.filter(key => given[SETTINGS[key].name] || given[`${SETTINGS[key].name}_FILE`])
  if (ours.length > 0 && ours.length < SERVER_KEYS.length) {
    const missing = SERVER_KEYS.filter(key => !ours.includes(key)).map(key => SETTINGS[key].name)
    mistakes.push(
      `${ours.map(key => SETTINGS[key].name).join(', ')} set without ${missing.join(', ')}: give all or none`,
    )
  }
  return ours.length === 0
}

function serversOf({ shards, global, sessionsRedis, cacheRedis }: SettingValues): ServerAddresses | undefined {
  if (!shards || !global || !sessionsRedis || !cacheRedis) return undefined
  return { shards, global, sessionsRedis, cacheRedis }
}

type Where = Pick<Config, 'projectDir' | 'dataDir' | 'embedded'>

function configOf(values: SettingValues, where: Where, mistakes: string[]): Omit<Config, 'instanceIndex'> {
  const asSet = Object.fromEntries(AS_SET.map(key => [key, values[key]])) as Pick<Config, (typeof AS_SET)[number]>
  const { port } = values
  const publicUrl = values.publicUrl ?? `http://localhost:${port}`
  return {
    ...where,
    ...asSet,
    publicUrl,
    secureCookies: publicUrl.startsWith('https:'),
    instances: values.instances ?? defaultInstances(),
    instancePort: values.instancePort ?? port + 100,
    socketDir: socketDirOf(values.socketDir, where),
    opsPort: values.opsPort ?? port + 200,
    shardPort: values.shardPort ?? port + 300,
    redisPort: values.redisPort ?? port + 400,
    sessionIdleMs: values.sessionIdleMinutes * 60_000,
    sessionMaxMs: values.sessionMaxHours * 3_600_000,
    guestIdleMs: values.guestIdleMinutes * 60_000,
    limits: limitsOf(values, mistakes),
  }
}

/** The socket of one instance. */
export const socketOf = (socketDir: string, instance: number): string => join(socketDir, `instance-${instance}.sock`)

/** Every port that the embedded stack takes, with the setting that moves it. */
export function portsOf(config: Config): Array<{ port: number; what: string; setting: string }> {
  const row = (first: number, count: number, what: string, setting: string) =>
    Array.from({ length: count }, (_, n) => ({ port: first + n, what: count > 1 ? `${what} ${n}` : what, setting }))
  return [
    ...row(config.port, 1, 'nginx', SETTINGS.port.name),
    ...row(config.instancePort, config.instances, 'instance', SETTINGS.instancePort.name),
    ...row(config.opsPort, config.instances, 'operations of instance', SETTINGS.opsPort.name),
    ...row(config.shardPort, config.embeddedShards, 'shard', SETTINGS.shardPort.name),
    ...row(config.redisPort, 1, 'sessions Redis', SETTINGS.redisPort.name),
    ...row(config.redisPort + 1, 1, 'cache Redis', SETTINGS.redisPort.name),
  ]
}

/** Longest path of a Unix socket, in bytes, on the system that allows least. */
const SOCKET_PATH_BYTES_MAX = 103

function checkSocketDir({ socketDir, instances }: Config, given: string | undefined, mistakes: string[]): void {
  if (given === undefined || socketDir === undefined) return
  const bytes = Buffer.byteLength(socketOf(socketDir, instances - 1))
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    mistakes.push(
      `${SETTINGS.socketDir.name} is too long: sockets in it have paths of ${bytes} bytes, and ${SOCKET_PATH_BYTES_MAX} are possible`,
    )
  }
}

function socketDirOf(given: string | undefined, { projectDir, dataDir, embedded }: Where): string | undefined {
  if (given !== undefined) return given === 'none' ? undefined : resolve(projectDir, given)
  return embedded ? join(dataDir, 'run') : undefined // a start with embedded servers looks at the length of its path
}

/** Where a setting is missing or wrong, its default stands. */
function parse(source: Environment, mistakes: string[]): SettingValues {
  const values: Record<string, unknown> = {}
  for (const key of Object.keys(SETTINGS) as SettingKey[]) {
    const { name, schema, kind, shown, secret } = SETTINGS[key]
    const byDefault = kind === 'text' ? shown : undefined
    const given = secret ? readSecret(name, source, mistakes) : source[name]
    const result = given === undefined ? undefined : schema.safeParse(given)
    if (result && !result.success) {
      const shownValue = secret ? '' : ` (it is '${given}')`
      mistakes.push(`${name} ${result.error.issues[0]?.message ?? 'is wrong'}${shownValue}`)
    }
    if (result?.success) values[key] = result.data
    else if (byDefault !== undefined) values[key] = schema.parse(byDefault)
  }
  return values as SettingValues
}

function readSecret(name: string, source: Environment, mistakes: string[]): string | undefined {
  const file = source[`${name}_FILE`]
  if (file === undefined) return source[name]
  if (source[name] !== undefined) mistakes.push(`${name} and ${name}_FILE are both set: give one`)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    mistakes.push(`${name}_FILE names a file that cannot be read: ${file}`)
    return undefined
  }
}

function limitsOf(values: SettingValues, mistakes: string[]): Limits {
  const keys = Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]
  try {
    return checkLimits(Object.fromEntries(keys.map(key => [key, values[key]])) as unknown as Limits)
  } catch (error) {
    mistakes.push(`the limits do not fit each other: ${(error as Error).message}`)
    return DEFAULT_LIMITS
  }
}

function checkPorts(config: Config, mistakes: string[]): void {
  const taken = new Map<number, string>()
  for (const { port, what, setting } of config.embedded ? portsOf(config) : []) {
    const other = taken.get(port)
    if (other) mistakes.push(`port ${port} is wanted by ${other} and by ${what} (${setting})`)
    if (port > 65_535) mistakes.push(`port ${port} of ${what} is above 65535 (${setting})`)
    taken.set(port, what)
  }
}

function isKnown(name: string): boolean {
  return Object.values(SETTINGS).some(s => s.name === name || (s.secret && `${s.name}_FILE` === name))
}

function readEnvFile(path: string): Environment {
  return existsSync(path) ? withoutEmpty(parseEnv(readFileSync(path, 'utf8'))) : {}
}

function withoutEmpty(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''))
}
