const FORM = /^(\d{4})-(\d\d)-(\d\d)[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/

/** The form of an instant, for messages. */
export const INSTANT_EXAMPLE = '2027-01-01T00:00:00Z'

/** A date and time with a zone (ISO 8601), or undefined: nothing is guessed, neither the zone nor which number is the month. */
export function readInstant(text: string): Date | undefined {
  const [, year, month, day] = FORM.exec(text) ?? []
  if (day === undefined) return undefined
  const at = new Date(text.replace(' ', 'T'))
  if (Number.isNaN(at.getTime())) return undefined
  // JavaScript takes the 31st of February for the 3rd of March.
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return Number(day) >= 1 && Number(day) <= daysOfMonth ? at : undefined
}
