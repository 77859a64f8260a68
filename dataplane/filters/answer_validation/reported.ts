import { readLimit } from '../../pipeline/body.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { Gather } from '../../pipeline/gather.ts'
import { known, type FlatHeaders } from '../../pipeline/headers.ts'
import { decoded } from '../../protocols/encodings.ts'
import type { AnswerHandler, Controller } from '../../upstream/dispatch.ts'
import type { CheckResult } from '../../validation/tally.ts'
import { mismatchOf, type Verdict } from '../../validation/verdict.ts'

/** `untold`: there is nothing to check it by. */
type Checked = Verdict | 'untold' | Failure

/** One answer that is to be checked. Neither of its functions ever throws or rejects. */
export type Checking = Readonly<{
  exchange: Exchange
  wants(status: number, headers: Readonly<FlatHeaders>): boolean
  /** @param body out of its content coding */
  check(headers: Readonly<FlatHeaders>, body: Buffer): Checked | Promise<Checked>
  count(result: CheckResult): void
}>

/** Writes down what came of it, and lets it pass. */
export function note({ exchange, count }: Pick<Checking, 'exchange' | 'count'>, checked: Checked): void {
  if (checked === 'busy' || checked === 'untold' || (typeof checked === 'object' && 'code' in checked)) {
    count('unchecked')
    return
  }
  const mismatch = mismatchOf(checked)
  count(mismatch === undefined ? 'passed' : 'reported')
  exchange.mismatch ??= mismatch
}

/** The answer goes out as it comes; only its end waits for the check. */
export function reported(checking: Checking): Stage {
  return (to) => new Reported(to, checking)
}

class Reported implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #checking: Checking
  #headers: FlatHeaders = []
  /** Copies: what goes on is only lent. Undefined: there is nothing to check, or too much of it. */
  #gather: Gather | undefined
  #failed = false

  constructor(to: AnswerHandler, checking: Checking) {
    this.#to = to
    this.#checking = checking
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    const { exchange, wants } = this.#checking
    this.#headers = rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text))
    if (exchange.request.method !== 'HEAD' && status !== 204 && wants(status, this.#headers)) this.#gather = new Gather(0)
    this.#to.onResponseStart(controller, status, rawHeaders)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#gather?.push(chunk)
    if (this.#gather !== undefined && this.#gather.size > this.#max) {
      this.#gather = undefined
      this.#checking.count('unchecked')
    }
    this.#to.onResponseData(controller, chunk)
  }

  onResponseFlush(): boolean {
    return this.#to.onResponseFlush()
  }

  onResponseEnd(controller: Controller, trailers: readonly string[]): void {
    if (this.#gather === undefined) {
      this.#to.onResponseEnd(controller, trailers)
      return
    }
    const end = (checked: Checked): void => {
      note(this.#checking, checked)
      if (!this.#failed) this.#to.onResponseEnd(controller, trailers)
    }
    const checked = this.#check(this.#gather.whole())
    if (checked instanceof Promise) void checked.then(end)
    else end(checked)
  }

  onResponseError(error: Error): void {
    this.#failed = true
    this.#gather = undefined
    this.#to.onResponseError(error)
  }

  get #max(): number {
    return readLimit(this.#checking.exchange.rule?.responseMax ?? Number.POSITIVE_INFINITY)
  }

  #check(whole: Buffer | Promise<Buffer>): Checked | Promise<Checked> {
    if (whole instanceof Promise) return whole.then((settled) => this.#check(settled))
    const plain = decoded(this.#headers, whole, this.#max)
    const begin = (settled: Buffer | string): Checked | Promise<Checked> => (typeof settled === 'string' ? 'untold' : this.#checking.check(this.#headers, settled))
    return plain instanceof Promise ? plain.then(begin) : begin(plain)
  }
}
