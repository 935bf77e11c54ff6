import type { z } from 'zod'
import { codeForm } from './code.ts'
import { FIXED } from './limits.ts'
import {
  hasManyCodes,
  choosesUnits,
  defaultStage,
  type Policy,
  type Promotion,
  policySchema,
  promotionSchema,
  type RuleSet,
  ruleSetSchema,
  worksByLine,
} from './promotion.ts'

/** One thing wrong with a rule set: `path` is a JSON pointer into the document. */
export interface Mistake {
  readonly path: string
  readonly detail: string
}

type CheckedRuleSet = { readonly ruleSet: RuleSet } | { readonly mistakes: readonly Mistake[] }

/** Reads a rule set; everything that is wrong with it is named, not only the first mistake. */
export function checkRuleSet(document: unknown): CheckedRuleSet {
  const read = ruleSetSchema.safeParse(document)
  // The meaning of what could be read is checked even where another part could not, so that all mistakes come at once.
  const mistakes = read.success ? [] : read.error.issues.flatMap(issue => mistakesOf(issue, []))
  const found = [...mistakes, ...contradictionsOf(read.success ? read.data : readableParts(document))]
  if (read.success && found.length === 0) return { ruleSet: read.data }
  return { mistakes: found }
}

function mistakesOf(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): Mistake[] {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ path: pointerTo([...path, key]), detail: 'is not a known field' }))
  }
  return [{ path: pointerTo(path), detail: issue.message }]
}

