import type { Proof } from '../filters/backend_credentials/proof.ts'
import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { removeHeader, valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { isGrpc } from '../protocols/grpc.ts'
import type { TrySpan } from '../telemetry/tracing/try_span.ts'
import { ConnectionLost, type Controller, type Handler } from '../upstream/dispatch.ts'
import type { TryOutcome } from '../upstream/backend.ts'
import type { Upstream } from '../upstream/pool.ts'
import { oneOf } from './capture.ts'
import { answerMax, type Answered, type Terms } from './compare/answers.ts'
import { Meeting, type Ending } from './meeting.ts'
import type { Mirrors } from './mirrors.ts'
import type { CopyOutcome, MirrorTally } from './tally.ts'

/** Where a copy goes, and what becomes of it. */
export type CopyPlan = Readonly<{
  mirrors: Mirrors
  tally: MirrorTally
  path: string
  headers: FlatHeaders
  http2: boolean
  /** Puts the model that the variant has into the body, where that names it; undefined: it stays as it is. */
  change: ((body: Buffer) => Buffer | Failure | Promise<Buffer | Failure>) | undefined
  /** Undefined: nobody is there. */
  take(): Upstream | undefined
  /** What the gateway proves itself with to that variant. */
  proof(): Proof | Promise<Proof> | undefined
  connect: number | undefined
  /** Milliseconds that it may take, from when it is sent. */
  patience: number
  /** Milliseconds that the caller's own answer may take after the copy's, where they are compared. */
  callerPatience: number
  /** Undefined: the answer is thrown away. */
  terms: Terms | undefined
  /** Told of each comparison that says something. */
  compared(differs: boolean): void
}>

/** Longer than this nobody needs the rest of a copy's stream. Milliseconds. */
const streamMax = 300_000

/**
 * One copy of a request. It gathers the body on its way to the backend, goes out once that is whole, and keeps the
 * caller's request from nothing: what cannot be had at once (an endpoint, room) is not waited for, and nothing is tried
 * twice.
 */
export class Copy implements Handler {
  readonly #plan: CopyPlan
  readonly #exchange: Exchange
  readonly #grpc: boolean
  /** Waiting for the body; for what is needed to send it; for the answer; for nothing more. */
  #stage: 'body' | 'sending' | 'sent' | 'over' = 'body'
  #chunks: Buffer[] = []
  #size = 0
  /** Bytes of the body that are accounted for. */
  #held: number
  #upstream: Upstream | undefined
  #span: TrySpan | undefined
  #controller: Controller | undefined
  #timer: NodeJS.Timeout | undefined
  #grpcStatus: string | undefined
  #status = 0
  /** Bytes of the answer. */
  #received = 0
  /** Undefined: the answer is thrown away. */
  readonly #meeting: Meeting | undefined

  /** @param held bytes of the body that are accounted for already */
  constructor(exchange: Exchange, plan: CopyPlan, held: number) {
    this.#exchange = exchange
    this.#plan = plan
    this.#held = held
    this.#grpc = isGrpc(valueOf(plan.headers, 'content-type'))
    const { terms } = plan
    this.#meeting = terms && new Meeting(exchange, { ...plan, terms, met: () => this.#close() })
  }

  /** Called once, before the exchange goes on. */
  begin(): void {
    const exchange = this.#exchange
    this.#plan.tally.inFlight++
    this.#meeting?.begin()
    exchange.onEnd(() => this.#callerEnded())
    const { body, received: { bodyLength } } = exchange
    if (body !== undefined || bodyLength === 0) this.#whole(body)
    else exchange.tapBody((chunk, lent) => this.#gather(chunk, lent))
  }

  #gather(chunk: Buffer | undefined, lent: boolean): void {
    if (this.#stage !== 'body') return
    if (chunk === undefined) {
      this.#whole(oneOf(this.#chunks, this.#size))
      this.#chunks = []
      return
    }
    const { mirrors } = this.#plan
    this.#size += chunk.length
    const more = Math.max(0, this.#size - this.#held)
    if (this.#size > mirrors.limits.body) this.#drop('too_large')
    else if (!mirrors.moving.take(more)) this.#drop('full')
    else if (!mirrors.hold(more)) this.#drop('memory')
    else {
      this.#held += more
      this.#chunks.push(lent ? Buffer.from(chunk) : chunk)
    }
  }

  /** The caller's own request goes first. */
  #whole(body: Buffer | undefined): void {
    this.#stage = 'sending'
    setImmediate(() => {
      const changed = this.#plan.change?.(body ?? Buffer.alloc(0))
      if (changed instanceof Promise) void changed.then((settled) => this.#prove(settled))
      else this.#prove(changed ?? body)
    })
  }

  #prove(body: Buffer | Failure | undefined): void {
    if (body !== undefined && 'code' in body) {
      this.#drop('unsupported')
      return
    }
    const proof = this.#plan.proof()
    if (proof instanceof Promise) void proof.then((settled) => this.#send(body, settled))
    else this.#send(body, proof)
  }

  #send(body: Buffer | undefined, proof: Proof | undefined): void {
    const { take, headers, path, connect, http2, patience } = this.#plan
    const upstream = proof !== undefined && 'why' in proof ? undefined : take()
    if (upstream === undefined) {
      this.#drop('no_endpoints')
      return
    }
    if (proof !== undefined && 'value' in proof) {
      removeHeader(headers, proof.header)
      headers.push(proof.header, proof.value)
    }
    this.#stage = 'sent'
    this.#upstream = upstream
    upstream.begin()
    this.#timer = setTimeout(cut, patience, this).unref()
    const { method, spans } = this.#exchange
    this.#span = spans?.copy({ upstream, method, path, variant: this.#plan.tally.variant, at: performance.now() })
    const pool = this.#grpc || http2 ? upstream.http2(connect, lane) : upstream.pool(connect, lane)
    pool.dispatch({ path, method, headers: this.#span?.mark(headers) ?? headers, body: body === undefined || body.length === 0 ? null : body }, this)
  }

  /** Its time is up. */
  cut(): void {
    this.#end('failed')
    this.#controller?.abort(new Error('the copy took too long'))
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#stage === 'over') controller.abort(new Error('the copy took too long'))
  }

  onRequestSent(): void {}

  onResponseStart(_controller: Controller, status: number, rawHeaders: readonly string[]): void {
    if (this.#stage === 'over') return
    const headers = lowered(rawHeaders)
    this.#status = status
    this.#meeting?.answer.head(status, headers)
    this.#grpcStatus = valueOf(headers, 'grpc-status')
    if (!/^(?:text\/event-stream|application\/grpc)/.test(valueOf(headers, 'content-type') ?? '')) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(cut, streamMax, this).unref()
  }

  /** Nobody needs the rest of an answer that is too large; one without end would only keep the process busy. */
  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#stage === 'over') return
    this.#meeting?.answer.data(chunk)
    this.#received += chunk.length
    if (this.#received <= answerMax && this.#plan.mirrors.moving.take(chunk.length)) return
    if (this.#meeting) this.#meeting.answer.lost ??= 'full'
    this.#plan.tally.pausedUntil = performance.now() + this.#plan.mirrors.limits.afterCut
    this.#end(nothing)
    controller.abort(new Error('the answer to the copy is too large'))
  }

  onResponseFlush(): boolean {
    return false
  }

  onResponseEnd(_controller: Controller, rawTrailers: readonly string[]): void {
    this.#end(this.#meeting?.answer.answered(valueOf(lowered(rawTrailers), 'grpc-status') ?? this.#grpcStatus) ?? nothing)
  }

  /** A connection that was kept open may be closed as idle in the moment in which it is used: that says nothing. */
  onResponseError(error: Error): void {
    this.#end(error instanceof ConnectionLost && error.stale ? 'stale' : 'failed')
  }

  #end(brought: Ending): void {
    if (this.#stage === 'over') return
    this.#stage = 'over'
    clearTimeout(this.#timer)
    this.#upstream?.end()
    const { tally, mirrors } = this.#plan
    this.#span?.settle(outcomeOf(brought, this.#status), 0, performance.now())
    tally.count(typeof brought === 'string' ? 'failed' : 'answered')
    // A connection for each of many copies that come to nothing costs the callers more than copies may.
    if (brought === 'failed') tally.pausedUntil = Math.max(tally.pausedUntil, performance.now() + mirrors.limits.afterFailure)
    if (this.#meeting === undefined) this.#close()
    else this.#meeting.bring(brought)
  }

  #callerEnded(): void {
    if (this.#stage === 'body') this.#drop('abandoned')
    else this.#meeting?.callerEnded()
  }

  /** Nothing was sent, and nothing will be. */
  #drop(why: CopyOutcome): void {
    this.#stage = 'over'
    this.#plan.tally.count(why)
    this.#close()
  }

  /** Called once: nothing is held any more. */
  #close(): void {
    this.#plan.tally.inFlight--
    this.#plan.mirrors.release(this.#held)
    this.#chunks = []
    this.#meeting?.close()
  }
}

/** These endpoints are held for copies alone, so that there is one kind of connection to each. */
const lane = 0

const cut = (copy: Copy): void => copy.cut()

const lowered = (raw: readonly string[]): FlatHeaders => raw.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))

const nothing: Answered = { status: 0, headers: [], body: Buffer.alloc(0) }

function outcomeOf(brought: Ending, status: number): TryOutcome {
  if (brought === 'stale') return { kind: 'cancelled' }
  return brought === 'failed' ? { kind: 'failed', why: 'reset' } : { kind: 'answered', status, headers: [], trailers: [], firstByteMs: 0, totalMs: 0 }
}
