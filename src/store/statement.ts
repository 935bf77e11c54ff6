/**
 * All SQL is constant text, declared through `statement`. The rule test (test/unit/sql-rules.test.ts) walks this list and
 * checks that the same text runs on MariaDB, MySQL and Vitess, and that every statement names its shard key first.
 */
const declared: string[] = []
const limited = new Set<string>()

export function statement(sql: string): string {
  const text = sql.replace(/\s+/g, ' ').trim()
  declared.push(text)
  if (/\bLIMIT \?$/.test(text)) limited.add(text)
  return text
}

/** The value of a LIMIT, which is sent as an integer: MariaDB and MySQL take text there, Vitess does not. */
export class RowLimit {
  readonly rows: number

  constructor(rows: number) {
    this.rows = rows
  }
}

export const limitTo = (rows: number): RowLimit => new RowLimit(rows)

/** True for a statement whose last value is that of a LIMIT. */
export const isLimited = (sql: string): boolean => limited.has(sql)

export function declaredStatements(): readonly string[] {
  return declared
}
