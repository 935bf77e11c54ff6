import { createConnection } from 'mysql2/promise'

/**
 * What a database server needs before `cartload migrate`: the database, the account of the application, and its rights. As statements with
 * placeholders, so that they can be run, or shown, to be run by hand.
 */
interface ProvisionStatement {
  readonly sql: string
  readonly values: readonly string[]
  /** For people: with names in place, passwords left out. */
  readonly shown: string
}

interface Provisioning {
  /** Address of the application: its account, password and database are what is made. */
  readonly url: string
  /** From where the account may connect, as MySQL writes it: `%`, `10.0.0.%`. */
  readonly from: string
}

const RIGHTS = 'SELECT, INSERT, UPDATE, DELETE'

export function provisionStatements({ url, from }: Provisioning): ProvisionStatement[] {
  const { user, password, database } = partsOf(url)
  const account = `'${user}'@'${from}'`
  return [
    {
      sql: 'CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
      values: [database],
      shown: `CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;`,
    },
    {
      sql: 'CREATE USER IF NOT EXISTS ?@? IDENTIFIED BY ?',
      values: [user, from, password],
      shown: `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '<password>';`,
    },
    {
      sql: `GRANT ${RIGHTS} ON ??.* TO ?@?`,
      values: [database, user, from],
      shown: `GRANT ${RIGHTS} ON \`${database}\`.* TO ${account};`,
    },
  ]
}

/** Runs them as another account of the same server. Idempotent. @throws Error of the server */
export async function provision(target: Provisioning, admin: { user: string; password: string }): Promise<void> {
  const address = new URL(target.url)
  const socketPath = address.searchParams.get('socketPath')
  const connection = await createConnection({
    host: address.hostname.replace(/^\[|\]$/g, ''),
    port: Number(address.port || 3306),
    ...(socketPath === null ? {} : { socketPath }),
    ...(address.searchParams.get('ssl') === 'true' ? { ssl: {} } : {}),
    user: admin.user,
    password: admin.password,
    connectTimeout: 5_000,
  })
  try {
    for (const { sql, values } of provisionStatements(target)) await connection.query(sql, [...values])
  } finally {
    await connection.end()
  }
}

function partsOf(url: string): { user: string; password: string; database: string } {
  const { username, password, pathname } = new URL(url)
  return {
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
  }
}
