/** Cookies of one virtual user, by host: name and value. Paths and times do not matter to scenarios; a cookie with Max-Age=0 goes. */
export class CookieJar {
  readonly #hosts = new Map<string, Map<string, string>>()

  /** The value of the `Cookie` header, or undefined. */
  header(host: string): string | undefined {
    const known = this.#hosts.get(host)
    if (!known || known.size === 0) return undefined
    return [...known].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  accept(host: string, setCookies: readonly string[]): void {
    const known = this.#hosts.get(host) ?? new Map<string, string>()
    this.#hosts.set(host, known)
    for (const cookie of setCookies) {
      const [pair = '', ...attributes] = cookie.split(';')
      const at = pair.indexOf('=')
      const name = pair.slice(0, at).trim()
      if (attributes.some(attribute => /^\s*max-age=0\s*$/i.test(attribute))) known.delete(name)
      else known.set(name, pair.slice(at + 1).trim())
    }
  }
}
