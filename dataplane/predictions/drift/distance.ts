/** Fewer values than this say nothing of a distribution. */
const valuesMin = 100
/** Parts that the values of the first are put into, as many in each. */
const bins = 10

/**
 * How far two distributions are from each other. `psi`: the population stability index, over tenths of the first, or over
 * the texts; what is missing counts as a value of its own. Up to 0.1 they are taken for the same, from 0.25 on for others.
 * `ks`: the largest distance between the two cumulative shares (Kolmogorov and Smirnov), from 0 to 1; of numbers only.
 */
export type Distance = Readonly<{ psi: number; ks?: number }>

/** Undefined: there are too few values. NaN: it was missing. */
export function distanceOfNumbers(a: readonly number[], b: readonly number[]): Distance | undefined {
  if (a.length < valuesMin || b.length < valuesMin) return undefined
  const [first, second] = [sorted(a), sorted(b)]
  const few = new Set(first)
  // Grades, classes and constants: each is a part, and what was never there is another.
  if (few.size <= bins) {
    const named = (values: readonly number[]) => values.map((value) => (Number.isNaN(value) ? null : few.has(value) ? String(value) : ''))
    return { psi: indexOfTexts(named(a), named(b)), ks: largestGap(first, second) }
  }
  // Tenths: where a value stands more than once at an edge, fewer parts.
  const edges = [...new Set(Array.from({ length: bins - 1 }, (_, i) => first[Math.floor(((i + 1) * first.length) / bins)]).filter((edge) => edge !== undefined))]
  return { psi: index(shares(first, edges, a.length), shares(second, edges, b.length), a.length, b.length), ks: largestGap(first, second) }
}

/** Null: it was missing. */
export function distanceOfTexts(a: readonly (string | null)[], b: readonly (string | null)[]): Distance | undefined {
  if (a.length < valuesMin || b.length < valuesMin) return undefined
  return { psi: indexOfTexts(a, b) }
}

function indexOfTexts(a: readonly (string | null)[], b: readonly (string | null)[]): number {
  const [first, second] = [counted(a), counted(b)]
  const texts = [...new Set([...first.keys(), ...second.keys()])]
  return index(texts.map((text) => first.get(text) ?? 0), texts.map((text) => second.get(text) ?? 0), a.length, b.length)
}

function counted(values: readonly (string | null)[]): Map<string | null, number> {
  const counts = new Map<string | null, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

const sorted = (values: readonly number[]): Float64Array => Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort()

/** How many values are below each edge and not below the one before; and last, how many are missing. */
function shares(values: Float64Array, edges: readonly number[], all: number): number[] {
  const counts = Array<number>(edges.length + 2).fill(0)
  let bin = 0
  for (const value of values) {
    while (bin < edges.length && value >= (edges[bin] ?? 0)) bin++
    counts[bin] = (counts[bin] ?? 0) + 1
  }
  counts[edges.length + 1] = all - values.length
  return counts
}

/** Half a value is added to each part: one that is empty on one side must not make the index infinite. */
function index(a: readonly number[], b: readonly number[], ofA: number, ofB: number): number {
  const parts = a.map((count, i) => [count, b[i] ?? 0] as const).filter(([one, other]) => one > 0 || other > 0)
  let sum = 0
  for (const [one, other] of parts) {
    const p = (one + 0.5) / (ofA + parts.length / 2)
    const q = (other + 0.5) / (ofB + parts.length / 2)
    sum += (q - p) * Math.log(q / p)
  }
  return sum
}

function largestGap(a: Float64Array, b: Float64Array): number {
  let [i, j, gap] = [0, 0, 0]
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i] ?? 0, b[j] ?? 0)
    while (a[i] === value) i++
    while (b[j] === value) j++
    gap = Math.max(gap, Math.abs(i / a.length - j / b.length))
  }
  return gap
}

/** The value below which this share of them lies; undefined where there are none. */
export function quantilesOf(values: readonly number[], at: readonly number[]): readonly (number | undefined)[] {
  const all = sorted(values)
  return at.map((share) => all[Math.min(all.length - 1, Math.floor(share * all.length))])
}
