import { timerMax } from '../clock.ts'
import { readLimit } from '../pipeline/body.ts'
import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { grpcTimeout, isGrpc } from '../protocols/grpc.ts'
import { FrameReader, framed } from '../protocols/grpc_frames.ts'
import { MessageWriter } from '../protocols/protobuf.ts'
import { isStream } from '../translate/tensors/grpc.ts'
import type { Generated } from '../translate/translation.ts'
import { Answer, type Teller } from './answer.ts'
import { CallFailed, calleeOf, openCall } from './call.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'
import { recorded } from './recorded.ts'
import { staged } from './staged.ts'

/** Messages both ways for as long as the caller likes, to a backend that speaks otherwise. */
export function isConversation({ received: { path, headers } }: Exchange, protocol: BuiltVariant['protocol']): boolean {
  return protocol !== 'GRPC' && isStream(path) && isGrpc(valueOf(headers, 'content-type'))
}

/**
 * A stream of inferences over gRPC (`ModelStreamInfer`) for a backend of another protocol: each message is a call of its own, one
 * after the other, and what they answer is one stream. Its caller may wait for an answer before he sends the next message,
 * so nothing here waits for the end of the request. Of a call that fails he is told in a message, as Triton does it; where it
 * is the first, by the status of the stream.
 */
export class Conversation implements Way, Teller, Controller {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #callee: BuiltRule
  readonly #frames: FrameReader
  readonly #requestMax: number
  readonly #left = new AbortController()
  readonly #answer: Answer
  readonly #handler: AnswerHandler
  readonly #tally = new Tally()
  #waiting: Buffer[] = []
  /** The call in hand. */
  #calling = false
  #inner: Controller | undefined
  #paused = false
  /** The caller says no more. */
  #ended = false
  #begun = false
  #over = false
  #idle: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined

  constructor(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant) {
    this.#exchange = exchange
    this.#rule = rule
    this.#callee = calleeOf(rule, variant, exchange.series ?? rule.series(exchange.asked, variant))
    this.#requestMax = readLimit(rule.requestMax)
    this.#frames = new FrameReader(this.#requestMax)
    const refuse = (why: Failure, cause: string) => this.refuse(why, cause)
    this.#answer = new Answer(exchange, rule, this)
    const to = rule.commit === undefined ? this.#answer : recorded(this.#answer, (why) => refuse(why, ''), exchange, rule.commit)
    this.#handler = exchange.stages === undefined ? to : staged(to, exchange.stages, refuse)
    exchange.generated = this.#tally
  }

  start(): void {
    const { received: { headers, bodyLength }, body, request, startedAt } = this.#exchange
    const timeout = grpcTimeout(valueOf(headers, 'grpc-timeout'))
    if (timeout !== undefined) this.#deadline = setTimeout(() => this.refuse(late, ''), Math.max(0, Math.min(startedAt + timeout - performance.now(), timerMax)))
    this.#wait()
    if (body !== undefined || bodyLength === 0) {
      this.#take(body ?? Buffer.alloc(0))
      this.#end()
      return
    }
    request.read({
      copies: true, pending: () => false,
      data: (chunk) => {
        this.#exchange.bytesIn += chunk.length
        return this.#take(chunk)
      },
      end: () => this.#end(),
      fail: () => this.clientClosed(),
    })
  }

  clientClosed(): void {
    this.#stop()
    this.#answer.drop()
  }

