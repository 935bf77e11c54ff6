/** One change of a cart, as a request asks for it. */
export interface ChangeRequest {
  readonly userId: string
  /** The version that the client has seen, where it insists on it. */
  readonly ifMatch?: number | undefined
  readonly idempotency?: { readonly key: string; readonly fingerprint: string } | undefined
  /** Lines of the page that the answer shows after those that have changed. */
  readonly linesMax?: number
}
