import { labelText, other } from '../../exposition/family.ts'
import type { Amount } from '../prices/amount.ts'
import type { BatchCounts } from './batch_counts.ts'
import type { Distribution } from './distribution.ts'
import { Room } from './room.ts'
import { batchesOf, distributionOf, leaveRooms, roomsFor, Timings, type Kind, type Rooms } from './timings.ts'

export const seriesLabels = ['route', 'rule', 'variant', 'model', 'model_version'] as const

/** From the table only: a caller must not be able to make up a series. */
export type SeriesLabels = Readonly<Record<(typeof seriesLabels)[number], string>>

/** By what happened. Of several things, with spaces between them. */
type Counts = Map<number | string, number>

/** Bounds of what is told apart. 10,000 routes of three versions fit; a histogram, of twenty samples each, is for fewer. */
export type SeriesBounds = Readonly<{
  /** Label sets of a counter but for what happened. */
  series: number
  /** What happened, of all of them together: statuses and errors, reasons of tries, results. */
  outcomes: number
  /** Label sets of a histogram. */
  distributions: number
}>

const seriesBounds: SeriesBounds = { series: 50_000, outcomes: 100_000, distributions: 1_000 }

/** What only some series have: a scrape goes through these, and not through all for each. */
const parts = ['tokens', 'rows', 'cost', 'retries', 'hedges', 'passed', 'caches', 'joined', 'steps'] as const
type Part = (typeof parts)[number]

/** What all series of a proxy share. */
type Shared = Readonly<{ outcomes: Room; rooms: Rooms; others: Timings; having: Readonly<Record<Part, Set<Series>>> }>

/** All that is counted for one rule, variant and model. */
export class Series {
  readonly labels: SeriesLabels
  readonly timings: Timings
  /** Tokens, where something had to know them. */
  inputTokens = 0
  outputTokens = 0
  /** Rows that predictions were asked for, where something had to know them. */
  rows = 0
  /** In the unit of the limits that know it. */
  cost = 0
  /** By a price list, exact. */
  charged: Amount = 0n
  /** By status, where all went well; else by `502 upstream_reset`: status and error code. */
  outcomes: Counts | undefined

  /** Tries after the first, by why; second requests beside a first, by whether they won; requests passed on, `variant error`. */
  retries: Counts | undefined
  hedges: Counts | undefined
  passed: Counts | undefined
  /** Requests of rules with a cache, by what that had to do with them. */
  caches: Counts | undefined
  /** Requests of rules that join predictions, by whether they were. */
  joined: Counts | undefined
  /** Of a composition: what became of this step. */
  steps: Counts | undefined

  readonly #shared: Shared
  #request: Distribution | undefined
  #upstream: Distribution | undefined
  #firstByte: Distribution | undefined
  #batches: BatchCounts | undefined
  #text: string | undefined

  constructor(labels: SeriesLabels, timings: Timings, shared: Shared) {
    this.labels = labels
    this.timings = timings
    this.#shared = shared
  }

