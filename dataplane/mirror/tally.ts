import type { Comparison, Skipped as Incomparable } from './compare/answers.ts'
import type { Difference } from './compare/findings.ts'

/**
 * What became of a request that was to be copied. `answered` and `failed`: by the variant that got the copy. The others
 * were not sent: the proxy had more to do (`busy`), as many copies as it may were on their way, or as much had gone by (`full`), or what they
 * hold was too much (`memory`); the body was too large; nobody was there to send it to; the variant cannot be asked for
 * it; or the caller's request ended before its body was whole.
 */
export type CopyOutcome = 'answered' | 'failed' | 'busy' | 'full' | 'memory' | 'too_large' | 'no_endpoints' | 'unsupported' | 'abandoned'

/** `failed`: the caller got an answer, and the copy brought none. */
export type ComparedResult = 'match' | 'mismatch' | 'failed' | 'skipped'

/** Why nothing was compared. */
export type Skipped = Incomparable | 'busy' | 'full' | 'memory' | 'connection_lost'

/** A request whose copy brought something else. It holds no value of either answer. */
export type Sample = Readonly<{
  time: string
  requestId: string
  /** The variant that answered the caller. */
  variant: string
  differences: readonly Difference[]
  similarity?: number
}>

/** All that is told of the mirror of one rule. */
export type MirrorReport = Readonly<{
  route: string
  rule: string
  variant: string
  copies: Readonly<Partial<Record<CopyOutcome, number>>>
  compared: Readonly<Partial<Record<ComparedResult, number>>>
  /** Why nothing was compared. */
  skipped: Readonly<Partial<Record<Skipped, number>>>
  labels: Readonly<{ vectors: number; labelDiffers: number; topDiffers: number }>
  /** Texts by how alike they were, in tenths; the last one counts those that were the same. */
  similarity: readonly number[]
  /** Where answers differed, and in how many of them, the most frequent first. */
  places: readonly Readonly<{ place: string; kind: string; answers: number; largest?: number }>[]
  /** The latest. */
  samples: readonly Sample[]
}>

/** Bounds of what is kept of one rule. */
const samplesMax = 20
const placesMax = 64
const similarityBins = 11

type Counts<T extends string> = Map<T, number>

function bump<T extends string>(counts: Counts<T>, of: T): void {
  counts.set(of, (counts.get(of) ?? 0) + 1)
}

/** Counts of the mirror of one rule. They outlive the tables. */
export class MirrorTally {
  readonly route: string
  readonly rule: string
  readonly variant: string
  readonly labels: Readonly<{ route: string; rule: string; variant: string; model_version: string }>
  /** Copies that hold something: from the choice of the request to the end of the comparison. */
  inFlight = 0
  /** `performance.now()` before which none is begun: the last one brought no answer, or more of one than anybody reads. */
  pausedUntil = 0
  readonly copies: Counts<CopyOutcome> = new Map()
  readonly compared: Counts<ComparedResult> = new Map()
  readonly #skipped: Counts<Skipped> = new Map()
  readonly #labels = { vectors: 0, labelDiffers: 0, topDiffers: 0 }
  readonly #similarity = Array<number>(similarityBins).fill(0)
  readonly #places = new Map<string, { place: string; kind: string; answers: number; largest: number | undefined }>()
  readonly #samples: Sample[] = []
  #turn = 0

  constructor(route: string, rule: string, variant: string, modelVersion: string) {
    this.route = route
    this.rule = rule
    this.variant = variant
    this.labels = { route, rule, variant, model_version: modelVersion }
  }

