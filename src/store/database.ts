import { promisify } from 'node:util'
import mysql, { type Pool, type PoolConnection, type ResultSetHeader, type RowDataPacket, raw } from 'mysql2'
import { createBreaker } from '../lib/circuit-breaker.ts'
import { createTimeoutQueue } from '../lib/timeout-queue.ts'
import { AppError, isAppError, unavailable } from '../lib/errors.ts'
import { createBulkhead } from '../lib/bulkhead.ts'
import { FIXED, type Limits } from '../model/limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { watchOutages } from '../telemetry/outages.ts'
import { createMysqlPool } from './mysql-pool.ts'
import { isLimited, RowLimit } from './statement.ts'

/**
 * One MySQL or MariaDB database behind a bounded pool, a breaker and time limits. A transaction that the server ended for
 * a reason that lies in timing alone (deadlock, changed snapshot) is run again from its start, a few times.
 */
export interface Database {
  readonly name: string
  /** True from a write that found the disk full until one that did not. */
  isFull(): boolean
  /** One statement outside a transaction. @throws AppError `unavailable`, `overloaded` */
  rows<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  run(sql: string, values?: readonly unknown[]): Promise<number>
  /** Like `rows`, but not behind the gate: for the few background statements that must go on under load. */
  background<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  /**
   * Runs `work` in a transaction and commits; it may run several times.
   * @throws AppError `unavailable`, `overloaded`, `outcome_unknown` (the connection died during COMMIT), or what work throws
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  ping(): Promise<void>
  close(): Promise<void>
}

export interface Transaction {
  rows<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  run(sql: string, values?: readonly unknown[]): Promise<number>
  /** Several statements in one way to the server, which stops at the first that fails. */
  batch(statements: readonly Statement[]): Promise<readonly Outcome[]>
}

export interface Statement {
  readonly sql: string
  readonly values: readonly unknown[]
}

/** The rows of a SELECT; of others how many were affected. */
export interface Outcome {
  readonly rows: readonly unknown[]
  readonly affected: number
}

/** A unique key was there already. `errno` 1062 on every server of the family. */
export class DuplicateKeyError extends Error {
  override readonly name = 'DuplicateKeyError'
}

/** A lock was not had within the lock wait limit. */
export class LockWaitError extends Error {
  override readonly name = 'LockWaitError'
}

/** The server's clock, as a value in a list of rows. */
export const NOW: unknown = raw('UTC_TIMESTAMP(3)')

const ERRNO = {
  duplicate: 1062,
  lockWait: 1205,
  deadlock: 1213,
  changedSinceRead: 1020,
} as const

/** What the server ends for reasons of timing: the whole transaction may be run again, after a short random wait. */
const RUN_AGAIN: ReadonlyMap<number, { waitMsMax: number }> = new Map([
  [ERRNO.deadlock, { waitMsMax: 10 }],
  [ERRNO.changedSinceRead, { waitMsMax: 5 }],
])

/** The disk is full, or a table cannot grow: reads go on, so this is no reason to leave the server alone. 1030 says which error it had: 28. */
const FULL = new Set([1021, 1026, 1114])
const isFullError = (error: unknown): boolean => {
  const errno = errnoOf(error)
  if (errno === 1030) return /\berror (28|122|27)\b/.test((error as Error).message)
  return errno !== undefined && FULL.has(errno)
}

/** Answers that mean the server is going away or full, rather than that the statement was wrong. */
const ILL = new Set([1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1290, 1836, 1927, 3169, 4031])

interface DatabaseOptions {
  readonly name: string
  readonly url: string
  readonly limits: Limits
}

