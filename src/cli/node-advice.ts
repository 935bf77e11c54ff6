/** Versions in which CVE-2026-111497 is fixed, by major. */
const FIXED_IN: Readonly<Record<number, readonly [minor: number, patch: number]>> = { 24: [22, 1], 26: [12, 1] }

/**
 * What to say of the Node.js that runs this; undefined when there is nothing. The hole is in a decoder that is never called here (http/server.ts
 * and nginx refuse encoded bodies), but production should not have it.
 */
export function nodeAdvice(version = process.versions.node): string | undefined {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const fixed = FIXED_IN[major] ?? (major > 26 ? [0, 0] : undefined)
  if (fixed && (minor > fixed[0] || (minor === fixed[0] && patch >= fixed[1]))) return undefined
  return `Node v${version} has CVE-2026-111497 (Brotli decoder). cartload never decodes request bodies, so it cannot be reached here; in production use Node 24.22.1, 26.12.1 or newer all the same: put it on PATH, or set CARTLOAD_NODE`
}
