import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Passwords of the embedded servers: made once, kept in the data folder, readable by its owner only. */
export interface StackSecrets {
  readonly mysqlRoot: string
  readonly mysqlApp: string
  readonly mysqlMigrations: string
  readonly redisApp: string
  readonly redisAdmin: string
}

export function loadSecrets(dataDir: string): StackSecrets {
  const path = join(dataDir, 'secrets.json')
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as StackSecrets
  const password = () => randomBytes(24).toString('base64url')
  const secrets: StackSecrets = {
    mysqlRoot: password(),
    mysqlApp: password(),
    mysqlMigrations: password(),
    redisApp: password(),
    redisAdmin: password(),
  }
  writePrivate(path, `${JSON.stringify(secrets, undefined, 2)}\n`)
  return secrets
}

/** Writes a file that only its owner may read. */
export function writePrivate(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, text, { mode: 0o600 })
}
