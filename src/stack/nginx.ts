import { FIXED } from '../model/limits.ts'
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { environmentOf, type Program } from './programs.ts'
import type { ServerSpec } from './servers.ts'

/** Fills in the files of nginx/ and checks the result with nginx itself. */
export interface NginxOptions {
  readonly templates: string
  readonly confDir: string
  readonly runDir: string
  readonly logDir: string
  /** `host:port` or a port. */
  readonly listen: string
  /** `host:port` or `unix:/path` of each instance. */
  readonly instances: readonly string[]
  readonly bodyBytesMax: number
  readonly requestsPerAddress: number
  /** The `user` line; by default what suits the private instance. */
  readonly user?: string
  readonly makeFolders?: boolean
  /** By default in runDir. */
  readonly pidFile?: string
}

/** Writes nginx's configuration from the templates. @throws Error for a placeholder without a value */
export function renderNginx(options: NginxOptions): void {
  const { confDir, runDir, logDir } = options
  if (options.makeFolders !== false) for (const dir of [confDir, runDir, logDir]) mkdirSync(dir, { recursive: true })
  const words: Record<string, string> = {
    confDir,
    runDir,
    logDir,
    pidFile: options.pidFile ?? join(runDir, 'nginx.pid'),
    listen: options.listen,
    // As root the workers would run as an unprivileged user, which may not enter a private data folder.
    user: options.user ?? (process.getuid?.() === 0 ? 'user root;' : ''),
    servers: options.instances.map(address => `  server ${address} max_fails=1 fail_timeout=1s;`).join('\n'),
    bodyBytesMax: String(options.bodyBytesMax),
    ruleSetBytesMax: String(FIXED.ruleSetBytesMax),
    requestsPerAddress: String(options.requestsPerAddress),
  }
  for (const file of readdirSync(options.templates).filter(name => name.endsWith('.conf'))) {
    const text = readFileSync(join(options.templates, file), 'utf8').replace(/\{\{(\w+)\}\}/g, (_, word: string) => {
      const value = words[word]
      if (value === undefined) throw new Error(`nginx/${file} asks for {{${word}}}, which is not filled in`)
      return value
    })
    writeFileSync(join(confDir, file), text)
  }
}

export function nginxServer(program: Program, options: NginxOptions, port: number): ServerSpec {
  return {
    name: 'nginx',
    program: program.path,
    args: nginxArguments(options),
    env: environmentOf(program),
    port,
    pidFile: join(options.runDir, 'nginx.pid'),
    stopMsMax: 5_000,
  }
}

/** @throws Error with nginx's own words when it refuses its configuration */
export async function checkNginx(program: Program, options: NginxOptions): Promise<void> {
  try {
    await promisify(execFile)(program.path, [...nginxArguments(options), '-t', '-q'], {
      env: { ...process.env, ...environmentOf(program) },
    })
  } catch (error) {
    throw new Error(
      `nginx refuses its configuration in ${options.confDir}:\n${(error as { stderr?: string }).stderr ?? ''}`,
      {
        cause: error,
      },
    )
  }
}

function nginxArguments({ confDir, runDir, logDir }: NginxOptions): string[] {
  // PM2 watches it in the foreground; an installed nginx is started by its unit.
  return ['-p', runDir, '-e', join(logDir, 'nginx-error.log'), '-c', join(confDir, 'nginx.conf'), '-g', 'daemon off;']
}