  /** Whether the next request is one of those: `percent` of each hundred, exactly. */
  turn(percent: number): boolean {
    this.#turn += percent
    if (this.#turn < 100) return false
    this.#turn -= 100
    return true
  }

  count(outcome: CopyOutcome): void {
    bump(this.copies, outcome)
  }

  skip(why: Skipped): void {
    bump(this.compared, 'skipped')
    bump(this.#skipped, why)
  }

  /** The caller got an answer, and the copy none. */
  fail(sample: Pick<Sample, 'requestId' | 'variant'>): void {
    bump(this.compared, 'failed')
    this.#keep({ ...sample, differences: [{ place: 'answer', kind: 'missing', count: 1 }] })
  }

  conclude(comparison: Exclude<Comparison, { result: 'skipped' }>, sample: Pick<Sample, 'requestId' | 'variant'>): void {
    const { result, differences, labels, similarity } = comparison
    bump(this.compared, result)
    if (labels !== undefined) {
      this.#labels.vectors += labels.vectors
      this.#labels.labelDiffers += labels.labelDiffers
      this.#labels.topDiffers += labels.topDiffers
    }
    if (similarity !== undefined) {
      const bin = similarity === 1 ? similarityBins - 1 : Math.floor(similarity * (similarityBins - 1))
      this.#similarity[bin] = (this.#similarity[bin] ?? 0) + 1
    }
    if (result === 'mismatch') this.#keep({ ...sample, differences, ...(similarity !== undefined && { similarity }) })
  }

  #keep(sample: Omit<Sample, 'time'>): void {
    for (const { place, kind, largest } of sample.differences) {
      const key = `${kind} ${place}`
      const found = this.#places.get(key)
      if (found !== undefined) {
        found.answers++
        if (largest !== undefined && largest > (found.largest ?? 0)) found.largest = largest
      } else if (this.#places.size < placesMax) this.#places.set(key, { place, kind, answers: 1, largest })
    }
    this.#samples.push({ time: new Date().toISOString(), ...sample })
    if (this.#samples.length > samplesMax) this.#samples.shift()
  }

  report(): MirrorReport {
    const { route, rule, variant } = this
    return {
      route, rule, variant,
      copies: Object.fromEntries(this.copies), compared: Object.fromEntries(this.compared), skipped: Object.fromEntries(this.#skipped),
      labels: { ...this.#labels }, similarity: [...this.#similarity],
      places: byAnswers([...this.#places.values()].map(({ largest, ...place }) => ({ ...place, ...(largest !== undefined && { largest }) }))),
      samples: [...this.#samples].reverse(),
    }
  }
}

const byAnswers = <T extends Readonly<{ answers: number }>>(places: readonly T[]): readonly T[] => places.toSorted((a, b) => b.answers - a.answers)

/** Another process of this program made them in the same way, or gave no answer. */
function areReports(value: unknown): value is readonly MirrorReport[] {
  return Array.isArray(value)
}

function added(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries([...new Set([...Object.keys(a), ...Object.keys(b)])].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]))
}

/** What several processes tell, as one. */
export function addReports(told: readonly unknown[]): readonly MirrorReport[] {
  const all = new Map<string, MirrorReport>()
  for (const one of told.flatMap((list) => (areReports(list) ? list : []))) {
    const key = JSON.stringify([one.route, one.rule, one.variant])
    const before = all.get(key)
    all.set(key, before === undefined ? one : together(before, one))
  }
  return [...all.values()]
}

function together(a: MirrorReport, b: MirrorReport): MirrorReport {
  const places = new Map(a.places.map((place) => [`${place.kind} ${place.place}`, place]))
  for (const place of b.places) {
    const key = `${place.kind} ${place.place}`
    const before = places.get(key)
    const largest = [before?.largest, place.largest].filter((one) => one !== undefined)
    places.set(key, { ...place, answers: place.answers + (before?.answers ?? 0), ...(largest.length > 0 && { largest: Math.max(...largest) }) })
  }
  const { vectors, labelDiffers, topDiffers } = a.labels
  return {
    ...a,
    copies: added(a.copies, b.copies),
    compared: added(a.compared, b.compared),
    skipped: added(a.skipped, b.skipped),
    labels: { vectors: vectors + b.labels.vectors, labelDiffers: labelDiffers + b.labels.labelDiffers, topDiffers: topDiffers + b.labels.topDiffers },
    similarity: a.similarity.map((count, bin) => count + (b.similarity[bin] ?? 0)),
    places: byAnswers([...places.values()]).slice(0, placesMax),
    samples: [...a.samples, ...b.samples].sort((one, other) => (one.time < other.time ? 1 : -1)).slice(0, samplesMax),
  }
}
