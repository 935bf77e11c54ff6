/**
 * All SQL is constant text, declared through `statement`. The rule test (test/unit/sql-rules.test.ts) walks this list and
 * checks that the same text runs on MariaDB, MySQL and Vitess, and that every statement names its shard key first.
 */
const declared: string[] = []

export function statement(sql: string): string {
  const text = sql.replace(/\s+/g, ' ').trim()
  declared.push(text)
  return text
}

export function declaredStatements(): readonly string[] {
  return declared
}
