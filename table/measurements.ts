import { LATENCY_BOUNDS, type Moments, type RuleMeasurements, type VariantMeasurements } from './delivery.ts'

/** The arithmetic of measurements: both halves add up what several processes counted. */

/** What is counted of one variant, with room for every latency. */
export type Counts = {
  requests: number
  errors: number
  readonly latency: Float64Array
  readonly cost: Moments
  readonly tokens: VariantMeasurements['tokens']
  compared: number
  mismatched: number
  readonly fields: readonly Moments[]
}

export function noCounts(fields: number): Counts {
  return {
    requests: 0, errors: 0, latency: new Float64Array(LATENCY_BOUNDS.length + 1),
    cost: noMoments(), tokens: { count: 0, sum: 0, squares: 0, seconds: 0, secondsSquares: 0, products: 0 },
    compared: 0, mismatched: 0, fields: Array.from({ length: fields }, noMoments),
  }
}

const noMoments = (): Moments => ({ count: 0, sum: 0, squares: 0 })

type Addend = Omit<VariantMeasurements, 'variant' | 'latency' | 'fields'> & Readonly<{
  latency: Readonly<{ from: number; counts: ArrayLike<number> }>
  fields: readonly Moments[]
}>

/** Adds to `counts` what was told. */
function addCounts(counts: Counts, told: Addend): void {
  counts.requests += told.requests
  counts.errors += told.errors
  const { from, counts: buckets } = told.latency
  const end = Math.min(buckets.length, counts.latency.length - from)
  for (let i = 0; i < end; i++) counts.latency[from + i] = (counts.latency[from + i] ?? 0) + (buckets[i] ?? 0)
  addMoments(counts.cost, told.cost)
  const { tokens } = counts
  for (const part of ['count', 'sum', 'squares', 'seconds', 'secondsSquares', 'products'] as const) tokens[part] += told.tokens[part]
  counts.compared += told.compared
  counts.mismatched += told.mismatched
  for (const [i, field] of counts.fields.entries()) {
    const more = told.fields[i]
    if (more !== undefined) addMoments(field, more)
  }
}

function addMoments(to: Moments, more: Moments): void {
  to.count += more.count
  to.sum += more.sum
  to.squares += more.squares
}

/** One more value of it. */
export function observe(moments: Moments, value: number): void {
  moments.count++
  moments.sum += value
  moments.squares += value * value
}

const step = Math.log((LATENCY_BOUNDS[1] ?? 0) / (LATENCY_BOUNDS[0] ?? 1))

/** The bucket of `Counts.latency` that so many seconds belong in: the first whose bound is not below them. */
export function latencyBucket(seconds: number): number {
  const least = LATENCY_BOUNDS[0] ?? 0
  if (!(seconds > least)) return 0
  let bucket = Math.min(LATENCY_BOUNDS.length, Math.ceil(Math.log(seconds / least) / step))
  // The logarithm may round to the other side of a bound.
  if (bucket > 0 && seconds <= (LATENCY_BOUNDS[bucket - 1] ?? Number.POSITIVE_INFINITY)) bucket--
  else if (seconds > (LATENCY_BOUNDS[bucket] ?? Number.POSITIVE_INFINITY)) bucket++
  return bucket
}

/** As it travels. */
export function told(variant: string, counts: Counts): VariantMeasurements {
  const { latency, cost, tokens, fields, requests, errors, compared, mismatched } = counts
  const from = latency.findIndex((count) => count > 0)
  const last = latency.findLastIndex((count) => count > 0)
  return {
    variant, requests, errors,
    latency: from === -1 ? { from: 0, counts: [] } : { from, counts: [...latency.subarray(from, last + 1)] },
    cost: { ...cost }, tokens: { ...tokens }, compared, mismatched, fields: fields.map((field) => ({ ...field })),
  }
}

/** The counts of several processes for the same rule under the same id, as one. */
export function sumOf(all: readonly RuleMeasurements[]): readonly Readonly<{ variant: string; counts: Counts }>[] {
  const variants = new Map<string, Counts>()
  for (const { variants: each } of all) {
    for (const one of each) {
      let counts = variants.get(one.variant)
      if (counts === undefined) {
        counts = noCounts(one.fields.length)
        variants.set(one.variant, counts)
      }
      addCounts(counts, one)
    }
  }
  return [...variants].map(([variant, counts]) => ({ variant, counts }))
}

/** What was counted after `before`, of the same processes. Fractions of rounding, or a process that forgot, count as nothing. */
export function since(before: Counts | undefined, now: Counts): Counts {
  if (before === undefined) return now
  const less = (value: number, old: number) => Math.max(0, value - old)
  const moments = (value: Moments, old: Moments): Moments =>
    ({ count: less(value.count, old.count), sum: value.sum - old.sum, squares: less(value.squares, old.squares) })
  return {
    requests: less(now.requests, before.requests),
    errors: less(now.errors, before.errors),
    latency: now.latency.map((count, i) => less(count, before.latency[i] ?? 0)),
    cost: moments(now.cost, before.cost),
    tokens: {
      count: less(now.tokens.count, before.tokens.count),
      sum: less(now.tokens.sum, before.tokens.sum),
      squares: less(now.tokens.squares, before.tokens.squares),
      seconds: less(now.tokens.seconds, before.tokens.seconds),
      secondsSquares: less(now.tokens.secondsSquares, before.tokens.secondsSquares),
      products: less(now.tokens.products, before.tokens.products),
    },
    compared: less(now.compared, before.compared),
    mismatched: less(now.mismatched, before.mismatched),
    fields: now.fields.map((field, i) => moments(field, before.fields[i] ?? noMoments())),
  }
}

/** Several variants taken for one. */
export function together(all: readonly Counts[]): Counts | undefined {
  const [first] = all
  if (first === undefined) return undefined
  const sum = noCounts(first.fields.length)
  for (const { latency, ...rest } of all) addCounts(sum, { ...rest, latency: { from: 0, counts: latency } })
  return sum
}
