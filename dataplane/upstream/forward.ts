import { timerMax } from '../clock.ts'
import { requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { isIdempotent, isInference } from '../protocols/idempotent.ts'
import { incomplete, isOwnFault, late, saysRefused, type Miss } from './again.ts'
import { Answer, type Teller } from './answer.ts'
import type { Attempt } from './attempt.ts'
import type { TryOutcome } from './backend.ts'
import { gatherBody, gatherMax, RequestBody } from './body.ts'
import { destinationOf, goBack, passOn, type Destination } from './destination.ts'
import type { AnswerHandler } from './dispatch.ts'
import { failureOf } from './outcome.ts'
import { Patience, unreadable } from './patience.ts'
import { recorded } from './recorded.ts'
import { staged } from './staged.ts'
import { Tries, type Sender } from './tries.ts'

/**
 * Sends one request on, to its variant or to those that take its place, and an answer back, streaming both ways.
 *
 * Times (Gateway API, HTTPRouteTimeouts): `request` counts from the arrival, `backendRequest` from the beginning of a
 * try, both to the last byte of the answer. An open-ended answer (events, gRPC) meets both with its headers; from then
 * on, as for every answer, `streamIdle` bounds the time in which nothing moves.
 */
export class Forwarding implements Way, Sender, Teller {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  #to: Destination | Failure
  readonly #grpc: boolean
  readonly #patience: Patience
  /** The backend took the request in. */
  #entered = false
  #tries: Tries | undefined
  /** Variants that could not take the request, or may not have it again, and why the first could not. */
  #passed: BuiltVariant[] | undefined
  #first: Readonly<{ why: Failure; cause: string }> | undefined
  #answer: Answer | undefined
  /** Its head has gone out. */
  #begun = false
  /** The body is here, or on its way to the tries. */
  #taken = false
  /** The whole of a small one. */
  #body: Buffer | string | undefined
  /** The way of a larger one. */
  #stream: RequestBody | undefined
  /** Nothing more is to be sent to the client. */
  #over = false
  #timer: NodeJS.Timeout | undefined
  #moved = 0

  /** @param to where its variant leads, or why it leads nowhere */
  constructor(exchange: Exchange, rule: BuiltRule, to: Destination | Failure) {
    const { headers } = exchange.received
    this.#exchange = exchange
    this.#rule = rule
    this.#to = to
    this.#grpc = isGrpc(valueOf(headers, 'content-type'))
    this.#patience = new Patience(rule, headers, this.#grpc, exchange.startedAt)
  }

  start(): void {
    const { tick = Number.POSITIVE_INFINITY, budget, hedge } = this.#rule
    // It may have waited for its turn, or have been made within a request that is older.
    const first = Math.min(tick, this.#patience.limit - performance.now())
    if (first < Number.POSITIVE_INFINITY) this.#timer = setTimeout(onTick, Math.max(0, Math.min(first, timerMax)), this)
    budget?.enter(hedge)
    if (this.#patience.unreadable) this.#fail(unreadable, '')
    else this.#approach(this.#to)
  }

  /** The client is gone, or has been answered: called exactly once, when the response closes. */
  clientClosed(): void {
    if (!this.#over && this.#rule.commit === undefined && this.#exchange.audience?.stays(() => this.#desert()) === true) {
      this.#exchange.orphaned = true
      this.#answer?.drop()
      return
    }
    this.#release()
  }

  #desert(): void {
    this.#exchange.audience?.fail()
    this.#release()
  }

  #release(): void {
    this.#over = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    this.#answer?.drop()
    this.#tries?.cancel()
    this.#stream?.destroy()
    this.#leave()
    this.#rule.budget?.leave(this.#tries?.retrying === true)
  }

  #approach(to: Destination | Failure): void {
    if (this.#over) return
    this.#to = to
    if ('code' in to) {
      this.#fallBack(to, this.#exchange.cause, true)
      return
    }
    const admitted = to.backend.admit(this.#exchange, this.#patience.limit)
    if (admitted instanceof Promise) void admitted.then((refused) => this.#enter(to, refused))
    else this.#enter(to, admitted)
  }

  #enter(to: Destination, refused: Failure | undefined): void {
    if (refused === undefined) this.#entered = true
    if (this.#over) this.#leave()
    else if (refused === undefined) this.#takeBody(to)
    else this.#fallBack(refused, this.#exchange.cause, true)
  }

  #leave(): void {
    if (this.#entered && 'backend' in this.#to) this.#to.backend.leave(this.#exchange)
    this.#entered = false
  }

  #takeBody(to: Destination): void {
    const exchange = this.#exchange
    const { request, response, received: { bodyLength, expectsContinue }, body } = exchange
    if (this.#taken) {
      this.#try(to)
      return
    }
    this.#taken = true
    if (body !== undefined && body.length > 0) this.#body = body
    else if (expectsContinue && bodyLength !== 0 && !exchange.continued) {
      exchange.continued = true
      response.writeContinue()
    }
    if (body !== undefined || bodyLength === 'chunked' || bodyLength > gatherMax || bodyLength === 0) {
      this.#try(to)
      return
    }
    gatherBody(request, bodyLength, (whole) => {
      exchange.bytesIn = whole.length
      if (exchange.bodyTap !== undefined) {
        exchange.bodyTap(Buffer.from(whole, 'latin1'), false)
        exchange.bodyTap(undefined, false)
      }
      this.#body = whole
      if (!this.#over) this.#try(to)
    }, (why) => this.refuse(why, ''))
  }

  #try(to: Destination): void {
    const retrying = this.#tries?.retrying === true
    this.#tries = new Tries(this.#exchange, to, this.#grpc, this)
    this.#tries.retrying = retrying
    this.#tries.start()
  }

  prepare(to: Destination): void {
    this.#patience.tell(to.headers)
  }

  body(): Buffer | string | RequestBody | null {
    if (this.#body !== undefined) return this.#body
    const exchange = this.#exchange
    if (exchange.received.bodyLength === 0 || exchange.body !== undefined) return null
    if (this.#stream?.whole !== undefined) return this.#stream.whole
    const { retry, hedge, next, requestMax } = this.#rule
    this.#stream ??= new RequestBody(exchange.request, retry !== undefined || hedge !== undefined || next !== undefined, (chunk) => {
      exchange.bodyTap?.(chunk, true)
      if (chunk === undefined) return
      exchange.bytesIn += chunk.length
      this.#moved = performance.now()
      if (exchange.bytesIn > requestMax) this.refuse(requestTooLarge(requestMax), '')
    }, (why) => this.refuse(why, ''))
    return this.#stream
  }

  hold(): void {
    this.#stream?.release()
  }

  canRepeat(): boolean {
    return this.#stream === undefined || this.#stream.repeatable
  }

  mayRepeat(): boolean {
    return this.canRepeat() && (this.#isIdempotent() || (this.#rule.retry?.inference === true && this.#isInference()))
  }

  mayDouble(): boolean {
    return (this.#stream === undefined || this.#stream.whole !== undefined) && (this.#isIdempotent() || this.#isInference())
  }

  #isIdempotent(): boolean {
    const { method, path, received } = this.#exchange
    return isIdempotent(method, path, received.headers)
  }

  #isInference(): boolean {
    const { method, path, received } = this.#exchange
    return method === 'POST' && isInference(path, received.headers, this.#body ?? this.#stream?.whole)
  }

  limit(): number {
    return this.#patience.limit
  }

  hasNext(miss: Miss): boolean {
    if (this.#rule.fallbackResponse !== undefined && !this.#grpc) return true
    const { variant } = this.#exchange
    return this.#mayPassOn(miss) && variant !== undefined && this.#rule.next?.([...this.#passed ?? [], variant], true) !== undefined
  }

  #mayPassOn(miss: Miss): boolean {
    return saysRefused(miss) ? this.canRepeat() : this.mayRepeat()
  }

  missed(miss: Miss): void {
    if (!this.#over) this.#fallBack(miss.why, miss.cause, this.#rule.next !== undefined && this.#mayPassOn(miss))
  }

  /** Asks the next variant, where there is one and it may have the request; else that is the end of it. */
  #fallBack(why: Failure, cause: string, allowed: boolean): void {
    const exchange = this.#exchange
    const { next } = this.#rule
    const { variant } = exchange
    this.#first ??= { why, cause }
    const passed = this.#passed ??= []
    if (variant !== undefined) passed.push(variant)
    const other = allowed && !isOwnFault(why) ? next?.(passed) : undefined
    if (other === undefined) {
      // Nobody took it: what is told and counted is why the variant did not that it was for.
      const [chosen] = passed
      if (chosen !== undefined && chosen !== variant) goBack(exchange, this.#rule, chosen)
      this.#fail(this.#first.why, this.#first.cause)
      return
    }
    this.#leave()
    passOn(exchange, this.#rule, other, why.code)
    const to = destinationOf(exchange, this.#rule, other)
    if (to instanceof Promise) void to.then((settled) => this.#approach(settled))
    else this.#approach(to)
  }

  accepted({ firstByteAt }: Attempt): AnswerHandler {
    const exchange = this.#exchange
    const { commit } = this.#rule
    const answer = new Answer(exchange, this.#rule, this)
    if (exchange.orphaned) answer.drop()
    this.#answer = answer
    const to = commit === undefined ? answer : recorded(answer, (why) => this.refuse(why, ''), exchange, commit)
    const stage = 'stage' in this.#to ? this.#to.stage : undefined
    exchange.firstByteAt = to === answer && exchange.stages === undefined && stage === undefined ? firstByteAt : 0
    return exchange.stages === undefined && stage === undefined ? to
      : staged(to, [...exchange.stages ?? [], ...stage === undefined ? [] : [stage]], (why, cause) => this.refuse(why, cause))
  }

  began(stream: boolean): void {
    this.#begun = true
    this.#moved = this.#exchange.firstByteAt
    if (!stream) return
    this.#patience.open()
    this.#tries?.open()
  }

  moved(): void {
    this.#moved = performance.now()
  }

  ended(): void {
    this.#stream?.destroy()
    if (this.#exchange.orphaned) this.#release()
  }

  broken(error: Error): void {
    this.#fail(failureOf(error, 'answering'), error.message)
  }

  /** Ends both sides: a limit was passed, or the answer may not go out. */
  refuse(why: Failure, cause = ''): void {
    this.#end(why, cause, why.code === 'upstream_protocol' ? { kind: 'failed', why: 'protocol' } : undefined)
  }

  #end(why: Failure, cause: string, verdict?: TryOutcome): void {
    this.#fail(why, cause)
    this.#tries?.cancel(verdict)
  }

  /** Answers with an error; where an answer has begun, breaks it off, so that it cannot be taken for a whole one. */
  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    const exchange = this.#exchange
    const { response, received } = exchange
    if (exchange.orphaned) {
      this.#desert()
      return
    }
    exchange.error = why.code
    exchange.cause = cause
    this.#stream?.destroy()
    if (response.headersSent || this.#begun) {
      this.#answer?.breakOff(why)
      return
    }
    this.#answer?.drop()
    // Without its leave the client sends no body; the connection cannot be used again without knowing.
    if (received.expectsContinue && !exchange.continued) response.shouldKeepAlive = false
    refuseExchange(exchange, why)
  }

  /** One timer a request: it wakes no later than the first limit could pass, looks, and sleeps until the next. */
  tick(): void {
    const { timeouts: { streamIdle }, tick = timerMax } = this.#rule
    const now = performance.now()
    const { limit } = this.#patience
    const idleAt = this.#begun && streamIdle !== undefined ? this.#moved + streamIdle : Number.POSITIVE_INFINITY
    const tryDue = this.#tries?.due ?? Number.POSITIVE_INFINITY
    if (tryDue <= now && now < limit && !this.#begun && this.#answer === undefined) this.#tries?.expire(now)
    else if (Math.min(limit, idleAt, tryDue) <= now) {
      const why = this.#tries === undefined ? incomplete : late
      // A caller who waits for less than the rule lets him, or reads nothing, says nothing about the backend.
      const blameless = this.#patience.callerGaveUp(now) || this.#answer?.waitsForClient === true
      this.#end(why, idleAt <= now ? 'stream idle' : '', blameless ? undefined : { kind: 'failed', why: 'timeout' })
    }
    if (this.#over) return
    const due = Math.min(limit, idleAt, this.#tries?.due ?? Number.POSITIVE_INFINITY)
    this.#timer = setTimeout(onTick, Math.max(1, Math.min(due - now, tick)), this)
  }
}

const onTick = (forwarding: Forwarding): void => forwarding.tick()
