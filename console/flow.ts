import type { Flow } from '../table/console.ts'

/** Counts of requests over a window, before they are put as a flow. */
export type Counts = {
  requests: number
  failed: number
  refused: number
  inFlight: number
  /** In the window. */
  recent: { requests: number; failed: number; refused: number; tokens: number; cost: number }
  /** In the window, by bucket. */
  latency: number[]
}

export const noCounts = (): Counts =>
  ({ requests: 0, failed: 0, refused: 0, inFlight: 0, recent: { requests: 0, failed: 0, refused: 0, tokens: 0, cost: 0 }, latency: [] })

/** @param seconds of the window; null: there is none yet */
export function flowOf({ requests, failed, refused, inFlight, recent, latency }: Counts, seconds: number | null, bounds: readonly number[]): Flow {
  const rate = (count: number) => count / (seconds ?? 1)
  const perSecond = seconds === null ? null
    : { requests: rate(recent.requests), failed: rate(recent.failed), refused: rate(recent.refused), tokens: rate(recent.tokens), cost: rate(recent.cost) }
  return { requests, failed, refused, inFlight, perSecond, ...timesOf(seconds === null ? [] : latency.map(rate), bounds) }
}

export function addFlows(all: readonly Flow[], bounds: readonly number[]): Flow {
  const sum = noCounts()
  let known = false
  for (const { requests, failed, refused, inFlight, perSecond, latency } of all) {
    sum.requests += requests
    sum.failed += failed
    sum.refused += refused
    sum.inFlight += inFlight
    if (perSecond !== null) {
      known = true
      for (const kind of ['requests', 'failed', 'refused', 'tokens', 'cost'] as const) sum.recent[kind] += perSecond[kind]
    }
    addBuckets(sum.latency, latency)
  }
  return flowOf(sum, known ? 1 : null, bounds)
}

export function addBuckets(to: number[], more: ArrayLike<number>): void {
  for (let i = 0; i < more.length; i++) to[i] = (to[i] ?? 0) + (more[i] ?? 0)
}

function timesOf(latency: readonly number[], bounds: readonly number[]): Pick<Flow, 'latency' | 'p50' | 'p95' | 'p99'> {
  const at = (q: number) => quantile(q, latency, bounds)
  return latency.some((count) => count > 0)
    ? { latency: [...latency], p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    : { latency: [], p50: null, p95: null, p99: null }
}

/** Within its bucket, as if that were evenly filled; the last bound, where it is above that. Null where nothing was counted. */
export function quantile(q: number, counts: ArrayLike<number>, bounds: readonly number[]): number | null {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i] ?? 0
  if (total === 0) return null
  let below = 0
  for (let i = 0; i < counts.length; i++) {
    const here = counts[i] ?? 0
    if (here > 0 && below + here >= q * total) {
      const from = bounds[i - 1] ?? 0
      const to = bounds[i] ?? from
      return from + (to - from) * ((q * total - below) / here)
    }
    below += here
  }
  return bounds.at(-1) ?? null
}
