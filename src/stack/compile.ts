import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/**
 * Loads once what instances and their threads run, so that Node.js keeps it compiled (NODE_COMPILE_CACHE). Without that each of the first
 * instances takes the TypeScript apart by itself, and holds what does that: 17 MB, until it is restarted.
 */
export async function compileAhead(projectDir: string, environment: NodeJS.ProcessEnv = process.env): Promise<void> {
  const { apps } = (await import(join(projectDir, 'ecosystem.config.js'))) as { apps: { node_args: string[] }[] }
  const arguments_ = apps[0]?.node_args ?? [] // code that was compiled under other flags is not taken
  const entries = [['src/main.ts', '--check'], ['src/pricing/worker.ts']]
  await Promise.all(
    entries.map(entry =>
      promisify(execFile)(process.execPath, [...arguments_, ...entry], { cwd: projectDir, env: environment }),
    ),
  )
}
