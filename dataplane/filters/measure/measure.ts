import { latencyBucket, observe, type Counts } from '../../../table/measurements.ts'
import type { ErrorCode } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import type { RuleCounts } from '../../telemetry/measurements.ts'
import type { Filter } from '../filter.ts'
import { readAnswer, type Reading } from './reading.ts'

/**
 * Counts what becomes of a request for the variant that was chosen for it, where a rollout watches the rule. The last of
 * the filters, so that what the others refuse is no backend's doing.
 */
export const measure: Filter = {
  name: 'measure',
  build({ route, rule }, { measurements }) {
    const counts = measurements.of(route.id, rule)
    const { fields = [], tokens = false } = rule.measured ?? {}
    if (counts === undefined) return undefined
    const reads = fields.length > 0 || tokens
    return function measure(exchange) {
      if (exchange.explaining !== undefined || exchange.rule === undefined) return undefined
      const chosen = chooseVariant(exchange, exchange.rule)?.name
      if (chosen === undefined) return undefined
      const reading = reads ? readAnswer(exchange, fields, tokens) : undefined
      exchange.onEnd(() => count(exchange, chosen, counts, reading))
      return undefined
    }
  },
}

/** What only a backend is to blame for, also where it was not even asked. */
const faults = new Set<ErrorCode | undefined>([
  'backend_unresolved', 'upstream_connect_failed', 'upstream_reset', 'upstream_protocol', 'response_too_large', 'no_endpoints', 'overloaded',
  'circuit_open',
])

/** Of gRPC: unknown, deadline exceeded, unimplemented, internal, unavailable, data loss. */
const grpcFaults = new Set<unknown>([2, 4, 12, 13, 14, 15])

function count(exchange: Exchange, chosen: string, rule: RuleCounts, reading: Reading | undefined): void {
  const { error, upstreamStartedAt, firstByteAt, startedAt, variant, cost, cached } = exchange
  const sent = upstreamStartedAt > 0
  // Another variant answers in place of the one that was chosen only where that one failed.
  const replaced = variant?.name !== chosen
  // An old answer stands in only where the backend failed.
  const failed = replaced || cached?.result === 'stale' || faults.has(error) || (sent && (error === 'timeout' || failedAnswer(exchange)))
  if (!failed && !sent) return
  const counts = rule.of(chosen)
  if (counts === undefined) return
  counts.requests++
  if (failed) counts.errors++
  if (replaced) return
  const waited = error === 'timeout' || error === 'client_closed'
  if (firstByteAt > 0 ? !failed : waited) {
    // Who gave up waiting would have waited longer: a backend that never answers must not look fast.
    const seconds = ((firstByteAt > 0 ? firstByteAt : performance.now()) - startedAt) / 1000
    const bucket = latencyBucket(seconds)
    counts.latency[bucket] = (counts.latency[bucket] ?? 0) + 1
  }
  if (failed || error !== undefined) return
  if (cost !== undefined) observe(counts.cost, cost)
  if (reading !== undefined) countReading(exchange, counts, reading)
}

function failedAnswer({ response }: Exchange): boolean {
  return response.statusCode >= 500 || ('grpcStatus' in response && grpcFaults.has(response.grpcStatus))
}

function countReading({ upstreamStartedAt, upstreamEndedAt }: Exchange, { tokens, fields }: Counts, reading: Reading): void {
  const written = reading.tokens()
  if (written !== undefined && written > 0) {
    const seconds = ((upstreamEndedAt || performance.now()) - upstreamStartedAt) / 1000
    tokens.count++
    tokens.sum += written
    tokens.squares += written * written
    tokens.seconds += seconds
    tokens.secondsSquares += seconds * seconds
    tokens.products += written * seconds
  }
  const found = reading.numbers()
  for (const [i, field] of fields.entries()) {
    const value = found[i]
    if (value !== undefined) observe(field, value)
  }
}
