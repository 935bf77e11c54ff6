import type { Minor } from '../model/money.ts'
import type { Promotion } from '../model/promotion.ts'
import { amountsAfterLines, type Arena, costBefore, lineDiscount, orderDiscount, sumScopes } from './arena.ts'
import type { CartToPrice } from './cart.ts'
import type { OrderStep } from './problem.ts'
import type { CompiledRules, RefusalCode } from './rules.ts'
import type { Solution } from './search.ts'

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
  readonly next?: { readonly missing: Minor; readonly amount?: Minor; readonly percent?: number }
}

export type Reason = RefusalCode | 'group' | 'exclusive' | 'codes_max' | 'stopped' | 'dearer_with_it' | 'no_effect'

export function explain(rules: CompiledRules, cart: CartToPrice, arena: Arena, solution: Solution): Outcome[] {
  const { problem } = arena
  const entered = new Map(cart.codes.map(code => [code.toLowerCase(), code]))
  const steps = new Map(problem.steps.map((step, at) => [step.promotion.id, at]))
  const judge = createJudge(arena, solution)
  const outcomes = rules.promotions.flatMap(({ promotion }): Outcome[] => {
    const code = promotion.code === undefined ? undefined : entered.get(promotion.code.toLowerCase())
    if (promotion.code !== undefined && code === undefined) return []
    const about = { promotion: promotion.id, name: promotion.name, ...(code === undefined ? {} : { code }) }
    const refusal = problem.refusals.get(promotion.id)
    if (refusal) {
      const { code: reason, detail, missing } = refusal
      return [{ ...about, status: 'refused', amount: 0, reason, detail, ...(missing === undefined ? {} : { missing }) }]
    }
    const at = steps.get(promotion.id)
    return [{ ...about, ...(at === undefined ? noEffect() : judge(at)) }]
  })
  const known = new Set(
    rules.promotions.flatMap(({ promotion: { code } }) => (code === undefined ? [] : [code.toLowerCase()])),
  )
  for (const [lower, code] of entered) {
    if (known.has(lower)) continue
    outcomes.push({
      promotion: '',
      name: '',
      code,
      status: 'refused',
      amount: 0,
      reason: 'code_unknown',
      detail: 'There is no such code.',
    })
  }
  return outcomes
}

type Verdict = Omit<Outcome, 'promotion' | 'name' | 'code'>

function noEffect(): Verdict {
  return { status: 'refused', amount: 0, reason: 'no_effect', detail: 'There is nothing for it to take off.' }
}

function createJudge(arena: Arena, { off }: Solution): (at: number) => Verdict {
  const { problem } = arena
  const { steps, lineSteps, codesMax } = problem
  const isTaken = (at: number) => off[at] !== undefined
  const takenSteps = steps.flatMap((_, at) => (isTaken(at) ? [at] : []))
  const taken = Float64Array.from(arena.orderSteps, (_, at) => off[lineSteps + at] ?? 0)
  sumScopes(arena, amountsAfterLines(arena, isTaken), arena.sums)

  function nextTier(step: OrderStep, index: number): Pick<Outcome, 'next' | 'missing'> {
    const measured = costBefore(arena, arena.measureOf[index]!, index, arena.sums, taken)
    if (step.every) {
      const { amount, off: gets, timesMax } = step.every
      const times = Math.floor(measured / amount)
      return times < timesMax ? { next: { missing: (times + 1) * amount - measured, amount: gets } } : {}
    }
    const tier = step.tiers.find(one => one.from > measured)
    if (!tier) return {}
    const gives =
      tier.how === 'percent' ? { percent: tier.value / 100 } : tier.how === 'amount' ? { amount: tier.value } : {}
    return { next: { missing: tier.from - measured, ...gives } }
  }

  return at => {
    const step = steps[at]!
    const next = step.kind === 'order' ? nextTier(step, at - lineSteps) : {}
    if (isTaken(at)) return { status: 'applied', amount: off[at] ?? 0, ...next }
    const alone =
      step.kind === 'order'
        ? orderDiscount(arena, at - lineSteps, arena.sums, taken)
        : lineDiscount(arena, step, problem.list)
    const isGift = step.kind === 'order' && step.gift !== undefined
    const conflict = conflictOf(at, step.promotion)
    if (alone <= 0 && !isGift) {
      if (next.next) {
        const { missing } = next.next
        return {
          status: 'refused',
          amount: 0,
          reason: 'min_amount',
          detail: `${missing} more (minor units) are needed.`,
          missing,
          ...next,
        }
      }
      return noEffect()
    }
    return {
      status: 'beaten',
      amount: 0,
      ...(conflict ?? { reason: 'dearer_with_it' as const, detail: 'The order is not cheaper with it.' }),
      ...next,
    }
  }

  function conflictOf(at: number, promotion: Promotion): { reason: Reason; detail: string } | undefined {
    const { group } = steps[at]!
    const rival = takenSteps.find(other => group !== undefined && steps[other]!.group === group)
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
}
