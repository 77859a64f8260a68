import type { AnswerHandler, Controller } from './dispatch.ts'

/** The headers with which an answer may begin; undefined: it may not, and that has been told. Never rejects. */
export type Leave = (status: number, rawHeaders: readonly string[]) => Promise<readonly string[] | undefined>

/** Stands before whoever answers, and holds the answer back until its head may go out. */
export class HeldBack implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #leave: Leave
  /** What had come with the head, meanwhile: of one read at most, since no more is asked for. */
  #held: Buffer[] | undefined
  #end: readonly string[] | undefined
  #failed = false

  constructor(to: AnswerHandler, leave: Leave) {
    this.#to = to
    this.#leave = leave
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    controller.pause()
    this.#held = []
    void this.#leave(status, rawHeaders).then((headers) => {
      const held = this.#held ?? []
      this.#held = undefined
      if (this.#failed || headers === undefined) return
      this.#to.onResponseStart(controller, status, headers)
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
