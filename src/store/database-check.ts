import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { messageOf } from '../lib/errors.ts'
import type { Check, Finding } from '../lib/finding.ts'
import { isOlder } from '../lib/release.ts'
import { migrationStatusOn } from './migrate.ts'

/**
 * Whether a database is as cartload needs it: there, migrated, not too new for this release, with the rights of the account, and with settings
 * under which an acknowledged write is on disk and no update is lost.
 */
interface DatabaseToCheck {
  readonly name: string
  readonly url: string
  readonly list: 'global' | 'shard'
  /** Of this code, as in package.json. */
  readonly release: string
}

const CONNECT_MS_MAX = 2_000
const STATEMENT_MS_MAX = 3_000
const NO_DATABASE = 1049
const UNKNOWN_VARIABLE = 1193
const READ_ONLY = 'read-only'
const DENIED = new Set([1044, 1045, 1142, 1143, 1227, 1698])

/** Never throws: what is wrong, or cannot be reached, is a finding. */
export async function checkDatabase({ name, url, list, release }: DatabaseToCheck): Promise<Check> {
  const wrong = (text: string): Finding => ({ subject: name, kind: 'wrong', text })
  const away: Check = { findings: [], version: '', role: '', clockMs: undefined }
  const { username, pathname } = new URL(url)
  const database = decodeURIComponent(pathname.slice(1))
  let connection: Connection
  try {
    connection = await createConnection({ uri: url, connectTimeout: CONNECT_MS_MAX })
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === NO_DATABASE)
      return { ...away, findings: [wrong(`the database '${database}' does not exist: cartload init --user ADMIN:…`)] }
    if (errno !== undefined && DENIED.has(errno))
      return {
        ...away,
        findings: [
          wrong(`the account '${username}' is refused (${messageOf(error)}): cartload grants shows what it needs`),
        ],
      }
    return { ...away, findings: [{ subject: name, kind: 'away', text: `it cannot be reached: ${reasonOf(error)}` }] }
  }
  connection.on('error', () => undefined) // the statement under way has it
  try {
    const schema = await schemaFindings(connection, list, release)
    const findings = [...schema, ...(await settingFindings(connection))].map(text => wrong(text))
    const rights = schema.length === 0 ? await rightsFindings(connection, list, username) : []
    const server = await aboutServer(connection)
    // Not a wrong configuration for an instance: it is so for a short time during a failover.
    const isReadOnly = server.role === READ_ONLY
    const text = 'it is read-only, and every write fails: name the primary'
    return {
      findings: [
        ...findings,
        ...rights.map(each => wrong(each)),
        ...(isReadOnly ? [{ subject: name, kind: 'away', text } as const] : []),
      ],
      ...server,
    }
  } catch (error) {
    return { ...away, findings: [{ subject: name, kind: 'away', text: `it cannot be asked: ${reasonOf(error)}` }] }
  } finally {
    connection.destroy()
  }
}

async function schemaFindings(connection: Connection, list: 'global' | 'shard', release: string): Promise<string[]> {
  const { applied, pending } = await migrationStatusOn(connection, list)
  if (applied.length === 0) return ['its schema is missing: cartload migrate']
  if (pending.length > 0) return [`migrations are pending (${pending.join(', ')}): cartload migrate`]
  const oldest = (
    await rowsOf(connection, 'SELECT oldest_release FROM schema_release WHERE name = ?', ['schema'])
  )[0]?.['oldest_release'] as string | undefined
  if (oldest !== undefined && isOlder(release, oldest))
    return [`its schema is too new for this code: it needs release ${oldest} or newer, this is ${release}`]
  const [map] = list === 'shard' ? await rowsOf(connection, 'SELECT COUNT(*) AS slots FROM slots') : []
  return map && Number(map['slots']) === 0
    ? ['it owns no slots, and slots cannot be moved to an added shard yet: take it out of CARTLOAD_SHARDS']
    : []
}

/** A server that does not know a variable has another way for it, or none: then nothing is said. */
async function settingFindings(connection: Connection): Promise<string[]> {
  const value = async (variable: string): Promise<string | undefined> => {
    try {
      return String((await rowsOf(connection, `SELECT @@${variable} AS value`))[0]?.['value'])
    } catch (error) {
      if (errnoOf(error) === UNKNOWN_VARIABLE) return undefined
      throw error
    }
  }
  const found: string[] = []
  const flush = await value('innodb_flush_log_at_trx_commit')
  if (flush !== undefined && flush !== '1')
    found.push(`innodb_flush_log_at_trx_commit is ${flush}, and must be 1: an acknowledged write would not be on disk`)
  const snapshot = await value('innodb_snapshot_isolation')
  if (snapshot === '0') found.push('innodb_snapshot_isolation is OFF, and must be ON: updates would be lost')
  return found
}

/** Statements that change nothing and are refused where the right is missing; on a table that the application writes. */
const PROBES = {
  shard: {
    SELECT: 'SELECT state FROM leases WHERE 1 = 0',
    INSERT: "EXPLAIN INSERT INTO leases (name) VALUES ('')",
    UPDATE: "EXPLAIN UPDATE leases SET name = name WHERE name = ''",
    DELETE: "EXPLAIN DELETE FROM leases WHERE name = ''",
  },
  global: {
    SELECT: 'SELECT name FROM id_blocks WHERE 1 = 0',
    INSERT: "EXPLAIN INSERT INTO id_blocks (name) VALUES ('')",
    UPDATE: "EXPLAIN UPDATE id_blocks SET name = name WHERE name = ''",
    DELETE: "EXPLAIN DELETE FROM id_blocks WHERE name = ''",
  },
} as const

async function rightsFindings(connection: Connection, list: 'global' | 'shard', username: string): Promise<string[]> {
  const missing: string[] = []
  for (const [right, sql] of Object.entries(PROBES[list])) {
    try {
      await rowsOf(connection, sql)
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === undefined) throw error
      if (DENIED.has(errno)) missing.push(right)
    }
  }
  return missing.length === 0
    ? []
    : [`the account '${username}' has no right to ${missing.join(', ')}: cartload grants shows what it needs`]
}

async function aboutServer(connection: Connection): Promise<Pick<Check, 'version' | 'role' | 'clockMs'>> {
  const since = Date.now()
  const [row] = await rowsOf(
    connection,
    'SELECT VERSION() AS version, UNIX_TIMESTAMP(NOW(3)) AS seconds, @@read_only AS read_only',
  )
  const middle = (since + Date.now()) / 2
  const isReadOnly = Number(row?.['read_only']) !== 0
  return {
    version: nameOf(String(row?.['version'])),
    role: isReadOnly ? READ_ONLY : 'primary',
    clockMs: Number(row?.['seconds']) * 1000 - middle,
  }
}

/** MySQL says its number only. */
const nameOf = (version: string): string => (/mariadb/i.test(version) ? version : `MySQL ${version}`)

async function rowsOf(connection: Connection, sql: string, values: readonly string[] = []): Promise<RowDataPacket[]> {
  const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout: STATEMENT_MS_MAX }, [...values])
  return rows
}

function errnoOf(error: unknown): number | undefined {
  const errno = (error as { errno?: unknown }).errno
  return typeof errno === 'number' && errno > 0 ? errno : undefined
}

/** Connections that fail for several addresses at once have no message of their own. */
function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string }
  return message === undefined || message === '' ? (code ?? String(error)) : message
}
