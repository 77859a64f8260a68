import type { Combine, Counted, Exemplar, Family } from './family.ts'

/** A part of what one process tells another that tells for both: of metrics by name, samples by label set. */
export type Page = Readonly<{ rows: readonly Row[]; more: boolean }>
type Row = readonly [name: string, labels: string, value: number | Counted]

/** Samples of a page: what a process can write or read in a millisecond. */
const pageSize = 500

export function* pagesOf(families: Iterable<Family>): Generator<Page, undefined> {
  let rows: Row[] = []
  for (const family of families) {
    for (const row of rowsOf(family)) {
      rows.push(row)
      if (rows.length < pageSize) continue
      yield { rows, more: true }
      rows = []
    }
  }
  yield { rows, more: false }
}

function* rowsOf(family: Family): Generator<Row> {
  if (!('buckets' in family)) {
    for (const { labels, value } of family.rows()) yield [family.name, labels, value]
    return
  }
  for (const { labels, counted: { counts, sum, exemplars } } of family.buckets()) yield [family.name, labels, { counts: Array.from(counts), sum, exemplars }]
}

type Distributed = { counts: number[]; sum: number; exemplars: (Exemplar | undefined)[] | undefined }
type Held = Readonly<{ family: Family; values: Map<string, { value: number; of: number }>; counted: Map<string, Distributed> }>

/** The metrics of several processes as one. All are of the same program, and have the same metrics. */
export class Merged {
  readonly #held: ReadonlyMap<string, Held>

  /** @param families nothing of what they tell is in yet: the pages of this process are added as all others are */
  constructor(families: Iterable<Family>) {
    this.#held = new Map(Array.from(families, (family) => [family.name, { family, values: new Map<string, { value: number; of: number }>(), counted: new Map<string, Distributed>() }]))
  }

  add({ rows }: Page): void {
    for (const [name, labels, value] of rows) {
      const held = this.#held.get(name)
      if (held === undefined) continue
      if (typeof value === 'number') addValue(held, labels, value)
      else addCounted(held, labels, value)
    }
  }

  families(): Family[] {
    return Array.from(this.#held.values(), ({ family, values, counted }): Family => 'buckets' in family
      ? {
          ...family,
          * buckets() {
            for (const [labels, one] of counted) yield { labels, counted: one }
          },
        }
      : {
          ...family,
          * rows() {
            for (const [labels, { value, of }] of values) yield { labels, value: family.combine === 'average' ? value / of : value }
          },
        })
  }
}

function addValue({ family, values }: Held, labels: string, value: number): void {
  const before = values.get(labels)
  if (before === undefined) values.set(labels, { value, of: 1 })
  else {
    before.value = 'combine' in family ? combined(family.combine, before.value, value) : before.value + value
    before.of++
  }
}

function combined(how: Combine | undefined, a: number, b: number): number {
  if (how === 'max') return Math.max(a, b)
  return how === 'min' ? Math.min(a, b) : a + b
}

function addCounted({ counted }: Held, labels: string, { counts, sum, exemplars }: Counted): void {
  const before = counted.get(labels)
  if (before === undefined) {
    counted.set(labels, { counts: Array.from(counts), sum, exemplars: exemplars && [...exemplars] })
    return
  }
  for (let i = 0; i < before.counts.length; i++) before.counts[i] = (before.counts[i] ?? 0) + (counts[i] ?? 0)
  before.sum += sum
  if (exemplars !== undefined) before.exemplars = before.counts.map((_, i) => later(before.exemplars?.[i], exemplars[i]))
}

const later = (a: Exemplar | undefined, b: Exemplar | undefined): Exemplar | undefined => a !== undefined && (b === undefined || a.at >= b.at) ? a : b