  /** What stands between the braces. */
  get text(): string {
    return (this.#text ??= labelText(seriesLabels, seriesLabels.map((name) => this.labels[name])))
  }

  get inFlight(): number {
    return this.timings.inFlight
  }

  set inFlight(count: number) {
    this.timings.inFlight = count
  }

  get request(): Distribution {
    return (this.#request ??= this.timings.request ?? distributionOf(this.timings, 'request', this.#shared.rooms, this.#shared.others))
  }

  get upstream(): Distribution {
    return (this.#upstream ??= this.timings.upstream ?? distributionOf(this.timings, 'upstream', this.#shared.rooms, this.#shared.others))
  }

  get firstByte(): Distribution {
    return (this.#firstByte ??= this.timings.firstByte ?? distributionOf(this.timings, 'firstByte', this.#shared.rooms, this.#shared.others))
  }

  get batches(): BatchCounts {
    return (this.#batches ??= this.timings.batches ?? batchesOf(this.timings, this.#shared.rooms, this.#shared.others))
  }

  retried(reason: string | number): void {
    this.retries = this.#increase(this.retries ?? this.#first('retries'), String(reason))
  }

  hedged(result: 'won' | 'lost'): void {
    this.hedges = this.#increase(this.hedges ?? this.#first('hedges'), result)
  }

  passedOn(to: string, error: string): void {
    this.passed = this.#increase(this.passed ?? this.#first('passed'), `${to} ${error}`)
  }

  cached(result: string): void {
    this.caches = this.#increase(this.caches ?? this.#first('caches'), result)
  }

  batched(result: string): void {
    this.joined = this.#increase(this.joined ?? this.#first('joined'), result)
  }

  stepped(result: string): void {
    this.steps = this.#increase(this.steps ?? this.#first('steps'), result)
  }

  countTokens({ inputTokens, outputTokens }: Readonly<{ inputTokens: number; outputTokens: number }>): void {
    if (this.inputTokens === 0 && this.outputTokens === 0) this.#has('tokens')
    this.inputTokens += inputTokens
    this.outputTokens += outputTokens
  }

  countRows(rows: number): void {
    if (this.rows === 0) this.#has('rows')
    this.rows += rows
  }

  countCost(cost: number): void {
    if (this.cost === 0) this.#has('cost')
    this.cost += cost
  }

  charge(amount: Amount): void {
    if (this.charged === 0n) this.#has('cost')
    this.charged += amount
  }

  count(status: number, error: string | undefined): void {
    this.outcomes = this.#increase(this.outcomes ?? new Map<number | string, number>(), error === undefined ? status : `${status} ${error}`)
  }

  /** How many places it takes of those for what happened. */
  get places(): number {
    const { outcomes, retries, hedges, passed, caches, joined, steps } = this
    let places = 0
    for (const counts of [outcomes, retries, hedges, passed, caches, joined, steps]) if (counts !== undefined) places += counts.size - (counts.has(other) ? 1 : 0)
    return places
  }

  #increase(counts: Counts, key: number | string): Counts {
    const before = counts.get(key)
    if (before !== undefined) counts.set(key, before + 1)
    else {
      const place = this.timings.gone || this.#shared.outcomes.take() ? key : other
      counts.set(place, (counts.get(place) ?? 0) + 1)
    }
    return counts
  }

  #first(part: Part): Counts {
    this.#has(part)
    return new Map<number | string, number>()
  }

  #has(part: Part): void {
    if (!this.timings.gone) this.#shared.having[part].add(this)
  }
}

type OfRoute = Readonly<{ series: Map<string, Series>; timings: Map<string, Timings> }>

/** The series in existence. They outlive table swaps; those of a route that left the table go with it. */
export class SeriesSet {
  readonly #byRoute = new Map<string, OfRoute>()
  /** The same in the order in which they came: a scrape goes through them for each metric. */
  readonly #series = new Set<Series>()
  readonly #timings = new Set<Timings>()
  readonly #room: Room
  readonly #shared: Shared
  /** Counted in place of those that found no room. */
  readonly #others: Series

  constructor({ series, outcomes, distributions }: SeriesBounds = seriesBounds) {
    this.#room = new Room(series)
    const others = new Timings({ route: other, rule: other, variant: other, model_version: other })
    const none = () => new Set<Series>()
    const having = { tokens: none(), rows: none(), cost: none(), retries: none(), hedges: none(), passed: none(), caches: none(), joined: none(), steps: none() }
    this.#shared = { outcomes: new Room(outcomes), rooms: roomsFor(distributions), others, having }
    this.#timings.add(others)
    this.#others = new Series({ route: other, rule: other, variant: other, model: other, model_version: other }, others, this.#shared)
  }

  get(labels: SeriesLabels): Series {
    const ofRoute = this.#byRoute.get(labels.route) ?? { series: new Map<string, Series>(), timings: new Map<string, Timings>() }
    const { rule, variant, model, model_version } = labels
    const key = `${rule}\n${variant}\n${model}\n${model_version}`
    const found = ofRoute.series.get(key)
    if (found !== undefined) return found
    if (!this.#room.take()) {
      this.#series.add(this.#others)
      return this.#others
    }
    this.#byRoute.set(labels.route, ofRoute)
    const timed = `${rule}\n${variant}\n${model_version}`
    let timings = ofRoute.timings.get(timed)
    if (timings === undefined) {
      timings = new Timings({ route: labels.route, rule, variant, model_version })
      ofRoute.timings.set(timed, timings)
      this.#timings.add(timings)
    }
    const series = new Series(labels, timings, this.#shared)
    ofRoute.series.set(key, series)
    this.#series.add(series)
    return series
  }

  /** Drops the series of a route for which `keep` does not hold; without `keep`, all of them. */
  prune(route: string, keep: (labels: Pick<SeriesLabels, 'rule' | 'variant'>) => boolean = () => false): void {
    const ofRoute = this.#byRoute.get(route)
    if (ofRoute === undefined) return
    for (const [key, series] of ofRoute.series) {
      if (keep(series.labels)) continue
      ofRoute.series.delete(key)
      this.#series.delete(series)
      for (const part of parts) this.#shared.having[part].delete(series)
      this.#room.release()
      this.#shared.outcomes.release(series.places)
    }
    for (const [key, timings] of ofRoute.timings) {
      if (keep(timings.labels)) continue
      ofRoute.timings.delete(key)
      this.#timings.delete(timings)
      timings.gone = true
      leaveRooms(timings, this.#shared.rooms)
    }
    if (ofRoute.series.size === 0) this.#byRoute.delete(route)
  }

  /** Of one route. */
  of(route: string): Iterable<Series> {
    return this.#byRoute.get(route)?.series.values() ?? []
  }

  values(): Iterable<Series> {
    return this.#series
  }

  /** Those that have some of it. */
  having(part: Part): Iterable<Series> {
    return this.#shared.having[part]
  }

  timings(): Iterable<Timings> {
    return this.#timings
  }

  /** Those that have such a distribution. */
  timed(kind: Kind): Iterable<Timings> {
    return this.#shared.rooms[kind].held
  }

  /** How often something found no room of its own, by what there was none of. */
  folded(): Readonly<Record<string, number>> {
    const { outcomes, rooms } = this.#shared
    return {
      series: this.#room.folded, outcomes: outcomes.folded, request_duration: rooms.request.room.folded,
      upstream_duration: rooms.upstream.room.folded, time_to_first_byte: rooms.firstByte.room.folded, batches: rooms.batches.room.folded,
    }
  }
}
