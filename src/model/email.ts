import { FIXED } from './limits.ts'

/**
 * E-mail addresses: one form in which they are compared, and one grammar for new ones. The grammar takes what mail systems deliver to (letters of any
 * script, digits, the marks of RFC 5322's atoms, apostrophes among them) and refuses what cannot be seen or typed on purpose: control, format and
 * unassigned characters, lone surrogates, and marks that only look like an @.
 */

/** Addresses are compared in this form: no outer spaces, one Unicode form, lower case. */
export function canonicalAddress(email: string): string {
  return email.trim().normalize('NFKC').toLowerCase()
}

const LOCAL = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u
const LABEL = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?$/u

/** Whether it can be the address of a new account. Before the length of a column is looked at, it is put into its compared form. */
export function isAddress(text: string): boolean {
  const trimmed = text.trim()
  const address = canonicalAddress(trimmed)
  if (!trimmed.isWellFormed() || address.length > FIXED.emailCharsMax) return false
  // Normalising turns look-alikes into an @, so there must be one before it as well.
  const [local = '', domain = '', ...more] = address.split('@')
  if (more.length > 0 || trimmed.split('@').length !== 2) return false
  const labels = domain.split('.')
  return LOCAL.test(local) && labels.length > 1 && labels.every(label => label.length <= 63 && LABEL.test(label))
}
