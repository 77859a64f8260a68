/** Values of the window that all others are held against, and as many of the latest. */
const windowSize = 512
/** Different texts of which it is counted how often each comes; others are counted together. */
const textsMax = 64
/** Longer texts are no names of anything. Characters. */
const textMax = 64
/** A number whose square is no number any more says nothing. */
const numberMax = 1e150

/** The first values there were, and the latest after those. */
class Window<T> {
  readonly baseline: T[] = []
  readonly recent: T[] = []
  #next = 0

  push(value: T): void {
    if (this.baseline.length < windowSize) this.baseline.push(value)
    else if (this.recent.length < windowSize) this.recent.push(value)
    else {
      this.recent[this.#next] = value
      this.#next = (this.#next + 1) % windowSize
    }
  }
}

export type Kind = 'number' | 'text' | 'truth'

/** What is known of a column, for another process to put together with its own. NaN and null: it was missing. */
export type ColumnReport = Readonly<{
  name: string
  kind: Kind
  count: number
  missing: number
  /** Values of another kind than the first. */
  odd: number
  mean: number
  /** Sum of the squares of the distances from the mean. */
  squares: number
  min: number
  max: number
  numbers: Readonly<{ baseline: readonly number[]; recent: readonly number[] }>
  texts: Readonly<{ baseline: readonly (string | null)[]; recent: readonly (string | null)[] }>
  /** How often each text came; `''` has those of which there were too many. */
  counts: readonly (readonly [text: string, count: number])[]
}>

/**
 * One feature of what a model is asked, or one of its outputs: a number, the length of a text, and where texts are short
 * and few, which they are. In bounded space, whatever comes.
 */
export class Column {
  readonly name: string
  readonly kind: Kind
  /** The last request that brought it. */
  seenAt = 0
  #count = 0
  #missing = 0
  #odd = 0
  #mean = 0
  #squares = 0
  #min = Number.POSITIVE_INFINITY
  #max = Number.NEGATIVE_INFINITY
  readonly #numbers = new Window<number>()
  readonly #texts = new Window<string | null>()
  readonly #counts = new Map<string, number>()

  constructor(name: string, kind: Kind) {
    this.name = name
    this.kind = kind
  }

  /** Nothing was there. */
  miss(): void {
    this.#missing++
    if (this.kind !== 'truth') this.#numbers.push(Number.NaN)
    if (this.kind !== 'number') this.#texts.push(null)
  }

  /** @param spells whether texts may be kept, and not only how long they are */
  add(value: unknown, spells: boolean): void {
    if (value === null || value === undefined) this.miss()
    else if (kindOf(value) !== this.kind) this.#odd++
    else if (typeof value === 'string') {
      this.#number(value.length)
      if (spells) this.#text(value)
    } else if (typeof value === 'boolean') {
      this.#count++
      this.#text(String(value))
    } else this.#number(Number(value))
  }

  #number(value: number): void {
    if (!(Math.abs(value) < numberMax)) {
      this.miss()
      return
    }
    this.#count++
    const away = value - this.#mean
    this.#mean += away / this.#count
    this.#squares += away * (value - this.#mean)
    this.#min = Math.min(this.#min, value)
    this.#max = Math.max(this.#max, value)
    this.#numbers.push(value)
  }

  #text(text: string): void {
    const known = text.length <= textMax && (this.#counts.has(text) || this.#counts.size < textsMax) ? text : ''
    this.#counts.set(known, (this.#counts.get(known) ?? 0) + 1)
    this.#texts.push(known)
  }

  report(): ColumnReport {
    const copy = <T>({ baseline, recent }: Window<T>) => ({ baseline: [...baseline], recent: [...recent] })
    return {
      name: this.name, kind: this.kind, count: this.#count, missing: this.#missing, odd: this.#odd,
      mean: this.#mean, squares: this.#squares, min: this.#min, max: this.#max,
      numbers: copy(this.#numbers), texts: copy(this.#texts), counts: [...this.#counts],
    }
  }
}

/** Undefined: no value of a column. */
export function kindOf(value: unknown): Kind | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return 'number'
  if (typeof value === 'string') return 'text'
  return typeof value === 'boolean' ? 'truth' : undefined
}

/** What two processes know of a column, as one. */
export function together(a: ColumnReport, b: ColumnReport): ColumnReport {
  const count = a.count + b.count
  const away = b.mean - a.mean
  const counts = new Map(a.counts)
  for (const [text, more] of b.counts) counts.set(text, (counts.get(text) ?? 0) + more)
  return {
    name: a.name, kind: a.kind, count, missing: a.missing + b.missing, odd: a.odd + b.odd,
    mean: count === 0 ? 0 : a.mean + (away * b.count) / count,
    squares: a.squares + b.squares + (count === 0 ? 0 : (away * away * a.count * b.count) / count),
    min: Math.min(a.min, b.min), max: Math.max(a.max, b.max),
    numbers: { baseline: [...a.numbers.baseline, ...b.numbers.baseline], recent: [...a.numbers.recent, ...b.numbers.recent] },
    texts: { baseline: [...a.texts.baseline, ...b.texts.baseline], recent: [...a.texts.recent, ...b.texts.recent] },
    counts: [...counts],
  }
}