  #stop(): void {
    this.#over = true
    clearTimeout(this.#idle)
    clearTimeout(this.#deadline)
    this.#left.abort()
    if (this.#exchange.upstreamStartedAt > 0) this.#exchange.upstreamEndedAt = performance.now()
  }

  /** Nobody says anything. */
  #wait(): void {
    const { streamIdle } = this.#rule.timeouts
    if (streamIdle !== undefined) this.#idle = setTimeout(() => this.refuse(idle, ''), Math.min(streamIdle, timerMax))
  }

  #take(chunk: Buffer): boolean {
    if (this.#over) return true
    const frames = this.#frames.push(chunk)
    if (frames === undefined) {
      this.refuse(requestTooLarge(this.#requestMax), '')
      return true
    }
    this.#waiting.push(...frames)
    this.#next()
    // While one is answered, no others are taken in.
    return !this.#calling
  }

  #end(): void {
    this.#ended = true
    if (this.#frames.broken) this.refuse(cut, '')
    else this.#next()
  }

  #next(): void {
    if (this.#over || this.#calling) return
    const frame = this.#waiting.shift()
    if (frame !== undefined) this.#call(frame)
    else if (this.#ended) this.#finish()
  }

  #call(frame: Buffer): void {
    const exchange = this.#exchange
    const { received: { method, path, headers } } = exchange
    clearTimeout(this.#idle)
    this.#calling = true
    exchange.upstreamStartedAt ||= performance.now()
    openCall(this.#callee, { method, path, headers, body: frame }, { outer: exchange, own: this.#tally.begin(), maxBytes: this.#rule.responseMax, signal: this.#left.signal }, {
      onResponseStart: (inner) => {
        this.#inner = inner
        if (this.#paused) inner.pause()
        this.#open()
      },
      onResponseData: (_controller, chunk) => this.#give(chunk),
      onResponseFlush: () => true,
      onResponseEnd: () => this.#answered(),
      onResponseError: (error) => this.#failed(error instanceof CallFailed ? error.why : failure('upstream_reset', error.message)),
    })
  }

  #open(): void {
    if (this.#begun || this.#over) return
    this.#begun = true
    this.#handler.onResponseStart(this, 200, ['content-type', 'application/grpc'])
  }

  #failed(why: Failure): void {
    if (this.#over) return
    if (!this.#begun) {
      this.refuse(why, why.cause ?? '')
      return
    }
    // ModelStreamInferResponse: error_message (1), and an infer_response (2) that says nothing.
    this.#give(framed(new MessageWriter().text(1, why.detail).bytes(2, Buffer.alloc(0)).whole()))
    this.#answered()
  }

  /** Nobody waits for the next piece to see this one. */
  #give(chunk: Buffer): void {
    if (this.#over) return
    this.#handler.onResponseData(this, chunk)
    if (!this.#over) this.#handler.onResponseFlush()
  }

  #answered(): void {
    this.#calling = false
    this.#inner = undefined
    if (this.#over) return
    this.#wait()
    this.#next()
    if (!this.#calling && !this.#over) this.#exchange.request.resume()
  }

  #finish(): void {
    this.#open()
    this.#stop()
    this.#handler.onResponseEnd(this, ['grpc-status', '0'])
  }

  pause(): void {
    this.#paused = true
    this.#inner?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#inner?.resume()
  }

  abort(): void {
    this.#stop()
  }

  began(): void {}

  moved(): void {}

  ended(): void {}

  broken(error: Error): void {
    this.refuse(failure('upstream_protocol', 'The answer could not be made.'), error.message)
  }

  refuse(why: Failure, cause: string): void {
    if (this.#over) return
    this.#stop()
    const exchange = this.#exchange
    exchange.error = why.code
    if (cause !== '') exchange.cause = cause
    if (exchange.response.headersSent || this.#begun) this.#answer.breakOff(why)
    else {
      this.#answer.drop()
      refuseExchange(exchange, why)
    }
  }
}

/** What came of all the calls. */
class Tally implements Generated {
  readonly #done = { pieces: 0, input: 0, output: 0, told: false }
  #current: Generated = { pieces: 0, usage: undefined }

  begin(): Generated {
    const { pieces, usage } = this.#current
    this.#done.pieces += pieces
    this.#done.input += usage?.inputTokens ?? 0
    this.#done.output += usage?.outputTokens ?? 0
    this.#done.told ||= usage !== undefined
    this.#current = { pieces: 0, usage: undefined }
    return this.#current
  }

  get pieces(): number {
    return this.#done.pieces + this.#current.pieces
  }

  get usage(): Generated['usage'] {
    const { usage } = this.#current
    if (!this.#done.told) return usage
    return { inputTokens: this.#done.input + (usage?.inputTokens ?? 0), outputTokens: this.#done.output + (usage?.outputTokens ?? 0) }
  }
}

const late = failure('timeout', 'The deadline of the call is over.')
const idle = failure('timeout', 'Nobody said anything for too long.')
const cut = failure('invalid_request', 'The request ends in the middle of a message.')
