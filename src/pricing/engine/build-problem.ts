import { amountOf } from '../../model/money.ts'
import { choosesUnits, type Policy } from '../../model/promotion.ts'
import { TAX_WHOLE, thousandths } from './arithmetic.ts'
import { enteredCodes, type Opening } from './codes.ts'
import type { CartToPrice, LineToPrice } from './input.ts'
import { offersOf, type Rivalry, rivalryOf, wholeOffer } from './line-groups.ts'
import { type Cells, createUnitAssigner, type Open, partitionUnits } from './partition.ts'
import type { LineStep, OrderStep, Problem, Unproved } from './problem.ts'
import { type CompiledPromotion, type CompiledRules, type Refusal, refusalOf } from './rules.ts'
import { createScopeIndex, type ScopeIndex } from './scope-index.ts'
import { createStepBuilder } from './step-builder.ts'

/** Brings the promotions that are open to a cart into the normal form (problem.ts). */
export function buildProblem(rules: CompiledRules, cart: CartToPrice): Problem {
  const lines = cart.lines.filter(line => line.selected && line.quantity > 0).sort((a, b) => (a.sku < b.sku ? -1 : 1))
  const scopeIndex = createScopeIndex(lines, rules.scopes)
  const refusals = new Map<string, Refusal>()
  const { policy } = rules.ruleSet
  const entered = enteredCodes(cart.codes, cart.codeFacts ?? {}, rules.promotions)
  const possible = rules.promotions.filter(compiled => {
    const { promotion } = compiled
    // A promotion whose code was not entered is not mentioned.
    if (entered.isClosed(promotion)) return false
    const opening = entered.openingOf(promotion)
    const refusal = refusalOf(compiled, cart, scopeIndex) ?? (opening && refusedCode(opening, policy))
    if (refusal) refusals.set(promotion.id, refusal)
    return refusal === undefined
  })
  const { open, unproved } = chooseUnits(rules, possible, scopeIndex)
  // Which of several codes opens a promotion is chosen, not searched: with all of them at once it does not matter.
  const value = lines.reduce((sum, line) => sum + amountOf(line.unitPrice, line.quantity), 0)
  if (entered.count > policy.codesMax)
    for (const { promotion } of possible)
      if (entered.allOf(promotion).length > 1) unproved.push({ promotions: [promotion.id], most: value })
  const cells = partitionUnits(lines, open, cart.shippingFee)
  const builder = createStepBuilder(rules, cart, { scopeIndex, cells, entered })
  const lineSteps: LineStep[] = []
  const orderSteps: OrderStep[] = []
  for (const one of open) {
    if (one.compiled.byLine) {
      const step = builder.lineStep(one, lineSteps)
      if (step) lineSteps.push(step)
    } else {
      const step = builder.orderStep(one.compiled.promotion, one.takes)
      if (step) orderSteps.push(step)
    }
  }
  const steps = [...lineSteps, ...narrowFirstOf(rules, orderSteps)]
  return {
    ...cells,
    split: {
      weights: splitWeights(policy, lines, cells),
      isEven: policy.split.startsWith('even'),
      remainder: policy.remainder,
    },
    lines,
    steps,
    lineSteps: lineSteps.length,
    entered,
    refusals,
    rounding: builder.rounding,
    codesMax: policy.codesMax,
    unproved,
  }
}

/** A line that is cut into cells has one share all the same, by their units. */
const LINE_SHARE = 1_000_000

function splitWeights({ split }: Policy, lines: readonly LineToPrice[], { lineOf, units }: Cells): Float64Array {
  return Float64Array.from(lineOf, (line, cell) => {
    switch (split) {
      case 'value':
        return 1
      case 'value-with-tax':
        return TAX_WHOLE + thousandths(lines[line]?.taxPercent ?? 0)
      case 'even-units':
        return units[cell]!
      case 'even-lines':
        return Math.round((LINE_SHARE * units[cell]!) / (lines[line]?.quantity ?? 1))
    }
  })
}

/** Which units each promotion is about; of the members of a line group every way to share lines out. */
function chooseUnits(rules: CompiledRules, possible: readonly CompiledPromotion[], whole: ScopeIndex) {
  const { policy } = rules.ruleSet
  const assigner = createUnitAssigner(whole.lines, policy.units)
  const open: Open[] = []
  const unproved: Unproved[] = []
  const add = (compiled: CompiledPromotion, rivalry?: Rivalry) => {
    const { promotion } = compiled
    // What an earlier promotion has taken is not there for a later one, whether it is used in the end or not.
    const isFresh = wantsFresh(compiled, policy)
    const scopeIndex = isFresh ? whole.reduced(assigner.left) : whole
    const asked = isFresh ? 'fresh' : policy.units === 'one-offer' ? 'none' : 'some' // of the whole order: it takes no units
    const choice = rivalry ? offersOf(promotion, scopeIndex, rivalry) : wholeOffer(promotion, scopeIndex)
    if (choice.unproved > 0) unproved.push({ promotions: [promotion.id], most: choice.unproved })
    const isOneOf = choice.offers.length > 1
    for (const { takes, own } of choice.offers)
      open.push({ compiled, takes: assigner.deal(takes, asked), own, isOneOf })
    return choice
  }
  for (const compiled of possible) {
    const group = rules.lineGroupOf(compiled.promotion)
    if (group === undefined) add(compiled)
    else if (open.every(one => rules.lineGroupOf(one.compiled.promotion) !== group)) {
      // The first of its group: all members, those that span lines first, so that the others have what is left.
      const members = possible.filter(one => rules.lineGroupOf(one.promotion) === group)
      const promotions = members.map(({ promotion }) => promotion)
      const rivalry = rivalryOf(promotions, whole, policy.units !== 'shared')
      const inTurn = [true, false].flatMap(spans => members.filter(one => choosesUnits(one.promotion) === spans))
      const isComplete = inTurn.map(member => add(member, rivalry).isComplete).every(Boolean)
      if (!isComplete) unproved.push({ promotions: promotions.map(({ id }) => id), most: rivalry.most })
    }
  }
  return { open, unproved }
}

/** Units that are sold as one thing for a price cannot be another offer's too; with `one-offer` no unit of any offer can. */
function wantsFresh({ promotion: { kind }, byLine }: CompiledPromotion, { units }: Policy): boolean {
  if (units === 'one-offer') return byLine
  return units === 'fresh-first' && (kind === 'multi_buy' || kind === 'bundle')
}

/** Of one stage and priority, what aims at fewer units goes first. */
function narrowFirstOf({ stageOf }: CompiledRules, steps: readonly OrderStep[]): OrderStep[] {
  return steps.toSorted(
    (a, b) =>
      stageOf(a.promotion) - stageOf(b.promotion) ||
      a.promotion.priority - b.promotion.priority ||
      a.breadth - b.breadth,
  )
}

function refusedCode({ isUsedUp }: Opening, { codesMax }: Policy): Refusal | undefined {
  if (codesMax === 0) return { code: 'codes_max', detail: 'Codes are not accepted.' }
  return isUsedUp ? { code: 'code_used', detail: 'This code has been used.' } : undefined
}
