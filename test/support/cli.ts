import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { ServerAddresses } from '../../src/config/config.ts'
import { PROJECT, testServers } from './servers.ts'

/** The command line, as an operator runs it, against servers, those of this test run; its own files go into `dataDir`. */
export function cliEnvironment(dataDir: string, servers: ServerAddresses = testServers().addresses): NodeJS.ProcessEnv {
  const { shards, global, sessionsRedis, cacheRedis } = servers
  return {
    ...process.env,
    CARTLOAD_SHARDS: shards.join(','),
    CARTLOAD_GLOBAL: global,
    CARTLOAD_SESSIONS_REDIS: sessionsRedis,
    CARTLOAD_CACHE_REDIS: cacheRedis,
    CARTLOAD_DATA_DIR: dataDir,
  }
}

/** Runs a command to its end: its exit status, and what it said on both outputs. */
export async function runCli(dataDir: string, args: readonly string[]): Promise<{ code: number; said: string }> {
  const options = { env: cliEnvironment(dataDir), cwd: PROJECT, maxBuffer: 1e8 }
  return promisify(execFile)(process.execPath, ['src/cli/main.ts', ...args], options).then(
    ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      said: error.stdout + error.stderr,
    }),
  )
}