/** `Database` says what its functions throw. */
export function openDatabase(options: DatabaseOptions, metrics: Metrics, log: Log): Database {
  const { name, limits } = options
  const pool = createMysqlPool(options, log, [])
  // Here a transaction begins with its first statement: one way to the server less for each. And a batch goes in one.
  const transactions = createMysqlPool(options, log, ['SET SESSION autocommit = 0'], { multipleStatements: true })
  const breaker = createBreaker({
    name,
    failuresToOpen: FIXED.breakerFailures,
    openMs: FIXED.breakerOpenMs,
    isFailure: isIll,
    watch: watchOutages(name, metrics, log),
  })
  const waits = metrics.poolWaits.labels({ pool: name })
  const gate = createBulkhead(
    {
      name,
      concurrencyMax: limits.mysqlConnectionsMax,
      queueMax: limits.mysqlQueueMax,
      waitMsMax: limits.mysqlWaitMsMax,
    },
    waitedMs => waits.observe(waitedMs / 1000),
  )
  const timer = metrics.statements.labels({ shard: name })

  const deadlines = createTimeoutQueue(limits.statementMsMax)
  let isFull = false

  /**
   * Every statement has the same limit, whatever it waits for (preparing, a lock, a server that has stopped answering): a
   * connection that missed it is closed: its late answers would be taken for those of other statements.
   */
  function send<R extends RowDataPacket[] | ResultSetHeader | Many>(
    connection: PoolConnection,
    sql: string,
    values: readonly unknown[],
    isBatch = false,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      const since = performance.now()
      const waiting = deadlines.begin(error => {
        connection.destroy()
        reject(new StatementTimeout(error.message))
      })
      const done = (error: Error | null, result: R) => {
        if (!waiting.end()) return
        timer.observe((performance.now() - since) / 1000)
        if (error) reject(error)
        else resolve(result)
      }
      if (isLimited(sql) && !(values.at(-1) instanceof RowLimit)) throw new Error(`the LIMIT is no RowLimit: ${sql}`)
      // A list among the values is spread into the text by the driver, which prepared statements cannot do.
      if (CONTROL.has(sql) || isBatch || values.some(Array.isArray)) connection.query<R>(sql, values.map(inText), done)
      else connection.execute<R>(sql, values.map(prepared) as string[], done)
    })
  }

  /** One statement on a connection of its own. */
  async function single<R extends RowDataPacket[] | ResultSetHeader>(
    sql: string,
    values: readonly unknown[],
  ): Promise<R> {
    const connection = await connectionOf(pool)
    try {
      const result = await send<R>(connection, sql, values)
      connection.release()
      return result
    } catch (error) {
      if (isIll(error)) connection.destroy()
      else connection.release()
      throw error
    }
  }

  function guarded<T>(work: () => Promise<T>): Promise<T> {
    return breaker.run(work).catch(error => {
      if (isFullError(error)) isFull = true
      throw translate(name, error)
    })
  }

  /** Work inside a transaction may want to know what was refused; lost connections stay what they are for the breaker. */
  function named<T>(result: Promise<T>): Promise<T> {
    return result.catch(error => {
      throw isIll(error) || isFullError(error) ? error : translate(name, error)
    })
  }

  async function once<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const connection = await connectionOf(transactions)
    let usable = true
    let committing = false
    let hasWritten = false
    const tx: Transaction = {
      rows: async <Row>(sql: string, values: readonly unknown[] = []) =>
        (await named(send<RowDataPacket[]>(connection, sql, values))) as Row[],
      async run(sql, values = []) {
        const { affectedRows } = await named(send<ResultSetHeader>(connection, sql, values))
        hasWritten = true
        return affectedRows
      },
      async batch(statements) {
        const sql = statements.map(statement => statement.sql).join(';')
        const values = statements.flatMap(statement => statement.values)
        const answer = await named(send<Many>(connection, sql, values, true))
        const results = statements.length === 1 ? [answer] : answer // the driver's way
        return results.map(result =>
          Array.isArray(result) ? { rows: result, affected: 0 } : { rows: [], affected: result.affectedRows },
        )
      },
    }
    try {
      const result = await work(tx)
      committing = true
      await send(connection, 'COMMIT', [])
      if (hasWritten) isFull = false
      return result
    } catch (error) {
      usable = !isIll(error)
      if (committing && !usable) {
        const text = 'The database was lost while it committed: the change may or may not have happened.'
        throw new AppError('outcome_unknown', text, { retryAfterS: 1, cause: error })
      }
      if (usable) {
        await send(connection, 'ROLLBACK', []).catch(() => {
          usable = false
        })
      }
      throw error
    } finally {
      if (usable) connection.release()
      else connection.destroy()
    }
  }

  return {
    name,
    rows: <Row>(sql: string, values: readonly unknown[] = []) =>
      guarded(() => gate.run(async () => (await single<RowDataPacket[]>(sql, values)) as Row[])),
    run: (sql, values = []) =>
      guarded(() => gate.run(async () => (await single<ResultSetHeader>(sql, values)).affectedRows)),
    background: <Row>(sql: string, values: readonly unknown[] = []) =>
      guarded(async () => (await single<RowDataPacket[]>(sql, values)) as Row[]),
    async transaction(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await guarded(() => gate.run(() => once(work)))
        } catch (error) {
          const again = error instanceof RetryableTransaction ? RUN_AGAIN.get(error.errno) : undefined
          if (!again) throw error
          if (attempt >= FIXED.transactionAttemptsMax) {
            throw new AppError('overloaded', 'Too many changes at once to the same rows.', {
              retryAfterS: 1,
              cause: error,
            })
          }
          await new Promise(resolve => setTimeout(resolve, Math.random() * again.waitMsMax * attempt))
        }
      }
    },
    isFull: () => isFull,
    ping: async () => void (await guarded(() => single('SELECT 1 FROM DUAL', []))),
    close: async () => void (await Promise.all([pool, transactions].map(each => promisify(each.end.bind(each))()))),
  }
}

