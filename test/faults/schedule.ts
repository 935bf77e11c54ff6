import { chance } from '../support/history.ts'
import { CART_WRITE_FAILPOINTS } from '../../src/cart/failpoints.ts'
import { type Params, type Row, STEPS } from './rows.ts'

/** What happens when, all of it from the seed: the same seed gives the same schedule. */
export interface ScheduledFault {
  readonly row: string
  readonly params: Params
  /** Quiet before it. */
  readonly afterMs: number
}

export type Schedule = readonly (readonly ScheduledFault[])[]

/** Rows are dealt like cards, so that each comes about equally often and none twice in a round. */
export function scheduleOf(rows: readonly Row[], seed: number, rounds: number, perRound: number): Schedule {
  const random = chance(seed)
  let deck: Row[] = []
  return Array.from({ length: rounds }, () => {
    const dealt: Row[] = []
    while (dealt.length < Math.min(perRound, rows.length)) {
      if (deck.every(row => dealt.includes(row))) deck = [...deck, ...shuffled(rows, random)]
      const at = deck.findIndex(row => !dealt.includes(row))
      dealt.push(...deck.splice(at, 1))
    }
    return dealt.map(row => ({ row: row.id, params: row.draw(random), afterMs: 200 + random(800) }))
  })
}

/** An instance dies at each step of a cart's write and read in turn, and is stopped at each step of a write. */
export function everyStep(): readonly ScheduledFault[] {
  // nginx trusts an instance that has come back after two seconds: until then the other one must not die.
  const died = STEPS.map((step, n) => ({ row: 'A2', params: { instance: n % 2, step }, afterMs: 2_500 }))
  const stopped = CART_WRITE_FAILPOINTS.map((step, n) => ({
    row: 'A5',
    params: { instance: n % 2, step, ms: 2_500 },
    afterMs: 300,
  }))
  return [...died, ...stopped]
}

function shuffled<T>(list: readonly T[], random: (below: number) => number): T[] {
  const result = [...list]
  for (let at = result.length - 1; at > 0; at--) {
    const other = random(at + 1)
    ;[result[at], result[other]] = [result[other] as T, result[at] as T]
  }
  return result
}
