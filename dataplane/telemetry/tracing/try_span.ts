import { SpanStatusCode, type Attributes, type Span } from '@opentelemetry/api'
import type { FlatHeaders } from '../../pipeline/headers.ts'
import type { TryOutcome } from '../../upstream/backend.ts'
import { tried } from './attributes.ts'
import type { Clock } from './spans.ts'

export function traceparentOf(span: Span): string {
  const { traceId, spanId } = span.spanContext()
  return `00-${traceId}-${spanId}-01`
}

/** An answer whose end comes sooner after its beginning came at once. Milliseconds. */
const soon = 1

/** One request to one endpoint. */
export class TrySpan {
  readonly #span: Span
  readonly #hold: (settled: TrySpan) => boolean
  readonly #clock: Clock
  #accepted = false
  #settledAt = 0

  /** @param hold keeps one that was answered until all is known; false: nothing more is to come */
  constructor(span: Span, clock: Clock, hold: (settled: TrySpan) => boolean) {
    this.#span = span
    this.#clock = clock
    this.#hold = hold
  }

  /** The headers of this try: who gets it is a part of it. */
  mark(headers: readonly string[]): FlatHeaders {
    const own: FlatHeaders = []
    for (let i = 0; i + 1 < headers.length; i += 2) if (headers[i] !== 'traceparent') own.push(headers[i] ?? '', headers[i + 1] ?? '')
    own.push('traceparent', traceparentOf(this.#span))
    return own
  }

  /** Its answer is the one that is given. */
  accept(): void {
    this.#accepted = true
  }

  /** It is over. @param firstByteAt and `at`: `performance.now()`; 0: there was none */
  settle(outcome: TryOutcome, firstByteAt: number, at: number): void {
    this.#settledAt = at
    if (firstByteAt > 0 && at - firstByteAt > soon) this.#span.addEvent('first byte', this.#clock(firstByteAt))
    const attributes = tried(outcome)
    this.#span.setAttributes(attributes)
    if (attributes['error.type'] !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR })
    if (!this.#accepted || !this.#hold(this)) this.end()
  }

  end(more: Attributes = {}): void {
    this.#span.setAttributes(more).end(this.#clock(this.#settledAt))
  }
}