function pointerTo(path: readonly PropertyKey[]): string {
  return path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

interface Readable {
  readonly groups: RuleSet['groups']
  readonly policy: Policy
  readonly promotions: readonly (Promotion | undefined)[]
}

function readableParts(document: unknown): Readable {
  const parts = (typeof document === 'object' && document !== null ? document : {}) as Record<string, unknown>
  const list = Array.isArray(parts['promotions']) ? parts['promotions'].slice(0, FIXED.promotionsMax) : []
  return {
    groups: ruleSetSchema.shape.groups.safeParse(parts['groups']).data ?? {},
    policy: policySchema.safeParse(parts['policy'] ?? {}).data ?? policySchema.parse({}),
    promotions: list.map(one => promotionSchema.safeParse(one).data),
  }
}

/** Mistakes that no single field shows. */
function contradictionsOf({ groups, policy: { stages }, promotions }: Readable): Mistake[] {
  const mistakes: Mistake[] = []
  const seen = new Map<string, number>()
  const places = new Map<string, { stage: string; priority: number }>()
  for (const [at, one] of promotions.entries()) {
    if (!one) continue
    const wrong = (part: string, detail: string) => mistakes.push({ path: `/promotions/${at}${part}`, detail })
    const first = seen.get(one.id)
    if (first === undefined) seen.set(one.id, at)
    else wrong('/id', `is the id of /promotions/${first} too`)
    if (one.stage !== undefined && !stages.includes(one.stage)) wrong('/stage', `is not one of ${stages.join(', ')}`)
    if (one.when?.from && one.when.until && Date.parse(one.when.from) >= Date.parse(one.when.until))
      wrong('/when/until', 'must be after from')
    if (one.group !== undefined && groups[one.group]?.scope === 'line' && !worksByLine(one))
      wrong('/group', 'excludes by line, which only a promotion that works line by line can do')
    // One place for the whole group, or a member more would move the others.
    if (one.group !== undefined && groups[one.group]?.scope === 'line') {
      const own = { stage: one.stage ?? defaultStage(one, stages), priority: one.priority }
      const place = places.get(one.group) ?? own
      places.set(one.group, place)
      const rule = `must be that of the other members of ${one.group}, which excludes by line`
      if (own.stage !== place.stage) wrong('/stage', `${rule}: ${place.stage}`)
      if (own.priority !== place.priority) wrong('/priority', `${rule}: ${place.priority}`)
    }
    if (one.when?.basis === 'current' && one.kind === 'gift') wrong('/when/basis', 'must be list for a gift')
    if (one.when?.basis === 'current' && worksByLine(one))
      wrong('/when/basis', 'must be list: it works line by line, before anything is taken off the order')
    if (one.scope && isOfWholeOrder(one))
      wrong(
        '/scope',
        'must be left out: this works on the order as a whole; off some products use per: line, multi_buy or bundle',
      )
    for (const { part, detail } of codeMistakes(one)) wrong(part, detail)
    if (one.exclusive && one.group !== undefined) wrong('/exclusive', 'is more than a group: leave one of them out')
    for (const detail of rewardMistakes(one)) wrong(detail.part, detail.detail)
  }
  const cutting = promotions.filter(one => one !== undefined && takesParts(one)).length
  if (cutting > FIXED.promotionsOfPartsMax) {
    const detail = `has ${cutting} that may take a part of a line's units; at most ${FIXED.promotionsOfPartsMax} may`
    mistakes.push({ path: '/promotions', detail })
  }
  return mistakes
}

function codeMistakes(one: Promotion): { part: string; detail: string }[] {
  const { code, codes, codePool, usesPerCode } = one
  const ways = [code, codes, codePool].filter(way => way !== undefined).length
  const forms = (codes ?? []).map(codeForm)
  const again = forms.findIndex((form, at) => forms.indexOf(form) < at)
  return [
    ...(ways > 1 ? [{ part: '', detail: 'must have at most one of code, codes, codePool' }] : []),
    ...(again < 0 ? [] : [{ part: `/codes/${again}`, detail: 'is the same code as one before' }]),
    ...(usesPerCode !== undefined && !hasManyCodes(one)
      ? [{ part: '/usesPerCode', detail: 'needs codes or codePool; for one code say usesMax' }]
      : []),
  ]
}

/** Each of these may cut every line of a cart in two. */
function takesParts(one: Promotion): boolean {
  return choosesUnits(one) || ('first' in one && one.first !== undefined)
}

function rewardMistakes(one: Promotion): { part: string; detail: string }[] {
  const exactlyOne = (part: string, reward: object, of: readonly string[]) => {
    const given = of.filter(key => key in reward && (reward as Record<string, unknown>)[key] !== undefined)
    return given.length === 1 ? [] : [{ part, detail: `must have exactly one of ${of.join(', ')}` }]
  }
  const rewards = ['percent', 'amount', 'price']
  switch (one.kind) {
    case 'multi_buy':
    case 'bundle':
    case 'shipping':
      return exactlyOne('', one, rewards)
    case 'volume':
      return [
        ...one.tiers.flatMap((tier, at) => exactlyOne(`/tiers/${at}`, tier, rewards)),
        ...rising('/tiers', one.tiers, tier => tier.from),
      ]
    case 'set':
      return rising('/tiers', one.tiers, tier => tier.distinct)
    case 'threshold':
      if (!one.tiers || one.every) return exactlyOne('', one, ['tiers', 'every'])
      return [
        ...one.tiers.flatMap((tier, at) => exactlyOne(`/tiers/${at}`, tier, ['percent', 'amount'])),
        ...rising('/tiers', one.tiers, tier => tier.from),
        ...rising('/tiers', one.tiers, tier => tier.amount ?? tier.percent ?? 0),
        ...(new Set(one.tiers.map(tier => tier.amount === undefined)).size > 1
          ? [{ part: '/tiers', detail: 'must be all amounts or all percentages' }]
          : []),
      ]
    case 'percent_off':
    case 'amount_off':
    case 'fixed_price':
    case 'buy_get':
    case 'gift':
      return []
  }
}

function rising<T>(part: string, list: readonly T[], of: (item: T) => number): { part: string; detail: string }[] {
  const at = list.findIndex((item, index) => index > 0 && of(item) <= of(list[index - 1] ?? item))
  return at < 0 ? [] : [{ part: `${part}/${at}`, detail: 'must be above the one before' }]
}

/** What takes a share of what it finds, once, does so of the whole order. */
function isOfWholeOrder(one: Promotion): boolean {
  if (one.kind === 'percent_off' || one.kind === 'fixed_price') return one.per === 'order'
  const takesPercent = one.kind === 'threshold' && one.tiers?.some(tier => tier.percent !== undefined)
  return takesPercent === true && one.when?.basis === 'current'
}
