/** Failpoints: called after each step; tests stop the process there. */
export type OnOrderFailpoint = (step: OrderFailpoint) => void
const ORDER_FAILPOINTS = ['priced', 'held-first', 'held-all', 'decided', 'sold', 'paid', 'refund-noted'] as const
export type OrderFailpoint = (typeof ORDER_FAILPOINTS)[number]
