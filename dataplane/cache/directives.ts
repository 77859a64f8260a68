/** The directives of Cache-Control by their names in lower case; what has no value has an empty one. */
export type Directives = ReadonlyMap<string, string>

const none: Directives = new Map()

/** What a time is bounded by (RFC 9111 section 1.2.2). Seconds. */
const most = 2 ** 31

/** RFC 9111 section 5.2. Of one that is there twice the more cautious holds (section 4.2.1). */
export function directivesOf(value: string | undefined): Directives {
  if (value === undefined || value === '') return none
  const found = new Map<string, string>()
  for (const [, name = '', quoted, plain] of value.matchAll(/([!#$%&'*+.^_`|~\w-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,]*)))?/g)) {
    const key = name.toLowerCase()
    const given = quoted ?? plain ?? ''
    const before = found.get(key)
    found.set(key, before === undefined ? given : stricter(before, given))
  }
  return found
}

const stricter = (a: string, b: string): string => (whole(a) && whole(b) && Number(a) <= Number(b) ? a : b)
const whole = (text: string): boolean => /^\d+$/.test(text)

/** Milliseconds; undefined where it is not said, and 0 where what is said is no number. */
export function timeOf(directives: Directives, name: string): number | undefined {
  const value = directives.get(name)
  if (value === undefined) return undefined
  return whole(value) ? Math.min(Number(value), most) * 1000 : 0
}
