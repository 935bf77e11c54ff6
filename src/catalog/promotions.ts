import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { type RuleSet } from '../model/promotion.ts'
import { checkRuleSet, type Mistake } from '../model/rule-set-check.ts'
import { catalogRows } from '../store/catalog.ts'
import type { Database } from '../store/database.ts'
import { ruleSetRows, type StoredRuleSet } from '../store/rule-sets.ts'

/** What operators do with rule sets. A rule set is checked before it is stored, and stored before it is activated. */
export type Promotions = ReturnType<typeof createPromotions>

export function createPromotions(global: Database, currency: string) {
  /** Every mistake of a document, or the rule set. */
  async function check(document: unknown): Promise<{ ruleSet?: RuleSet; mistakes: readonly Mistake[] }> {
    const checked = checkRuleSet(document)
    if ('mistakes' in checked) return checked
    const { ruleSet } = checked
    if (ruleSet.currency !== currency)
      return { mistakes: [{ path: '/currency', detail: `must be ${currency}, the currency of this shop` }] }
    const mistakes = await unknownGifts(ruleSet)
    return mistakes.length > 0 ? { mistakes } : { ruleSet, mistakes }
  }

  /** A gift is a product of the catalogue, or it could be promised and never sent. */
  async function unknownGifts({ promotions }: RuleSet): Promise<Mistake[]> {
    const found = await Promise.all(
      promotions.map(async (promotion, at) => {
        if (promotion.kind !== 'gift' || (await catalogRows.find(global, promotion.sku))) return []
        return [{ path: `/promotions/${at}/sku`, detail: `there is no product '${promotion.sku}' on sale` }]
      }),
    )
    return found.flat()
  }

  return {
    check,

    /** Stores a rule set as a new version, not yet in force. @throws AppError `rules_invalid` naming every mistake */
    async put(document: unknown, note: string): Promise<number> {
      const { ruleSet, mistakes } = await check(document)
      if (ruleSet) return ruleSetRows.put(global, ruleSet, note)
      throw invalidRules(mistakes)
    },

    list: (limit: number): Promise<StoredRuleSet[]> => ruleSetRows.list(global, limit),
    /** @throws AppError `rules_not_found` */
    load: (version: number) => ruleSetRows.load(global, version),

    /**
     * Puts a version in force at a time, at once without one. Times that are past are refused: carts have shown prices since.
     * @throws AppError `rules_not_found`, `invalid_request`
     */
    async activate(version: number, at: Date | undefined): Promise<{ version: number; activeFrom: string }> {
      const from = at ?? new Date()
      if (at && at.getTime() < Date.now() - FIXED.clockSkewMs) {
        const detail = 'must not be in the past'
        throw new AppError('invalid_request', `at ${detail}`, { errors: [{ in: 'body', pointer: '#/at', detail }] })
      }
      const mistakes = await unknownGifts(await ruleSetRows.load(global, version))
      if (mistakes.length > 0) throw invalidRules(mistakes)
      await ruleSetRows.activate(global, version, from)
      return { version, activeFrom: from.toISOString() }
    },
  }
}

function invalidRules(mistakes: readonly Mistake[]): AppError {
  return new AppError('rules_invalid', `The rule set has ${mistakes.length} mistakes; nothing was changed.`, {
    errors: mistakes.map(({ path, detail }) => ({ in: 'body', pointer: `#/ruleSet${path}`, detail })),
  })
}
