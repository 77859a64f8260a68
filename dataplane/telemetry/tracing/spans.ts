import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Attributes, type Context, type HrTime, type Span, type Tracer } from '@opentelemetry/api'
import type { Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { StepRecord } from '../../pipeline/parts.ts'
import type { Upstream } from '../../upstream/pool.ts'
import { asked, failing, filtered, methodOf, routeOf, served, stepped } from './attributes.ts'
import { Generation } from './generation.ts'
import { traceparentOf, TrySpan } from './try_span.ts'

/** A filter that takes less, and waits for nobody, has no span. Milliseconds. */
const notable = 0.1

/** Spans of one request: a stream in which each message is a call would have no end of them. */
const spansMax = 256

/** What all spans of a request have in common. `left`: how many more there may be; below zero, how many there were not. */
type Whole = { left: number; readonly clock: Clock }

/** The time of day of `performance.now()`. It is read once a request, so that its spans fit together to the microsecond. */
export type Clock = (at: number) => HrTime

export function createClock(): Clock {
  const offset = Date.now() - performance.now()
  return (at) => {
    const milliseconds = at + offset
    const seconds = Math.floor(milliseconds / 1000)
    return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)]
  }
}

/** A try, as far as who makes it knows. `reason`: it is not the first, and why. `at`: `performance.now()`. */
export type Tried = Readonly<{ upstream: Upstream; method: string; path: string; variant: string; at: number; reason?: string | number | undefined; hedge?: boolean }>

/** What a request that is traced is made of, or a part of it that makes calls. Only those that are kept have any. */
export class Spans {
  readonly #tracer: Tracer
  readonly #span: Span
  readonly #within: Context
  readonly #whole: Whole
  /** The filter that the request is in. Its span is made when it turns out to be worth one. */
  #filter: { name: string; since: number; span?: Span; within?: Context } | undefined
  #generation: Generation | undefined
  /** The try that was answered: it ends with what is known at the end. */
  #answering: TrySpan | undefined
  #over = false

  constructor(tracer: Tracer, span: Span, whole: Whole) {
    this.#tracer = tracer
    this.#span = span
    this.#within = trace.setSpan(ROOT_CONTEXT, span)
    this.#whole = whole
  }

  /** Of a request. @param span its own @param clock by which that was begun */
  static of(tracer: Tracer, span: Span, clock: Clock): Spans {
    return new Spans(tracer, span, { left: spansMax, clock })
  }

  /** The header by which others know what they are a part of. */
  get traceparent(): string {
    return traceparentOf(this.#span)
  }

  /** Looks at an answer for what it says of tokens. */
  watch(exchange: Exchange): void {
    const generation = Generation.of(exchange)
    if (generation === undefined) return
    this.#generation = generation
    ;(exchange.dataTaps ??= []).push((chunk) => generation.push(chunk))
  }

  /** A filter begins. */
  enter(name: string): void {
    this.#filter = { name, since: performance.now() }
  }

  /** It has let the request pass, or answered it. */
  leave(exchange: Exchange, outcome: Failure | object | undefined): void {
    const filter = this.#filter
    if (filter === undefined) return
    const now = performance.now()
    const span = filter.span ?? (now - filter.since < notable ? undefined : this.#begin(filter.name, filter.since))
    this.#filter = undefined
    if (span === undefined) return
    const code = outcome !== undefined && 'code' in outcome && typeof outcome.code === 'string' ? outcome.code : undefined
    span.setAttributes(filtered(exchange, filter.name, code)).end(this.#whole.clock(now))
  }

  /** A wait for a place at a backend. */
  async queued(admitted: Promise<Failure | undefined>, variant: string): Promise<Failure | undefined> {
    const since = performance.now()
    const refused = await admitted
    this.took('queue', since, { 'modelroute.variant': variant, ...(refused && { 'error.type': refused.code }) })
    return refused
  }

  /** Something that took until now. @param since `performance.now()` */
  took(name: string, since: number, attributes: Attributes = {}): void {
    this.#begin(name, since, this.#current())?.setAttributes(attributes).end(this.#whole.clock(performance.now()))
  }

  /** What calls that are made now are parts of. */
  inner(): Spans {
    this.#current()
    return new Spans(this.#tracer, this.#filter?.span ?? this.#span, this.#whole)
  }

  /** The call that answers this one is made for another request. */
  joined(other: Spans): void {
    this.#current()
    ;(this.#filter?.span ?? this.#span).addLink({ context: other.#span.spanContext() })
  }

  /** A step of a composition. */
  step(name: string): Spans {
    const span = this.#begin(`step ${name}`, performance.now())
    return span === undefined ? this : new Spans(this.#tracer, span, this.#whole)
  }

  stepped(record: StepRecord): void {
    this.#span.setAttributes(stepped(record))
    if (record.result === 'failed') this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end(this.#whole.clock(performance.now()))
  }

  /** A request to an endpoint. Undefined: it has had as many spans as one request may. */
  try({ upstream, method, path, variant, at, reason, hedge }: Tried, exchange: Exchange): TrySpan | undefined {
    const operation = this.#generation?.kind.operation
    const span = this.#begin(`${operation ?? methodOf(method)} ${variant}`, at, this.#within, SpanKind.CLIENT)
    if (span === undefined) return undefined
    span.setAttributes({
      ...asked(upstream, method, path), 'modelroute.variant': variant,
      ...(exchange.tries > 1 && { 'http.request.resend_count': exchange.tries - 1 }),
      ...(reason !== undefined && { 'modelroute.retry.reason': String(reason) }),
      ...(hedge === true && { 'modelroute.hedge': true }),
    })
    return new TrySpan(span, this.#whole.clock, (settled) => {
      if (!this.#over) this.#answering = settled
      return !this.#over
    })
  }

  /** The same of a copy, whose answer nobody waits for. */
  copy(tried: Tried): TrySpan | undefined {
    const span = this.#begin(`copy ${tried.variant}`, tried.at, this.#within, SpanKind.CLIENT)
    span?.setAttributes({ ...asked(tried.upstream, tried.method, tried.path), 'modelroute.variant': tried.variant, 'modelroute.copy': true })
    return span && new TrySpan(span, this.#whole.clock, () => false)
  }

  /** A call within a request is over. */
  settle(exchange: Exchange): void {
    this.#over = true
    this.#answering?.end(this.#generation?.attributes(exchange))
  }

  /** The request is: its last byte is out, or its client gone. @param status as the log has it */
  end(exchange: Exchange, status: number, at: number): void {
    const told = this.#generation?.attributes(exchange)
    this.#over = true
    this.#answering?.end(told)
    const span = this.#span
    const route = routeOf(exchange)
    if (route !== undefined) span.updateName(`${methodOf(exchange.method)} ${route}`)
    span.setAttributes({ ...served(exchange, status), ...told, ...(this.#whole.left < 0 && { 'modelroute.spans_left_out': -this.#whole.left }) })
    if (failing(exchange, status)) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(this.#whole.clock(at))
  }

  /** The filter that the request is in has parts of its own, so that it has a span. */
  #current(): Context {
    const filter = this.#filter
    if (filter === undefined) return this.#within
    if (filter.within === undefined) {
      const span = this.#begin(filter.name, filter.since)
      if (span === undefined) return this.#within
      filter.span = span
      filter.within = trace.setSpan(ROOT_CONTEXT, span)
    }
    return filter.within
  }

  #begin(name: string, at: number, within = this.#within, kind = SpanKind.INTERNAL): Span | undefined {
    return --this.#whole.left < 0 ? undefined : this.#tracer.startSpan(name, { kind, startTime: this.#whole.clock(at) }, within)
  }
}
