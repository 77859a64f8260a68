import type { Exchange } from '../pipeline/exchange.ts'
import { Capture } from './capture.ts'
import { compareAnswers, type Answered, type Terms } from './compare/answers.ts'
import type { Mirrors } from './mirrors.ts'
import type { MirrorTally } from './tally.ts'

/** How an answer ended: whole, without one, or in a way that is nobody's fault. */
export type Ending = Answered | 'failed' | 'stale'

export type MeetingPlan = Readonly<{
  mirrors: Mirrors
  tally: MirrorTally
  path: string
  terms: Terms
  /** Milliseconds that the caller's own answer may take after the copy's. */
  callerPatience: number
  /** Told of each comparison that says something. */
  compared(differs: boolean): void
  /** Called once: there is nothing more to wait for. */
  met(): void
}>

/** Where the caller's answer and the copy's come together, and are compared. */
export class Meeting {
  /** The copy's. */
  readonly answer: Capture
  readonly #caller: Capture
  readonly #plan: MeetingPlan
  readonly #exchange: Exchange
  #timer: NodeJS.Timeout | undefined
  #got: Ending | undefined
  #brought: Ending | undefined

  constructor(exchange: Exchange, plan: MeetingPlan) {
    this.#exchange = exchange
    this.#plan = plan
    this.#caller = new Capture(plan.mirrors)
    this.answer = new Capture(plan.mirrors)
  }

  /** Listens to what the caller is answered. */
  begin(): void {
    const exchange = this.#exchange
    ;(exchange.headTaps ??= []).push((status, headers) => this.#caller.head(status, headers))
    ;(exchange.glances ??= []).push((chunk) => this.#caller.data(chunk))
  }

  /** The copy has come to its end. */
  bring(brought: Ending): void {
    this.#brought = brought
    if (this.#got === undefined) this.#timer = setTimeout(giveUp, this.#plan.callerPatience, this).unref()
    else this.#meet()
  }

  /** The caller's answer does not come to an end: a place is not kept for that. */
  giveUp(): void {
    this.#got = 'failed'
    this.#meet()
  }

  /** The caller's request has come to its end. */
  callerEnded(): void {
    const { error, response } = this.#exchange
    if (this.#got !== undefined) return
    clearTimeout(this.#timer)
    const grpcStatus = 'grpcStatus' in response && typeof response.grpcStatus === 'number' ? String(response.grpcStatus) : undefined
    this.#got = error === undefined ? this.#caller.answered(grpcStatus) : 'failed'
    this.#meet()
  }

  /** Compares, once both answers are there. */
  #meet(): void {
    const { tally, mirrors, path, terms, compared, met } = this.#plan
    const { requestId, variant: { name: variant = '' } = {} } = this.#exchange
    const [got, brought] = [this.#got, this.#brought]
    if (got === undefined || brought === undefined) return
    const lost = this.#caller.lost ?? this.answer.lost
    // Where it is the variant of the copies that answered in place of another, the caller got nothing to compare with.
    if (typeof got === 'string' || got.status >= 500 || variant === tally.variant) tally.skip('caller_failed')
    else if (brought === 'stale') tally.skip('connection_lost')
    else if (brought === 'failed') {
      tally.fail({ requestId, variant })
      compared(true)
    } else if (lost !== undefined) tally.skip(lost)
    else if (mirrors.busy() || mirrors.comparing.left <= 0) tally.skip('busy')
    else {
      void compareAnswers(path, got, brought, terms, (spent) => mirrors.comparing.owe(spent)).then((comparison) => {
        if (comparison.result === 'skipped') tally.skip(comparison.why)
        else {
          tally.conclude(comparison, { requestId, variant })
          compared(comparison.result === 'mismatch')
        }
        met()
      })
      return
    }
    met()
  }

  /** What the caller still gets is not kept. */
  close(): void {
    this.#caller.close()
    this.answer.close()
  }
}

const giveUp = (meeting: Meeting): void => meeting.giveUp()
