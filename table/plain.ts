/** What turning a value into JSON takes: each throws where that is too much. */
export type Meter = Readonly<{
  /** Values that are looked at. */
  spend(cost: number): void
  text(characters: number): void
  /** It has whole numbers that JavaScript cannot hold. */
  large(): void
}>

/** Levels that JSON may have. */
const depthMax = 64

/** What CEL has and JSON has not is brought into its terms; what is plain already stays what it is, and is not copied. */
export function plain(value: unknown, meter: Meter, depth = 0): unknown {
  if (typeof value === 'number') {
    meter.spend(1 / 8)
    if (!Number.isFinite(value)) throw new Error('it holds a number that JSON does not have')
    return value
  }
  if (value === null || typeof value === 'boolean') {
    meter.spend(1 / 8)
    return value
  }
  if (typeof value === 'string') {
    meter.spend(1 / 8)
    meter.text(value.length)
    return value
  }
  if (typeof value === 'bigint') {
    if (Number.isSafeInteger(Number(value))) return Number(value)
    meter.large()
    return value
  }
  meter.spend(2)
  if (depth > depthMax) throw new Error(`it is nested more than ${depthMax} levels deep`)
  if (Array.isArray(value)) return plainList(value, meter, depth + 1)
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [String(key), plain(one, meter, depth + 1)]))
  if (typeof value !== 'object') throw new Error(notJson)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw new Error(notJson)
  return plainObject(value, meter, depth + 1)
}

function plainList(list: readonly unknown[], meter: Meter, depth: number): readonly unknown[] {
  let copy: unknown[] | undefined
  const numbers = numbersIn(list)
  meter.spend(numbers / 8)
  for (let at = numbers; at < list.length; at++) {
    const one = plain(list[at], meter, depth)
    if (copy === undefined && one !== list[at]) copy = list.slice(0, at)
    copy?.push(one)
  }
  return copy ?? list
}

/** How many numbers it begins with: most long lists hold nothing else. */
function numbersIn(list: readonly unknown[]): number {
  const end = list.findIndex((one) => !Number.isFinite(one))
  return end === -1 ? list.length : end
}

function plainObject(object: object, meter: Meter, depth: number): object {
  let entries: [string, unknown][] | undefined
  const keys = Object.keys(object)
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] ?? ''
    const value: unknown = Reflect.get(object, key)
    const one = plain(value, meter, depth)
    meter.text(key.length)
    if (entries === undefined && one !== value) entries = keys.slice(0, at).map((before) => [before, Reflect.get(object, before) as unknown])
    entries?.push([key, one])
  }
  return entries === undefined ? object : Object.fromEntries(entries)
}

const notJson = 'it gives something that JSON does not have'
