import { type Minor, amountOf } from '../../model/money.ts'
import type { Promotion } from '../../model/promotion.ts'
import { type Evaluation, orderDiscount, sumScopes, takeOff } from './evaluation.ts'
import type { CartToPrice } from './input.ts'
import { amountsAfterLines, lineDiscount } from './line-steps.ts'
import type { CompiledRules, RefusalCode } from './rules.ts'
import type { Solution } from './search.ts'
import { codeForm } from '../../model/code.ts'

/** What became of one promotion, for people and for programs. */
export interface Outcome {
  readonly promotion: string
  readonly name: string
  /** Shown only to a buyer who has entered it. */
  readonly code?: string
  readonly status: 'applied' | 'beaten' | 'refused'
  /** What it takes off. */
  readonly amount: Minor
  readonly reason?: Reason
  readonly detail?: string
  /** Minor units or units that are missing to its condition. */
  readonly missing?: number
  /** The next threshold: how much more has to be in the cart, for what. */
  readonly next?: {
    readonly missing: number
    readonly unit?: 'units'
    readonly amount?: Minor
    readonly percent?: number
  }
}

/** The combination, and what each of its promotions takes off. */
export interface Result {
  readonly solution: Solution
  readonly given: ReadonlyMap<string, Minor>
}

type Reason =
  | RefusalCode
  | 'code_not_needed'
  | 'gift_not_sold'
  | 'group'
  | 'exclusive'
  | 'stopped'
  | 'dearer_with_it'
  | 'no_effect'

export function explain(rules: CompiledRules, cart: CartToPrice, evaluation: Evaluation, result: Result): Outcome[] {
  const { problem } = evaluation
  const { entered } = problem
  // Of several offers of a promotion the one that is taken.
  const steps = new Map<string, number>()
  for (const [at, { promotion }] of problem.steps.entries())
    if (!steps.has(promotion.id) || result.solution.off[at] !== undefined) steps.set(promotion.id, at)
  const judge = createJudge(rules, evaluation, result)
  const outcomes = rules.promotions.flatMap(({ promotion }): Outcome[] => {
    if (entered.isClosed(promotion)) return []
    const code = entered.openingOf(promotion)?.code
    const about = { promotion: promotion.id, name: promotion.name, ...(code === undefined ? {} : { code }) }
    const refusal = problem.refusals.get(promotion.id)
    if (refusal) {
      const { code: reason, detail, missing } = refusal
      const short = missing === undefined ? {} : { missing }
      const next = reason === 'min_amount' ? { next: { missing: missing ?? 0, ...benefitOf(promotion) } } : {}
      return [{ ...about, status: 'refused', amount: 0, reason, detail, ...short, ...next }]
    }
    const at = steps.get(promotion.id)
    return [{ ...about, ...judge(promotion, at) }]
  })
  const known = new Set<string>()
  for (const { promotion } of rules.promotions) {
    const opening = entered.openingOf(promotion)
    for (const { code, form, isUsedUp } of entered.allOf(promotion)) {
      known.add(form)
      if (form !== opening?.form) outcomes.push(otherCode(promotion, { code, isUsedUp }, opening?.code, outcomes))
    }
  }
  for (const code of cart.codes) {
    if (known.has(codeForm(code))) continue
    known.add(codeForm(code))
    const detail = 'There is no such code.'
    outcomes.push({ promotion: '', name: '', code, status: 'refused', amount: 0, reason: 'code_unknown', detail })
  }
  return outcomes
}

/** A code that opens a promotion which another code opens already. */
function otherCode(
  { id, name }: Promotion,
  { code, isUsedUp }: { readonly code: string; readonly isUsedUp: boolean },
  opening: string | undefined,
  outcomes: readonly Outcome[],
): Outcome {
  const about = { promotion: id, name, code, status: 'refused' as const, amount: 0 }
  if (isUsedUp) return { ...about, reason: 'code_used', detail: 'This code has been used.' }
  const own = outcomes.find(one => one.promotion === id)
  if (own && own.status !== 'applied') {
    const { reason = 'no_effect', detail = '' } = own
    return { ...about, reason, detail }
  }
  return { ...about, reason: 'code_not_needed', detail: `The promotion is open with '${opening}' already.` }
}

type Verdict = Omit<Outcome, 'promotion' | 'name' | 'code'>

/** What a promotion or a tier gives, as far as one number says it. */
function benefitOf(reward: object): { amount?: number; percent?: number } {
  const { amount, percent } = reward as { amount?: number; percent?: number }
  return { ...(amount === undefined ? {} : { amount }), ...(percent === undefined ? {} : { percent }) }
}

function tooLittle(missing: number): Verdict {
  const detail = `${missing} more (minor units, or units where it counts those) are needed.`
  return { status: 'refused', amount: 0, reason: 'min_amount', detail, missing }
}

function noEffect(): Verdict {
  return { status: 'refused', amount: 0, reason: 'no_effect', detail: 'There is nothing for it to take off.' }
}

