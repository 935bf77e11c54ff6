import { codeForm } from '../../model/code.ts'
import { hasManyCodes, needsCode, type Promotion } from '../../model/promotion.ts'

/** State of an entered code. */
interface CodeFact {
  /** The pool that it is of. */
  readonly pool?: string
  /** Orders that have used it, those that wait for their payment among them. */
  readonly uses: number
}

/** By the form in which codes are compared; a code that is not there is in no pool, and was not used. */
export type CodeFacts = Readonly<Record<string, CodeFact>>

/** The code that opens a promotion: as it was entered, and as codes are compared. */
export interface Opening {
  readonly code: string
  readonly form: string
  readonly isUsedUp: boolean
}

/** The codes of one cart as promotions see them. */
export interface EnteredCodes {
  /** Distinct codes. */
  readonly count: number
  /**
   * The code that opens it. Of several the one that can still be used and opens the most promotions, since codes may be scarce.
   * Undefined where none does, and for a promotion without codes.
   */
  openingOf(promotion: Promotion): Opening | undefined
  /** Every code that opens it. */
  allOf(promotion: Promotion): readonly Opening[]
  /** True where the promotion needs a code and none of its codes was entered. */
  isClosed(promotion: Promotion): boolean
}

export function enteredCodes(
  codes: readonly string[],
  facts: CodeFacts,
  promotions: readonly { readonly promotion: Promotion }[],
): EnteredCodes {
  const entered = new Map(codes.map(code => [codeForm(code), code]))
  const found = new Map<Promotion, readonly Opening[]>()
  const opened = new Map<string, number>()
  if (entered.size > 0) {
    for (const { promotion } of promotions) {
      if (!needsCode(promotion)) continue
      const { usesPerCode = 1 } = promotion
      const own = [...entered].flatMap(([form, code]) => {
        if (!opens(promotion, form, facts)) return []
        return [{ code, form, isUsedUp: hasManyCodes(promotion) && (facts[form]?.uses ?? 0) >= usesPerCode }]
      })
      found.set(promotion, own)
      for (const { form, isUsedUp } of own) opened.set(form, (opened.get(form) ?? 0) + (isUsedUp ? 0 : 1))
    }
  }
  const allOf = (promotion: Promotion) => found.get(promotion) ?? []
  const byUse = (a: Opening, b: Opening) =>
    Number(a.isUsedUp) - Number(b.isUsedUp) ||
    (opened.get(b.form) ?? 0) - (opened.get(a.form) ?? 0) ||
    (a.form < b.form ? -1 : 1)
  return {
    count: entered.size,
    openingOf: promotion => [...allOf(promotion)].sort(byUse)[0],
    allOf,
    isClosed: promotion => needsCode(promotion) && allOf(promotion).length === 0,
  }
}

function opens({ code, codes, codePool }: Promotion, form: string, facts: CodeFacts): boolean {
  if (code !== undefined) return codeForm(code) === form
  if (codePool !== undefined) return facts[form]?.pool === codePool
  return codes !== undefined && formsOf(codes).has(form)
}

const remembered = new WeakMap<readonly string[], ReadonlySet<string>>()

/** The forms of a promotion's list of codes, made once: a rule set may have many lists of a thousand. */
export function formsOf(codes: readonly string[]): ReadonlySet<string> {
  const forms = remembered.get(codes) ?? new Set(codes.map(codeForm))
  remembered.set(codes, forms)
  return forms
}