function connectionOf(pool: Pool): Promise<PoolConnection> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) reject(error)
      else resolve(connection)
    })
  })
}

/** Results of a batch. */
type Many = RowDataPacket[][] | ResultSetHeader[]

const inText = (value: unknown): unknown => (value instanceof RowLimit ? value.rows : value)
/** As a number it would go as DOUBLE. */
const prepared = (value: unknown): unknown =>
  value instanceof RowLimit ? mysql.TypedParameter.LONGLONG(value.rows) : value

/** Not to be prepared. */
const CONTROL = new Set(['COMMIT', 'ROLLBACK'])

class StatementTimeout extends Error {
  readonly fatal = true
}

class RetryableTransaction extends Error {
  readonly errno: number

  constructor(errno: number, cause: unknown) {
    super('the transaction may be run again', { cause })
    this.errno = errno
  }
}

function errnoOf(error: unknown): number | undefined {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? error.errno : undefined
}

/** Lost and refused connections, time-outs, and a server that is full or stopping. */
function isIll(error: unknown): boolean {
  if (!(error instanceof Error) || isAppError(error)) return false
  if ('fatal' in error && error.fatal === true) return true
  const errno = errnoOf(error)
  if (errno !== undefined && ILL.has(errno)) return true
  return 'code' in error && typeof error.code === 'string' && /^(PROTOCOL_|E[A-Z]+$|ER_CON_COUNT)/.test(error.code)
}

function translate(database: string, error: unknown): unknown {
  if (isAppError(error)) return error
  const errno = errnoOf(error)
  if (errno === ERRNO.duplicate) return new DuplicateKeyError('duplicate key', { cause: error })
  if (errno === ERRNO.lockWait) return new LockWaitError('lock wait', { cause: error })
  if (errno !== undefined && RUN_AGAIN.has(errno)) return new RetryableTransaction(errno, error)
  if (isIll(error) || isFullError(error)) return unavailable(database, error)
  if (error instanceof Error && error.message === 'Queue limit reached.') return unavailable(database, error)
  return error
}
