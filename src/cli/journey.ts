/** A first visit to the shop, as the README tells it: the lines there, what `npm start` prints and what `cartload try` sends are made from this. */
export interface Visit {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly key?: string
  readonly body?: unknown
  /** Whether the session is needed. */
  readonly session: 'starts' | 'needed' | 'none'
}

export function journey(email: string, password: string, key: string): readonly Visit[] {
  return [
    { method: 'POST', path: '/v1/sessions', body: { email, password }, session: 'starts' },
    { method: 'GET', path: '/v1/products?q=ivory&limit=3', session: 'none' },
    { method: 'POST', path: '/v1/cart/lines', key, body: { sku: 'P000001', quantity: 2 }, session: 'needed' },
    { method: 'PUT', path: '/v1/cart/lines/P000001', body: { quantity: 3 }, session: 'needed' },
    { method: 'GET', path: '/v1/cart?limit=5', session: 'needed' },
  ]
}

/** The visit as lines for a shell. */
export function curlLines(url: string, visits: readonly Visit[]): string[] {
  return visits.map(({ method, path, key, body, session }) => {
    const address = /[?&]/.test(path) ? `'${url}${path}'` : `${url}${path}`
    return [
      'curl',
      ...(session === 'none' ? [] : [session === 'starts' ? '-c cookies.txt' : '-b cookies.txt']),
      ...(method === 'PUT' ? ['-X PUT'] : []),
      address,
      ...(body === undefined ? [] : ["-H 'Content-Type: application/json'"]),
      ...(key === undefined ? [] : [`-H 'Idempotency-Key: ${key}'`]),
      ...(body === undefined ? [] : [`-d '${JSON.stringify(body)}'`]),
    ].join(' ')
  })
}
