import { type RuleSet } from '../model/promotion.ts'
import { checkRuleSet } from '../model/rule-set-check.ts'
import { AppError } from '../lib/errors.ts'
import type { Database, Transaction } from './database.ts'
import { limitTo, statement } from './statement.ts'
import { isoTime, sqlTime } from './time.ts'

/**
 * Rule sets, in the global database: every version is kept for ever; an activation says from when on a version is in force.
 * In force at a time is the version of the newest activation among those that have begun latest.
 */
export interface StoredRuleSet {
  readonly version: number
  readonly note: string
  readonly createdAt: string
  /** When it was or will be in force from, newest first; empty when it never was. */
  readonly activeFrom: readonly string[]
}

interface Activation {
  readonly version: number
  /** ms since 1970. */
  readonly fromMs: number
}

const LOCK_COUNTER = statement('SELECT version FROM catalog_state WHERE name = ? FOR UPDATE')
const SET_COUNTER = statement('UPDATE catalog_state SET version = ? WHERE name = ?')
const INSERT_RULES = statement(
  'INSERT INTO rule_sets (version, document, note, created_at) VALUES (?, ?, ?, UTC_TIMESTAMP(3))',
)
const SELECT_RULES = statement('SELECT document FROM rule_sets WHERE version = ?')
const LIST_RULES = statement('SELECT version, note, created_at FROM rule_sets ORDER BY version DESC LIMIT ?')
const INSERT_ACTIVATION = statement(
  'INSERT INTO rule_activations (number, version, active_from, created_at) VALUES (?, ?, ?, UTC_TIMESTAMP(3))',
)
const SELECT_ACTIVE = statement(
  'SELECT version, active_from FROM rule_activations WHERE active_from <= ? ORDER BY active_from DESC, number DESC LIMIT 1',
)
const LIST_ACTIVATIONS = statement(
  'SELECT version, active_from FROM rule_activations ORDER BY active_from DESC, number DESC LIMIT ?',
)

export const ruleSetRows = {
  /** Stores a checked rule set as a new version; it is not in force before it is activated. */
  async put(global: Database, ruleSet: RuleSet, note: string): Promise<number> {
    return global.transaction(async tx => {
      const version = await nextOf(tx, 'rules')
      await tx.run(INSERT_RULES, [version, JSON.stringify(ruleSet), note])
      return version
    })
  },

  /** @throws AppError `rules_not_found` */
  async load(global: Database, version: number): Promise<RuleSet> {
    const [row] = await global.rows<{ document: string }>(SELECT_RULES, [version])
    if (!row) throw notFound(version)
    const checked = checkRuleSet(JSON.parse(row.document))
    if ('ruleSet' in checked) return checked.ruleSet
    throw new Error(`rule set ${version} is stored, but not valid: ${checked.mistakes[0]?.path ?? ''}`)
  },

  /** Puts a version in force from a time on. @throws AppError `rules_not_found` */
  async activate(global: Database, version: number, from: Date): Promise<void> {
    await global.transaction(async tx => {
      const [row] = await tx.rows(SELECT_RULES, [version])
      if (!row) throw notFound(version)
      await tx.run(INSERT_ACTIVATION, [await nextOf(tx, 'activations'), version, sqlTime(from.getTime())])
    })
  },

  /** What is in force at a time; undefined before the first activation. */
  async active(global: Database, at: Date): Promise<Activation | undefined> {
    const [row] = await global.background<{ version: string; active_from: string }>(SELECT_ACTIVE, [
      sqlTime(at.getTime()),
    ])
    return row && { version: Number(row.version), fromMs: readTime(row.active_from).getTime() }
  },

  async list(global: Database, limit: number): Promise<StoredRuleSet[]> {
    const sets = await global.rows<{ version: string; note: string; created_at: string }>(LIST_RULES, [limitTo(limit)])
    const activations = await global.rows<{ version: string; active_from: string }>(LIST_ACTIVATIONS, [
      limitTo(limit * 4),
    ])
    return sets.map(({ version, note, created_at }) => ({
      version: Number(version),
      note,
      createdAt: readTime(created_at).toISOString(),
      activeFrom: activations
        .filter(activation => activation.version === version)
        .map(activation => readTime(activation.active_from).toISOString()),
    }))
  },
}

async function nextOf(tx: Transaction, counter: string): Promise<number> {
  const [row] = await tx.rows<{ version: string }>(LOCK_COUNTER, [counter])
  const next = Number(row?.version ?? 0) + 1
  await tx.run(SET_COUNTER, [next, counter])
  return next
}

const readTime = (text: string) => new Date(isoTime(text))

function notFound(version: number): AppError {
  return new AppError('rules_not_found', `There is no rule set with version ${version}.`, { extra: { version } })
}
