import type { RuleSet } from '../model/promotion.ts'
import type { Rules } from './price.ts'
import { compileRules } from './engine/rules.ts'

/**
 * Rules as threads share them: a SharedArrayBuffer of packed text, made once per version and passed by reference with every task. A thread
 * unpacks it when it meets a version that it does not have yet.
 */
export interface RulesSnapshot {
  readonly version: number
  readonly stamp: number
  readonly bytes: SharedArrayBuffer
}

export function packRules(version: number, stamp: number, ruleSet: RuleSet): RulesSnapshot {
  const packed = Buffer.from(JSON.stringify(ruleSet), 'utf8')
  const bytes = new SharedArrayBuffer(packed.length)
  Buffer.from(bytes).set(packed)
  return { version, stamp, bytes }
}

export function unpackRules({ version, stamp, bytes }: RulesSnapshot): Omit<Rules, 'usage'> {
  const ruleSet = JSON.parse(Buffer.from(bytes).toString('utf8')) as RuleSet
  return { version, stamp, compiled: compileRules(ruleSet) }
}
