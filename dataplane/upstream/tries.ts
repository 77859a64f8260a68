import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { BodyEditor } from '../protocols/edit/editor.ts'
import { asksFor, backoffOf, late, saysRefused, statusSaid, toldBy, type Miss } from './again.ts'
import { Attempt, type Trier } from './attempt.ts'
import type { RequestBody } from './body.ts'
import type { Destination } from './destination.ts'
import { ConnectionLost, type AnswerHandler, type Sent } from './dispatch.ts'
import { EditedBody } from './edited.ts'
import { failureOf } from './outcome.ts'
import { Pieces } from './pieces.ts'
import type { Upstream } from './pool.ts'

/** Whose request it is that is tried. */
export type Sender = Readonly<{
  /** What a try sends; asked once for each. */
  body(): Buffer | string | RequestBody | null
  /** Headers that change from try to try. */
  prepare(to: Destination): void
  /** Whether doing it twice is as doing it once, and all that was sent is still here. */
  mayRepeat(): boolean
  /** All that was sent is still here. */
  canRepeat(): boolean
  /** A try has come to nothing: what still comes of the request is kept for the next. */
  hold(): void
  /** The same where a second request beside the first is meant. */
  mayDouble(): boolean
  /** Whether somebody else can have it after this one, without an answer from here. */
  hasNext(miss: Miss): boolean
  /** `performance.now()` by which all must be over. */
  limit(): number
  /** One try was answered, and the others are over. */
  accepted(attempt: Attempt): AnswerHandler
  /** There is no answer to be had from here. */
  missed(miss: Miss): void
  /** Something is wrong with what is sent, so that nobody can have it. */
  refuse(why: Failure): void
}>

/** The tries of one request on the endpoints of one backend. */
export class Tries implements Trier {
  readonly #exchange: Exchange
  readonly #to: Destination
  readonly #grpc: boolean
  readonly #sender: Sender
  #attempt: Attempt | undefined
  /** The one beside it, where the first is slow. */
  #second: Attempt | undefined
  #tried: Upstream[] | undefined
  /** Of `retry.attempts`. */
  #used = 0
  /** Why the first, or the last, came to nothing. */
  #reason: Miss['reason'] | undefined
  /** Counted among those that are retried. */
  retrying = false
  #timer: NodeJS.Timeout | undefined

  constructor(exchange: Exchange, to: Destination, grpc: boolean, sender: Sender) {
    this.#exchange = exchange
    this.#to = to
    this.#grpc = to.grpc ?? grpc
    this.#sender = sender
  }

  start(): void {
    this.#try()
    const { hedge } = this.#to.rule
    if (hedge !== undefined && this.#attempt !== undefined) this.#timer = setTimeout(() => this.#hedge(), hedge.after)
  }

  /** Ends them all. @param blame the endpoints are at fault */
  cancel(...verdict: Parameters<Attempt['cancel']>): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#attempt?.cancel(...verdict)
    this.#second?.cancel()
  }

  /** `performance.now()` by which a try must be over. */
  get due(): number {
    const { due = Number.POSITIVE_INFINITY } = this.#attempt ?? {}
    return this.#second === undefined ? due : Math.min(due, this.#second.due)
  }

