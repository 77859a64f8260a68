/** Of texts that were asked for lately; longer ones are worked out each time. */
const textsMax = 1024
const lengthMax = 256

/**
 * A function of a text that is remembered for those asked for lately: most callers ask for the same few. Who asks for
 * many pushes out what is worked out anew, and neither takes more memory nor pushes out what is asked for meanwhile.
 */
export function recalled<Value>(of: (text: string) => Value): (text: string) => Value {
  let [recent, before] = [new Map<string, { value: Value }>(), new Map<string, { value: Value }>()]
  return (text) => {
    let found = recent.get(text)
    if (found !== undefined) return found.value
    if (text.length > lengthMax) return of(text)
    const own = detached(text)
    found = before.get(text) ?? { value: of(own) }
    if (recent.size >= textsMax) [recent, before] = [new Map(), recent]
    recent.set(own, found)
    return found.value
  }
}

/** A part of a larger text is kept together with all of it, which may hold a caller's keys. This one stands alone. */
export function detached(text: string): string {
  return Buffer.from(text).toString()
}
