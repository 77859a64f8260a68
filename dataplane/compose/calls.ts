import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { StepRecord } from '../pipeline/parts.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { UsageReader, type TokenUsage } from '../protocols/usage.ts'
import { openCall } from '../upstream/call.ts'
import type { Live, Made } from '../upstream/served.ts'
import { readableMax } from '../upstream/whole.ts'
import { StepAnswer, tooLarge, type Room } from './answer.ts'
import { askOf, commonHeaders, type Content } from './asks.ts'
import type { BuiltStep } from './graph.ts'

/** The calls within one request: in one trace, with one measure of memory, and counted together. */
export class Calls {
  readonly signal: AbortSignal
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #common: ReturnType<typeof commonHeaders>
  readonly #room: Room
  #held = 0

  constructor(exchange: Exchange, rule: BuiltRule, signal: AbortSignal) {
    this.#exchange = exchange
    this.#rule = rule
    this.signal = signal
    this.#common = commonHeaders(exchange)
    const max = readableMax(rule)
    this.#room = {
      left: () => max - this.#held,
      take: (bytes) => (this.#held += bytes) <= max,
      give: (bytes) => { this.#held -= bytes },
    }
  }

  /**
   * Never rejects. The status of an answer that is on its way is one of success; of one that is whole it may be any.
   * @param passesOn told when the answer begins: it may be given to the client as it comes
   */
  async call(step: BuiltStep, content: Content, record: StepRecord, passesOn?: () => boolean): Promise<Made | Live | Failure> {
    const room = this.#room
    const made = content.made ? content.body.length : 0
    if (!room.take(made)) {
      room.give(made)
      return tooLarge
    }
    const { countsTokens } = this.#exchange
    const usage = countsTokens ? new UsageReader() : undefined
    record.calls++
    const { promise, resolve } = Promise.withResolvers<Made | Live | Failure>()
    const ask = askOf(step, this.#exchange, this.#common, content, passesOn !== undefined)
    openCall(step.callee(this.#rule), ask, {
      outer: this.#exchange, timeout: step.timeout, maxBytes: this.#rule.responseMax, signal: this.signal, spans: record.spans,
      ended: (call) => {
        room.give(made)
        this.#count(call, record, usage?.usage())
      },
    }, new StepAnswer(room, usage && ((chunk) => usage.push(chunk)), passesOn ?? (() => false), resolve))
    return promise
  }

  /** What the calls came to is what the request came to. */
  #count({ upstreamStartedAt, upstreamEndedAt, generated }: Exchange, record: StepRecord, read: TokenUsage | undefined): void {
    const exchange = this.#exchange
    if (upstreamStartedAt > 0) {
      const endedAt = upstreamEndedAt || performance.now()
      record.seconds += (endedAt - upstreamStartedAt) / 1000
      if (exchange.upstreamStartedAt === 0 || upstreamStartedAt < exchange.upstreamStartedAt) exchange.upstreamStartedAt = upstreamStartedAt
      exchange.upstreamEndedAt = Math.max(exchange.upstreamEndedAt, endedAt)
    }
    const usage = generated?.usage ?? read
    if (usage === undefined) return
    const sum = exchange.generated ??= { pieces: 0, usage: undefined }
    sum.usage = {
      inputTokens: (sum.usage?.inputTokens ?? 0) + usage.inputTokens, outputTokens: (sum.usage?.outputTokens ?? 0) + usage.outputTokens,
    }
  }
}
