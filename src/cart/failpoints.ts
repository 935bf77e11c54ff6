/**
 * Told after each step of a cart's write and of a read that fills; tests stop the process there. The names are those of the model
 * (test/model/cart-cache.ts): `locked` and `fenced` come before the commit, `filling` has read under the share lock, `filled` still holds it.
 */
export type OnCartStep = (step: CartStep) => void
export const CART_WRITE_STEPS = ['planned', 'claimed', 'locked', 'fenced', 'committed', 'published'] as const
export const CART_READ_STEPS = ['leased', 'filling', 'filled'] as const
export type CartStep = (typeof CART_WRITE_STEPS)[number] | (typeof CART_READ_STEPS)[number]
