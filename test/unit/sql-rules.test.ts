import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { declaredStatements } from '../../src/store/statement.ts'
import { statementsOf } from '../../src/store/migrate.ts'
import { PROJECT } from '../support/servers.ts'

// Every file that declares statements, also those that are not listed.
const STORE = join(PROJECT, 'src/store')
for (const file of readdirSync(STORE).filter(name => name.endsWith('.ts'))) await import(join(STORE, file))

/** Reads all SQL and checks that MariaDB, MySQL 8.4/9 and Vitess can run it, and that it stays on one shard. */
const FORBIDDEN: [RegExp, string][] = [
  [/\bAUTO_INCREMENT\b/i, 'AUTO_INCREMENT: ids come from id blocks'],
  [/\bFOREIGN KEY\b|\bREFERENCES\b/i, 'foreign keys'],
  [/\bREPLACE (INTO )?\w+ *\(/i, 'REPLACE'],
  [/\bRETURNING\b/i, 'RETURNING: MariaDB only'],
  [/\bAS new\b/i, 'AS new: MySQL only'],
  [
    /\bAS (now|date|time|order|group|key|rows?|index|limit|values|left|right)\b(?! *\()/i,
    'an alias that is a keyword: Vitess does not read it',
  ],
  [
    /^\/\* per shard \*\/.*\b\w+\([^()]*\b(MIN|MAX|SUM|COUNT|AVG)\(/i,
    'a function around an aggregate: Vitess cannot put it together from shards',
  ],
  [/\bLIMIT \?.*\S/i, 'LIMIT that is not the last value: it is to be bound as an integer'],
  [/\bFOR SHARE\b/i, 'FOR SHARE: a syntax error on MariaDB'],
  [/\bSKIP LOCKED\b|\bNOWAIT\b/i, 'SKIP LOCKED'],
  [/\bGET_LOCK\b/i, 'GET_LOCK'],
  [/\bXA\b/, 'XA'],
  [/\bCREATE (OR REPLACE )?(TRIGGER|PROCEDURE|FUNCTION|VIEW)\b/i, 'stored programs and views'],
  [/->>?/, 'the -> operator: use JSON functions'],
  [/utf8mb4_0900|uca1400/i, 'a collation of one server only'],
  [/\b(FROM|INTO|UPDATE|JOIN) +\w+\.\w+/i, 'a name qualified by a schema'],
]

/** First column of the primary key, which every WHERE must name. Tables of the global database are not sharded. */
const SHARD_KEYS: Readonly<Record<string, string>> = {
  slots: 'slot|shard',
  cache_mode: 'shard',
  catalog_floor: 'shard',
  logins: 'address',
  users: 'user_id',
  carts: 'user_id',
  cart_lines: 'user_id',
  cart_merges: 'user_id',
  idempotency: 'user_id',
  orders: 'user_id',
  refunds: 'user_id',
  restore_clock: 'name',
  leases: 'name',
  schema_release: 'name',
  stock: 'item',
  stock_buckets: 'item',
  stock_claims: 'item',
  stock_buyers: 'item',
  stock_ledger: 'item',
}
const GLOBAL_TABLES =
  'id_blocks catalog_state products sales rule_sets rule_activations operators shop_keys promotion_codes'.split(' ')

function problemsOf(sql: string): string[] {
  const problems = FORBIDDEN.filter(([pattern]) => pattern.test(sql)).map(([, what]) => what)
  const table = /\b(?:FROM|INTO|UPDATE) +(\w+)/i.exec(sql)?.[1] ?? ''
  if (GLOBAL_TABLES.includes(table)) return problems
  const key = SHARD_KEYS[table]
  if (key === undefined) return [...problems, `the table '${table}' is not known`]
  if (/^INSERT/i.test(sql)) {
    if (!new RegExp(`\\( *(${key}) *,`).test(sql)) problems.push(`INSERT does not name ${key} first`)
  } else if (!sql.startsWith('/* per shard */')) {
    const where = /\bWHERE\b(.*)$/i.exec(sql)?.[1] ?? ''
    if (!new RegExp(`\\b(${key}) *= *\\?`).test(where)) problems.push(`WHERE does not name ${key}`)
  }
  return problems
}

describe('the SQL', () => {
  const statements = declaredStatements()

  it('has been found at all', () => {
    expect(statements.length).to.be.above(40)
  })

  for (const sql of statements) {
    it(`keeps the rules: ${sql.slice(0, 70)}`, () => expect(problemsOf(sql)).to.deep.equal([]))
  }

  for (const list of ['shard', 'global'] as const) {
    const folder = join(PROJECT, 'src/store/migrations', list)
    for (const file of readdirSync(folder)) {
      for (const sql of statementsOf(readFileSync(join(folder, file), 'utf8'))) {
        const [, table, body] = /CREATE TABLE IF NOT EXISTS (\w+) \(([\s\S]*)\)/.exec(sql) ?? []
        it(`keeps the rules in ${list}/${file}: ${table ?? sql.slice(0, 40)}`, () => {
          expect(FORBIDDEN.filter(([pattern]) => pattern.test(sql)).map(([, what]) => what)).to.deep.equal([])
          if (!table || list === 'global') return
          const key = SHARD_KEYS[table]
          expect(body).to.match(new RegExp(`PRIMARY KEY \\((${key})\\b`))
          if (['cache_mode', 'catalog_floor', 'leases', 'restore_clock', 'schema_release'].includes(table)) return
          expect(body, 'slot is a stored column').to.match(/\bslot SMALLINT UNSIGNED NOT NULL/)
          if (table !== 'slots') expect(body, 'slot is indexed').to.match(/KEY \w+ \(slot\)/)
        })
      }
    }
  }

  it('is nowhere else: no file outside src/store holds a statement', () => {
    const files = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' }).filter(
      f => f.endsWith('.ts') && !f.startsWith('store'),
    )
    const holding = files.filter(file =>
      /['"`]\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM) \w+/.test(readFileSync(join(PROJECT, 'src', file), 'utf8')),
    )
    expect(holding).to.deep.equal([])
  })

  describe('that breaks a rule is caught:', () => {
    const planted: [string, string][] = [
      ['SELECT name FROM users WHERE email = ?', 'WHERE does not name user_id'],
      ['SELECT version FROM carts WHERE user_id = ? FOR SHARE', 'FOR SHARE'],
      ['SELECT version FROM carts WHERE user_id = ? FOR UPDATE SKIP LOCKED', 'SKIP LOCKED'],
      ['INSERT INTO carts (slot, user_id) VALUES (?, ?)', 'INSERT does not name user_id first'],
      ['INSERT INTO carts (user_id, slot) VALUES (?, ?) RETURNING version', 'RETURNING'],
      ['SELECT body->"$.a" FROM carts WHERE user_id = ?', '-> operator'],
      ['SELECT version FROM cartload.carts WHERE user_id = ?', 'qualified by a schema'],
      ['SELECT x FROM invoices WHERE user_id = ?', "'invoices' is not known"],
      ['INSERT INTO carts (user_id, slot) VALUES (?, ?) AS new ON DUPLICATE KEY UPDATE slot = new.slot', 'AS new'],
      ['DELETE FROM idempotency WHERE created_at < ?', 'WHERE does not name user_id'],
      ['SELECT UTC_TIMESTAMP(3) AS now FROM stock WHERE item = ?', 'an alias that is a keyword'],
      [
        '/* per shard */ SELECT TIMESTAMPDIFF(SECOND, MIN(look_at), UTC_TIMESTAMP(3)) AS age FROM stock_claims',
        'a function around an aggregate',
      ],
      ['SELECT item FROM stock WHERE item = ? LIMIT ? OFFSET ?', 'LIMIT that is not the last value'],
    ]
    for (const [sql, problem] of planted) it(problem, () => expect(problemsOf(sql).join('; ')).to.include(problem))
  })
})
