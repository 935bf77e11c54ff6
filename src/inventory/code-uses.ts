import { codeForm } from '../model/code.ts'
import { codeItemOf } from '../model/order.ts'
import { hasManyCodes } from '../model/promotion.ts'
import { type CodeFacts, formsOf } from '../pricing/engine/codes.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import { codeRows } from '../store/codes.ts'
import type { Database } from '../store/database.ts'
import type { Stock } from './inventory.ts'

/**
 * What is known of codes of promotions that have many: the pool of a code (one indexed read in the global database), and how often it
 * was used, which is counted like stock, in the shard of the code. Nothing is remembered: a code is asked for when a cart with
 * it is priced, and no more than ten are in a cart.
 */
export function createCodes(deps: {
  global: Database
  stock: Pick<Stock, 'levels'>
  pricing: Pick<Pricing, 'ruleSet'>
}) {
  const { global, stock, pricing } = deps

  async function factsOf(codes: readonly string[]): Promise<CodeFacts> {
    const promotions = pricing.ruleSet().promotions.filter(hasManyCodes)
    const forms = [...new Set(codes.map(codeForm))]
    const isListed = (form: string) => promotions.some(one => one.codes && formsOf(one.codes).has(form))
    const asksPools = promotions.some(one => one.codePool !== undefined)
    const pooled = asksPools ? await codeRows.find(global, forms) : new Map()
    const facts = await Promise.all(
      forms.map(async form => {
        const pool = pooled.get(form)?.pool
        if (pool === undefined && !isListed(form)) return []
        const levels = await stock.levels(codeItemOf(form))
        const uses = levels ? levels.held + levels.sold : 0
        return [[form, pool === undefined ? { uses } : { pool, uses }] as const]
      }),
    )
    return Object.fromEntries(facts.flat())
  }

  return {
    factsOf,

    /** The code as the shop wrote it; as it was typed where no promotion or pool has it. */
    async asWritten(code: string): Promise<string> {
      const form = codeForm(code)
      const { promotions } = pricing.ruleSet()
      const lists = promotions.flatMap(({ code: own, codes = [] }) => (own === undefined ? [codes] : [[own]]))
      const known = lists.find(list => formsOf(list).has(form))?.find(one => codeForm(one) === form)
      if (known !== undefined || promotions.every(one => one.codePool === undefined)) return known ?? code
      return (await codeRows.find(global, [form])).get(form)?.written ?? code
    },
  }
}

export type Codes = ReturnType<typeof createCodes>
