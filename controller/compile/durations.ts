// Gateway API durations (GEP-2257): up to four of hours, minutes, seconds, milliseconds, five digits each.
const shape = /^(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}$/
const part = /([0-9]{1,5})(ms|h|m|s)/g
const units = new Map([
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
])

/** Milliseconds; null when the text is no duration. */
export function parseDuration(text: string): number | null {
  const simple = /^([0-9]{1,5})s$/.exec(text)
  if (simple) return Number(simple[1]) * 1000
  if (!shape.test(text)) return null
  let total = 0
  for (const [, digits, unit = ''] of text.matchAll(part)) total += Number(digits) * (units.get(unit) ?? 0)
  return total
}
