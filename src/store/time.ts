/** Times as the servers write them, in UTC, and as the rest of the world does (RFC 3339). */
export const isoTime = (text: string): string => `${text.replace(' ', 'T')}Z`
/** As DATETIME(3) takes it. */
export const sqlTime = (at: string | number): string => new Date(at).toISOString().slice(0, -1).replace('T', ' ')
