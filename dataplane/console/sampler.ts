import { inSlices, type Sliced } from '../sliced.ts'
import type { LimitTally } from '../telemetry/limits.ts'
import type { Series, SeriesSet } from '../telemetry/series.ts'
import type { Timings } from '../telemetry/timings.ts'
import { addBuckets, noCounts, type Counts } from '../../console/flow.ts'

export type SamplerDeps = Readonly<{ series: SeriesSet; limits: LimitTally; now?: () => number }>

/** What was counted between two moments, of which the second is now. */
export type Window = Readonly<{
  /** Null: somebody began to look only now. */
  seconds: number | null
  total: Counts
  /** By status and code (`502 upstream_reset`), of requests that did not go well. */
  endings: ReadonlyMap<string, number>
  /** Adds what some series counted. */
  add(to: Counts, all: Iterable<Series>): void
  /** How much a count that is kept under this name grew; see the names below. */
  grown(name: string): number
}>

export const endingName = (ending: string) => `ending ${ending}`
export const decisionName = (policy: string, limit: string, decision: string) => `decision ${policy}/${limit} ${decision}`
export const resultName = (route: string, rule: string, result: number | string) => `cache ${route}\n${rule}\n${result}`
export const callerName = (key: string, what: 'requests' | 'rejected') => `caller ${what} ${key}`

/** Milliseconds: two who look within that see the same; after that nobody looks any more, and all is forgotten. */
const freshFor = 900
const watchedFor = 10_000

/** Series between two chances to put the work aside. */
const sliceLength = 100

/** Of a series, requests, failed and refused ones; of timings, the buckets. */
type Seen = Readonly<{ before: readonly number[]; now: readonly number[] }>

/**
 * Knows what everything counted a moment ago, so that one who looks can be told rates. It remembers only while somebody
 * looks, and never holds up the requests: it goes over the counts in short stretches.
 */
export function createSampler({ series, limits, now = () => performance.now() }: SamplerDeps): Readonly<{ look(): Promise<Window>; close(): void }> {
  let seen = new Map<Series | Timings, Seen>()
  let before = new Map<string, number>()
  let counts = new Map<string, number>()
  let last: Readonly<{ at: number; window: Window }> | undefined
  let looking: Promise<Window> | undefined
  let forgetting: NodeJS.Timeout | undefined

  function forget(): void {
    clearTimeout(forgetting)
    seen = new Map()
    before = new Map()
    counts = new Map()
    last = undefined
  }

  function* go(since: number | undefined, at: number): Sliced<Window> {
    const known = new Map<Series | Timings, Seen>()
    const next = new Map<string, number>()
    const endings = new Map<string, number>()
    let done = 0
    // What began since the last look grew from nothing; at the first look nothing has grown.
    const remember = (one: Series | Timings, figures: readonly number[]) =>
      known.set(one, { before: seen.get(one)?.now ?? (since === undefined ? figures : []), now: figures })
    for (const one of series.values()) {
      remember(one, figuresOf(one, endings))
      for (const [result, count] of one.caches ?? []) addTo(next, resultName(one.labels.route, one.labels.rule, result), count)
      if (++done % sliceLength === 0) yield
    }
    for (const one of series.timed('request')) {
      remember(one, [...one.request?.counts ?? []])
      if (++done % sliceLength === 0) yield
    }
    for (const { policy, limit, decision, count } of limits.decisions()) next.set(decisionName(policy, limit, decision), count)
    for (const { caller: { key }, requests, rejected } of limits.callers.limited()) {
      next.set(callerName(key, 'requests'), requests)
      next.set(callerName(key, 'rejected'), rejected)
      if (++done % sliceLength === 0) yield
    }
    for (const [ending, count] of endings) next.set(endingName(ending), count)
    seen = known
    before = since === undefined ? next : counts
    counts = next
    const total = noCounts()
    for (const one of series.values()) {
      addCounts(total, one)
      if (++done % sliceLength === 0) yield
    }
    for (const one of series.timings()) {
      addTimes(total, one)
      if (++done % sliceLength === 0) yield
    }
    const window: Window = {
      seconds: since === undefined ? null : (at - since) / 1000,
      total, endings,
      add(to, all) {
        const timings = new Set<Timings>()
        for (const one of all) {
          addCounts(to, one)
          timings.add(one.timings)
        }
        for (const one of timings) addTimes(to, one)
      },
      grown: (name) => Math.max(0, (counts.get(name) ?? 0) - (before.get(name) ?? 0)),
    }
    last = { at, window }
    return window
  }

  function addCounts(to: Counts, one: Series): void {
    const { before: [requests = 0, failed = 0, refused = 0, tokens = 0, cost = 0], now: fresh } = seen.get(one) ?? { before: [], now: [] }
    const [requestsNow = 0, failedNow = 0, refusedNow = 0, tokensNow = 0, costNow = 0] = fresh
    to.requests += requestsNow
    to.failed += failedNow
    to.refused += refusedNow
    to.recent.requests += requestsNow - requests
    to.recent.failed += failedNow - failed
    to.recent.refused += refusedNow - refused
    to.recent.tokens += tokensNow - tokens
    to.recent.cost += Math.max(0, costNow - cost)
  }

  /** Of several models of one variant and version there is one of these. */
  function addTimes(to: Counts, one: Timings): void {
    const { before: old, now: fresh } = seen.get(one) ?? { before: [], now: [] }
    to.inFlight += one.inFlight
    addBuckets(to.latency, fresh.map((count, i) => count - (old[i] ?? 0)))
  }

  return {
    look() {
      const at = now()
      if (last !== undefined && at - last.at < freshFor) return Promise.resolve(last.window)
      if (last !== undefined && at - last.at > watchedFor) forget()
      looking ??= inSlices(go(last?.at, at), () => {}).finally(() => (looking = undefined))
      clearTimeout(forgetting)
      forgetting = setTimeout(forget, watchedFor).unref()
      return looking
    },
    close: forget,
  }
}

function figuresOf({ outcomes, inputTokens, outputTokens, cost }: Series, endings: Map<string, number>): readonly number[] {
  let [requests, failed, refused] = [0, 0, 0]
  for (const [outcome, count] of outcomes ?? []) {
    const status = typeof outcome === 'number' ? outcome : Number.parseInt(outcome, 10)
    requests += count
    // 0: it was cut off before there was a status; 499: the client left.
    if (status >= 500 || status === 0) failed += count
    else if (status >= 400 && status !== 499) refused += count
    if (status >= 400 || status === 0) addTo(endings, String(outcome), count)
  }
  return [requests, failed, refused, inputTokens + outputTokens, cost]
}

function addTo(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}
