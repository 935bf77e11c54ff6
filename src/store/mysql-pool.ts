// The interface with callbacks: the one with promises records a stack for every statement (docs/performance.md).
import { createPool, type Pool, type PoolOptions } from 'mysql2'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Log } from '../telemetry/log.ts'

const UNKNOWN_VARIABLE = 1193

/** Connections as everything here expects them. `more` is set on each, after what is set on all. */
export function createMysqlPool(
  { url, limits, name }: { readonly url: string; readonly limits: Limits; readonly name: string },
  log: Log,
  more: readonly string[],
  options: PoolOptions = {},
): Pool {
  const address = new URL(url)
  const socketPath = address.searchParams.get('socketPath')
  const pool = createPool({
    host: address.hostname.replace(/^\[|\]$/g, ''),
    port: Number(address.port || 3306),
    ...(socketPath === null ? {} : { socketPath }), // a server on this machine; host and port then only name it
    user: decodeURIComponent(address.username),
    password: decodeURIComponent(address.password),
    database: decodeURIComponent(address.pathname.slice(1)),
    ...(address.searchParams.get('ssl') === 'true' ? { ssl: {} } : {}),
    connectionLimit: limits.mysqlConnectionsMax + 2, // two more than the gate lets in: background statements always find one
    queueLimit: limits.mysqlConnectionsMax + 2,
    connectTimeout: FIXED.mysqlConnectMsMax,
    maxPreparedStatements: FIXED.preparedStatementsMax,
    stringifyObjects: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
    jsonStrings: true,
    timezone: 'Z',
    charset: 'utf8mb4',
    ...options,
  })
  pool.on('connection', connection => {
    // Queued before whatever the borrower sends. A server that lacks a variable says so with 1193; that is all right.
    for (const set of [...SESSION, ...more]) {
      connection.query(set, error => {
        if (error && error.errno !== UNKNOWN_VARIABLE)
          log.warn({ database: name, err: error }, 'a session setting was refused')
      })
    }
  })
  return pool
}

const SESSION = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION innodb_lock_wait_timeout = ${FIXED.lockWaitS}, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', time_zone = '+00:00'`,
  // MariaDB's own: a process that was stopped in the middle of a transaction must not hold its locks for long.
  `SET SESSION idle_write_transaction_timeout = ${FIXED.idleTransactionS}, idle_transaction_timeout = ${FIXED.idleTransactionS}`,
]