function createJudge(
  rules: CompiledRules,
  evaluation: Evaluation,
  { solution: { off }, given }: Result,
): (promotion: Promotion, at: number | undefined) => Verdict {
  const { problem } = evaluation
  const { steps, lineSteps } = problem
  const isTaken = (at: number) => off[at] !== undefined
  const takenSteps = steps.flatMap((_, at) => (isTaken(at) ? [at] : []))
  const taken = Float64Array.from(evaluation.orderSteps, (_, at) => off[lineSteps + at] ?? 0)
  const afterLines = new Float64Array(evaluation.scopes.length)
  sumScopes(evaluation, amountsAfterLines(evaluation, isTaken), afterLines)
  /** What scopes cost when an order step's turn comes. */
  const leftBefore = (index: number): Float64Array => {
    const left = Float64Array.from(afterLines)
    for (let step = 0; step < index; step++) takeOff(evaluation, step, left, taken[step]!)
    return left
  }

  /** What the promotion measures: what its lines cost before promotions, their number, or what they cost by then. */
  function measured(promotion: Extract<Promotion, { kind: 'threshold' }>, at: number | undefined): number {
    const { when, scope, measure } = promotion
    const step = at === undefined ? undefined : steps[at]
    if (step?.kind === 'order' && measure === 'amount' && when?.basis === 'current') {
      const index = at! - lineSteps
      return leftBefore(index)[evaluation.measureOf[index]!]!
    }
    const number = rules.scopes.numberOf(when?.of ?? scope)
    const counted = problem.lines.filter(line => rules.scopes.of(line).includes(number))
    return counted.reduce(
      (sum, line) => sum + (measure === 'units' ? line.quantity : amountOf(line.unitPrice, line.quantity)),
      0,
    )
  }

  function nextOf(promotion: Promotion, at: number | undefined): Pick<Outcome, 'next'> {
    if (promotion.kind !== 'threshold') return {}
    const { tiers = [], every, measure } = promotion
    const reached = measured(promotion, at)
    const unit = measure === 'units' ? { unit: 'units' as const } : {}
    if (every) {
      const times = Math.floor(reached / every.amount)
      if (times >= (every.timesMax ?? Number.POSITIVE_INFINITY)) return {}
      return { next: { missing: (times + 1) * every.amount - reached, amount: every.off, ...unit } }
    }
    const tier = tiers.find(one => one.from > reached)
    return tier ? { next: { missing: tier.from - reached, ...benefitOf(tier), ...unit } } : {}
  }

  /** What is missing to a minimum of what goods cost by then; 0 when it is met, or another kind of minimum. */
  function shortOfMinimum({ when }: Promotion, index: number): number {
    if (when?.basis !== 'current' || when.minAmount === undefined) return 0
    return when.minAmount - leftBefore(index)[evaluation.measureOf[index]!]!
  }

  return (promotion, at) => {
    const next = nextOf(promotion, at)
    if (at === undefined) return { ...(next.next ? tooLittle(next.next.missing) : noEffect()), ...next }
    const step = steps[at]!
    const isGift = step.kind === 'order' && step.gift !== undefined
    const amount = given.get(promotion.id) ?? 0
    if (isTaken(at) && (amount > 0 || isGift)) return { status: 'applied', amount, ...next }
    const alone =
      step.kind === 'order'
        ? orderDiscount(evaluation, at - lineSteps, leftBefore(at - lineSteps))
        : lineDiscount(evaluation, step, problem.list)
    const conflict = conflictOf(rules, problem, takenSteps, at)
    if (alone <= 0 && !isGift) {
      const short = step.kind === 'order' ? shortOfMinimum(promotion, at - lineSteps) : 0
      if (short > 0) return { ...tooLittle(short), next: { missing: short, ...benefitOf(promotion) } }
      return { ...(next.next ? tooLittle(next.next.missing) : noEffect()), ...next }
    }
    return {
      status: 'beaten',
      amount: 0,
      ...(conflict ?? { reason: 'dearer_with_it' as const, detail: 'The order is not cheaper with it.' }),
      ...next,
    }
  }
}

/** Why a step could not be taken beside those that were. */
function conflictOf(
  rules: CompiledRules,
  { steps, codesMax }: Pick<Evaluation['problem'], 'steps' | 'codesMax'>,
  takenSteps: readonly number[],
  at: number,
): { reason: Reason; detail: string } | undefined {
  const { promotion } = steps[at]!
  const { group } = promotion
  const isRival = (other: number) => other !== at && group !== undefined && steps[other]!.promotion.group === group
  const rival = takenSteps.find(isRival)
  if (rival !== undefined && rules.lineGroupOf(promotion) !== undefined)
    return { reason: 'group', detail: `Every line has a better offer of '${group}'.` }
  if (rival !== undefined)
    return {
      reason: 'group',
      detail: `Only one of '${group}' can be had: '${steps[rival]!.promotion.id}' is better.`,
    }
  const alone = takenSteps.find(other => steps[other]!.promotion.exclusive)
  if (alone !== undefined)
    return { reason: 'exclusive', detail: `'${steps[alone]!.promotion.id}' cannot be combined and is better alone.` }
  if (promotion.exclusive)
    return { reason: 'exclusive', detail: 'It cannot be combined, and others are better together.' }
  const stop = takenSteps.find(other => other < at && steps[other]!.promotion.stops)
  if (stop !== undefined) return { reason: 'stopped', detail: `Nothing follows '${steps[stop]!.promotion.id}'.` }
  const codes = new Set(takenSteps.flatMap(other => steps[other]!.code ?? []))
  const { code } = steps[at]!
  if (code !== undefined && !codes.has(code) && codes.size >= codesMax)
    return { reason: 'codes_max', detail: `At most ${codesMax} codes can be used at once.` }
  return undefined
}
