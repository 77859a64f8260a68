import { createTraceState, ROOT_CONTEXT, SpanKind, trace, TraceFlags, type Context, type Tracer } from '@opentelemetry/api'
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace'
import type { Exchange } from '../../pipeline/exchange.ts'
import { Kind, removeHeader, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { detached } from '../../pipeline/recalled.ts'
import type { Trace } from '../../pipeline/trace.ts'
import type { Sampling } from '../tracing_settings.ts'
import { methodOf } from './attributes.ts'
import { lastChance, newParent, traceIn } from './ids.ts'
import { inherited } from './inherited.ts'
import { createClock, Spans } from './spans.ts'

/** Finds the place of each request in a trace: called once for each, before anything else is done with it. */
export type Tracing = Readonly<{ begin(exchange: Exchange): void }>

/** @param tracerOf makes spans; those without a parent are of this trace */
export function createTracing(sampling: Sampling, tracerOf: (trace: string) => Tracer): Tracing {
  const keeps = decide(sampling)
  return {
    begin(exchange) {
      const { received } = exchange
      const caller = (received.seen & (1 << Kind.trace)) === 0 ? undefined : inherited(received.headers)
      const parent = caller === undefined ? newParent() : ''
      const named = caller?.id ?? traceIn(parent)
      const sampled = keeps(caller)
      // Exemplars and spans keep it for long.
      const id = sampled ? detached(named) : named
      exchange.trace = { id, parent: caller?.parent ?? '', sampled }
      if (sampled) begin(exchange, tracerOf(id), caller)
      // Whoever is called is told that too; where a caller has decided, in his own words.
      else if (caller === undefined) received.headers.push('traceparent', parent)
    },
  }
}

/** @returns whether the trace of this caller is kept; without one, that which was begun last */
export function decide({ ratio, parentBased }: Sampling): (caller: Trace | undefined) => boolean {
  const sampler = new TraceIdRatioBasedSampler(ratio)
  // The same, of an id that was made here: those who keep as many keep the same ones.
  const most = ratio === 1 ? 2 ** 32 : Math.floor(ratio * (2 ** 32 - 1))
  return (caller) => {
    if (caller === undefined) return lastChance() < most
    return parentBased ? caller.sampled : sampler.shouldSample(ROOT_CONTEXT, caller.id).decision === SamplingDecision.RECORD_AND_SAMPLED
  }
}

function begin(exchange: Exchange, tracer: Tracer, caller: Trace | undefined): void {
  const { headers } = exchange.received
  const clock = createClock()
  const span = tracer.startSpan(methodOf(exchange.method), { kind: SpanKind.SERVER, startTime: clock(exchange.startedAt) }, above(caller, headers))
  const spans = Spans.of(tracer, span, clock)
  exchange.spans = spans
  // What is sent on by anything but a try is a part of the request.
  removeHeader(headers, 'traceparent')
  headers.push('traceparent', spans.traceparent)
  spans.watch(exchange)
}

function above(caller: Trace | undefined, headers: FlatHeaders): Context {
  if (caller === undefined) return ROOT_CONTEXT
  const state = valueOf(headers, 'tracestate')
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: caller.id, spanId: caller.parent, traceFlags: TraceFlags.SAMPLED, isRemote: true, ...(state !== undefined && { traceState: createTraceState(state) }),
  })
}
