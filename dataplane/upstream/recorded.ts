import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Commit } from '../telemetry/audit.ts'

type Controller = Dispatcher.DispatchController

/** What becomes of the answer of one try. */
export type Answering = Required<Pick<Dispatcher.DispatchHandler,
  'onRequestStart' | 'onRequestSent' | 'onResponseStart' | 'onResponseData' | 'onResponseEnd' | 'onResponseError'>> & Readonly<{
  /** Ends it before its first byte. */
  refuse(why: Failure): void
}>

/** Stands before whoever answers, and holds the answer back until it is recorded that it goes out. */
export class Recorded implements Dispatcher.DispatchHandler {
  readonly #to: Answering
  readonly #exchange: Exchange
  readonly #commit: Commit
  #held: Promise<void> | undefined

  constructor(to: Answering, exchange: Exchange, commit: Commit) {
    this.#to = to
    this.#exchange = exchange
    this.#commit = commit
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.#to.onRequestStart(controller, context)
  }

  onRequestSent(): void {
    this.#to.onRequestSent()
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    controller.pause()
    this.#held = this.#commit(this.#exchange, status).then((unrecorded) => {
      this.#held = undefined
      if (unrecorded) {
        this.#to.refuse(unrecorded)
        return
      }
      this.#to.onResponseStart(controller, status, headers)
      controller.resume()
    })
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#to.onResponseData(controller, chunk)
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    // An answer without a body is over as soon as it has begun.
    if (this.#held === undefined) this.#to.onResponseEnd(controller, trailers)
    else void this.#held.then(() => this.#to.onResponseEnd(controller, trailers))
  }

  onResponseError(controller: Controller, error: Error): void {
    this.#to.onResponseError(controller, error)
  }
}
