import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The release of this code, from package.json. */
export function releaseOf(projectDir: string): string {
  const { version } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { version: string }
  return version
}

/** Compares releases as `MAJOR.MINOR.PATCH`; what follows a dash does not count. */
export function isOlder(release: string, than: string): boolean {
  const numbers = (text: string) => (text.split('-')[0] ?? '').split('.').map(Number)
  const [left, right] = [numbers(release), numbers(than)]
  for (let at = 0; at < 3; at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
