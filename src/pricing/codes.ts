import { codeForm } from '../model/code.ts'
import { hasManyCodes, needsCode, type Promotion } from '../model/promotion.ts'

/** What is known of a code that somebody has entered. */
export interface CodeFact {
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
  /** The code that opens it: of several the first that can still be used. Undefined where none does, and for a promotion without. */
  openingOf(promotion: Promotion): Opening | undefined
  /** Every code that opens it, as entered. */
  allOf(promotion: Promotion): readonly string[]
  /** True for a promotion whose code nobody has entered. */
  isClosed(promotion: Promotion): boolean
}

export function enteredCodes(codes: readonly string[], facts: CodeFacts): EnteredCodes {
  const entered = new Map(codes.map(code => [codeForm(code), code]))
  const found = new Map<Promotion, readonly Opening[]>()

  function openingsOf(promotion: Promotion): readonly Opening[] {
    if (entered.size === 0 || !needsCode(promotion)) return []
    let openings = found.get(promotion)
    if (!openings) {
      const { usesPerCode = 1 } = promotion
      openings = [...entered].flatMap(([form, code]) => {
        if (!opens(promotion, form, facts)) return []
        return [{ code, form, isUsedUp: hasManyCodes(promotion) && (facts[form]?.uses ?? 0) >= usesPerCode }]
      })
      found.set(promotion, openings)
    }
    return openings
  }

  return {
    openingOf: promotion => openingsOf(promotion).find(({ isUsedUp }) => !isUsedUp) ?? openingsOf(promotion)[0],
    allOf: promotion => openingsOf(promotion).map(({ code }) => code),
    isClosed: promotion => needsCode(promotion) && openingsOf(promotion).length === 0,
  }
}

function opens({ code, codes, codePool }: Promotion, form: string, facts: CodeFacts): boolean {
  if (code !== undefined) return codeForm(code) === form
  if (codePool !== undefined) return facts[form]?.pool === codePool
  return codes?.some(one => codeForm(one) === form) === true
}
