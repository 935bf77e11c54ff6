/** Cursors are opaque to clients: base64url of a small JSON array. Their inside may change at any time. */

export function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts), 'utf8').toString('base64url')
}

/** The parts of a cursor that this service made, or undefined for anything else. */
export function decodeCursor(text: string, types: readonly ('string' | 'number')[]): (string | number)[] | undefined {
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
  if (!Array.isArray(parts) || parts.length !== types.length) return undefined
  return parts.every((part, index) => typeof part === types[index]) ? (parts as (string | number)[]) : undefined
}
