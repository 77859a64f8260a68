import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Commit } from '../telemetry/audit.ts'
import type { Controller, Handler } from './dispatch.ts'

/** What becomes of the answer of one try. */
export type Answering = Handler & Readonly<{
  /** Ends it before its first byte. */
  refuse(why: Failure): void
}>

/** Stands before whoever answers, and holds the answer back until it is recorded that it goes out. */
export class Recorded implements Handler {
  readonly #to: Answering
  readonly #exchange: Exchange
  readonly #commit: Commit
  /** What had come with the head, meanwhile: of one read at most, since no more is asked for. */
  #held: Buffer[] | undefined
  #end: readonly string[] | undefined
  #failed = false

  constructor(to: Answering, exchange: Exchange, commit: Commit) {
    this.#to = to
    this.#exchange = exchange
    this.#commit = commit
  }

  onRequestStart(controller: Controller): void {
    this.#to.onRequestStart(controller)
  }

  onRequestSent(): void {
    this.#to.onRequestSent()
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    controller.pause()
    this.#held = []
    void this.#commit(this.#exchange, status).then((unrecorded) => {
      const held = this.#held ?? []
      this.#held = undefined
      if (this.#failed) return
      if (unrecorded) {
        this.#to.refuse(unrecorded)
        if (this.#end !== undefined) this.#to.onResponseEnd(controller, this.#end)
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
