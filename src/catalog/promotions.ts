import { AppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { BUYER_GROUPS, type Promotion, type RuleSet, type Scope, STANDARD_DELIVERY } from '../model/promotion.ts'
import { checkRuleSet, type Mistake } from '../model/rule-set-check.ts'
import { catalogRows } from '../store/catalog.ts'
import { codeRows } from '../store/codes.ts'
import type { Database } from '../store/database.ts'
import { ruleSetRows, type StoredRuleSet } from '../store/rule-sets.ts'

/** What operators do with rule sets. A rule set is checked before it is stored, and stored before it is activated. */
export type Promotions = ReturnType<typeof createPromotions>

interface Checked {
  /** Undefined where there are mistakes. */
  readonly ruleSet?: RuleSet
  readonly mistakes: readonly Mistake[]
  /** Names that do not exist in the shop: a typing mistake, or something added later. */
  readonly warnings: readonly Mistake[]
}

interface PromotionsDeps {
  readonly global: Database
  readonly currency: string
}

/** Rule sets: checked, stored, put in force. Each function says what it throws. */
export function createPromotions(deps: PromotionsDeps) {
  const { global } = deps
  return {
    check: (document: unknown) => check(deps, document),
    /** @throws AppError `rules_invalid`, `rules_unconfirmed` */
    require: (document: unknown, isConfirmed: boolean) => require(deps, document, isConfirmed),

    /** Stores a rule set as a new version, not yet in force. @throws AppError `rules_invalid`, `rules_unconfirmed` */
    async put(document: unknown, note: string, isConfirmed = false): Promise<number> {
      return ruleSetRows.put(global, await require(deps, document, isConfirmed), note)
    },

    list: (limit: number): Promise<StoredRuleSet[]> => ruleSetRows.list(global, limit),
    /** @throws AppError `rules_not_found` */
    load: (version: number) => ruleSetRows.load(global, version),

    /**
     * Puts a version in force at a time, at once without one. Times that are past are refused: carts have shown prices since.
     * @throws AppError `rules_not_found`, `rules_invalid`, `rules_unconfirmed`, `invalid_request`
     */
    async activate(
      version: number,
      at: Date | undefined,
      isConfirmed = false,
    ): Promise<{ version: number; activeFrom: string }> {
      const from = at ?? new Date()
      if (at && at.getTime() < Date.now() - FIXED.clockSkewMs) {
        const detail = 'must not be in the past'
        throw new AppError('invalid_request', `at ${detail}`, { errors: [{ in: 'body', pointer: '#/at', detail }] })
      }
      await require(deps, await ruleSetRows.load(global, version), isConfirmed)
      await ruleSetRows.activate(global, version, from)
      return { version, activeFrom: from.toISOString() }
    },
  }
}

/** Every mistake of a document and what is doubtful about it, or the rule set. */
async function check(deps: PromotionsDeps, document: unknown): Promise<Checked> {
  const { currency } = deps
  const checked = checkRuleSet(document)
  if ('mistakes' in checked) return { ...checked, warnings: [] }
  const { ruleSet } = checked
  const ofCurrency =
    ruleSet.currency === currency
      ? []
      : [{ path: '/currency', detail: `must be ${currency}, the currency of this shop` }]
  const [gifts, warnings] = await Promise.all([unknownGifts(deps, ruleSet), unknownNames(deps, ruleSet)])
  const mistakes = [...ofCurrency, ...gifts]
  return mistakes.length > 0 ? { mistakes, warnings } : { ruleSet, mistakes, warnings }
}

/** A gift is a product of the catalogue, or it could be promised and never sent. */
async function unknownGifts({ global }: PromotionsDeps, { promotions }: RuleSet): Promise<Mistake[]> {
  const found = await Promise.all(
    promotions.map(async (promotion, at) => {
      if (promotion.kind !== 'gift' || (await catalogRows.find(global, promotion.sku))) return []
      return [{ path: `/promotions/${at}/sku`, detail: `there is no product '${promotion.sku}' on sale` }]
    }),
  )
  return found.flat()
}

/** Categories, buyer groups, code pools and delivery methods that the rule set names and that do not exist. */
async function unknownNames({ global }: PromotionsDeps, ruleSet: RuleSet): Promise<Mistake[]> {
  const named = ruleSet.promotions.flatMap((promotion, at) => namesOf(promotion, `/promotions/${at}`))
  const categories = [...new Set(named.flatMap(({ what, name }) => (what === 'category' ? [name] : [])))]
  const pools = [...new Set(named.flatMap(({ what, name }) => (what === 'pool of codes' ? [name] : [])))]
  const [knownCategories, knownPools] = await Promise.all([
    catalogRows.knownCategories(global, categories),
    Promise.all(pools.map(async pool => ((await codeRows.count(global, pool)) > 0 ? [pool] : []))),
  ])
  const known = {
    category: new Set(knownCategories),
    'buyer group': new Set(BUYER_GROUPS),
    'pool of codes': new Set(knownPools.flat()),
    'way of delivery': new Set([STANDARD_DELIVERY]),
  }
  return named.flatMap(({ what, name, path }) =>
    known[what].has(name) ? [] : [{ path, detail: `there is no ${what} '${name}'` }],
  )
}

/** @throws AppError `rules_invalid` naming every mistake, `rules_unconfirmed` naming what is doubtful */
async function require(deps: PromotionsDeps, document: unknown, isConfirmed: boolean): Promise<RuleSet> {
  const { ruleSet, mistakes, warnings } = await check(deps, document)
  if (!ruleSet) throw refused('rules_invalid', 'has mistakes', mistakes)
  if (warnings.length > 0 && !isConfirmed)
    throw refused(
      'rules_unconfirmed',
      'names what does not exist; if that is meant, say so with confirm (--confirm)',
      warnings,
    )
  return ruleSet
}

interface Named {
  readonly what: 'category' | 'buyer group' | 'pool of codes' | 'way of delivery'
  readonly name: string
  readonly path: string
}

/** What a promotion needs to exist. What it leaves out need not. */
function namesOf(promotion: Promotion, path: string): Named[] {
  const { scope, when, codePool } = promotion
  const ofScope = (of: Scope | undefined, at: string): Named[] =>
    (of?.categories ?? []).map((name, index) => ({
      what: 'category',
      name,
      path: `${path}${at}/categories/${index}`,
    }))
  const items = promotion.kind === 'bundle' ? promotion.items : []
  return [
    ...ofScope(scope, '/scope'),
    ...ofScope(when?.of, '/when/of'),
    ...ofScope(when?.contains?.scope, '/when/contains/scope'),
    ...(promotion.kind === 'buy_get'
      ? [...ofScope(promotion.buy.scope, '/buy/scope'), ...ofScope(promotion.get.scope, '/get/scope')]
      : []),
    ...items.flatMap((item, index) => ofScope(item.scope, `/items/${index}/scope`)),
    ...(when?.buyerGroups ?? []).map(
      (name, index): Named => ({ what: 'buyer group', name, path: `${path}/when/buyerGroups/${index}` }),
    ),
    ...(when?.shippingMethods ?? []).map(
      (name, index): Named => ({ what: 'way of delivery', name, path: `${path}/when/shippingMethods/${index}` }),
    ),
    ...(codePool === undefined ? [] : [{ what: 'pool of codes' as const, name: codePool, path: `${path}/codePool` }]),
  ]
}

function refused(code: 'rules_invalid' | 'rules_unconfirmed', why: string, found: readonly Mistake[]): AppError {
  return new AppError(code, `The rule set ${why} (${found.length}); nothing was changed.`, {
    errors: found.map(({ path, detail }) => ({ in: 'body', pointer: `#/ruleSet${path}`, detail })),
  })
}
