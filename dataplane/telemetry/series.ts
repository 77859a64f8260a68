/** Upper bounds in seconds: a local model answers in a millisecond, a long generation in minutes. */
export const durationBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
] as const

/** Counts by bucket, in a typed array: observing is a short scan and two additions, with nothing allocated. */
export class Durations {
  /** Not cumulative; the last one counts what is above every bound. */
  readonly counts = new Float64Array(durationBuckets.length + 1)
  sum = 0

  observe(seconds: number): void {
    let bucket = 0
    while (bucket < durationBuckets.length && seconds > (durationBuckets[bucket] ?? 0)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
    this.sum += seconds
  }
}

export type SeriesLabels = Readonly<{
  route: string
  rule: string
  variant: string
  /** From the table only: a caller must not be able to make up a series. */
  model: string
  model_version: string
}>

/** All that is counted for one rule, variant and model. */
export class Series {
  readonly labels: SeriesLabels
  readonly request = new Durations()
  readonly upstream = new Durations()
  readonly firstByte = new Durations()
  inFlight = 0
  /** Tokens, where something had to know them. */
  inputTokens = 0
  outputTokens = 0
  /** By status, where all went well; else by `502 upstream_reset`: status and error code. */
  readonly outcomes = new Map<number | string, number>()

  /** Tries after the first, by why; second requests beside a first, by whether they won; requests passed on, `variant error`. */
  readonly retries = new Map<string, number>()
  readonly hedges = new Map<string, number>()
  readonly passed = new Map<string, number>()

  /** Requests of rules with a cache, by what that had to do with them. */
  readonly caches = new Map<string, number>()

  constructor(labels: SeriesLabels) {
    this.labels = labels
  }

  retried(reason: string | number): void {
    increase(this.retries, String(reason))
  }

  hedged(result: 'won' | 'lost'): void {
    increase(this.hedges, result)
  }

  passedOn(to: string, error: string): void {
    increase(this.passed, `${to} ${error}`)
  }

  cached(result: string): void {
    increase(this.caches, result)
  }

  countTokens({ inputTokens, outputTokens }: Readonly<{ inputTokens: number; outputTokens: number }>): void {
    this.inputTokens += inputTokens
    this.outputTokens += outputTokens
  }

  count(status: number, error: string | undefined): void {
    increase(this.outcomes, error === undefined ? status : `${status} ${error}`)
  }
}

function increase<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** The series in existence. They outlive table swaps; those of a route that left the table go with it. */
export class SeriesSet {
  readonly #byRoute = new Map<string, Map<string, Series>>()

  get(labels: SeriesLabels): Series {
    let ofRoute = this.#byRoute.get(labels.route)
    if (ofRoute === undefined) {
      ofRoute = new Map()
      this.#byRoute.set(labels.route, ofRoute)
    }
    const key = `${labels.rule}\n${labels.variant}\n${labels.model}\n${labels.model_version}`
    let series = ofRoute.get(key)
    if (series === undefined) {
      series = new Series(labels)
      ofRoute.set(key, series)
    }
    return series
  }

  /** Drops the series of a route for which `keep` does not hold; without `keep`, all of them. */
  prune(route: string, keep?: (labels: SeriesLabels) => boolean): void {
    const ofRoute = this.#byRoute.get(route)
    if (keep === undefined || ofRoute === undefined) {
      this.#byRoute.delete(route)
      return
    }
    for (const [key, series] of ofRoute) if (!keep(series.labels)) ofRoute.delete(key)
  }

  * values(): Generator<Series> {
    for (const ofRoute of this.#byRoute.values()) yield* ofRoute.values()
  }
}
