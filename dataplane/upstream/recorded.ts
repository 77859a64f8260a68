import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Commit } from '../telemetry/audit.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'

/** Stands before whoever answers, and holds the answer back until it is recorded that it goes out. */
export class Recorded implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #refuse: (why: Failure) => void
  readonly #exchange: Exchange
  readonly #commit: Commit
  /** What had come with the head, meanwhile: of one read at most, since no more is asked for. */
  #held: Buffer[] | undefined
  #end: readonly string[] | undefined
  #failed = false

  /** @param refuse ends it before its first byte */
  constructor(to: AnswerHandler, refuse: (why: Failure) => void, exchange: Exchange, commit: Commit) {
    this.#to = to
    this.#refuse = refuse
    this.#exchange = exchange
    this.#commit = commit
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    controller.pause()
    this.#held = []
    void this.#commit(this.#exchange, status).then((unrecorded) => {
      const held = this.#held ?? []
      this.#held = undefined
      if (this.#failed) return
      if (unrecorded) {
        this.#refuse(unrecorded)
        return
      }
      this.#to.onResponseStart(controller, status, rawHeaders)
      for (const chunk of held) this.#to.onResponseData(controller, chunk)
      if (this.#end !== undefined) {
        // An answer that came with its head is over as soon as it has begun.
        this.#to.onResponseEnd(controller, this.#end)
        return
      }
      controller.resume()
      this.#to.onResponseFlush()
    })
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    // It is only lent.
    if (this.#held === undefined) this.#to.onResponseData(controller, chunk)
    else this.#held.push(Buffer.from(chunk))
  }

  onResponseFlush(): boolean {
    return this.#held === undefined && this.#to.onResponseFlush()
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#held === undefined) this.#to.onResponseEnd(controller, rawTrailers)
    else this.#end = rawTrailers
  }

  onResponseError(error: Error): void {
    this.#failed = true
    this.#to.onResponseError(error)
  }
}
