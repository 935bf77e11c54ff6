/**
 * Failpoints: called after each step of a cart's write and of a read that fills; tests stop the process there. The names are those of the model
 * (test/model/cart-cache.ts): `locked` and `fenced` come before the commit, `filling` has read under the share lock, `filled` still holds it.
 */
export type OnCartFailpoint = (step: CartFailpoint) => void
export const CART_WRITE_FAILPOINTS = ['planned', 'claimed', 'locked', 'fenced', 'committed', 'published'] as const
export const CART_READ_FAILPOINTS = ['leased', 'filling', 'filled'] as const
export type CartFailpoint = (typeof CART_WRITE_FAILPOINTS)[number] | (typeof CART_READ_FAILPOINTS)[number]