  /** The answer is open-ended: there is no time by which it must be over. */
  open(): void {
    if (this.#attempt) this.#attempt.due = Number.POSITIVE_INFINITY
  }

  /** Ends those that are late. */
  expire(now: number): void {
    for (const attempt of [this.#second, this.#attempt]) {
      if (attempt === undefined || attempt.due > now) continue
      attempt.cancel({ kind: 'failed', why: 'timeout' })
      this.#missed(attempt, { reason: 'timeout', unstarted: false, why: late, cause: '' })
    }
  }

  #try(): void {
    const { backend } = this.#to
    const upstream = backend.take(this.#exchange, this.#tried)
    if ('code' in upstream) {
      this.#sender.missed({ reason: 'connect-failure', unstarted: true, why: upstream, cause: '' })
      return
    }
    this.#attempt = this.#begin(upstream, false)
    this.#send(this.#attempt)
  }

  #begin(upstream: Upstream, hedge: boolean): Attempt {
    const exchange = this.#exchange
    const attempt = new Attempt(this, exchange, this.#to.backend, upstream, this.#to.rule.timeouts)
    exchange.tries++
    exchange.endpoint = upstream.label
    exchange.upstreamStartedAt = attempt.startedAt
    exchange.upstreamEndedAt = 0
    if (exchange.spans !== undefined) {
      const { method, path, variant: { name } } = this.#to
      attempt.span = exchange.spans.try({ upstream, method, path, variant: name, at: attempt.startedAt, reason: this.#reason, hedge }, exchange)
    }
    return attempt
  }

  #send(attempt: Attempt): void {
    const { method, path, headers, http2, body, edit } = this.#to
    this.#sender.prepare(this.#to)
    const own = body === undefined ? this.#sender.body() : sendable(body)
    attempt.start({ path, method, headers: attempt.span?.mark(headers) ?? headers, body: edit === undefined ? own : this.#edited(own, edit()) }, this.#grpc || http2)
  }

  #edited(body: Sent['body'], editor: BodyEditor): EditedBody {
    const pieces = typeof body === 'string' ? [Buffer.from(body, 'latin1')] : Buffer.isBuffer(body) ? [body] : []
    const source = body === null || typeof body === 'string' || Buffer.isBuffer(body) ? new Pieces(pieces) : body
    return new EditedBody(source, editor, (why) => this.#sender.refuse(why))
  }

  #hedge(): void {
    const { rule: { hedge, budget }, backend } = this.#to
    const first = this.#attempt
    if (hedge === undefined || first === undefined || first.phase === 'answering' || this.#used > 0) return
    const busy = [...this.#tried ?? [], first.upstream]
    if (!backend.hasOther(busy) || !this.#sender.mayDouble() || budget?.hedge(hedge) !== true) return
    const upstream = backend.take(this.#exchange, busy)
    if ('code' in upstream) return
    this.#second = this.#begin(upstream, true)
    this.#send(this.#second)
  }

  answered(attempt: Attempt, status: number, rawHeaders: readonly string[]): AnswerHandler | undefined {
    const { retry } = this.#to.rule
    const other = this.#otherThan(attempt)
    if (retry !== undefined || other !== undefined) {
      const said = statusSaid(status, rawHeaders, this.#grpc)
      const listed = retry?.codes.includes(said) === true
      if (other !== undefined && (listed || said >= 500)) {
        attempt.decline()
        this.#keep(other, attempt)
        return undefined
      }
      if (listed && this.#declines(attempt, said)) return undefined
    }
    if (other !== undefined) {
      other.cancel()
      this.#exchange.series?.hedged(attempt === this.#second ? 'won' : 'lost')
    }
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    const exchange = this.#exchange
    exchange.endpoint = attempt.upstream.label
    exchange.upstreamStartedAt = attempt.startedAt
    exchange.upstreamEndedAt = 0
    this.#attempt = attempt
    this.#second = undefined
    attempt.span?.accept()
    return this.#sender.accepted(attempt)
  }

  /** An answer that is to be tried again instead: where that can be, or somebody else can have the request. */
  #declines(attempt: Attempt, said: number): boolean {
    const miss: Miss = { reason: said, unstarted: false, why: toldBy(said), cause: `status ${said}` }
    const again = this.#mayRetry(miss)
    if (!again && !this.#sender.hasNext(miss)) return false
    attempt.decline()
    this.#leave(attempt)
    if (again) this.#again(miss)
    else this.#sender.missed(miss)
    return true
  }

  failed(attempt: Attempt, error: Error): void {
    const code = 'code' in error ? error.code : ''
    const unstarted = attempt.phase === 'connecting' || code === 'STREAM_REFUSED'
    const miss: Miss = {
      reason: unstarted ? 'connect-failure' : 'reset-before-response', unstarted, why: failureOf(error, attempt.phase), cause: error.message,
    }
    if (code === 'REQUEST_INVALID') this.#sender.missed({ ...miss, unstarted: false })
    else this.#missed(attempt, miss, error instanceof ConnectionLost && error.stale)
  }

  #missed(attempt: Attempt, miss: Miss, stale = false): void {
    const other = this.#otherThan(attempt)
    if (other !== undefined) {
      this.#keep(other, attempt)
      return
    }
    const first = this.#tried === undefined
    this.#leave(attempt)
    if (first && this.#mayMove(attempt, miss, stale)) {
      this.#exchange.series?.retried(miss.reason)
      this.#reason = miss.reason
      this.#try()
    } else if (this.#mayRetry(miss)) this.#again(miss)
    else this.#sender.missed(miss)
  }

  #otherThan(attempt: Attempt): Attempt | undefined {
    return this.#second === undefined ? undefined : attempt === this.#second ? this.#attempt : this.#second
  }

  /** Of two, one came to nothing. */
  #keep(other: Attempt, lost: Attempt): void {
    this.#note(lost)
    this.#attempt = other
    this.#second = undefined
  }

  #leave(attempt: Attempt): void {
    this.#sender.hold()
    this.#note(attempt)
    this.#attempt = undefined
  }

  /** Once all have been tried all may be again, but for the one that failed just now. */
  #note({ upstream }: Attempt): void {
    const tried = [...this.#tried ?? [], upstream]
    this.#tried = this.#to.backend.hasOther(tried) ? tried : [upstream]
  }

  /**
   * What every rule does, once. Without a connection nothing was sent: any other endpoint may have the request,
   * whatever it is.
   *
   * A connection that was kept open may be closed by the backend in the very moment in which it is used again. That is
   * nobody's fault, and what may be repeated is sent again. On a new connection, the request itself may be what the
   * backend fell over.
   */
  #mayMove({ upstream }: Attempt, { unstarted }: Miss, stale: boolean): boolean {
    if (unstarted) return this.#sender.canRepeat() && this.#to.backend.hasOther([upstream])
    return stale && this.#sender.mayRepeat() && upstream.spendRetry()
  }

  #mayRetry(miss: Miss): boolean {
    const { retry, budget } = this.#to.rule
    if (retry === undefined || this.#used >= retry.attempts || !asksFor(retry, miss)) return false
    if (!(saysRefused(miss) ? this.#sender.canRepeat() : this.#sender.mayRepeat())) return false
    this.retrying ||= budget?.retry(retry) === true
    return this.retrying
  }

  #again(miss: Miss): void {
    const { retry } = this.#to.rule
    const wait = retry === undefined ? 0 : backoffOf(retry, ++this.#used)
    if (performance.now() + wait >= this.#sender.limit()) {
      this.#sender.missed(miss)
      return
    }
    this.#exchange.series?.retried(miss.reason)
    this.#reason = miss.reason
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#try(), wait)
  }
}

const sendable = (body: NonNullable<Destination['body']> | null): Buffer | Pieces | null => body === null || Buffer.isBuffer(body) ? body : new Pieces(body)
