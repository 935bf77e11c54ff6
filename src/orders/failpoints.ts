/** Told after each step; tests stop the process there. */
export type OnStep = (step: CheckoutStep) => void
export const CHECKOUT_STEPS = ['priced', 'held-first', 'held-all', 'decided', 'sold', 'paid', 'refund-noted'] as const
export type CheckoutStep = (typeof CHECKOUT_STEPS)[number]
