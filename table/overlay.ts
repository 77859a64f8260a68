/** Smaller maps are copied: that is no more work than looking twice ever after. */
const leastSize = 256

/** One in so many entries may be another one than in the map below, before a map of its own is made of all. */
const ownShare = 32

/**
 * A large map as another one is but for some entries. To copy thousands of entries for each that changes is what an edit
 * would cost most, and what as many versions as are remembered would hold. An entry that comes back stands where it stood.
 */
class Overlay<V> implements ReadonlyMap<string, V> {
  readonly size: number
  readonly base: ReadonlyMap<string, V>
  /** Undefined: it is gone, and was in the base. */
  readonly own: ReadonlyMap<string, V | undefined>

  constructor(base: ReadonlyMap<string, V>, own: ReadonlyMap<string, V | undefined>) {
    this.base = base
    this.own = own
    let { size } = base
    for (const [key, value] of own) size += Number(value !== undefined) - Number(base.has(key))
    this.size = size
  }

  get(key: string): V | undefined {
    const value = this.own.get(key)
    return value !== undefined || this.own.has(key) ? value : this.base.get(key)
  }

  has(key: string): boolean {
    return this.own.has(key) ? this.own.get(key) !== undefined : this.base.has(key)
  }

  *entries(): MapIterator<[string, V]> {
    for (const entry of this.base) {
      if (!this.own.has(entry[0])) yield entry
      else {
        const value = this.own.get(entry[0])
        if (value !== undefined) yield [entry[0], value]
      }
    }
    for (const [key, value] of this.own) if (value !== undefined && !this.base.has(key)) yield [key, value]
  }

  *keys(): MapIterator<string> {
    for (const [key] of this.entries()) yield key
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  forEach(call: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this.entries()) call(value, key, this)
  }
}

const isOverlay = <V>(map: ReadonlyMap<string, V>): map is Overlay<V> => map instanceof Overlay

/** A map with these entries set, and those that are undefined gone; the one before stays what it is. */
export function overlaid<V>(before: ReadonlyMap<string, V>, changes: ReadonlyMap<string, V | undefined>): ReadonlyMap<string, V> {
  const [base, known] = isOverlay(before) ? [before.base, before.own] : [before, undefined]
  const own = new Map(known)
  for (const [key, value] of changes) {
    if (value === undefined && !base.has(key)) own.delete(key)
    else own.set(key, value)
  }
  if (base.size >= leastSize && own.size * ownShare <= base.size) return new Overlay(base, own)
  const copy = new Map(base)
  for (const [key, value] of own) {
    if (value === undefined) copy.delete(key)
    else copy.set(key, value)
  }
  return copy
}
