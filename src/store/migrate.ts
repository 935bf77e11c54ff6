import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'
import { Umzug } from 'umzug'
import { AppError } from '../lib/errors.ts'
import { evenRanges, shardName, SLOTS } from '../sharding/slots.ts'

/**
 * Migrations: numbered SQL files, forward only, one list for the shards and one for the global database. Two processes
 * that migrate at once are kept apart by a locked row. Names of shards are `shard-0`, `shard-1`, …: what the slot map says.
 */
interface MigrationReport {
  readonly database: string
  readonly applied: readonly string[]
}

const FOLDER = join(import.meta.dirname, 'migrations')

export async function migrateGlobal(url: string): Promise<MigrationReport> {
  return withLockedDatabase(url, async connection => ({
    database: 'global',
    applied: await applyFiles(connection, 'global'),
  }))
}

/**
 * Migrates all shards, and on first use deals the slots out. A shard without slots beside shards that have them is refused:
 * dealing again would give slots two owners. A running installation grows by splitting a shard, not by adding an empty one.
 */
export async function migrateShards(urls: readonly string[]): Promise<MigrationReport[]> {
  const reports = await Promise.all(
    urls.map((url, index) =>
      withLockedDatabase(url, async connection => ({
        database: shardName(index),
        applied: await applyFiles(connection, 'shard'),
        slots: await countSlots(connection),
      })),
    ),
  )
  const empty = reports.filter(report => report.slots === 0)
  if (empty.length > 0 && empty.length < reports.length) {
    const names = empty.map(report => report.database).join(', ')
    throw new AppError(
      'unavailable',
      `${names}: a database without slots beside others that own them all. Slots cannot be moved to it yet: take it out of CARTLOAD_SHARDS.`,
    )
  }
  if (empty.length > 0) {
    await Promise.all(
      urls.map((url, index) =>
        withLockedDatabase(url, async connection => {
          if ((await countSlots(connection)) === 0) await claimSlots(connection, shardName(index), urls.length)
        }),
      ),
    )
  }
  return reports
}

async function countSlots(connection: Connection): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT COUNT(*) AS slots FROM slots')
  return Number(rows[0]?.['slots'])
}

/** Which files have been applied; for `cartload migrate --status`. */
export async function migrationStatus(
  url: string,
  list: 'global' | 'shard',
): Promise<{ applied: string[]; pending: string[] }> {
  const connection = await createConnection({ uri: url })
  try {
    return await migrationStatusOn(connection, list)
  } finally {
    await connection.end()
  }
}

/** `applied` has also what only newer code knows. */
export async function migrationStatusOn(
  connection: Connection,
  list: 'global' | 'shard',
): Promise<{ applied: string[]; pending: string[] }> {
  const umzug = umzugFor(connection, list)
  const [applied, pending] = [await appliedOn(connection), await umzug.pending()]
  return { applied, pending: pending.map(({ name }) => name) }
}

async function withLockedDatabase<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await createConnection({ uri: url })
  const lock = await createConnection({ uri: url }) // its own connection: every DDL statement commits
  try {
    await createBookkeeping(connection)
    await lock.query('SET SESSION innodb_lock_wait_timeout = 120')
    await lock.query('START TRANSACTION')
    await lock.query('SELECT name FROM migration_lock WHERE name = ? FOR UPDATE', ['migrations'])
    const result = await work(connection)
    await lock.query('COMMIT')
    return result
  } finally {
    await Promise.all([lock.end(), connection.end()])
  }
}

async function createBookkeeping(connection: Connection): Promise<void> {
  await connection.query(`CREATE TABLE IF NOT EXISTS migrations (
    name VARCHAR(100) NOT NULL, applied_at DATETIME(3) NOT NULL, PRIMARY KEY (name)) ENGINE = InnoDB`)
  await connection.query(
    'CREATE TABLE IF NOT EXISTS migration_lock (name VARCHAR(32) NOT NULL, PRIMARY KEY (name)) ENGINE = InnoDB',
  )
  await connection.query('INSERT INTO migration_lock (name) VALUES (?) ON DUPLICATE KEY UPDATE name = VALUES(name)', [
    'migrations',
  ])
}

async function applyFiles(connection: Connection, list: 'global' | 'shard'): Promise<string[]> {
  return (await umzugFor(connection, list).up()).map(migration => migration.name)
}

function umzugFor(connection: Connection, list: 'global' | 'shard'): Umzug<Connection> {
  const folder = join(FOLDER, list)
  return new Umzug({
    context: connection,
    logger: undefined,
    migrations: readdirSync(folder)
      .filter(file => file.endsWith('.sql'))
      .sort()
      .map(file => ({
        name: file,
        up: async () => {
          for (const sql of statementsOf(readFileSync(join(folder, file), 'utf8'))) await connection.query(sql)
        },
      })),
    storage: {
      executed: () => appliedOn(connection),
      async logMigration({ name }) {
        await connection.query('INSERT INTO migrations (name, applied_at) VALUES (?, UTC_TIMESTAMP(3))', [name])
      },
      async unlogMigration() {
        throw new Error('migrations go forward only')
      },
    },
  })
}

async function appliedOn(connection: Connection): Promise<string[]> {
  const [tables] = await connection.query<RowDataPacket[]>("SHOW TABLES LIKE 'migrations'")
  if (tables.length === 0) return []
  const [rows] = await connection.query<RowDataPacket[]>('SELECT name FROM migrations ORDER BY name')
  return rows.map(row => String(row['name']))
}

/** The statements of a migration file: each ends with a semicolon at the end of a line. */
export function statementsOf(text: string): string[] {
  return text
    .split(/;\s*$/m)
    .map(part => part.trim())
    .filter(part => part.length > 0)
}

async function claimSlots(connection: Connection, name: string, count: number): Promise<void> {
  const rows: (string | number)[][] = []
  for (const [owner, range] of evenRanges(count).entries()) {
    for (let slot = range.first; slot <= range.last; slot++) rows.push([slot, shardName(owner), 1, 'active'])
  }
  if (rows.length !== SLOTS) throw new Error(`${rows.length} slots were dealt out instead of ${SLOTS}`)
  await connection.query('START TRANSACTION')
  await connection.query('INSERT INTO slots (slot, shard, epoch, state) VALUES ?', [rows])
  await connection.query("INSERT INTO cache_mode (shard, epoch, state) VALUES (?, 1, 'on')", [name])
  await connection.query('INSERT INTO catalog_floor (shard, version) VALUES (?, 0)', [name])
  await connection.query('COMMIT')
}
