import type { ErrorCode } from '../lib/errors.ts'

/** What each error code means and what a client can do about it: for the page of error codes. Complete, or it does not compile. */
interface ErrorText {
  readonly when: string
  readonly todo: string
}

export const ERROR_TEXTS: Readonly<Record<ErrorCode, ErrorText>> = {
  invalid_request: {
    when: 'A field, parameter or header has a value that it may not have.',
    todo: 'Change what `errors` names; the same request will be refused again.',
  },
  malformed_body: {
    when: 'The body is not JSON, or neither an object nor complete.',
    todo: 'Send valid JSON with `Content-Type: application/json`.',
  },
  idempotency_key_required: {
    when: 'The operation must not happen twice, and the request has no Idempotency-Key.',
    todo: 'Send a new key with each intent, and the same key with each retry.',
  },
  session_required: {
    when: 'The operation needs a session, of a user or a guest, and the request has no token.',
    todo: 'Log in (`POST /v1/sessions`), or make a guest with a first change of the cart.',
  },
  session_ended: {
    when: 'The token is unknown, has expired, or its session was ended.',
    todo: 'Log in again; drop the cookie or token.',
  },
  credentials_invalid: {
    when: 'The e-mail address or the password is wrong.',
    todo: 'Ask for both again. Which of them is wrong is not told.',
  },
  forbidden_origin: {
    when: 'A browser sent a change with the cookie from a page of another site.',
    todo: 'Send changes from the shop’s own pages, or use the token in `Authorization`.',
  },
  operator_required: {
    when: 'The operation is for the shop’s own servers, and the token is missing or no operator’s.',
    todo: 'Send `Authorization: Bearer op_…` from `cartload operator add`.',
  },
  admission_required: {
    when: 'The product is in a sale with a queue, and the buyer has not been let in.',
    todo: 'Enter the queue (`POST /v1/sales/{id}/queue`) and order with the admission.',
  },
  buyer_refused: {
    when: 'The shop does not let this buyer into the sale.',
    todo: 'Nothing; another account will not help.',
  },
  route_not_found: {
    when: 'There is nothing at this address.',
    todo: 'Compare the address with /docs.',
  },
  product_not_found: {
    when: 'No product with this code is on sale.',
    todo: 'Look it up in `GET /v1/products`.',
  },
  line_not_found: {
    when: 'The cart has no line of this product.',
    todo: 'Look at the cart again, or send a quantity to make the line.',
  },
  merge_not_found: {
    when: 'There is no merge that could still be taken back.',
    todo: 'Nothing; a merge can be taken back for 24 hours.',
  },
  rules_not_found: {
    when: 'There is no rule set of this version.',
    todo: 'Look at `GET /v1/rule-sets`.',
  },
  order_not_found: {
    when: 'There is no such order, or it is another user’s.',
    todo: 'Look at `GET /v1/orders`.',
  },
  stock_not_found: {
    when: 'The stock of the product is not counted.',
    todo: 'Count it with `cartload stock set`.',
  },
  sale_not_found: {
    when: 'There is no such sale.',
    todo: 'Look at `cartload sale list`.',
  },
  method_not_allowed: {
    when: 'The address is known, but not with this method.',
    todo: 'Use one of the methods in `Allow`.',
  },
  email_taken: {
    when: 'There is an account with this e-mail address.',
    todo: 'Log in, or register with another address.',
  },
  idempotency_in_flight: {
    when: 'Another request with the same key is still at work.',
    todo: 'Repeat the request after `Retry-After`.',
  },
  cart_changed: {
    when: 'The cart is not the one that the buyer saw: `version` and `total` say what it is now.',
    todo: 'Show the cart again, and order with the new version when the buyer agrees.',
  },
  total_changed: {
    when: 'Prices, promotions or their limits have changed: `total` is what holds now.',
    todo: 'Show the new total, and order with it when the buyer agrees.',
  },
  out_of_stock: {
    when: 'Of some lines there is less than wanted: `lines` says how much is left.',
    todo: 'Lower the quantities, or take the lines out.',
  },
  purchase_limit: {
    when: 'A buyer can have no more of this: `max` says how much in all.',
    todo: 'Lower the quantity.',
  },
  order_pending: {
    when: 'An order of the same products waits for its payment.',
    todo: 'Pay or cancel that order (`orderId`) first.',
  },
  order_state: {
    when: 'The order is in a state from which this is not possible: `state` says which.',
    todo: 'Look at the order again.',
  },
  order_given_up: {
    when: 'Making this order took too long, and was given up.',
    todo: 'Order again with a new key.',
  },
  sale_not_started: {
    when: 'The sale has not begun.',
    todo: 'Wait until it starts.',
  },
  version_mismatch: {
    when: 'The cart has changed since the version in If-Match.',
    todo: 'Read the cart, apply the change to it, and send the new ETag.',
  },
  body_too_large: {
    when: 'The body has more bytes than the operation reads.',
    todo: 'Send less, or several requests.',
  },
  unsupported_media_type: {
    when: 'The body is not JSON, or is compressed in a way that is not read.',
    todo: 'Send `Content-Type: application/json`, uncompressed.',
  },
  idempotency_mismatch: {
    when: 'The key was used for another request.',
    todo: 'Use a new key for a new request.',
  },
  product_unknown: {
    when: 'A product of the request is not on sale: `errors` says which.',
    todo: 'Take it out.',
  },
  cart_lines_max: {
    when: 'The cart would have more lines than it may have.',
    todo: 'Take lines out.',
  },
  line_quantity_max: {
    when: 'A line would have more units than it may have.',
    todo: 'Lower the quantity.',
  },
  code_unknown: {
    when: 'There is no promotion with this code.',
    todo: 'Ask for the code again.',
  },
  nothing_to_order: {
    when: 'No line of the cart is selected.',
    todo: 'Select a line.',
  },
  refund_invalid: {
    when: 'More would be refunded than was ordered and not refunded yet.',
    todo: 'Look at the refunds of the order.',
  },
  codes_max: {
    when: 'The cart has as many codes as it may have.',
    todo: 'Take a code out.',
  },
  rules_invalid: {
    when: 'The rule set has mistakes: `errors` names all of them.',
    todo: 'Correct them; the rules in force are as before.',
  },
  rules_unconfirmed: {
    when: 'The rule set names categories, buyer groups or pools of codes that do not exist: `errors` says which.',
    todo: 'Correct them, or send `confirm: true`.',
  },
  quote_invalid: {
    when: 'The quote was not made here, is over, or is for other lines, codes or another kind of buyer.',
    todo: 'Ask for a new quote.',
  },
  too_many_attempts: {
    when: 'There were too many wrong attempts for this account or from this address.',
    todo: 'Try again after `Retry-After`.',
  },
  internal: {
    when: 'Something is wrong in the server; it is in its log under `traceId`.',
    todo: 'Try again; tell the operator the `traceId`.',
  },
  draining: {
    when: 'The instance is about to stop; nothing was done.',
    todo: 'Try again at once: another instance answers.',
  },
  overloaded: {
    when: 'Too much is asked for right now; nothing was done.',
    todo: 'Try again after `Retry-After`.',
  },
  unavailable: {
    when: 'A database or Redis does not answer: `dependency` says which; nothing was done.',
    todo: 'Try again after `Retry-After`.',
  },
  outcome_unknown: {
    when: 'A database went away in the middle: whether the change was made is not known.',
    todo: 'Repeat the request with the same Idempotency-Key: it is not done twice.',
  },
}
